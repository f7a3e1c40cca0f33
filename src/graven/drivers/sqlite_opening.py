"""Opening an SQLite database: settings, registered functions, and what can be wrong with a file."""

from __future__ import annotations

import os
import sqlite3
import time
from _thread import allocate_lock
from collections.abc import Callable
from itertools import count

from graven.dialects.sqlite import SQLiteDialect
from graven.dialects.sqlite_codec import decode_decimal
from graven.drivers.forks import process
from graven.drivers.sqlite_statements import FAILURES
from graven.drivers.sqlite_url import SQLiteAddress
from graven.errors import BusyRetry, GravenError, StoreError

__all__ = ["SQLiteOpener"]

SQLITE_VERSION_MIN = (3, 35)
"""The first version with ``returning``, on which keys made by the store depend."""

MEMORY_VERSION_MIN = (3, 36)
"""The first version with the file system ``memdb``, in which connections share a database."""

STATEMENTS_CACHED = 512
BUSY_PAUSE_S = 0.01

_serial = count(1)


class SQLiteOpener:
    """Opens connections of :mod:`sqlite3` to one database; safe to share between threads.

    A database in memory lives until :meth:`close`, and belongs to the process that opened it.
    """

    def __init__(
        self, address: SQLiteAddress, dialect: SQLiteDialect, busy_timeout_s: float
    ) -> None:
        """Prepare; nothing is opened yet."""
        self.address = address
        self._dialect = dialect
        self._busy_timeout_s = busy_timeout_s
        self._forks = process.forks
        self._memory = f"file:/graven-{os.getpid()}-{next(_serial)}?vfs=memdb"
        self._anchor: sqlite3.Connection | None = None
        self._anchor_lock = allocate_lock()

    def open(self) -> sqlite3.Connection:
        """Return a new connection, ready for use.

        Raises ``StoreError`` when the file cannot be opened, written or understood, ``BusyRetry``
        when another process keeps it locked.
        """
        if self.address.path is None:
            with self._anchor_lock:
                if self._anchor is None:
                    self._anchor = self._memory_connection()
            return self._memory_connection()
        path = self.address.path
        _check_is_writable(path)
        return self._attempt(lambda: self._connect(path, uri=False))

    def close(self) -> None:
        """Let go of the database in memory, if it is one."""
        with self._anchor_lock:
            anchor, self._anchor = self._anchor, None
        if anchor is not None:
            anchor.close()

    def _memory_connection(self) -> sqlite3.Connection:
        if sqlite3.sqlite_version_info < MEMORY_VERSION_MIN:
            raise StoreError(
                f"a database in memory was to be opened, but SQLite {sqlite3.sqlite_version} "
                f"cannot "
                f"share one between connections, which needs 3.36; use a file"
            )
        if self._forks != process.forks:
            raise StoreError(
                "a database in memory was to be opened in a forked process: it belongs to the "
                "process "
                "that made it; make the Database after the fork, or use a file"
            )
        return self._attempt(lambda: self._connect(self._memory, uri=True))

    def _attempt(self, connect: Callable[[], sqlite3.Connection]) -> sqlite3.Connection:
        where = self.address.path or "a database in memory"
        try:
            return connect()
        except FAILURES as error:
            ours = self._dialect.translate(error, f"open {where}")
            if ours is None:
                raise
            raise ours from error

    def _connect(self, target: str, uri: bool) -> sqlite3.Connection:
        if sqlite3.sqlite_version_info < SQLITE_VERSION_MIN:
            raise StoreError(
                f"SQLite {sqlite3.sqlite_version} was found, graven needs 3.35 or later; usually "
                f"the "
                f"system's library is old; use a Python that brings a newer one"
            )
        raw = sqlite3.connect(
            target,
            timeout=self._busy_timeout_s,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=STATEMENTS_CACHED,
            uri=uri,
        )
        try:
            self._prepare(raw)
        except BaseException:
            raw.close()
            raise
        return raw

    def _prepare(self, raw: sqlite3.Connection) -> None:
        if self.address.path is not None:
            self._use_write_ahead_log(raw)
        raw.execute("pragma foreign_keys = on")
        raw.execute(f"pragma synchronous = {self.address.synchronous}")
        raw.create_collation("graven_decimal", _compare_decimals)
        raw.create_function("graven_like", 2, _like, deterministic=True)
        raw.create_function("graven_ilike", 2, _ilike, deterministic=True)
        raw.create_function("graven_bytes", 1, bytes.fromhex, deterministic=True)
        raw.create_function("graven_float", 1, float.fromhex, deterministic=True)

    def _use_write_ahead_log(self, raw: sqlite3.Connection) -> None:
        """Switch to the log, and notice on the way a file that was cut short or is another kind.

        At this one statement SQLite does not always wait for others by itself.
        """
        deadline_s = time.monotonic() + self._busy_timeout_s
        while True:
            try:
                if raw.execute("pragma journal_mode").fetchone() != ("wal",):
                    raw.execute("pragma journal_mode = wal").fetchone()
                return
            except sqlite3.OperationalError as error:
                ours: GravenError | None = self._dialect.translate(error, "open the database")
                if not isinstance(ours, BusyRetry) or time.monotonic() > deadline_s:
                    raise
            time.sleep(BUSY_PAUSE_S)


def _check_is_writable(path: str) -> None:
    """Raise if *path* cannot be written, which SQLite itself would say at the first write only.

    The file must not be opened to find out: closing it again would drop SQLite's locks on it.
    """
    effective = os.access in os.supports_effective_ids
    if os.access(path, os.F_OK) and not os.access(path, os.W_OK, effective_ids=effective):
        raise StoreError(
            f"SQLite was asked to open {path}: the file cannot be written; usually it belongs to "
            f"another "
            f"user or is on a read-only disk; give this process the right to write to it and its "
            f"folder"
        )


def _compare_decimals(left: str, right: str) -> int:
    first, second = decode_decimal(left), decode_decimal(right)
    return (first > second) - (first < second)


_matchers: dict[tuple[str, bool], Callable[[str], bool]] = {}
_MATCHERS_MAX = 256


def _matches(pattern: str, text: str | None, ignore_case: bool) -> bool:
    if text is None:
        return False
    matcher = _matchers.get((pattern, ignore_case))
    if matcher is None:
        if len(_matchers) >= _MATCHERS_MAX:
            _matchers.clear()
        from graven.ops.text import like_matcher

        matcher = _matchers[pattern, ignore_case] = like_matcher(pattern, ignore_case)
    return matcher(text)


def _like(pattern: str, text: str | None) -> bool:
    return _matches(pattern, text, False)


def _ilike(pattern: str, text: str | None) -> bool:
    return _matches(pattern, text, True)
