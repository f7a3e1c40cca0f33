"""Running flows on one connection to PostgreSQL, as a generator that yields what to wait for.

Both colours drive it, each in its own way of waiting, and do nothing else.
"""

from __future__ import annotations

from collections.abc import Callable

from psycopg import AsyncConnection, Connection

from graven._hints import Any, TypeVar
from graven.dialects.postgres import PostgresDialect
from graven.drivers.forks import process
from graven.drivers.observing import Observer
from graven.drivers.postgres_requests import PostgresRequests
from graven.drivers.postgres_statements import PostgresStatements
from graven.drivers.postgres_url import PostgresAddress
from graven.drivers.postgres_wire import PostgresWire, Waits
from graven.errors import UsageError
from graven.ops.requests import Flow

__all__ = ["PostgresRunner", "Settle"]

R = TypeVar("R")

Settle = Callable[[Any, BaseException | None], object]
"""Told how a flow has ended: its result, or its error."""


class PostgresRunner:
    """What both colours of connection are: a wire, its statements, and the flows run on them."""

    __slots__ = ("_forks", "_performers", "_requests", "statements", "wire")

    def __init__(
        self,
        raw: Connection[Any] | AsyncConnection[Any],
        address: PostgresAddress,
        dialect: PostgresDialect,
        observer: Observer,
    ) -> None:
        """Take over *raw*, which is connected, and report its statements to *observer*."""
        self.wire = PostgresWire(raw, address.prepares)
        self.statements = PostgresStatements(self.wire, dialect, observer, address.setting)
        self._requests = PostgresRequests(self.statements, dialect)
        self._performers = self._requests.performers
        self._forks = process.forks

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self.statements.in_transaction

    @property
    def is_inherited(self) -> bool:
        """Whether it was opened by a parent of this process, and must not be touched."""
        return self._forks != process.forks

    def running(self, flow: Flow[R], settle: Settle | None = None) -> Waits[R]:
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
            if not was_in_transaction:
                self.abandon()
            statements.end_run()
            if settle is not None:
                settle(None, error)
            raise
        statements.end_run()
        if settle is not None:
            settle(result, None)
        return result

    def _driving(self, flow: Flow[R]) -> Waits[R]:
        if self.is_inherited:
            raise UsageError(
                "a connection was used in a forked process, but belongs to its parent; usually a "
                "session was open while the process forked; open sessions after the fork"
            )
        performers = self._performers
        try:
            operation = next(flow)
            while True:
                try:
                    reply = yield from performers[type(operation)](operation)
                except BaseException as error:  # noqa: BLE001 - it is the flow's to judge
                    operation = flow.throw(error)
                else:
                    operation = flow.send(reply)
        except StopIteration as end:
            result: R = end.value
            return result

    def abandon(self) -> None:
        """Undo what is open, without waiting for it."""
        self.statements.rollback()
        self._requests.forget_streams()

    def close(self) -> None:
        """Close the connection at once; what it has open is rolled back by the server."""
        self.wire.abort()

    def reset(self) -> bool:
        """Make the connection fit for its next user, without waiting; say whether it is."""
        if self.statements.in_transaction:
            self.abandon()
        if self.statements.is_outdated and not self.wire.is_broken:
            self.wire.abort()
        return not self.wire.is_broken
