"""Running flows on one connection to PostgreSQL, as a generator that yields what to wait for.

Both colours drive it, each in its own way of waiting, and do nothing else.
"""

from __future__ import annotations

from psycopg import AsyncConnection, Connection

from graven._hints import Any
from graven.dialects.postgres import PostgresDialect
from graven.drivers.observing import Observer
from graven.drivers.postgres_requests import PostgresRequests
from graven.drivers.postgres_statements import PostgresStatements
from graven.drivers.postgres_url import PostgresAddress
from graven.drivers.postgres_wire import PostgresWire
from graven.drivers.running import Runner

__all__ = ["PostgresRunner"]


class PostgresRunner(Runner):
    """What both colours of connection are: a wire, its statements, and the flows run on them."""

    __slots__ = ("wire",)

    statements: PostgresStatements

    def __init__(
        self,
        raw: Connection[Any] | AsyncConnection[Any],
        address: PostgresAddress,
        dialect: PostgresDialect,
        observer: Observer,
    ) -> None:
        """Take over *raw*, which is connected, and report its statements to *observer*."""
        self.wire = PostgresWire(raw, address.prepares)
        statements = PostgresStatements(self.wire, dialect, observer, address.setting)
        super().__init__(statements, PostgresRequests(statements, dialect))

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
