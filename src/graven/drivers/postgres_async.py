"""PostgreSQL for async code: connections that run flows on the event loop, and their pool."""

from __future__ import annotations

from asyncio import CancelledError, current_task, get_running_loop

from psycopg import AsyncConnection, Error

from graven._hints import Any, TypeVar, cast
from graven.dialects.postgres import PostgresDialect
from graven.drivers.observing import Observer
from graven.drivers.pooling_async import AsyncPool
from graven.drivers.postgres_pooling import PostgresPooling
from graven.drivers.postgres_running import PostgresRunner
from graven.drivers.postgres_url import PostgresAddress
from graven.drivers.postgres_watch import Watch
from graven.drivers.running import Settle
from graven.ops.requests import Flow

__all__ = ["AsyncPostgresConnection", "AsyncPostgresPool"]

R = TypeVar("R")


class AsyncPostgresConnection(PostgresRunner):
    """A connection that is used by one task at a time, of any event loop."""

    __slots__ = ("_watch",)

    def __init__(
        self,
        raw: AsyncConnection[Any],
        address: PostgresAddress,
        dialect: PostgresDialect,
        observer: Observer,
    ) -> None:
        """Take over *raw*, which is connected; no event loop knows of it yet."""
        super().__init__(raw, address, dialect, observer)
        self._watch: Watch | None = None

    async def run(self, flow: Flow[R], settle: Settle | None = None) -> R:
        """Drive *flow* to its end and return its result; see :meth:`.Runner.running`.

        A cancellation interrupts a flow that only reads, and waits for one that writes, or runs in
        a transaction that is not its own; then, after *settle*, it goes on.
        """
        work = self.running(flow, settle)
        may_interrupt = not self.in_transaction
        cancelled: CancelledError | None = None
        result: Any = None
        try:
            wanted = next(work)
            while True:
                try:
                    ready = await self._ready(wanted)
                except CancelledError as error:
                    cancelled = error
                    if may_interrupt and not self.statements.writing:
                        self._interrupt()
                else:
                    wanted = work.send(ready)
        except StopIteration as end:
            result = end.value
        except BaseException as error:
            if cancelled is None:
                raise
            raise cancelled from error
        if cancelled is not None:
            raise cancelled
        return cast(R, result)

    async def _ready(self, wanted: int) -> int:
        """Wait until the socket is ready for what is *wanted*; return for what it is."""
        watch = self._watch
        if watch is None or watch.is_over or watch.loop is not get_running_loop():
            if watch is not None:
                watch.drop()
            watch = self._watch = Watch(self.wire.socket)
        return await watch.ready(wanted)

    def close(self) -> None:
        """Close the connection at once, and watch it no more."""
        super().close()
        if self._watch is not None:
            self._watch.drop()

    def _interrupt(self) -> None:
        """Ask the server, in a thread, to cancel what it does for this connection."""
        get_running_loop().run_in_executor(None, self.wire.canceller())


class AsyncPostgresPool(
    PostgresPooling[AsyncPostgresConnection], AsyncPool[AsyncPostgresConnection]
):
    """Connections to one PostgreSQL database, for tasks of any event loop."""

    async def acquire(self) -> AsyncPostgresConnection:
        """Return a connection that nobody else uses; see :meth:`PostgresPool.acquire`.

        The wait can be cancelled.
        """
        while True:
            connection = await super().acquire()
            if self._is_good(connection):
                return self._hold(connection, _task_name())

    async def _open(self) -> AsyncPostgresConnection:
        try:
            raw = await AsyncConnection.connect(self._address.conninfo, autocommit=True)
        except Error as error:
            raise self._unreachable(error) from error
        return AsyncPostgresConnection(raw, self._address, self.dialect, self._observer)

    async def close(self) -> None:
        """Close what is idle now, and what is out as it comes back; refuse every further use."""
        self._close_idle()


def _task_name() -> str:
    task = current_task()
    return f"task {task.get_name()}" if task is not None else "no task"
