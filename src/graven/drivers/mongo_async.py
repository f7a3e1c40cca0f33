"""MongoDB for async code: connections that run flows on the event loop, and their pool.

A client of PyMongo's belongs to an event loop, so there is one for each loop that is running. When
a loop ends as ``asyncio.run`` ends one, its client is closed with it.
"""

from __future__ import annotations

from asyncio import (
    AbstractEventLoop,
    CancelledError,
    Task,
    current_task,
    ensure_future,
    get_running_loop,
    shield,
    sleep,
    wait,
)
from collections.abc import AsyncGenerator, Callable
from inspect import isawaitable

from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from graven._hints import Any, TypeVar, cast
from graven.drivers.forks import process
from graven.drivers.mongo_calls import Call, MongoStore
from graven.drivers.mongo_pooling import MongoPooling
from graven.drivers.mongo_running import MongoRunner
from graven.drivers.pooling import keep_inherited
from graven.drivers.pooling_async import AsyncPool
from graven.drivers.running import Settle
from graven.ops.requests import Flow

__all__ = ["AsyncMongoConnection", "AsyncMongoPool"]

R = TypeVar("R")


class AsyncMongoConnection(MongoRunner):
    """A connection that is used by one task at a time, of one event loop."""

    __slots__ = ("_let_go",)

    def __init__(
        self, store: MongoStore, let_go: Callable[[Task[Any]], None], *arguments: Any
    ) -> None:
        """Work on *store*; a read nobody waits for any more is left to *let_go*.

        The *arguments* are those of :class:`MongoRunner`.
        """
        super().__init__(store, *arguments)
        self._let_go = let_go

    async def run(self, flow: Flow[R], settle: Settle | None = None) -> R:
        """Drive *flow* to its end and return its result; see :meth:`.Runner.running`.

        A cancellation ends a flow that only reads, and waits for one that writes, or runs in a
        transaction that is not its own; then, after *settle*, it goes on. PyMongo itself is never
        interrupted, for it would lose the socket: the answer is left to come.
        """
        work = self.running(flow, settle)
        may_interrupt = not self.in_transaction
        cancelled: list[CancelledError] = []
        result: Any = None
        try:
            call = next(work)
            while True:
                try:
                    is_read = may_interrupt and not cancelled and not self.statements.writing
                    reply = await _made(call, cancelled, self._let_go if is_read else None)
                except BaseException as error:  # noqa: BLE001 - it is the flow's to judge
                    call = work.throw(error)
                else:
                    call = work.send(reply)
        except StopIteration as end:
            result = end.value
        except BaseException as error:
            if not cancelled or error is cancelled[0]:
                raise
            raise cancelled[0] from error
        if cancelled:
            raise cancelled[0]
        return cast(R, result)


async def _made(
    call: Call, cancelled: list[CancelledError], let_go: Callable[[Task[Any]], None] | None
) -> Any:
    """Make a call and await its end, whoever cancels; those who do are noted.

    With *let_go* the end is not awaited any more then; it is given what still runs.
    """
    function, arguments, options = call
    reply = function(*arguments, **options)
    if not isawaitable(reply):
        return reply
    task = ensure_future(reply)
    while not task.done():
        try:
            await shield(task)
        except CancelledError as error:
            if task.cancelled():
                raise
            cancelled.append(error)
            if let_go is not None:
                let_go(task)
                raise
        except BaseException:  # noqa: BLE001 - it is told below
            break
    return task.result()


class _Opened:
    """A store that is open on one event loop, and what closes it when the loop ends."""

    __slots__ = ("_closing", "_left", "store")

    def __init__(self, store: MongoStore) -> None:
        self.store = store
        self._left: set[Task[Any]] = set()
        self._closing = self._until_closed()

    async def _until_closed(self) -> AsyncGenerator[None, None]:
        """Wait for the end: the event loop closes the generators that are open."""
        try:
            yield
        finally:
            while self._left:
                await wait(self._left)
            await self.store.client.close()

    async def begin(self) -> None:
        """Let the event loop know of it."""
        await anext(self._closing)

    async def close(self) -> None:
        """Close the client, when everything that was let go has ended."""
        await self._closing.aclose()

    def let_go(self, task: Task[Any]) -> None:
        """Let a call come to its end, though nobody waits for it."""
        self._left.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: Task[Any]) -> None:
        self._left.discard(task)
        if not task.cancelled():
            task.exception()

    def leave(self, session: Any) -> None:
        """End a session with its transaction, after what is still asked in it."""
        self.let_go(get_running_loop().create_task(self._end(session, [*self._left])))

    async def _end(self, session: Any, before: list[Task[Any]]) -> None:
        if before:
            await wait(before)
        try:
            await session.end_session()
        except PyMongoError:  # the server ends it by itself, in a minute
            pass


class AsyncMongoPool(MongoPooling[AsyncMongoConnection], AsyncPool[AsyncMongoConnection]):
    """Connections to one MongoDB database, for tasks of any event loop."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Prepare for a URL; see :class:`MongoPooling`."""
        super().__init__(*arguments, **options)
        self._stores: dict[AbstractEventLoop, _Opened] = {}
        self._opening: dict[AbstractEventLoop, Task[_Opened]] = {}
        self._forks = process.forks

    async def acquire(self) -> AsyncMongoConnection:
        """Return a connection that nobody else uses; see :meth:`MongoPool.acquire`.

        The wait can be cancelled.
        """
        while True:
            connection = await super().acquire()
            opened = self._stores.get(get_running_loop())
            if opened is not None and opened.store is connection.statements.store:
                return self._hold(connection, _task_name())
            self._rack.drop()

    async def _open(self) -> AsyncMongoConnection:
        if self._forks != process.forks:
            keep_inherited(self._stores)
            self._stores, self._opening, self._forks = {}, {}, process.forks
        loop = get_running_loop()
        known = self._stores.get(loop)
        opened = known if known is not None else await shield(self._connecting(loop))

        def leave(session: Any) -> None:
            try:
                loop.call_soon_threadsafe(opened.leave, session)
            except RuntimeError:  # the loop is closed, and with it the client
                pass

        return AsyncMongoConnection(
            opened.store,
            opened.let_go,
            self.dialect,
            self._observer,
            self._busy_timeout_s,
            sleep,
            leave,
        )

    def _connecting(self, loop: AbstractEventLoop) -> Task[_Opened]:
        """Return the task that connects, for all who wait; one who is cancelled does not end it."""
        task = self._opening.get(loop)
        if task is None:
            task = self._opening[loop] = loop.create_task(self._connect(loop))
            task.add_done_callback(self._connected)
        return task

    def _connected(self, task: Task[_Opened]) -> None:
        self._opening.pop(task.get_loop(), None)
        if not task.cancelled():
            task.exception()  # those who wait are told

    async def _connect(self, loop: AbstractEventLoop) -> _Opened:
        self._stores = {one: it for one, it in self._stores.items() if not one.is_closed()}
        client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
            self._address.url, **self._address.options
        )
        try:
            hello = await client.admin.command("hello")
        except BaseException as error:
            await client.close()
            if isinstance(error, PyMongoError):
                raise self._unreachable(error) from error
            raise
        opened = self._stores[loop] = _Opened(self._store(client, hello))
        await opened.begin()
        return opened

    async def close(self) -> None:
        """Refuse every further use; what is out is of no use any more."""
        self._rack.close()
        opened = self._stores.pop(get_running_loop(), None)
        if opened is not None:
            await opened.close()


def _task_name() -> str:
    task = current_task()
    return f"task {task.get_name()}" if task is not None else "no task"
