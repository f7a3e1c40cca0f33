"""MongoDB for blocking code: connections that run flows, and the pool that keeps them."""

from __future__ import annotations

from _thread import allocate_lock, start_new_thread
from collections import deque
from threading import current_thread
from time import sleep

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from graven._hints import Any, TypeVar
from graven.drivers.forks import process
from graven.drivers.mongo_calls import MongoStore
from graven.drivers.mongo_pooling import MongoPooling
from graven.drivers.mongo_running import MongoRunner
from graven.drivers.pooling import BlockingPool, keep_inherited
from graven.drivers.running import Settle
from graven.ops.requests import Flow

__all__ = ["MongoConnection", "MongoPool"]

R = TypeVar("R")


class MongoConnection(MongoRunner):
    """A connection that is used by one thread at a time."""

    __slots__ = ()

    def run(self, flow: Flow[R], settle: Settle | None = None) -> R:
        """Drive *flow* to its end and return its result; see :meth:`.Runner.running`."""
        work = self.running(flow, settle)
        try:
            function, arguments, options = next(work)
            while True:
                try:
                    reply = function(*arguments, **options)
                except BaseException as error:  # noqa: BLE001 - an interrupt ends the flow too
                    function, arguments, options = work.throw(error)
                else:
                    function, arguments, options = work.send(reply)
        except StopIteration as end:
            result: R = end.value
            return result


class MongoPool(MongoPooling[MongoConnection], BlockingPool[MongoConnection]):
    """Connections to one MongoDB database, opened when first needed; for any thread."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Prepare for a URL; see :class:`MongoPooling`."""
        super().__init__(*arguments, **options)
        self._opened: MongoStore | None = None
        self._opening = allocate_lock()
        self._forks = process.forks
        self._left: deque[Any] = deque()
        self._ending = allocate_lock()

    def acquire(self) -> MongoConnection:
        """Return a connection that nobody else uses.

        Waits up to ``timeout_s`` seconds if all are out, then raises ``UnavailableError``, which
        names who holds them; so it does if no server can be reached. Raises ``UsageError`` once the
        pool is closed, ``StoreError`` if the server refuses.
        """
        return self._hold(super().acquire(), f"thread {current_thread().name}")

    def _open(self) -> MongoConnection:
        with self._opening:
            if self._opened is None or self._forks != process.forks:
                keep_inherited(self._opened)
                self._opened, self._forks = self._connect(), process.forks
        return MongoConnection(
            self._opened, self.dialect, self._observer, self._busy_timeout_s, sleep, self._leave
        )

    def _connect(self) -> MongoStore:
        client: MongoClient[dict[str, Any]] = MongoClient(
            self._address.url, **self._address.options
        )
        try:
            return self._store(client, client.admin.command("hello"))
        except PyMongoError as error:
            client.close()
            raise self._unreachable(error) from error

    def _leave(self, session: Any) -> None:
        """End a session with its transaction in a thread: the garbage collector may ask for it."""
        self._left.append(session)
        start_new_thread(self._end_sessions, ())

    def _end_sessions(self) -> None:
        with self._ending:
            while self._left:
                try:
                    self._left.popleft().end_session()
                except (PyMongoError, IndexError):  # the server ends it by itself, in a minute
                    pass

    def close(self) -> None:
        """Refuse every further use; what is out is of no use any more."""
        self._rack.close()
        self._end_sessions()
        opened, self._opened = self._opened, None
        if opened is not None and self._forks == process.forks:
            opened.client.close()
