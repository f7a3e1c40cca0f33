"""Piccolo over asyncpg: inserts of many objects, prefetching; it has no session."""

from collections.abc import Sequence
from typing import Any

from bench.contenders import psycopg as plain
from bench.contenders.awaited import AwaitedContender
from bench.contenders.base import batches
from bench.data import AuthorRow, Shelf
from bench.models.piccolo import Author, Book, open_database

BATCH = 4_000
"""Objects in one insert: a statement has 32,767 parameters at most."""


def new_author(row: AuthorRow) -> Author:
    i, name, mail, age, score, at, on = row
    return Author(id=i, name=name, email=mail, age=age, score=score, joined=at, active=on)


class Entry(AwaitedContender):
    aware = True
    tracked = plain.Entry.tracked

    async def a_create(self) -> None:
        self.engine = await open_database(self.path)

    async def a_close(self) -> None:
        await self.engine.close_connection_pool()

    async def _insert_all(self, table: Any, objects: Sequence[Any]) -> None:
        for start in range(0, len(objects), BATCH):
            await table.insert(*objects[start : start + BATCH])

    async def a_insert(self, rows: Sequence[AuthorRow]) -> None:
        async with self.engine.transaction():
            await self._insert_all(Author, [new_author(row) for row in rows])

    async def a_load(self) -> Sequence[Any]:
        return await Author.objects()

    async def a_get_each(self, keys: Sequence[int]) -> Sequence[Any]:
        return [await Author.objects().get(Author.id == key) for key in keys]

    async def a_update_all(self) -> None:
        async with self.engine.transaction():
            for author in await Author.objects():
                author.age += 1
                await author.save([Author.age])

    async def a_insert_books(self, shelves: Sequence[Shelf]) -> None:
        authors = [new_author(row) for row, _ in shelves]
        books = [
            Book(id=number, title=title, pages=pages, author=author)
            for author, (_, rows) in zip(authors, shelves, strict=True)
            for number, title, pages in rows
        ]
        async with self.engine.transaction():
            await self._insert_all(Author, authors)
            await self._insert_all(Book, books)

    async def a_load_books(self) -> Sequence[Any]:
        books = await Book.objects(Book.author)
        for book in books:
            book.author.name
        return books

    async def a_delete_all(self) -> None:
        """Delete by the loaded objects' keys: there is no delete of many objects."""
        async with self.engine.transaction():
            for keys in batches(author.id for author in await Author.objects()):
                await Author.delete().where(Author.id.is_in(keys))

    async def a_small_each(self, keys: Sequence[int]) -> None:
        for key in keys:
            async with self.engine.transaction():
                author: Any = await Author.objects().get(Author.id == key)
                author.age += 1
                await author.save([Author.age])
