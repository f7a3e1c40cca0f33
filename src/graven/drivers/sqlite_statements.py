"""Statements on one connection of :mod:`sqlite3`: executed, timed, their errors made ours."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from time import perf_counter

from graven._hints import Any, NoReturn
from graven.dialects.sqlite import SQLiteDialect
from graven.drivers.observing import Observer
from graven.errors import StoreError, UsageError
from graven.ops.requests import Row

__all__ = ["FAILURES", "SQLiteStatements"]

Parameters = Sequence[Any] | dict[str, Any]

FAILURES = (sqlite3.Error, sqlite3.Warning, OverflowError, ValueError)
"""All that a statement can raise: SQLite's errors, and those of values that do not fit."""


class _Stream:
    """A select that is read page by page."""

    __slots__ = ("cursor", "parameters", "rows", "seconds", "text")

    def __init__(self, text: str, parameters: Parameters) -> None:
        self.text = text
        self.parameters = parameters
        self.cursor: sqlite3.Cursor | None = None
        self.rows = 0
        self.seconds = 0.0


class SQLiteStatements:
    """Executes texts; used by one thread at a time, but for :meth:`interrupt_reading`.

    ``writing`` says that something is written, or may be, until the transaction or the flow ends;
    ``broken`` that the connection must not be used again.
    """

    __slots__ = (
        "_dialect",
        "_file",
        "_inode",
        "_observer",
        "_raw",
        "_streams",
        "broken",
        "writing",
    )

    def __init__(self, raw: sqlite3.Connection, dialect: SQLiteDialect, observer: Observer) -> None:
        """Take over *raw*, as an opener made it."""
        self._raw = raw
        self._dialect = dialect
        self._observer = observer
        self._streams: dict[object, _Stream] = {}
        self._file: str = raw.execute("pragma database_list").fetchone()[2]
        self._inode = self._inode_now()
        self.broken = False
        self.writing = False

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self._raw.in_transaction

    @property
    def parameters_max(self) -> int:
        """How many parameters a statement may have."""
        return self._raw.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER)

    # ── one statement ───────────────────────────────────────────────────────────────────────

    def read(self, text: str, parameters: Parameters = ()) -> list[Row]:
        """Return all rows of a statement."""
        if self._observer.on_statement is not None:
            seen: list[Row] = self._observed(text, parameters, self._read)
            return seen
        try:
            return self._raw.execute(text, parameters).fetchall()
        except FAILURES as error:
            self._fail(error, text)

    def write_returning(self, text: str, parameters: Parameters) -> list[Row]:
        """Execute a statement that writes, and return its rows."""
        self.writing = True
        if not self._raw.in_transaction:
            self.check_file(text)
        return self.read(text, parameters)

    def write(self, text: str, parameters: Parameters = ()) -> int:
        """Execute a statement that writes; return how many rows it touched, or -1."""
        self.writing = True
        if not self._raw.in_transaction:
            self.check_file(text)
        if self._observer.on_statement is not None:
            count: int = self._observed(text, parameters, self._write)
            return count
        try:
            return self._raw.execute(text, parameters).rowcount
        except FAILURES as error:
            self._fail(error, text)

    def write_at_once(self, text: str) -> None:
        """Execute a statement that writes; if somebody else does, do not wait for him."""
        (waits_ms,) = self._raw.execute("pragma busy_timeout").fetchone()
        self._raw.execute("pragma busy_timeout = 0")
        try:
            self.write(text)
        finally:
            self._raw.execute(f"pragma busy_timeout = {waits_ms:d}")

    def write_many(self, text: str, rows: Sequence[Row]) -> int:
        """Execute *text* for each of *rows*; return how many rows it touched in all."""
        if len(rows) == 1:
            return self.write(text, rows[0])
        self.writing = True
        if not self._raw.in_transaction:
            self.check_file(text)
        if self._observer.on_statement is not None:
            count: int = self._observed(text, rows, self._write_many)
            return count
        try:
            return max(self._raw.executemany(text, rows).rowcount, 0)
        except FAILURES as error:
            self._fail(error, text)

    def execute(self, text: str, parameters: Parameters) -> tuple[list[Row], tuple[str, ...]]:
        """Execute a statement of the caller's; return its rows and the names of its columns."""
        since = perf_counter()
        try:
            cursor = self._raw.execute(text, parameters)
            rows = cursor.fetchall()
        except FAILURES as error:
            self._fail(error, text)
        self._report(text, parameters, max(len(rows), cursor.rowcount), perf_counter() - since)
        return rows, tuple(entry[0] for entry in cursor.description or ())

    def _read(self, text: str, parameters: Parameters) -> tuple[list[Row], int]:
        rows: list[Row] = self._raw.execute(text, parameters).fetchall()
        return rows, len(rows)

    def _write(self, text: str, parameters: Parameters) -> tuple[int, int]:
        count = self._raw.execute(text, parameters).rowcount
        return count, max(count, 0)

    def _write_many(self, text: str, rows: Sequence[Row]) -> tuple[int, int]:
        count = max(self._raw.executemany(text, rows).rowcount, 0)
        return count, count

    def _observed(self, text: str, parameters: Any, call: Callable[..., tuple[Any, int]]) -> Any:
        since = perf_counter()
        try:
            result, count = call(text, parameters)
        except FAILURES as error:
            self._fail(error, text)
        self._report(text, parameters, count, perf_counter() - since)
        return result

    def _report(self, text: str, parameters: Any, rows: int, seconds: float) -> None:
        on_statement = self._observer.on_statement
        if on_statement is not None:
            on_statement(text, rows, seconds, parameters if self._observer.parameters else None)

    def _fail(self, error: Exception, text: str) -> NoReturn:
        ours = self._dialect.translate(error, text)
        if ours is None or ours is error:
            raise error
        raise ours from error

    # ── streams ─────────────────────────────────────────────────────────────────────────────

    def open_stream(self, text: str, parameters: Parameters) -> object:
        """Begin to read a statement page by page; return the handle."""
        stream = _Stream(text, parameters)
        stream.cursor = self._timed(stream, lambda: self._raw.execute(text, parameters))
        self._streams[stream] = stream
        return stream

    def page(self, handle: object, size: int) -> list[Row]:
        """Return the next *size* rows, fewer at the end."""
        stream = self._streams.get(handle)
        if stream is None or stream.cursor is None:
            raise UsageError(
                "a page was to be read from a stream that is closed; usually its block was left, "
                "or "
                "the connection was given back; open another"
            )
        cursor = stream.cursor
        rows: list[Row] = self._timed(stream, lambda: cursor.fetchmany(size))
        stream.rows += len(rows)
        return rows

    def close_stream(self, handle: object) -> None:
        """Give up a handle; nothing if it is closed already."""
        stream = self._streams.pop(handle, None)
        if stream is not None and stream.cursor is not None:
            stream.cursor.close()
            self._report(stream.text, stream.parameters, stream.rows, stream.seconds)

    def _timed(self, stream: _Stream, call: Callable[[], Any]) -> Any:
        since = perf_counter()
        try:
            return call()
        except FAILURES as error:
            self._fail(error, stream.text)
        finally:
            stream.seconds += perf_counter() - since

    # ── the connection ──────────────────────────────────────────────────────────────────────

    def _inode_now(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self._file)  # noqa: PTH116 - a microsecond, of every commit
        except (OSError, ValueError):
            return None
        return found.st_dev, found.st_ino

    def check_file(self, text: str) -> None:
        """See that the file is still where it was opened.

        SQLite itself would go on writing into a file that nobody can find any more, and call that a
        commit.
        """
        if self._inode is None or self._inode_now() == self._inode:
            return
        self.broken = True
        raise StoreError(
            f"SQLite was asked to {text:.200}: the file {self._file} was deleted, moved or "
            f"replaced while it was open; usually somebody cleaned up, or restored a backup; "
            f"nothing was written; put the file back, with its -wal file, and try again",
            statement=text,
        )

    def interrupt_reading(self) -> None:
        """Interrupt the statement that runs, unless something is written; any thread may call it.

        Should a write begin in just that moment, it is interrupted as a whole and reported so.
        """
        if not self.writing:
            self._raw.interrupt()

    def abandon(self) -> None:
        """Roll back what is open; if that fails, the connection is lost, not the first error."""
        try:
            if self._raw.in_transaction:
                self._raw.execute("rollback")
        except sqlite3.Error:
            self.broken = True
        self.writing = False

    def reset(self) -> None:
        """Make the connection fit for its next user: no stream, no transaction; or else broken."""
        for handle in [*self._streams]:
            self.close_stream(handle)
        self.abandon()

    @property
    def is_clean(self) -> bool:
        """Whether nothing is open."""
        return not self._streams and not self._raw.in_transaction

    def close(self) -> None:
        """Close the connection."""
        self.broken = True
        self._streams.clear()
        self._raw.close()
