"""The store in memory for blocking code: connections that run flows, and the pool of them."""

from __future__ import annotations

from collections.abc import Callable

from graven._hints import TYPE_CHECKING, Any, TypeVar
from graven.dialects.memory import MemoryDialect
from graven.drivers.memory_requests import WRITES, MemoryRequests
from graven.drivers.memory_store import MemoryStore, open_store
from graven.drivers.memory_work import Work
from graven.drivers.pooling import (
    BUSY_TIMEOUT_S,
    POOL_SIZE,
    POOL_TIMEOUT_S,
    BlockingPool,
    Rack,
    keep_inherited,
)
from graven.errors import BusyRetry
from graven.ops.requests import Begin, Fetch, SnapshotStale
from graven.stm.waiting import run

if TYPE_CHECKING:
    from graven.drivers.observing import Observer
    from graven.ops.conditions import Select
    from graven.ops.requests import Flow, Operation
    from graven.stm.waiting import Steps

__all__ = ["MemoryConnection", "MemoryPool"]

R = TypeVar("R")

Settle = Callable[[Any, BaseException | None], object]


class MemoryConnection:
    """A connection that is used by one thread at a time."""

    __slots__ = ("_busy_timeout_s", "_store", "requests")

    def __init__(
        self,
        store: MemoryStore,
        dialect: MemoryDialect,
        observer: Observer,
        busy_timeout_s: float,
    ) -> None:
        """Work on *store*; a writer waits for another up to *busy_timeout_s* seconds."""
        self._store = store
        self._busy_timeout_s = busy_timeout_s
        self.requests = MemoryRequests(store.timeline, dialect, observer)

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self.requests.work is not None

    @property
    def is_inherited(self) -> bool:
        """Whether it was opened by a parent of this process, and must not be touched."""
        return self._store.is_inherited

    def run(self, flow: Flow[R], settle: Settle | None = None) -> R:
        """Drive *flow* to its end and return its result, or raise its error.

        Errors of requests are thrown into the flow first. A transaction that the flow began and
        that an error left open is rolled back; one that was open before stays. Then *settle* is
        called with result and error, exactly once.
        """
        return run(self.driving(flow, settle))

    def driving(self, flow: Flow[R], settle: Settle | None) -> Steps[R]:
        """Return the steps of :meth:`run`: it waits for other writers, and for nothing else."""
        was_in_transaction = self.requests.work is not None
        try:
            result = yield from self._drive(flow)
        except BaseException as error:
            flow.close()
            if not was_in_transaction:
                self.requests.reset()
            if settle is not None:
                settle(None, error)
            raise
        if settle is not None:
            settle(result, None)
        return result

    def _drive(self, flow: Flow[R]) -> Steps[R]:
        self._store.check_is_ours()
        requests = self.requests
        perform = requests.perform
        try:
            operation: Any = next(flow)
            while True:
                try:
                    kind = type(operation)
                    if kind in WRITES:
                        reply = yield from self._write(operation)
                    else:
                        if kind is Begin and operation.write:
                            yield from self._take_turn(operation.nowait)
                        elif kind is Fetch and operation.select.lock is not None:
                            yield from self._lock(operation.select)
                        reply = perform(operation)
                except BaseException as error:  # noqa: BLE001 - it is the flow's to judge
                    operation = flow.throw(error)
                else:
                    operation = flow.send(reply)
        except StopIteration as end:
            result: R = end.value
            return result

    # ── taking turns ────────────────────────────────────────────────────────────────────────

    def _take_turn(self, nowait: bool) -> Steps[None]:
        """Begin a transaction that may write: nobody else can until it ends."""
        turn = yield from self._turn(nowait)
        self.requests.work = Work(self._store.timeline, turn)

    def _write(self, operation: Operation[Any]) -> Steps[Any]:
        requests = self.requests
        work = requests.work
        if work is None:
            reply = requests.at_once(operation)
            if reply is None:
                turn = yield from self._turn()
                reply = requests.alone(operation, Work(self._store.timeline, turn))
            return reply
        if work.turn is None:
            yield from self._go_on_to_write(work)
        return requests.perform(operation)

    def _lock(self, select: Select) -> Steps[None]:
        """See that nobody else writes until the transaction ends, as if every row were locked."""
        work = self.requests.work
        if work is not None and work.turn is None:
            yield from self._go_on_to_write(work, select.lock == "nowait")

    def _go_on_to_write(self, work: Work, nowait: bool = False) -> Steps[None]:
        """Give a transaction that began by reading the right to write.

        :raises SnapshotStale: if somebody else has written since it began.
        """
        turn = (yield from self._turn(nowait)) if work.view.is_current else None
        if turn is None or not work.view.is_current:
            if turn is not None:
                turn.release()
            raise SnapshotStale(
                "the store in memory was asked to write: somebody else has written since this "
                "transaction first read, so it cannot write; usually it began without the right "
                "to write; begin again, on fresh data"
            )
        work.turn = turn

    def _turn(self, nowait: bool = False) -> Steps[Any]:
        timeout_s = 0.0 if nowait else self._busy_timeout_s
        try:
            return (yield from self._store.timeline.turns.taking(timeout_s))
        except BusyRetry as error:
            raise BusyRetry(
                "the store in memory was asked to write: another transaction has been writing for "
                f"longer than {timeout_s} s; usually a transaction, or a session that "
                "was flushed, is left open; try again, keep transactions short, or raise "
                "busy_timeout_s",
                waited_s=error.waited_s,
            ) from error


class MemoryPool(BlockingPool[MemoryConnection]):
    """Connections to one store in memory; safe to share between threads."""

    def __init__(
        self,
        url: str,
        size: int = POOL_SIZE,
        timeout_s: float = POOL_TIMEOUT_S,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
    ) -> None:
        """Open the store that *url* means; ``UsageError`` if it means none."""
        super().__init__(MemoryDialect(), size, timeout_s)
        self._store: MemoryStore | None = open_store(url)
        self._busy_timeout_s = busy_timeout_s

    def _open(self) -> MemoryConnection:
        return open_connection(self._store, self.dialect, self._observer, self._busy_timeout_s)

    def release(self, connection: MemoryConnection) -> None:
        """Give a connection back; what its user left open is rolled back and closed."""
        if give_back(self._rack, connection):
            self.close()

    def close(self) -> None:
        """Let go of the store, which ends with the last to do so; refuse every further use."""
        self._rack.close()
        self._store = None


def open_connection(
    store: MemoryStore | None, dialect: MemoryDialect, observer: Observer, busy_timeout_s: float
) -> MemoryConnection:
    """Return a connection to *store*, which is there as long as its pool is not closed."""
    assert store is not None
    store.check_is_ours()
    return MemoryConnection(store, dialect, observer, busy_timeout_s)


def give_back(rack: Rack[Any], connection: Any) -> bool:
    """Put *connection* back; return whether the pool was closed meanwhile and has to be again."""
    if connection.is_inherited:
        keep_inherited(connection)
        return False
    if not connection.requests.is_clean:
        connection.requests.reset()
    if rack.is_closed:
        rack.drop()
        return False
    return not rack.give(connection)
