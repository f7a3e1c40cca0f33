"""SQLite for async code: each connection has a thread of its own, and one call is one hop to it.

A whole flow runs in that thread; the event loop only hears how it ended. The threads are daemons,
so that a database that nobody closed does not keep the interpreter from ending.
"""

from __future__ import annotations

from asyncio import CancelledError, Future, get_running_loop
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from threading import Lock, Thread

from graven._hints import Generic, TypeVar, cast
from graven.dialects.sqlite import SQLiteDialect
from graven.drivers.pooling import (
    BUSY_TIMEOUT_S,
    POOL_SIZE,
    POOL_TIMEOUT_S,
    keep_inherited,
)
from graven.drivers.pooling_async import AsyncPool
from graven.drivers.sqlite import Settle, SQLiteConnection
from graven.drivers.sqlite_opening import SQLiteOpener
from graven.drivers.sqlite_statements import SQLiteStatements
from graven.drivers.sqlite_url import parse_sqlite_url
from graven.errors import InvariantError
from graven.ops.requests import Flow

__all__ = ["AsyncSQLiteConnection", "AsyncSQLitePool"]

R = TypeVar("R")

INTERRUPT_AGAIN_S = 0.02

Jobs = SimpleQueue["Callable[[], object] | None"]


def _work(jobs: Jobs) -> None:
    """Do one job after the other until ``None`` comes; jobs keep their errors to themselves."""
    while (job := jobs.get()) is not None:
        job()
        job = None  # or its objects would live until the next one comes


class _Job(Generic[R]):
    """A function on its way through a connection's thread and back to its event loop."""

    __slots__ = (
        "_lock",
        "_settle",
        "_tickets",
        "_waiter",
        "error",
        "function",
        "has_ended",
        "is_running",
        "loop",
        "result",
    )

    def __init__(self, function: Callable[[], R], settle: Settle | None, lock: Lock) -> None:
        self.function: Callable[[], R] | None = function
        self.result: R | None = None
        self.error: BaseException | None = None
        self.has_ended = False
        self.is_running = False
        self.loop = get_running_loop()
        self._settle = settle
        self._lock = lock
        self._tickets = [None]
        self._waiter: Future[None] = self.loop.create_future()

    def __call__(self) -> None:
        """Run in the connection's thread, unless the job was withdrawn."""
        function = self.function
        if function is None or not self._claim():
            return
        self.is_running = True
        try:
            self.result = function()
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is awaited
            self.error = error
        with self._lock:
            self.is_running = False
        try:
            self.loop.call_soon_threadsafe(self._end)
        except RuntimeError:  # the loop is closed: nobody waits, but memory still has to be told
            self._tell()

    def _claim(self) -> bool:
        """Say whether the caller asks first: the thread, to run it, or the loop, to withdraw it."""
        try:
            self._tickets.pop()
        except IndexError:
            return False
        return True

    def withdraw(self, error: BaseException) -> bool:
        """End the job with *error* if it has not started; return whether that was so."""
        if not self._claim():
            return False
        self.error = error
        self._end()
        return True

    def interrupt(self, statements: SQLiteStatements) -> None:
        """Interrupt what it reads, again and again until it ends; what it writes is left alone."""
        if self.has_ended:
            return
        with self._lock:
            if self.is_running:
                statements.interrupt_reading()
        self.loop.call_later(INTERRUPT_AGAIN_S, self.interrupt, statements)

    def _tell(self) -> None:
        self.has_ended = True
        self.function = None
        settle, self._settle = self._settle, None
        if settle is not None:
            try:
                settle(self.result, self.error)
            except BaseException as error:  # noqa: BLE001 - it belongs to whoever awaits
                self.error = error

    def _end(self) -> None:
        self._tell()
        if not self._waiter.done():
            self._waiter.set_result(None)

    async def ended(self, on_cancel: Callable[[CancelledError], object]) -> R:
        """Return the result once the job has ended; a cancellation waits for that too."""
        outcome: BaseException | None = None
        while not self.has_ended:
            try:
                await self._waiter
            except CancelledError as error:
                outcome = error
                self._waiter = self.loop.create_future()
                on_cancel(error)
        outcome = outcome or self.error
        self.error = None
        if outcome is None:
            return cast(R, self.result)
        try:
            raise outcome
        finally:
            del outcome  # an error must not keep itself alive by its own traceback


class AsyncSQLiteConnection:
    """A connection with its thread; its calls queue there."""

    __slots__ = ("_blocking", "_jobs", "_lock", "_thread")

    def __init__(self) -> None:
        """Start the thread; :meth:`open` comes next."""
        self._jobs: Jobs = SimpleQueue()
        self._lock = Lock()
        self._blocking: SQLiteConnection | None = None
        self._thread = Thread(target=_work, args=(self._jobs,), name="graven-sqlite", daemon=True)
        self._thread.start()

    @property
    def blocking(self) -> SQLiteConnection:
        """The connection itself; only its thread may run anything on it."""
        if self._blocking is None:
            raise InvariantError("a connection was used before it was opened: a bug in graven")
        return self._blocking

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self.blocking.in_transaction

    @property
    def is_inherited(self) -> bool:
        """Whether it was opened by a parent of this process, and must not be touched."""
        return self.blocking.is_inherited

    async def open(self, opening: Callable[[], SQLiteConnection]) -> None:
        """Open the connection in its thread; a cancellation takes effect after that."""
        job = _Job(opening, None, self._lock)
        self._jobs.put(job)
        self._blocking = await job.ended(job.withdraw)

    async def run(self, flow: Flow[R], settle: Settle | None = None) -> R:
        """Drive *flow* to its end, in one hop, and return its result, or raise its error.

        *settle* is called with result and error, exactly once, on the event loop's thread, as soon
        as the flow has ended, whether or not the caller still waits. A cancellation ends a flow
        that has not started, interrupts one that only reads, and waits for one that writes; then,
        after *settle*, it goes on. See :meth:`SQLiteConnection.run` for transactions.
        """
        blocking = self.blocking
        if blocking.is_inherited:
            return blocking.run(flow, settle)  # refuses, with the reason; there is no thread here
        job = _Job(partial(blocking.run, flow), settle, self._lock)
        self._jobs.put(job)
        return await job.ended(partial(self._cancel, job, flow))

    def _cancel(self, job: _Job[R], flow: Flow[R], error: CancelledError) -> None:
        if job.withdraw(error):
            flow.close()
        else:
            job.interrupt(self.blocking.statements)

    def soon(self, job: Callable[[], object]) -> None:
        """Do *job* in the thread after what is queued there; it must not raise."""
        self._jobs.put(job)

    def close_soon(self) -> None:
        """Close the connection and end its thread after what is queued there."""
        if self._blocking is not None:
            self._jobs.put(self._blocking.statements.close)
        self._jobs.put(None)

    def join(self) -> None:
        """Wait until the thread has ended; call :meth:`close_soon` before."""
        self._thread.join()


class AsyncSQLitePool(AsyncPool[AsyncSQLiteConnection]):
    """Connections to one SQLite database, for tasks of any event loop; see :class:`SQLitePool`."""

    def __init__(
        self,
        url: str,
        size: int = POOL_SIZE,
        timeout_s: float = POOL_TIMEOUT_S,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
    ) -> None:
        """Prepare for *url*; ``UsageError`` if it is none of SQLite's. Nothing is opened yet."""
        super().__init__(SQLiteDialect(), size, timeout_s)
        self._opener = SQLiteOpener(parse_sqlite_url(url), self.dialect, busy_timeout_s)

    async def _open(self) -> AsyncSQLiteConnection:
        connection = AsyncSQLiteConnection()
        try:
            await connection.open(self._open_blocking)
        except BaseException:
            connection.close_soon()
            raise
        return connection

    def _open_blocking(self) -> SQLiteConnection:
        return SQLiteConnection(self._opener.open(), self.dialect, self._observer)

    def release(self, connection: AsyncSQLiteConnection) -> None:
        """Give a connection back, without waiting; what its user left open is rolled back first."""
        if connection.is_inherited:
            keep_inherited(connection)
        elif connection.blocking.statements.is_clean:
            self._give(connection)
        else:
            connection.soon(partial(self._reset, connection))

    def _reset(self, connection: AsyncSQLiteConnection) -> None:
        connection.blocking.statements.reset()
        self._give(connection)

    def _give(self, connection: AsyncSQLiteConnection) -> None:
        if connection.blocking.statements.broken or self._rack.is_closed:
            self._rack.drop()
            connection.close_soon()
        elif not self._rack.give(connection):
            self._close_idle()

    async def close(self) -> None:
        """Close what is idle now, and what is out as it comes back; refuse every further use."""
        for connection in self._close_idle():
            connection.join()

    def _close_idle(self) -> list[AsyncSQLiteConnection]:
        idle = self._rack.close()
        for connection in idle:
            connection.close_soon()
        self._opener.close()
        return idle
