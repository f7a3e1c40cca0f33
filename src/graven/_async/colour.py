"""What differs between the colours, here for async code.

The blocking twin is ``graven._sync.colour``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from threading import current_thread
from weakref import ref

from graven._hints import Any

__all__ = ["POOLS", "Lock", "current_owner", "is_locked_elsewhere", "loader_for", "sleep"]

POOLS = {
    "sqlite": "graven.drivers.sqlite_async:AsyncSQLitePool",
    "postgresql": "graven.drivers.postgres_async:AsyncPostgresPool",
    "postgres": "graven.drivers.postgres_async:AsyncPostgresPool",
    "memory": "graven.drivers.memory_async:AsyncMemoryPool",
}
"""Where the pool of each scheme of URLs is; a driver is imported when it is first asked for."""

Lock = asyncio.Lock
sleep = asyncio.sleep


def current_owner() -> Hashable:
    """Return what stands for the calling task, or, outside of any event loop, for its thread.

    It is no id, which the next task could have too, and it does not keep the task alive.
    """
    try:
        return ref(asyncio.current_task() or current_thread())
    except RuntimeError:
        return ref(current_thread())


def loader_for(session: Any) -> Any:
    """Return nothing: in async code an attribute never queries."""
    return None


def is_locked_elsewhere(lock: asyncio.Lock) -> bool:
    """Say whether a call of another task is under way."""
    return lock.locked()
