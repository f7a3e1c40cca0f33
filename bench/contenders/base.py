"""What a contender can do. Every method but `create`, `open` and `close` is timed as a whole.

A method takes rows of plain values that exist already (`bench.data`), and makes its own model
objects of them inside the timing. Sessions and transactions are entered and left inside it too.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import islice
from operator import attrgetter
from typing import Any

from bench.data import AuthorRow, Shelf


class Contender(ABC):
    """One library on one database file."""

    aware = False
    """Its datetime field holds aware values."""
    unit_of_work = False
    """An edit of a loaded object is written when `tracked()` ends, without naming the object."""
    identity_map = False
    """Getting an object that is already loaded makes no query: it takes part in W3b."""
    operations = False
    """It has durable operations: it takes part in W11."""
    operations_max = 1_000
    """How many of them make a sample at most."""
    skips: frozenset[str] = frozenset()
    """Workloads that it has no answer to."""

    def __init__(self, path: str) -> None:
        self.path = path

    @abstractmethod
    def create(self) -> None:
        """Make the tables and open the store."""

    def close(self) -> None:  # noqa: B027  (few have something to do)
        """Let go of the store."""

    @abstractmethod
    def insert(self, rows: Sequence[AuthorRow]) -> None:
        """W1: new objects, one commit."""

    @abstractmethod
    def load(self) -> Sequence[Any]:
        """W2: all authors, in a fresh session."""

    @abstractmethod
    def get_each(self, keys: Sequence[int]) -> Sequence[Any]:
        """W3: one query per key, in one fresh session."""

    @abstractmethod
    def tracked(self) -> AbstractContextManager[Sequence[Any]]:
        """W3b, W7: all authors in an open session, which commits when it is left."""

    def hold(self) -> AbstractContextManager[Sequence[Any]]:
        """W9: all authors, as they are loaded."""
        return self.tracked()

    def warm_each(self, keys: Sequence[int]) -> Any:
        """W3b: get objects that `tracked()` holds already; the last one is returned."""
        raise NotImplementedError

    @abstractmethod
    def update_all(self) -> None:
        """W4: load all authors, add one to each age, one commit."""

    @abstractmethod
    def insert_books(self, shelves: Sequence[Shelf]) -> None:
        """W5i: authors and books that refer to them, one commit."""

    @abstractmethod
    def load_books(self) -> Sequence[Any]:
        """W5l: all books with their authors, eagerly; touch every `book.author.name`."""

    @abstractmethod
    def delete_all(self) -> None:
        """W6: load all authors, delete them as objects, one commit."""

    @abstractmethod
    def small_each(self, keys: Sequence[int]) -> None:
        """W8: per key a transaction that gets the author and adds one to its age."""

    def arguments(self, keys: Sequence[int]) -> Sequence[Any]:
        """W11: what the operations are called with, which is not timed."""
        return keys

    def operate_each(self, arguments: Sequence[Any]) -> None:
        """W11: per argument a durable operation that adds one to the age of that author."""
        raise NotImplementedError

    def values(self, author: Any) -> AuthorRow:
        """The fields of a loaded author, for the check after the timing."""
        row: AuthorRow = _fields(author)
        return row

    def book_values(self, book: Any) -> tuple[int, str, int, int, str]:
        """Key, title, pages, author's key and author's name of a loaded book."""
        return book.id, book.title, book.pages, book.author.id, book.author.name


def batches(keys: Iterable[int], size: int = 10_000) -> Iterator[list[int]]:
    """Lists of keys that are short enough for the parameters of one SQLite statement."""
    remaining = iter(keys)
    while batch := list(islice(remaining, size)):
        yield batch


_fields = attrgetter("id", "name", "email", "age", "score", "joined", "active")
