"""Durable operations: logged first, finished after a crash, applied once.

``@atomic`` makes the calls of a function operations. What an interrupted one has left is finished
by ``db.recover()``, by a :class:`Recoverer` in the background of a service, or by a worker.
"""

from __future__ import annotations

from graven._async.handle import AsyncHandle
from graven._async.recoverer import AsyncRecoverer
from graven._async.worker import AsyncWorker
from graven._common.atomic import AtomicFunction, atomic
from graven._common.operating import Running, current_operation
from graven._common.operation_log import Operation, OperationLog, ReferenceMapping
from graven._common.recovery import RecoveryReport
from graven._common.steps import step
from graven._sync.handle import Handle
from graven._sync.recoverer import Recoverer
from graven._sync.worker import Worker
from graven.core.limits import Queue, Rate

__all__ = [
    "AsyncHandle",
    "AsyncRecoverer",
    "AsyncWorker",
    "AtomicFunction",
    "Handle",
    "Operation",
    "OperationLog",
    "Queue",
    "Rate",
    "Recoverer",
    "RecoveryReport",
    "ReferenceMapping",
    "Running",
    "Worker",
    "atomic",
    "current_operation",
    "step",
]
