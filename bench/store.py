"""The other side of every contender: fills, empties and inspects its data with the raw driver."""

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.data import AuthorRow, BookRow

AUTHOR_SUMS = """
select count(*), sum(id), sum(age), sum(score), sum(active),
    count(distinct name), count(distinct email), count(distinct joined)
from author
"""
BOOK_SUMS = "select count(*), sum(id), sum(pages), count(distinct title), sum(author_id) from book"
TABLES = ("author", "book")


class WrongResultError(AssertionError):
    """A contender did not do the work that it was timed for."""


def expect(what: str, found: object, expected: object) -> None:
    """Refuse a result that is not what it must be."""
    if found != expected:
        raise WrongResultError(f"{what}: found {found!r}, expected {expected!r}")


class Store(ABC):
    """The data of one contender, through a connection of its own."""

    author_sums = AUTHOR_SUMS
    small_transactions = 1_000
    """How many of them make a sample."""

    @abstractmethod
    def clear(self) -> None:
        """Leave both tables empty."""

    @abstractmethod
    def fill(self, label: str, insert: Callable[[], None]) -> None:
        """Put the rows in that `insert` makes; from the second time on they are copied."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the connection."""

    @abstractmethod
    def _row(self, text: str) -> object:
        """The one row of a query."""

    def expect_authors(self, rows: Sequence[AuthorRow], age_sum: int | None = None) -> None:
        """Compare the stored authors with `rows`, their ages with `age_sum` if it is given."""
        expected = (
            len(rows),
            sum(row[0] for row in rows),
            sum(row[3] for row in rows) if age_sum is None else age_sum,
            sum(row[4] for row in rows),
            sum(row[6] for row in rows),
            *[len(rows)] * 3,
        )
        expect("stored authors", self._row(self.author_sums), expected)

    def expect_books(self, rows: Sequence[tuple[int, BookRow]]) -> None:
        """Compare the stored books with `rows`: the author's key and the book."""
        expected = (
            len(rows),
            sum(book[0] for _, book in rows),
            sum(book[2] for _, book in rows),
            len(rows),
            sum(author for author, _ in rows),
        )
        expect("stored books", self._row(BOOK_SUMS), expected)

    def expect_empty(self) -> None:
        """Make sure that no author is left."""
        expect("authors left", self._row("select count(*) from author"), (0,))


class SqliteStore(Store):
    """The file of one contender."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.connection = sqlite3.connect(path, isolation_level=None)

    def clear(self) -> None:
        """Leave the write-ahead log short, too."""
        self._transaction([f"delete from {table}" for table in reversed(TABLES)])
        self._checkpoint()

    def fill(self, label: str, insert: Callable[[], None]) -> None:
        self.clear()
        seed = Path(f"{self.path}.{label}")
        is_new = not seed.exists()
        if is_new:
            insert()
        self.connection.execute("attach ? as seed", (str(seed),))
        self._transaction([_copy(table, is_new) for table in TABLES])
        self.connection.execute("detach seed")
        self._checkpoint()

    def close(self) -> None:
        self.connection.close()

    def _row(self, text: str) -> object:
        return self.connection.execute(text).fetchone()

    def _transaction(self, statements: Sequence[str]) -> None:
        for statement in ("begin immediate", *statements, "commit"):
            self.connection.execute(statement)

    def _checkpoint(self) -> None:
        self.connection.execute("pragma wal_checkpoint(truncate)").fetchall()


def _copy(table: str, is_new: bool) -> str:
    if is_new:
        return f"create table seed.{table} as select * from main.{table}"
    return f"insert into main.{table} select * from seed.{table}"
