"""The `sqlite3` module by hand, its plain form: `executemany`, tuples, text for instants."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from bench.contenders.base import Contender
from bench.data import AuthorRow, Shelf
from bench.models.raw import SCHEMA, connect

INSERT_AUTHOR = "insert into author values (?, ?, ?, ?, ?, ?, ?)"
INSERT_BOOK = "insert into book values (?, ?, ?, ?)"
SELECT = "select id, name, email, age, score, joined, active from author"
SELECT_ONE = SELECT + " where id = ?"
SELECT_BOOKS = "select id, title, pages, author_id from book"
UPDATE = "update author set age = ? where id = ?"
LOG = "insert into log values (?, 'birthday', ?, 'running')"
BIRTHDAY = "update author set age = age + 1 where id = ?"
DELETE = "delete from author where id = ?"


class Plain:
    """A plain object, to compare reads and writes of an attribute with."""

    def __init__(self, row: tuple[Any, ...]) -> None:
        self.id, self.name, self.email, self.age, self.score, self.joined, self.active = row


class Entry(Contender):
    identity_map = True
    operations = True

    def create(self) -> None:
        self.connection = connect(self.path)
        self.connection.executescript(SCHEMA)

    def close(self) -> None:
        self.connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[Any]:
        self.connection.execute("begin immediate")
        yield self.connection
        self.connection.execute("commit")

    def insert(self, rows: Sequence[AuthorRow]) -> None:
        with self._transaction() as connection:
            connection.executemany(INSERT_AUTHOR, _parameters(rows))

    def load(self) -> Sequence[Any]:
        return self.connection.execute(SELECT).fetchall()

    def get_each(self, keys: Sequence[int]) -> Sequence[Any]:
        execute = self.connection.execute
        return [execute(SELECT_ONE, (key,)).fetchone() for key in keys]

    @contextmanager
    def tracked(self) -> Iterator[Sequence[Any]]:
        objects = [Plain(row) for row in self.load()]
        self.by_key = {plain.id: plain for plain in objects}
        yield objects

    @contextmanager
    def hold(self) -> Iterator[Sequence[Any]]:
        yield self.load()

    def warm_each(self, keys: Sequence[int]) -> Any:
        get = self.by_key.get
        found = None
        for key in keys:
            found = get(key)
        return found

    def update_all(self) -> None:
        with self._transaction() as connection:
            rows = self.load()
            connection.executemany(UPDATE, [(row[3] + 1, row[0]) for row in rows])

    def insert_books(self, shelves: Sequence[Shelf]) -> None:
        with self._transaction() as connection:
            connection.executemany(INSERT_AUTHOR, _parameters([row for row, _ in shelves]))
            connection.executemany(INSERT_BOOK, _book_parameters(shelves))

    def load_books(self) -> Sequence[Any]:
        authors = {row[0]: row for row in self.load()}
        books = self.connection.execute(SELECT_BOOKS).fetchall()
        for book in books:
            authors[book[3]][1]
        self.authors = authors
        return books

    def delete_all(self) -> None:
        with self._transaction() as connection:
            rows = self.load()
            connection.executemany(DELETE, [(row[0],) for row in rows])

    def small_each(self, keys: Sequence[int]) -> None:
        execute = self.connection.execute
        for key in keys:
            execute("begin immediate")
            row = execute(SELECT_ONE, (key,)).fetchone()
            execute(UPDATE, (row[3] + 1, key))
            execute("commit")

    def operate_each(self, arguments: Sequence[Any]) -> None:
        execute = self.connection.execute
        for key in arguments:
            execute("begin immediate")
            execute(LOG, (uuid4().hex, json.dumps([key])))
            execute("commit")
            execute("begin immediate")
            execute(BIRTHDAY, (key,))
            execute("commit")

    def values(self, author: Any) -> AuthorRow:
        row: AuthorRow = tuple(vars(author).values()) if isinstance(author, Plain) else author
        return row

    def book_values(self, book: Any) -> tuple[int, str, int, int, str]:
        return *book, self.authors[book[3]][1]


def _parameters(rows: Sequence[AuthorRow]) -> list[tuple[Any, ...]]:
    return [(i, name, mail, age, s, at.isoformat(), on) for i, name, mail, age, s, at, on in rows]


def _book_parameters(shelves: Sequence[Shelf]) -> list[tuple[Any, ...]]:
    return [
        (number, title, pages, author[0])
        for author, books in shelves
        for number, title, pages in books
    ]
