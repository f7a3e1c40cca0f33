"""Django's ORM: `bulk_create`, `bulk_update`, `select_related`; it has no session."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import connection
from django.db.transaction import atomic

from bench.contenders.base import Contender, batches
from bench.data import AuthorRow, Shelf
from bench.models.django import Author, Book, connect

UPDATE_BATCH = 100


def new_author(row: AuthorRow) -> Author:
    i, name, mail, age, score, at, on = row
    return Author(id=i, name=name, email=mail, age=age, score=score, joined=at, active=on)


class Entry(Contender):
    def create(self) -> None:
        connect(self.path)
        with connection.schema_editor() as editor:
            editor.create_model(Author)
            editor.create_model(Book)

    def close(self) -> None:
        connection.close()

    def insert(self, rows: Sequence[AuthorRow]) -> None:
        Author.objects.bulk_create([new_author(row) for row in rows])

    def load(self) -> Sequence[Any]:
        return list(Author.objects.all())

    def get_each(self, keys: Sequence[int]) -> Sequence[Any]:
        get = Author.objects.get
        return [get(pk=key) for key in keys]

    @contextmanager
    def tracked(self) -> Iterator[Sequence[Any]]:
        yield self.load()

    def update_all(self) -> None:
        with atomic():
            authors = self.load()
            for author in authors:
                author.age += 1
            Author.objects.bulk_update(authors, ["age"], batch_size=UPDATE_BATCH)

    def insert_books(self, shelves: Sequence[Shelf]) -> None:
        authors = [new_author(row) for row, _ in shelves]
        books = [
            Book(id=number, title=title, pages=pages, author=author)
            for author, (_, rows) in zip(authors, shelves, strict=True)
            for number, title, pages in rows
        ]
        with atomic():
            Author.objects.bulk_create(authors)
            Book.objects.bulk_create(books)

    def load_books(self) -> Sequence[Any]:
        books = list(Book.objects.select_related("author"))
        for book in books:
            book.author.name
        return books

    def delete_all(self) -> None:
        """Delete by the loaded objects' keys: there is no bulk delete of objects."""
        with atomic():
            for keys in batches(author.pk for author in self.load()):
                Author.objects.filter(pk__in=keys).delete()

    def small_each(self, keys: Sequence[int]) -> None:
        for key in keys:
            with atomic():
                author = Author.objects.get(pk=key)
                author.age += 1
                author.save(update_fields=["age"])
