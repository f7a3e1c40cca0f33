"""A simulated driver: real SQLite, until the process is said to die, or a reply to be an error.

What a flow asks of the outside world are values, so the world can end between any two of them::

    with SimulatedSQLite(db, crash_before=3, remains=folder / "crashed.db") as simulated:
        with pytest.raises(Crash):
            book_a_flight(db)
    after = Database(f"sqlite:///{folder}/crashed.db")   # what the next process finds

To try every moment, count the requests of a run that is left alone, and repeat it for every number
up to that.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from graven.drivers.sqlite import SQLiteConnection
from graven.errors import UsageError
from graven.ops.requests import Operation

__all__ = ["Crash", "SimulatedSQLite"]

Performers = dict[type[Operation[Any]], Callable[[Any], Any]]


class Crash(BaseException):
    """The process has died here, as far as the store can tell.

    No ``Exception``, so that nothing takes it for an error to recover from.
    """


class SimulatedSQLite:
    """A block in which the world ends before request *crash_before*, or answers with an error.

    Requests are counted from 0 in the order in which flows make them, over all connections that
    are taken in the block; ``requests`` has those that were made. Without options they are only
    recorded.

    With *crash_before*, the files of the database are copied to *remains* as they are at that
    moment, which is what a killed process leaves behind, and :class:`Crash` is raised; later
    requests are refused likewise, so that nothing can be cleaned up.

    With *error_at*, request *error_at* is not performed, and its reply is ``error()``; all others
    are performed as usual.

    :raises UsageError: if *db* is not a blocking ``Database`` in a file.
    """

    def __init__(
        self,
        db: Any,
        *,
        crash_before: int | None = None,
        remains: Path | None = None,
        error_at: int | None = None,
        error: Callable[[], Exception] | None = None,
    ) -> None:
        """Prepare for *db*; nothing happens before the block is entered."""
        if (crash_before is None) != (remains is None) or (error_at is None) != (error is None):
            raise UsageError(
                "cannot simulate: crash_before and remains go together, and so do error_at and "
                "error. Give both of a pair, or none."
            )
        self.requests: list[Operation[Any]] = []
        self.is_crashed = False
        self._pool = db.pool
        self._path = _path_of(db)
        self._crash_before, self._remains = crash_before, remains
        self._error_at, self._error = error_at, error
        self._real: list[tuple[SQLiteConnection, Performers]] = []

    def __enter__(self) -> SimulatedSQLite:
        """Put the simulated driver between the flows and the database."""
        self._pool.acquire = self._acquire
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take it out again."""
        del self._pool.acquire
        for connection, performers in self._real:
            connection._performers = performers

    def _acquire(self) -> SQLiteConnection:
        connection: SQLiteConnection = type(self._pool).acquire(self._pool)
        real = connection._performers
        if not isinstance(real, _Simulated):
            self._real.append((connection, real))
            connection._performers = _Simulated(self, real)
        return connection

    def perform(self, request: Operation[Any], performer: Callable[[Any], Any]) -> Any:
        """Perform one request, or what was asked for in its place."""
        number = len(self.requests)
        if number == self._crash_before and not self.is_crashed:
            self._copy_remains()
            self.is_crashed = True
        if self.is_crashed:
            raise Crash
        self.requests.append(request)
        if number == self._error_at and self._error is not None:
            raise self._error()
        return performer(request)

    def _copy_remains(self) -> None:
        """Copy the files that a killed process leaves: the database and its write-ahead log."""
        for ending in ("", "-wal"):
            source = Path(f"{self._path}{ending}")
            if source.exists():
                shutil.copyfile(source, f"{self._remains}{ending}")


class _Simulated(Performers):
    """The performers of a connection, each asking the simulated world first."""

    def __init__(self, world: SimulatedSQLite, real: Performers) -> None:
        super().__init__(real)
        self._world = world

    def __getitem__(self, kind: type[Operation[Any]]) -> Callable[[Any], Any]:
        performer = super().__getitem__(kind)
        return lambda request: self._world.perform(request, performer)


def _path_of(db: Any) -> str:
    opener = getattr(db.pool, "_opener", None)
    path: str | None = opener.address.path if opener is not None else None
    if path is None:
        raise UsageError(
            f"cannot simulate crashes of {db!r}: only a blocking Database in a file of SQLite "
            "leaves something behind. Give one, as Database('sqlite:///test.db')."
        )
    return path
