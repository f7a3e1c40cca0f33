"""What differs between the colours, here for blocking code.

The async twin is ``graven._async.colour``.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from threading import RLock as Lock
from threading import current_thread
from time import sleep
from typing import Any
from weakref import ref

__all__ = ["POOLS", "Lock", "current_owner", "is_locked_elsewhere", "loader_for", "sleep"]

POOLS = {"sqlite": "graven.drivers.sqlite:SQLitePool"}
"""Where the pool of each scheme of URLs is; a driver is imported when it is first asked for."""


def current_owner() -> Hashable:
    """Return what stands for the calling thread.

    It is no id, which the next thread could have too, and it does not keep the thread alive.
    """
    return ref(current_thread())


def loader_for(session: Any) -> Callable[[Any, Any, Any], Any]:
    """Return what loads a field at access, for all objects of the same result at once."""
    return session.load_field  # type: ignore[no-any-return]


def is_locked_elsewhere(lock: Any) -> bool:
    """Say whether a call of another thread is under way."""
    if lock.acquire(blocking=False):
        lock.release()
        return False
    return True
