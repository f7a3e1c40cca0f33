"""Running flows on one connection to MongoDB, as a generator that yields calls of PyMongo.

Both colours drive it, each in its own way of calling, and do nothing else. A connection is a light
thing: sockets are PyMongo's to keep.
"""

from __future__ import annotations

from collections.abc import Callable

from graven._hints import Any, TypeVar
from graven.dialects.mongo import MongoDialect
from graven.drivers.mongo_alone import alone, stand_alone
from graven.drivers.mongo_calls import Calls, MongoStore
from graven.drivers.mongo_requests import MongoRequests
from graven.drivers.mongo_statements import MongoStatements
from graven.drivers.observing import Observer
from graven.drivers.running import Runner
from graven.ops.requests import Flow
from graven.ops.writesets import RecoverWriteSets

__all__ = ["MongoRunner"]

R = TypeVar("R")


class MongoRunner(Runner):
    """What both colours of connection are: a client's session, and the flows run in it."""

    __slots__ = ("_alone",)

    statements: MongoStatements

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
        statements = MongoStatements(store, dialect, observer, busy_timeout_s, sleep, leave)
        super().__init__(statements, MongoRequests(statements, dialect))
        self._alone = None if store.is_transactional else alone(busy_timeout_s)

    def collection(self, name: str) -> Any:
        """Return the collection of that name, for what is to be done past graven."""
        return self.statements.store.database[name]

    def _prepared(self, flow: Flow[R]) -> Flow[R]:
        if self._alone is None:
            return flow
        return stand_alone(self._after_recovery(flow), self._alone)

    def _undo(self, error: BaseException) -> Calls[None]:
        if not isinstance(error, GeneratorExit):
            yield from self.statements.rollback()
            self.abandon()

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
