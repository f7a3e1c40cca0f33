"""Transactional objects: change ordinary objects; one commit makes all changes durable, or none.

Names are imported at first use: ``import graven`` loads no driver, no dialect and no event loop.
"""

from __future__ import annotations

from graven._hints import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graven._async.attempts import AsyncAttempt, AsyncAttempts
    from graven._async.database import AsyncDatabase
    from graven._async.nosql import AsyncNoSQLDatabaseProxy
    from graven._async.objects import AsyncObjects
    from graven._async.query import AsyncQuery
    from graven._async.scope import AsyncScope
    from graven._async.session import AsyncSession
    from graven._async.transaction import AsyncTransaction
    from graven._async.worker import AsyncWorker
    from graven._sync.attempts import Attempt, Attempts
    from graven._sync.database import Database
    from graven._sync.nosql import NoSQLDatabaseProxy
    from graven._sync.objects import Objects
    from graven._sync.query import Query
    from graven._sync.scope import Scope
    from graven._sync.session import Session
    from graven._sync.transaction import Transaction
    from graven._sync.worker import Worker
    from graven.core.cache import RecordCache
    from graven.core.limits import Queue, Rate
    from graven.core.retry import Backoff
    from graven.errors import (
        BusyRetry,
        CheckError,
        CommitUnknownError,
        ConcurrentUpdate,
        Conflict,
        DataError,
        DeadlockError,
        DuplicateRecordError,
        FieldConflict,
        ForeignKeyError,
        GravenError,
        IntegrityError,
        InvariantError,
        MappingError,
        MultipleFoundError,
        NotFoundError,
        NotLoadedError,
        NotNullError,
        NotSerializableError,
        OperationError,
        QuarantinedError,
        QueryError,
        ScopeError,
        SessionError,
        StateChangeError,
        StoreError,
        TransactionInactiveError,
        TransientError,
        UnavailableError,
        UniqueError,
        UnknownOperationError,
        UsageError,
    )
    from graven.models.declarations import field, key, many_to_many, owned
    from graven.models.documents.registry import document_type
    from graven.models.documents.serializer import (
        ModelSerializer,
        flatten_object,
        from_json,
        get_object_state,
        get_or_create,
        to_json,
        unflatten_object,
    )
    from graven.models.expressions import asc, desc, ilike, in_, like
    from graven.models.face import ModelManager
    from graven.models.model import Model
    from graven.models.naive import NaiveDatetime
    from graven.models.nosql import NoSQLModel, NoSQLModelManager, NoSQLModelSerializer
    from graven.operations import (
        AsyncRecoverer,
        AtomicFunction,
        Operation,
        OperationLog,
        Recoverer,
        RecoveryReport,
        ReferenceMapping,
        atomic,
        current_operation,
        step,
    )
    from graven.stm import AsyncStore, Store

__all__ = [
    "AsyncAttempt",
    "AsyncAttempts",
    "AsyncDatabase",
    "AsyncNoSQLDatabaseProxy",
    "AsyncObjects",
    "AsyncQuery",
    "AsyncRecoverer",
    "AsyncScope",
    "AsyncSession",
    "AsyncStore",
    "AsyncTransaction",
    "AsyncWorker",
    "AtomicFunction",
    "Attempt",
    "Attempts",
    "Backoff",
    "BusyRetry",
    "CheckError",
    "CommitUnknownError",
    "ConcurrentUpdate",
    "Conflict",
    "DataError",
    "Database",
    "DeadlockError",
    "DuplicateRecordError",
    "FieldConflict",
    "ForeignKeyError",
    "GravenError",
    "IntegrityError",
    "InvariantError",
    "MappingError",
    "Model",
    "ModelManager",
    "ModelSerializer",
    "MultipleFoundError",
    "NaiveDatetime",
    "NoSQLDatabaseProxy",
    "NoSQLModel",
    "NoSQLModelManager",
    "NoSQLModelSerializer",
    "NotFoundError",
    "NotLoadedError",
    "NotNullError",
    "NotSerializableError",
    "Objects",
    "Operation",
    "OperationError",
    "OperationLog",
    "QuarantinedError",
    "Query",
    "QueryError",
    "Queue",
    "Rate",
    "RecordCache",
    "Recoverer",
    "RecoveryReport",
    "ReferenceMapping",
    "Scope",
    "ScopeError",
    "Session",
    "SessionError",
    "StateChangeError",
    "Store",
    "StoreError",
    "Transaction",
    "TransactionInactiveError",
    "TransientError",
    "UnavailableError",
    "UniqueError",
    "UnknownOperationError",
    "UsageError",
    "Worker",
    "asc",
    "atomic",
    "current_operation",
    "desc",
    "document_type",
    "field",
    "flatten_object",
    "from_json",
    "get_object_state",
    "get_or_create",
    "ilike",
    "in_",
    "key",
    "like",
    "many_to_many",
    "owned",
    "step",
    "to_json",
    "unflatten_object",
]

__version__ = "0.1.0"

_MODULES = {
    "_common.atomic": ("AtomicFunction", "atomic"),
    "_common.operating": ("current_operation",),
    "_common.operation_log": ("Operation", "OperationLog", "ReferenceMapping"),
    "_common.recovery": ("RecoveryReport",),
    "_common.steps": ("step",),
    "_sync.attempts": ("Attempt", "Attempts"),
    "_sync.database": ("Database",),
    "_sync.nosql": ("NoSQLDatabaseProxy",),
    "_sync.objects": ("Objects",),
    "_sync.query": ("Query",),
    "_sync.recoverer": ("Recoverer",),
    "_sync.scope": ("Scope",),
    "_sync.session": ("Session",),
    "_sync.transaction": ("Transaction",),
    "_sync.worker": ("Worker",),
    "core.cache": ("RecordCache",),
    "core.limits": ("Queue", "Rate"),
    "core.retry": ("Backoff",),
    "models.declarations": ("field", "key", "many_to_many", "owned"),
    "models.documents.registry": ("document_type",),
    "models.documents.serializer": (
        "ModelSerializer",
        "flatten_object",
        "from_json",
        "get_object_state",
        "get_or_create",
        "to_json",
        "unflatten_object",
    ),
    "models.expressions": ("asc", "desc", "ilike", "in_", "like"),
    "models.face": ("ModelManager",),
    "models.model": ("Model",),
    "models.naive": ("NaiveDatetime",),
    "models.nosql": ("NoSQLModel", "NoSQLModelManager", "NoSQLModelSerializer"),
    "stm": ("Store",),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name from the module that is its home."""
    if name not in __all__:
        raise AttributeError(f"module 'graven' has no attribute {name!r}")
    home = _HOMES.get(name, "errors")
    if name.startswith("Async"):
        home = _HOMES[name.removeprefix("Async")].replace("_sync", "_async")
    found = globals()[name] = getattr(__import__(f"graven.{home}", fromlist=(name,)), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
