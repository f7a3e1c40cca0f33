"""A pool's bookkeeping, the same in both colours: who has a connection, who waits for one.

The last connection given back is the first to be taken (its caches are warm). Who waits is served
in the order of arrival: a connection goes from hand to hand, so nobody starves. Taking and giving
back touch one list each, which is atomic; only opening, waiting and closing take the lock.
"""

from __future__ import annotations

import os
from _thread import RLock, allocate_lock  # what threading and weakref have of them, without the
from _weakref import ref  # time that these take to import
from collections import deque
from collections.abc import Sequence
from time import monotonic

from graven._hints import TYPE_CHECKING, Any, Generic, Protocol, TypeVar
from graven.drivers.observing import Observer
from graven.errors import UnavailableError, UsageError

if TYPE_CHECKING:
    from graven.drivers.observing import OnStatement

__all__ = [
    "BUSY_TIMEOUT_S",
    "POOL_SIZE",
    "POOL_TIMEOUT_S",
    "BlockingPool",
    "HeldPool",
    "PoolBase",
    "Pooled",
    "Rack",
    "Waiter",
    "keep_inherited",
]


class Pooled(Protocol):
    """What a rack asks of a connection."""

    @property
    def is_inherited(self) -> bool:
        """Whether it was opened by a parent of this process."""
        ...


C = TypeVar("C", bound=Pooled)

POOL_SIZE = 5  #: connections that a pool opens at most
POOL_TIMEOUT_S = 30.0  #: how long a caller waits for a connection
BUSY_TIMEOUT_S = 5.0  #: how long a statement waits for another's lock


class Waiter(Generic[C]):
    """Waits for a connection, or, when one broke, for the right to open one."""

    def __init__(self) -> None:
        """Wait for nothing yet."""
        self.connection: C | None = None
        self.may_open = False

    def wake(self) -> None:
        """Tell whoever waits to look; called by another thread."""
        raise NotImplementedError


class Rack(Generic[C]):
    """The connections of one pool; safe to share between threads."""

    def __init__(self, size: int) -> None:
        """Hold up to *size* connections."""
        if size < 1:
            raise UsageError(
                f"a pool of {size} connections cannot serve; give a size of at least 1"
            )
        self.size = size
        self.count = 0
        self.is_closed = False
        self.idle: list[C] = []
        self._waiters: deque[Waiter[C]] = deque()
        self._lock = RLock()
        rack: Rack[Any] = self
        _racks.add(ref(rack, _racks.discard))

    def take(self) -> C | None:
        """Return an idle connection, or ``None``: then see :meth:`reserve`."""
        if self._waiters or self.is_closed:
            return None
        try:
            return self.idle.pop()
        except IndexError:
            return None

    def reserve(self, waiter: Waiter[C]) -> bool:
        """Return whether *waiter* has something now: a connection, or the right to open one.

        If not, it is in the queue, until it is woken or calls :meth:`give_up`.
        """
        with self._lock:
            self._refuse_if_closed()
            self._waiters.append(waiter)
            self._serve()
            return waiter.connection is not None or waiter.may_open

    def leave(self, waiter: Waiter[C]) -> None:
        """Take *waiter* out of the queue, if it is still there."""
        with self._lock:
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    def give_up(self, waiter: Waiter[C]) -> None:
        """Let *waiter* wait no more; what it has been given meanwhile goes to the next."""
        self.leave(waiter)
        if waiter.connection is not None:
            self.give(waiter.connection)
        elif waiter.may_open:
            self.drop()

    def give(self, connection: C) -> bool:
        """Put a connection back, or into the hands of who waits longest; ``False`` if too late."""
        self.idle.append(connection)
        if self._waiters:
            with self._lock:
                self._serve()
        return not self.is_closed

    def drop(self) -> None:
        """Count one less: it broke, or could not be opened; somebody else may open one."""
        with self._lock:
            self.count -= 1
            self._serve()

    def widen(self, by: int) -> None:
        """Let there be more connections, or less: those above stay until the pool is closed."""
        with self._lock:
            self.size += by
            self._serve()

    def close(self) -> list[C]:
        """Refuse every further use; return the connections that are idle."""
        with self._lock:
            self.is_closed = True
            idle, self.idle = self.idle, []
            self.count -= len(idle)
            waiters, self._waiters = self._waiters, deque()
        for waiter in waiters:
            waiter.wake()
        return idle

    def _serve(self) -> None:
        """Hand out what there is; a connection may come back at any point of this.

        For the garbage collector may find a dropped session in the midst of it, on this thread.
        """
        while self._waiters and not self.is_closed and (self.idle or self.count < self.size):
            try:
                waiter = self._waiters.popleft()
            except IndexError:
                return
            try:
                waiter.connection = self.idle.pop()
            except IndexError:
                if self.count >= self.size:
                    self._waiters.appendleft(waiter)
                    continue
                self.count += 1
                waiter.may_open = True
            waiter.wake()

    def _refuse_if_closed(self) -> None:
        if self.is_closed:
            raise UsageError(
                "a connection was asked of a database that is closed; usually close() was called, "
                "or "
                "its block was left; make a new Database"
            )

    def refused(self, timeout_s: float, holders: Sequence[str] = ()) -> Exception:
        """Return the error for a waiter that was woken with nothing, or whose time ran out.

        *holders* say who has the connections, and for how long.
        """
        if self.is_closed:
            return UsageError("the database was closed while a connection was waited for")
        held = f" ({'; '.join(holders)})" if holders else ""
        return UnavailableError(
            f"a connection was waited for {timeout_s} s: {self.count - len(self.idle)} of "
            f"{self.size} are "
            f"out{held}; usually sessions stay open in transactions or streams; end them, or raise "
            f"pool_size",
            waited_s=timeout_s,
        )

    def forked(self) -> None:
        """Forget, in a forked child, everything that belongs to its parent."""
        _inherited.extend(self.idle)
        self.idle = []
        self.count = 0
        self._waiters = deque()
        self._lock = RLock()


class PoolBase(Generic[C]):
    """A rack of connections, and whom they report to; *dialect* is what they speak."""

    topology: str | None = None
    """How the servers stand to one another, where there are several ways, once that is known."""

    def __init__(self, dialect: Any, size: int, timeout_s: float) -> None:
        """Hold up to *size* connections; a caller waits up to *timeout_s* seconds for one."""
        self.dialect = dialect
        self.timeout_s = timeout_s
        self._rack: Rack[C] = Rack(size)
        self._observer = Observer()

    @property
    def out(self) -> int:
        """How many connections are in use."""
        return self._rack.count - len(self._rack.idle)

    def widen(self, by: int) -> None:
        """Let *by* connections more be in use at a time, for work that would not wait; or less."""
        self._rack.widen(by)

    def observe(self, on_statement: OnStatement | None, parameters: bool = False) -> None:
        """Report every statement from now on, parameters only if asked for; ``None`` ends it.

        The report is made by the thread that ran the statement.
        """
        self._observer.on_statement = on_statement
        self._observer.parameters = parameters

    def _refused(self) -> Exception:
        """Return the error for who got no connection."""
        return self._rack.refused(self.timeout_s)


class HeldPool(PoolBase[C]):
    """A pool that knows who has its connections, and for how long."""

    def __init__(self, dialect: Any, size: int, timeout_s: float) -> None:
        """See :class:`PoolBase`."""
        super().__init__(dialect, size, timeout_s)
        self._held: dict[C, tuple[str, float]] = {}

    def _hold(self, connection: C, who: str) -> C:
        """Note *who* uses a connection now."""
        self._held[connection] = who, monotonic()
        return connection

    def _refused(self) -> Exception:
        """Return the error for who has waited in vain, with those who hold the connections."""
        now_s = monotonic()
        holders = [f"{who} for {now_s - since_s:.1f} s" for who, since_s in [*self._held.values()]]
        return self._rack.refused(self.timeout_s, holders)


class _BlockingWaiter(Waiter[C]):
    """Waits on a lock, which whoever serves it releases."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = allocate_lock()
        self._lock.acquire()

    def wake(self) -> None:
        self._lock.release()

    def wait(self, timeout_s: float) -> bool:
        return self._lock.acquire(timeout=timeout_s)


class BlockingPool(PoolBase[C]):
    """Connections for threads, opened when first needed."""

    def acquire(self) -> C:
        """Return a connection that nobody else uses.

        Waits up to ``timeout_s`` seconds if all are out, then raises ``UnavailableError``. Raises
        ``UsageError`` once the pool is closed, ``StoreError`` if the database cannot be opened.
        """
        return self._rack.take() or self._acquire_slowly()

    def _acquire_slowly(self) -> C:
        waiter: _BlockingWaiter[C] = _BlockingWaiter()
        if not self._rack.reserve(waiter):
            try:
                waiter.wait(self.timeout_s)
            except BaseException:
                self._rack.give_up(waiter)
                raise
            self._rack.leave(waiter)
        if waiter.connection is not None:
            return waiter.connection
        if waiter.may_open:
            try:
                return self._open()
            except BaseException:
                self._rack.drop()
                raise
        raise self._refused()

    def _open(self) -> C:
        """Open a connection."""
        raise NotImplementedError


_racks: set[ref[Rack[Any]]] = set()
_inherited: list[Any] = []
"""Connections of a parent process, kept so that this one does not even close them."""


def keep_inherited(connection: object) -> None:
    """Keep a parent's connection from being closed by this process, which could harm the file."""
    _inherited.append(connection)


def _forked() -> None:
    for reference in [*_racks]:
        rack = reference()
        if rack is not None:
            rack.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
