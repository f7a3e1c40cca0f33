"""MongoEngine: `objects.insert`, `save`, `select_related`; no unit of work."""

from collections.abc import Sequence
from typing import Any

from mongoengine import disconnect

from bench.contenders.base import Contender
from bench.data import AuthorRow, Shelf
from bench.models.mongoengine import Author, Book, connect


def new_author(row: AuthorRow) -> Author:
    i, name, mail, age, score, at, on = row
    return Author(id=i, name=name, email=mail, age=age, score=score, joined=at, active=on)


class Entry(Contender):
    skips = frozenset({"W8"})  # it has no transactions

    def create(self) -> None:
        connect(self.path)

    def close(self) -> None:
        disconnect()

    def insert(self, rows: Sequence[AuthorRow]) -> None:
        Author.objects.insert([new_author(row) for row in rows], load_bulk=False)

    def load(self) -> Sequence[Any]:
        return list(Author.objects)

    def get_each(self, keys: Sequence[int]) -> Sequence[Any]:
        return [Author.objects.get(id=key) for key in keys]

    def tracked(self) -> Any:
        raise NotImplementedError

    def update_all(self) -> None:
        for author in Author.objects:
            author.age += 1
            author.save()

    def insert_books(self, shelves: Sequence[Shelf]) -> None:
        authors = [new_author(row) for row, _ in shelves]
        Author.objects.insert(authors, load_bulk=False)
        books = [
            Book(id=number, title=title, pages=pages, author=author)
            for author, (_, rows) in zip(authors, shelves, strict=True)
            for number, title, pages in rows
        ]
        Book.objects.insert(books, load_bulk=False)

    def load_books(self) -> Sequence[Any]:
        books: Sequence[Any] = Book.objects.select_related()
        for book in books:
            book.author.name
        return books

    def delete_all(self) -> None:
        for author in Author.objects:
            author.delete()

    def small_each(self, keys: Sequence[int]) -> None:
        raise NotImplementedError
