"""SQLAlchemy's ORM: unit of work, `joinedload`, nothing expired after a commit."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from bench.contenders.base import Contender
from bench.data import AuthorRow, Shelf
from bench.models.sqlalchemy import Author, Base, Book, connect


def new_author(row: AuthorRow) -> Author:
    i, name, mail, age, score, at, on = row
    return Author(id=i, name=name, email=mail, age=age, score=score, joined=at, active=on)


class Entry(Contender):
    unit_of_work = True
    identity_map = True

    def create(self) -> None:
        self.engine = connect(self.path)
        Base.metadata.create_all(self.engine)

    def close(self) -> None:
        self.engine.dispose()

    def _session(self) -> Session:
        return Session(self.engine, expire_on_commit=False)

    def insert(self, rows: Sequence[AuthorRow]) -> None:
        with self._session() as session:
            session.add_all([new_author(row) for row in rows])
            session.commit()

    def load(self) -> Sequence[Any]:
        with self._session() as session:
            return session.scalars(select(Author)).all()

    def get_each(self, keys: Sequence[int]) -> Sequence[Any]:
        with self._session() as session:
            return [session.get(Author, key) for key in keys]

    @contextmanager
    def tracked(self) -> Iterator[Sequence[Any]]:
        with self._session() as self.session:
            yield self.session.scalars(select(Author)).all()
            self.session.commit()

    def warm_each(self, keys: Sequence[int]) -> Any:
        get = self.session.get
        found = None
        for key in keys:
            found = get(Author, key)
        return found

    def update_all(self) -> None:
        with self._session() as session:
            for author in session.scalars(select(Author)).all():
                author.age += 1
            session.commit()

    def insert_books(self, shelves: Sequence[Shelf]) -> None:
        with self._session() as session:
            for row, books in shelves:
                author = new_author(row)
                session.add(author)
                session.add_all(
                    [Book(id=n, title=title, pages=p, author=author) for n, title, p in books]
                )
            session.commit()

    def load_books(self) -> Sequence[Any]:
        with self._session() as session:
            query = select(Book).options(joinedload(Book.author, innerjoin=True))
            books = session.scalars(query).all()
            for book in books:
                book.author.name
            return books

    def delete_all(self) -> None:
        with self._session() as session:
            for author in session.scalars(select(Author)).all():
                session.delete(author)
            session.commit()

    def small_each(self, keys: Sequence[int]) -> None:
        for key in keys:
            with self._session() as session:
                session.get_one(Author, key).age += 1
                session.commit()
