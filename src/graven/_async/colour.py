"""What differs between the colours, here for async code.

The blocking twin is ``graven._sync.colour``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from typing import Any

from graven.drivers.sqlite_async import AsyncSQLitePool

__all__ = ["Lock", "Pool", "current_owner", "is_locked_elsewhere", "loader_for", "sleep"]

Pool = AsyncSQLitePool
Lock = asyncio.Lock
sleep = asyncio.sleep


def current_owner() -> Hashable:
    """Name the calling task."""
    try:
        return id(asyncio.current_task())
    except RuntimeError:
        return None


def loader_for(session: Any) -> None:
    """Return nothing: in async code an attribute never queries."""


def is_locked_elsewhere(lock: asyncio.Lock) -> bool:
    """Say whether a call of another task is under way."""
    return lock.locked()
