"""What the pools of both colours share: who holds what, and how connections go back."""

from __future__ import annotations

from psycopg import Error

from graven._hints import TypeVar
from graven.dialects.postgres import PostgresDialect
from graven.drivers.pooling import (
    BUSY_TIMEOUT_S,
    POOL_SIZE,
    POOL_TIMEOUT_S,
    HeldPool,
    keep_inherited,
)
from graven.drivers.postgres_running import PostgresRunner
from graven.drivers.postgres_url import parse_postgres_url

__all__ = ["PostgresPooling"]

C = TypeVar("C", bound=PostgresRunner)


class PostgresPooling(HeldPool[C]):
    """The part of a pool that never waits."""

    def __init__(
        self,
        url: str,
        size: int = POOL_SIZE,
        timeout_s: float = POOL_TIMEOUT_S,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
    ) -> None:
        """Prepare for *url*; ``UsageError`` if libpq does not take it. Nothing is opened yet."""
        super().__init__(PostgresDialect(), size, timeout_s)
        self._address = parse_postgres_url(url, timeout_s, busy_timeout_s)

    def release(self, connection: C) -> None:
        """Give a connection back, without waiting; what its user left open is rolled back."""
        self._held.pop(connection, None)
        if connection.is_inherited:
            keep_inherited(connection)
        elif not connection.reset() or self._rack.is_closed:
            self._discard(connection)
        elif not self._rack.give(connection):
            self._close_idle()

    def _is_good(self, connection: C) -> bool:
        """Say whether a connection can be used; one that the server has ended goes out."""
        if connection.wire.is_alive():
            return True
        self._discard(connection)
        return False

    def _discard(self, connection: C) -> None:
        self._rack.drop()
        connection.close()

    def _unreachable(self, error: Error) -> Exception:
        """Return our error for a connection that could not be opened."""
        ours = self.dialect.translate(error, f"open {self._address.place}")
        return error if ours is None else ours

    def _close_idle(self) -> None:
        for connection in self._rack.close():
            connection.close()
