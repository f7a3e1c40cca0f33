"""psycopg 3 by hand, its plain form: `executemany` and tuples between `begin` and `commit`."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import psycopg

from bench.contenders.base import Contender
from bench.data import AuthorRow, Shelf
from bench.models.psycopg import SCHEMA

INSERT_AUTHOR = "insert into author values (%s, %s, %s, %s, %s, %s, %s)"
INSERT_BOOK = "insert into book values (%s, %s, %s, %s)"
SELECT = "select id, name, email, age, score, joined, active from author"
SELECT_ONE = SELECT + " where id = %s"
SELECT_BOOKS = "select id, title, pages, author_id from book"
UPDATE = "update author set age = %s where id = %s"
LOG = "insert into log values (%s, 'birthday', %s, 'running')"
BIRTHDAY = "update author set age = age + 1 where id = %s"
DELETE = "delete from author where id = %s"


class Entry(Contender):
    aware = True
    operations = True

    def create(self) -> None:
        self.connection = psycopg.connect(self.path, autocommit=True)
        self.connection.execute(SCHEMA)

    def close(self) -> None:
        self.connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[psycopg.Cursor[Any]]:
        cursor = self.connection.cursor()
        cursor.execute("begin")
        yield cursor
        cursor.execute("commit")

    def insert(self, rows: Sequence[AuthorRow]) -> None:
        with self._transaction() as cursor:
            cursor.executemany(INSERT_AUTHOR, author_parameters(rows))

    def load(self) -> Sequence[Any]:
        return self.connection.execute(SELECT).fetchall()

    def get_each(self, keys: Sequence[int]) -> Sequence[Any]:
        execute = self.connection.execute
        return [execute(SELECT_ONE, (key,)).fetchone() for key in keys]

    def tracked(self) -> Any:
        raise NotImplementedError

    def update_all(self) -> None:
        with self._transaction() as cursor:
            rows = cursor.execute(SELECT).fetchall()
            cursor.executemany(UPDATE, [(row[3] + 1, row[0]) for row in rows])

    def insert_books(self, shelves: Sequence[Shelf]) -> None:
        with self._transaction() as cursor:
            cursor.executemany(INSERT_AUTHOR, author_parameters([row for row, _ in shelves]))
            cursor.executemany(INSERT_BOOK, book_parameters(shelves))

    def load_books(self) -> Sequence[Any]:
        authors = {row[0]: row for row in self.load()}
        books = self.connection.execute(SELECT_BOOKS).fetchall()
        return self.touched(books, authors)

    def touched(self, books: Sequence[Any], authors: dict[int, Any]) -> Sequence[Any]:
        """Reach the name of each book's author; keep the authors for the check."""
        for book in books:
            authors[book[3]][1]
        self.authors = authors
        return books

    def delete_all(self) -> None:
        with self._transaction() as cursor:
            rows = cursor.execute(SELECT).fetchall()
            cursor.executemany(DELETE, [(row[0],) for row in rows])

    def small_each(self, keys: Sequence[int]) -> None:
        execute = self.connection.execute
        for key in keys:
            execute("begin")
            row: Any = execute(SELECT_ONE, (key,)).fetchone()
            execute(UPDATE, (row[3] + 1, key))
            execute("commit")

    def operate_each(self, arguments: Sequence[Any]) -> None:
        """Each statement is committed by the server at once: two round trips."""
        execute = self.connection.execute
        for key in arguments:
            execute(LOG, (uuid4(), json.dumps([key])))
            execute(BIRTHDAY, (key,))

    def values(self, author: Any) -> AuthorRow:
        row: AuthorRow = author
        return row

    def book_values(self, book: Any) -> tuple[int, str, int, int, str]:
        return *book, self.authors[book[3]][1]


def author_parameters(rows: Sequence[AuthorRow]) -> list[tuple[Any, ...]]:
    return [(i, name, mail, age, s, at, on) for i, name, mail, age, s, at, on in rows]


def book_parameters(shelves: Sequence[Shelf]) -> list[tuple[Any, ...]]:
    return [
        (number, title, pages, author[0])
        for author, books in shelves
        for number, title, pages in books
    ]
