"""graven, blocking."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from bench.contenders.base import Contender
from bench.data import AuthorRow, Shelf
from bench.models.graven import Author, Book, connect
from graven import atomic


def new_authors(rows: Iterable[AuthorRow]) -> list[Author]:
    return [
        Author(id=i, name=name, email=mail, age=age, score=s, joined=at, active=on)
        for i, name, mail, age, s, at, on in rows
    ]


def new_books(authors: Sequence[Author], shelves: Sequence[Shelf]) -> list[Book]:
    return [
        Book(id=number, title=title, pages=pages, author=author)
        for author, (_, books) in zip(authors, shelves, strict=True)
        for number, title, pages in books
    ]


@atomic
def birthday(author: Author) -> int:
    author.age += 1
    return author.age


class Entry(Contender):
    aware = True
    operations = True
    unit_of_work = True
    identity_map = True

    def create(self) -> None:
        self.db = connect(self.path)

    def close(self) -> None:
        self.db.close()

    def insert(self, rows: Sequence[AuthorRow]) -> None:
        with self.db.session() as session:
            session.add(*new_authors(rows))

    def load(self) -> Sequence[Any]:
        with self.db.session() as session:
            return session.query(Author).all()

    def get_each(self, keys: Sequence[int]) -> Sequence[Any]:
        with self.db.session() as session:
            get = session.get
            return [get(Author, key) for key in keys]

    @contextmanager
    def tracked(self) -> Iterator[Sequence[Any]]:
        with self.db.session() as self.session:
            yield self.session.query(Author).all()

    def warm_each(self, keys: Sequence[int]) -> Any:
        get = self.session.get
        found = None
        for key in keys:
            found = get(Author, key)
        return found

    def update_all(self) -> None:
        with self.db.session() as session:
            for author in session.query(Author).all():
                author.age += 1

    def insert_books(self, shelves: Sequence[Shelf]) -> None:
        with self.db.session() as session:
            authors = new_authors(row for row, _ in shelves)
            session.add(*authors, *new_books(authors, shelves))

    def load_books(self) -> Sequence[Any]:
        with self.db.session() as session:
            books = session.query(Book).include(Book.author).all()
            for book in books:
                book.author.name
            return books

    def delete_all(self) -> None:
        with self.db.session() as session:
            session.delete(*session.query(Author).all())

    def small_each(self, keys: Sequence[int]) -> None:
        for key in keys:
            with self.db.session() as session:
                session.get(Author, key).age += 1

    def arguments(self, keys: Sequence[int]) -> Sequence[Any]:
        with self.db.session() as session:
            return [session.get(Author, key) for key in keys]

    def operate_each(self, arguments: Sequence[Any]) -> None:
        for author in arguments:
            birthday(author)
