"""Running flows on one connection to MongoDB, as a generator that yields calls of PyMongo.

Both colours drive it, each in its own way of calling, and do nothing else. A connection is a light
thing: sockets are PyMongo's to keep.
"""

from __future__ import annotations

from collections.abc import Callable

from graven._hints import Any, TypeVar
from graven.dialects.mongo import MongoDialect
from graven.drivers.forks import process
from graven.drivers.mongo_alone import alone, stand_alone
from graven.drivers.mongo_calls import Calls, MongoStore
from graven.drivers.mongo_requests import MongoRequests
from graven.drivers.mongo_statements import MongoStatements
from graven.drivers.observing import Observer
from graven.errors import UsageError
from graven.ops.requests import Flow
from graven.ops.writesets import RecoverWriteSets

__all__ = ["MongoRunner"]

R = TypeVar("R")

Settle = Callable[[Any, BaseException | None], object]
"""Told how a flow has ended: its result, or its error."""


class MongoRunner:
    """What both colours of connection are: a client's session, and the flows run in it."""

    __slots__ = ("_alone", "_forks", "_performers", "_requests", "statements")

    def __init__(
        self,
        store: MongoStore,
        dialect: MongoDialect,
        observer: Observer,
        busy_timeout_s: float,
        sleep: Callable[[float], Any],
        leave: Callable[[Any], None],
    ) -> None:
        """Work on *store*, and report statements to *observer*; see :class:`MongoStatements`."""
        self.statements = MongoStatements(store, dialect, observer, busy_timeout_s, sleep, leave)
        self._requests = MongoRequests(self.statements, dialect)
        self._performers = self._requests.performers
        self._forks = process.forks
        self._alone = None if store.is_transactional else alone(busy_timeout_s)

    def collection(self, name: str) -> Any:
        """Return the collection of that name, for what is to be done past graven."""
        return self.statements.store.database[name]

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self.statements.in_transaction

    @property
    def is_inherited(self) -> bool:
        """Whether it was opened by a parent of this process, and must not be touched."""
        return self._forks != process.forks

    def running(self, flow: Flow[R], settle: Settle | None = None) -> Calls[R]:
        """Drive *flow* to its end and return its result, or raise its error.

        Errors of requests are thrown into the flow first. A transaction that the flow began and
        that an error left open is rolled back; one that was open before stays. Then *settle* is
        called with result and error, exactly once.
        """
        statements = self.statements
        was_in_transaction = statements.in_transaction
        try:
            result = yield from self._driving(flow)
        except BaseException as error:
            flow.close()
            if not was_in_transaction and not isinstance(error, GeneratorExit):
                yield from statements.rollback()
                self.abandon()
            statements.end_run()
            if settle is not None:
                settle(None, error)
            raise
        statements.end_run()
        if settle is not None:
            settle(result, None)
        return result

    def _driving(self, flow: Flow[R]) -> Calls[R]:
        if self.is_inherited:
            raise UsageError(
                "a connection was used in a forked process, but belongs to its parent; usually a "
                "session was open while the process forked; open sessions after the fork"
            )
        if self._alone is not None:
            flow = stand_alone(self._after_recovery(flow), self._alone)
        performers = self._performers
        try:
            operation = next(flow)
            while True:
                try:
                    reply = yield from performers[type(operation)](operation)
                except GeneratorExit:
                    raise
                except BaseException as error:  # noqa: BLE001 - it is the flow's to judge
                    operation = flow.throw(error)
                else:
                    operation = flow.send(reply)
        except StopIteration as end:
            result: R = end.value
            return result

    def _after_recovery(self, flow: Flow[R]) -> Flow[R]:
        """Finish first what others have left behind, if nobody has looked for that here yet."""
        store = self.statements.store
        if not store.is_recovered:
            yield from RecoverWriteSets()
            store.is_recovered = True
        return (yield from flow)

    def abandon(self) -> None:
        """Undo what is open, without waiting for it."""
        self.statements.abandon()
        self._requests.forget()
