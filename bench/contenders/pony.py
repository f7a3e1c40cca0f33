"""Pony: its session is `db_session`; it has no bulk calls, all goes through tracked objects."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pony.orm import db_session

from bench.contenders.base import Contender
from bench.data import AuthorRow, Shelf
from bench.models.pony import Author, Book, connect


def new_author(row: AuthorRow) -> Author:
    i, name, mail, age, score, at, on = row
    return Author(id=i, name=name, email=mail, age=age, score=score, joined=at, active=on)


class Entry(Contender):
    unit_of_work = True
    identity_map = True

    def create(self) -> None:
        self.db = connect(self.path, create=True)
        with db_session:  # nobody else indexes the reference
            self.db.execute('drop index "idx_book__author_id"')

    def close(self) -> None:
        self.db.disconnect()

    def insert(self, rows: Sequence[AuthorRow]) -> None:
        with db_session:
            for row in rows:
                new_author(row)

    def load(self) -> Sequence[Any]:
        with db_session:
            return Author.select()[:]

    def get_each(self, keys: Sequence[int]) -> Sequence[Any]:
        with db_session:
            return [Author[key] for key in keys]

    @contextmanager
    def tracked(self) -> Iterator[Sequence[Any]]:
        with db_session:
            yield Author.select()[:]

    def warm_each(self, keys: Sequence[int]) -> Any:
        found = None
        for key in keys:
            found = Author[key]
        return found

    def update_all(self) -> None:
        with db_session:
            for author in Author.select()[:]:
                author.age += 1

    def insert_books(self, shelves: Sequence[Shelf]) -> None:
        with db_session:
            for row, books in shelves:
                author = new_author(row)
                for number, title, pages in books:
                    Book(id=number, title=title, pages=pages, author=author)

    def load_books(self) -> Sequence[Any]:
        with db_session:
            books = Book.select().prefetch(Book.author)[:]
            for book in books:
                book.author.name
            return books

    def delete_all(self) -> None:
        with db_session:
            for author in Author.select()[:]:
                author.delete()

    def small_each(self, keys: Sequence[int]) -> None:
        for key in keys:
            with db_session:
                Author[key].age += 1
