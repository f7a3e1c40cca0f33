"""Peewee: `bulk_create`, `bulk_update`, `prefetch`; it has no session."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from bench.contenders.base import Contender, batches
from bench.data import AuthorRow, Shelf
from bench.models.peewee import Author, Book, connect

BATCH = 200


def new_author(row: AuthorRow) -> Author:
    i, name, mail, age, score, at, on = row
    return Author(id=i, name=name, email=mail, age=age, score=score, joined=at, active=on)


class Entry(Contender):
    def create(self) -> None:
        self.db = connect(self.path)
        self.write_mode = () if "://" in self.path else ("IMMEDIATE",)
        self.db.create_tables([Author, Book])

    def close(self) -> None:
        self.db.close()

    def insert(self, rows: Sequence[AuthorRow]) -> None:
        with self.db.atomic():
            Author.bulk_create([new_author(row) for row in rows], batch_size=BATCH)

    def load(self) -> Sequence[Any]:
        return list(Author.select())

    def get_each(self, keys: Sequence[int]) -> Sequence[Any]:
        get = Author.get_by_id
        return [get(key) for key in keys]

    @contextmanager
    def tracked(self) -> Iterator[Sequence[Any]]:
        yield self.load()

    def update_all(self) -> None:
        with self.db.atomic(*self.write_mode):
            authors = self.load()
            for author in authors:
                author.age += 1
            Author.bulk_update(authors, [Author.age], batch_size=BATCH)

    def insert_books(self, shelves: Sequence[Shelf]) -> None:
        authors = [new_author(row) for row, _ in shelves]
        books = [
            Book(id=number, title=title, pages=pages, author=author)
            for author, (_, rows) in zip(authors, shelves, strict=True)
            for number, title, pages in rows
        ]
        with self.db.atomic():
            Author.bulk_create(authors, batch_size=BATCH)
            Book.bulk_create(books, batch_size=BATCH)

    def load_books(self) -> Sequence[Any]:
        books = Book.select().prefetch(Author.select())
        for book in books:
            book.author.name
        return books

    def delete_all(self) -> None:
        """Delete by the loaded objects' keys: object by object would take five times as long."""
        with self.db.atomic(*self.write_mode):
            for keys in batches(author.id for author in self.load()):
                Author.delete().where(Author.id.in_(keys)).execute()

    def small_each(self, keys: Sequence[int]) -> None:
        for key in keys:
            with self.db.atomic(*self.write_mode):
                author = Author.get_by_id(key)
                author.age += 1
                author.save(only=[Author.age])
