"""psycopg 3 by hand, at its best: `copy`, arrays, binary rows, plain objects with slots."""

from collections.abc import Sequence
from typing import Any

from bench.contenders import psycopg as plain
from bench.contenders.base import Contender
from bench.data import AuthorRow, Shelf

COPY_AUTHOR = "copy author from stdin (format binary)"
COPY_BOOK = "copy book from stdin (format binary)"
AUTHOR_TYPES = ("int8", "text", "text", "int8", "float8", "timestamptz", "bool")
BOOK_TYPES = ("int8", "text", "int8", "int8")
UPDATE_MANY = (
    "update author set age = v.age from unnest(%s::int8[], %s::int8[]) as v (id, age) "
    "where author.id = v.id"
)
DELETE_MANY = "delete from author where id = any(%s::int8[])"


class Author:
    __slots__ = ("active", "age", "email", "id", "joined", "name", "score")

    def __init__(self, row: tuple[Any, ...]) -> None:
        self.id, self.name, self.email, self.age, self.score, self.joined, self.active = row


class Book:
    __slots__ = ("author", "id", "pages", "title")

    def __init__(self, row: tuple[Any, ...], authors: dict[int, Author]) -> None:
        self.id, self.title, self.pages, author = row
        self.author = authors[author]


class Entry(plain.Entry):
    values = Contender.values
    book_values = Contender.book_values

    def insert(self, rows: Sequence[AuthorRow]) -> None:
        with self._transaction() as cursor:
            _copy(cursor, COPY_AUTHOR, AUTHOR_TYPES, plain.author_parameters(rows))

    def load(self) -> Sequence[Any]:
        return [Author(row) for row in self._rows(plain.SELECT)]

    def get_each(self, keys: Sequence[int]) -> Sequence[Any]:
        execute = self.connection.execute
        found: list[Any] = [
            execute(plain.SELECT_ONE, (key,), binary=True).fetchone() for key in keys
        ]
        return [Author(row) for row in found]

    def update_all(self) -> None:
        with self._transaction() as cursor:
            authors = self.load()
            for author in authors:
                author.age += 1
            ages = [author.age for author in authors]
            cursor.execute(UPDATE_MANY, ([author.id for author in authors], ages))

    def insert_books(self, shelves: Sequence[Shelf]) -> None:
        with self._transaction() as cursor:
            authors = plain.author_parameters([row for row, _ in shelves])
            _copy(cursor, COPY_AUTHOR, AUTHOR_TYPES, authors)
            _copy(cursor, COPY_BOOK, BOOK_TYPES, plain.book_parameters(shelves))

    def load_books(self) -> Sequence[Any]:
        authors = {author.id: author for author in self.load()}
        books = [Book(row, authors) for row in self._rows(plain.SELECT_BOOKS)]
        for book in books:
            book.author.name
        return books

    def delete_all(self) -> None:
        with self._transaction() as cursor:
            cursor.execute(DELETE_MANY, ([author.id for author in self.load()],))

    def small_each(self, keys: Sequence[int]) -> None:
        """Two round trips: an update alone commits by itself."""
        execute = self.connection.execute
        for key in keys:
            row: Any = execute(plain.SELECT_ONE, (key,), binary=True).fetchone()
            execute(plain.UPDATE, (row[3] + 1, key))

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(query, binary=True).fetchall()  # type: ignore[call-overload,no-any-return]


def _copy(cursor: Any, text: str, types: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    with cursor.copy(text) as copy:
        copy.set_types(types)
        for row in rows:
            copy.write_row(row)
