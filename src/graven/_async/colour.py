"""What differs between the colours, here for async code.

The blocking twin is ``graven._sync.colour``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from threading import current_thread
from weakref import ref

from graven._common.clock import running
from graven._hints import Any

__all__ = [
    "IS_ASYNC",
    "POOLS",
    "Alarm",
    "Lock",
    "current_owner",
    "ended",
    "is_at_work",
    "is_locked_elsewhere",
    "loader_for",
    "sleep",
    "spawn",
]

IS_ASYNC = True
"""Which of the two colours this is."""

POOLS = {
    "sqlite": "graven.drivers.sqlite_async:AsyncSQLitePool",
    "postgresql": "graven.drivers.postgres_async:AsyncPostgresPool",
    "postgres": "graven.drivers.postgres_async:AsyncPostgresPool",
    "mongodb": "graven.drivers.mongo_async:AsyncMongoPool",
    "mongodb+srv": "graven.drivers.mongo_async:AsyncMongoPool",
    "memory": "graven.drivers.memory_async:AsyncMemoryPool",
}
"""Where the pool of each scheme of URLs is; a driver is imported when it is first asked for."""

Lock = asyncio.Lock


async def sleep(seconds: float) -> None:
    """Hold up the calling task for that long, by the running clock."""
    await running().sleep_awaited(seconds)


def spawn(work: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
    """Let *work* be done in the background, by a task."""
    return asyncio.ensure_future(work())


def is_at_work(background: asyncio.Task[None] | None) -> bool:
    """Say whether what :func:`spawn` returned still goes on, in the loop of the caller."""
    if background is None or background.done():
        return False
    return background.get_loop() is asyncio.get_running_loop()


async def ended(background: asyncio.Task[None]) -> None:
    """Wait until what :func:`spawn` returned has come to its end."""
    await asyncio.wait([background])


class Alarm:
    """What a task in the background waits for, whatever clock the process runs by."""

    def __init__(self) -> None:
        """Belong to the loop of the caller."""
        self._event = asyncio.Event()

    async def wait(self, seconds: float) -> None:
        """Wait until it goes off, at most for that long."""
        try:
            await asyncio.wait_for(self._event.wait(), seconds)
        except TimeoutError:
            return

    def go_off(self) -> None:
        """End the wait."""
        self._event.set()


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
