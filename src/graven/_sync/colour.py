"""What differs between the colours, here for blocking code.

The async twin is ``graven._async.colour``.
"""

from __future__ import annotations

from _thread import RLock as Lock  # threading's own, without what takes time to import
from _thread import _local as local
from time import sleep

from graven._hints import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

__all__ = ["POOLS", "Lock", "current_owner", "is_locked_elsewhere", "loader_for", "sleep"]

POOLS = {
    "sqlite": "graven.drivers.sqlite:SQLitePool",
    "postgresql": "graven.drivers.postgres:PostgresPool",
    "postgres": "graven.drivers.postgres:PostgresPool",
    "memory": "graven.drivers.memory:MemoryPool",
}
"""Where the pool of each scheme of URLs is; a driver is imported when it is first asked for."""

_here = local()


def current_owner() -> Hashable:
    """Return what stands for the calling thread.

    It is no id, which the next thread could have too, and it does not keep the thread alive.
    """
    try:
        return _here.owner  # type: ignore[no-any-return]
    except AttributeError:
        from threading import current_thread
        from weakref import ref

        _here.owner = ref(current_thread())
        return _here.owner  # type: ignore[no-any-return]


def loader_for(session: Any) -> Callable[[Any, Any, Any], Any]:
    """Return what loads a field at access, for all objects of the same result at once."""
    return session.load_field  # type: ignore[no-any-return]


def is_locked_elsewhere(lock: Any) -> bool:
    """Say whether a call of another thread is under way."""
    if lock.acquire(blocking=False):
        lock.release()
        return False
    return True
