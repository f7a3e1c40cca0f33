"""PostgreSQL for blocking code: connections that run flows, and the pool that keeps them."""

from __future__ import annotations

from threading import current_thread

from psycopg import Connection, Error

from graven._hints import TypeVar
from graven.drivers.pooling import BlockingPool
from graven.drivers.postgres_pooling import PostgresPooling
from graven.drivers.postgres_running import PostgresRunner
from graven.drivers.running import Settle
from graven.ops.requests import Flow

__all__ = ["PostgresConnection", "PostgresPool"]

R = TypeVar("R")


class PostgresConnection(PostgresRunner):
    """A connection that is used by one thread at a time."""

    __slots__ = ()

    def run(self, flow: Flow[R], settle: Settle | None = None) -> R:
        """Drive *flow* to its end and return its result; see :meth:`.Runner.running`."""
        work = self.running(flow, settle)
        try:
            wanted = next(work)
            while True:
                try:
                    ready = self.wire.ready(wanted)
                except BaseException as error:  # noqa: BLE001 - an interrupt ends the flow too
                    wanted = work.throw(error)
                else:
                    wanted = work.send(ready)
        except StopIteration as end:
            result: R = end.value
            return result


class PostgresPool(PostgresPooling[PostgresConnection], BlockingPool[PostgresConnection]):
    """Connections to one PostgreSQL database, opened when first needed; for any thread."""

    def acquire(self) -> PostgresConnection:
        """Return a connection that nobody else uses.

        Waits up to ``timeout_s`` seconds if all are out, then raises ``UnavailableError``, which
        names who holds them; so it does if the server cannot be reached. Raises ``UsageError`` once
        the pool is closed, ``StoreError`` if the server refuses.
        """
        while True:
            connection = super().acquire()
            if self._is_good(connection):
                return self._hold(connection, f"thread {current_thread().name}")

    def _open(self) -> PostgresConnection:
        try:
            raw = Connection.connect(self._address.conninfo, autocommit=True)
        except Error as error:
            raise self._unreachable(error) from error
        return PostgresConnection(raw, self._address, self.dialect, self._observer)

    def close(self) -> None:
        """Close what is idle now, and what is out as it comes back; refuse every further use."""
        self._close_idle()
