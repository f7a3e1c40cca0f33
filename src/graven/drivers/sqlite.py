"""SQLite for blocking code: connections that run flows, and the pool that keeps them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from graven._hints import Any, TypeVar
from graven.dialects.sqlite import SQLiteDialect
from graven.drivers.forks import process
from graven.drivers.observing import Observer
from graven.drivers.pooling import (
    BUSY_TIMEOUT_S,
    POOL_SIZE,
    POOL_TIMEOUT_S,
    BlockingPool,
    keep_inherited,
)
from graven.drivers.sqlite_opening import SQLiteOpener
from graven.drivers.sqlite_requests import SQLiteRequests
from graven.drivers.sqlite_statements import SQLiteStatements
from graven.drivers.sqlite_url import parse_sqlite_url
from graven.errors import UsageError
from graven.ops.requests import Flow, Operation

__all__ = ["SQLiteConnection", "SQLitePool"]

R = TypeVar("R")

Settle = Callable[[Any, BaseException | None], object]


class SQLiteConnection:
    """A connection that is used by one thread at a time."""

    __slots__ = ("_forks", "_performers", "_raw", "statements")

    def __init__(self, raw: sqlite3.Connection, dialect: SQLiteDialect, observer: Observer) -> None:
        """Take over *raw*, as an opener made it, and report its statements to *observer*."""
        self.statements = SQLiteStatements(raw, dialect, observer)
        self._performers = SQLiteRequests(self.statements, dialect).performers
        self._forks = process.forks
        self._raw = raw

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self._raw.in_transaction

    @property
    def is_inherited(self) -> bool:
        """Whether it was opened by a parent of this process, and must not be touched."""
        return self._forks != process.forks

    def perform(self, operation: Operation[R]) -> R:
        """Perform one request and return its reply; an error of the store is translated."""
        reply: R = self._performers[type(operation)](operation)
        return reply

    def run(self, flow: Flow[R], settle: Settle | None = None) -> R:
        """Drive *flow* to its end and return its result, or raise its error.

        Errors of requests are thrown into the flow first. A transaction that the flow began and
        that an error left open is rolled back; one that was open before stays. Then *settle* is
        called with result and error, exactly once, on this thread.
        """
        was_in_transaction = self._raw.in_transaction
        try:
            result = self._drive(flow)
        except BaseException as error:
            flow.close()
            if not was_in_transaction:
                self.statements.abandon()
            self._end(settle, None, error)
            raise
        if settle is not None or self.statements.writing:
            self._end(settle, result, None)
        return result

    def _drive(self, flow: Flow[R]) -> R:
        if self._forks != process.forks:
            raise UsageError(
                "a connection was used in a forked process, but belongs to its parent; usually a "
                "session was open while the process forked; open sessions after the fork"
            )
        performers = self._performers
        try:
            operation = next(flow)
            while True:
                try:
                    reply = performers[type(operation)](operation)
                except BaseException as error:  # noqa: BLE001 - it is the flow's to judge
                    operation = flow.throw(error)
                else:
                    operation = flow.send(reply)
        except StopIteration as end:
            result: R = end.value
            return result

    def _end(self, settle: Settle | None, result: object, error: BaseException | None) -> None:
        self.statements.writing = self.statements.writing and self._raw.in_transaction
        if settle is not None:
            settle(result, error)


class SQLitePool(BlockingPool[SQLiteConnection]):
    """Connections to one SQLite database, opened when first needed; safe to share between threads.

    A database in memory is one for the whole pool. There a session that writes keeps all others
    from reading until it ends, which a file does not.
    """

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

    def _open(self) -> SQLiteConnection:
        return SQLiteConnection(self._opener.open(), self.dialect, self._observer)

    def release(self, connection: SQLiteConnection) -> None:
        """Give a connection back; what its user left open is rolled back and closed."""
        if connection.is_inherited:
            keep_inherited(connection)
            return
        statements = connection.statements
        if not statements.is_clean:
            statements.reset()
        if statements.broken or self._rack.is_closed:
            self._rack.drop()
            statements.close()
        elif not self._rack.give(connection):
            self.close()

    def close(self) -> None:
        """Close what is idle now, and what is out as it comes back; refuse every further use."""
        for connection in self._rack.close():
            connection.statements.close()
        self._opener.close()
