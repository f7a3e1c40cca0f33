"""A simulated driver: real SQLite, until the process is said to die, or a reply to be an error.

What a flow asks of the outside world are values, so the world can end between any two of them::

    with CrashingSQLite(db, crash_before=3) as simulated:
        with pytest.raises(Crash):
            session.commit()
    print(simulated.requests)   # what was performed before the crash

A crash takes the connection away without a word, as the death of a process does: what was not
committed is gone, and nothing of the program is asked to clean up. Raised errors come as *replies*,
so that the flow has to deal with them. The requests are counted from the one that comes first in
the block, over all connections of the database.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar

from graven.drivers.sqlite import Settle, SQLiteConnection
from graven.ops.requests import Flow, Operation

__all__ = ["Crash", "CrashingSQLite", "Performed"]

R = TypeVar("R")


class Crash(BaseException):
    """The process has died here, as far as the store can tell.

    No ``Exception``, so that nothing takes it for an error to recover from.
    """


class Performed:
    """What was asked of the store, in order, and where that ended."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.requests: list[Operation[Any]] = []

    def __len__(self) -> int:
        return len(self.requests)

    def names(self) -> list[str]:
        """Return the kinds of the requests, in order."""
        return [type(request).__name__ for request in self.requests]


class CrashingSQLite(Performed):
    """A block in which a database ends before request *crash_before*, or answers it with an error.

    Requests are counted from 0; ``None`` for both only records them. With *error_at*, request
    *error_at* is not performed and its reply is ``error()``; everything after it is performed as
    usual. Give the blocking :class:`~graven.Database`; a crash can be told from the outside by
    opening the file anew.
    """

    def __init__(
        self,
        db: Any,
        *,
        crash_before: int | None = None,
        error_at: int | None = None,
        error: Callable[[], Exception] | None = None,
    ) -> None:
        """Prepare for *db*; nothing happens before the block is entered."""
        super().__init__()
        self._pool = db.pool
        self._crash_before, self._error_at = crash_before, error_at
        self._error = error
        self._acquire: Callable[[], SQLiteConnection] = db.pool.acquire

    def __enter__(self) -> CrashingSQLite:
        """Put the simulated driver between the flows and the database."""
        self._pool.acquire = self._simulated
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take it out again."""
        del self._pool.acquire

    def _simulated(self) -> SQLiteConnection:
        connection = self._acquire()
        if not isinstance(connection, _Simulated):
            connection = _Simulated(connection)
        connection.world = self
        return connection

    def perform(self, connection: _Simulated, request: Operation[R]) -> R:
        """Perform one request of a flow, or end the world before it."""
        number = len(self.requests)
        if number == self._crash_before:
            connection.die()
            raise Crash
        self.requests.append(request)
        if number == self._error_at and self._error is not None:
            raise self._error()
        return connection.really_perform(request)


class _Simulated(SQLiteConnection):
    """A connection that asks the simulated world about every request."""

    __slots__ = ("world",)
    world: CrashingSQLite

    def __init__(self, real: SQLiteConnection) -> None:
        for name in SQLiteConnection.__slots__:
            setattr(self, name, getattr(real, name))

    def really_perform(self, request: Operation[R]) -> R:
        return super().perform(request)

    def die(self) -> None:
        """Drop the connection as the death of the process would: uncommitted work is gone."""
        self.statements.close()

    def run(self, flow: Flow[R], settle: Settle | None = None) -> R:
        """Drive *flow*; after a crash nobody is told, as nobody is there any more."""
        try:
            result = self._drive_simulated(flow)
        except Crash:
            flow.close()
            raise
        except BaseException as error:
            self._end(settle, None, error)
            raise
        self._end(settle, result, None)
        return result

    def _drive_simulated(self, flow: Flow[R]) -> R:
        try:
            request = next(flow)
            while True:
                try:
                    reply = self.world.perform(self, request)
                except Exception as error:  # noqa: BLE001 - it is the flow's to judge
                    request = flow.throw(error)
                else:
                    request = flow.send(reply)
        except StopIteration as end:
            result: R = end.value
            return result
