"""What differs between the colours, here for blocking code.

The async twin is ``graven._async.colour``.
"""

from __future__ import annotations

from _thread import RLock as Lock  # threading's own, without what takes time to import
from _thread import _local as local

from graven._common.clock import running
from graven._hints import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

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

IS_ASYNC = False
"""Which of the two colours this is."""

POOLS = {
    "sqlite": "graven.drivers.sqlite:SQLitePool",
    "postgresql": "graven.drivers.postgres:PostgresPool",
    "postgres": "graven.drivers.postgres:PostgresPool",
    "mongodb": "graven.drivers.mongo:MongoPool",
    "mongodb+srv": "graven.drivers.mongo:MongoPool",
    "memory": "graven.drivers.memory:MemoryPool",
}
"""Where the pool of each scheme of URLs is; a driver is imported when it is first asked for."""

_here = local()


def sleep(seconds: float) -> None:
    """Hold up the calling thread for that long, by the running clock."""
    running().sleep(seconds)


def spawn(work: Callable[[], None]) -> Any:
    """Let *work* be done in the background, by a thread that does not keep the process alive."""
    from threading import Thread

    thread = Thread(target=work, name="graven", daemon=True)
    thread.start()
    return thread


def is_at_work(background: Any) -> bool:
    """Say whether what :func:`spawn` returned still goes on; after a fork it does not."""
    return background is not None and bool(background.is_alive())


def ended(background: Any) -> None:
    """Wait until what :func:`spawn` returned has come to its end."""
    background.join()


class Alarm:
    """What a thread in the background waits for, whatever clock the process runs by."""

    def __init__(self) -> None:
        """Wait for nothing yet."""
        from threading import Event

        self._event = Event()

    def wait(self, seconds: float) -> None:
        """Wait until it goes off, at most for that long."""
        self._event.wait(seconds)

    def go_off(self) -> None:
        """End the wait."""
        self._event.set()


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
