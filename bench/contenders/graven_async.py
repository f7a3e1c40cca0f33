"""graven, awaited. Objects are the blocking colour's, so what is about them alone is left out."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

from bench.contenders.awaited import AwaitedContender
from bench.contenders.graven import new_authors, new_books
from bench.data import AuthorRow, Shelf
from bench.models.graven_async import Author, Book, open_database
from graven import atomic


@atomic
async def birthday(author: Author) -> int:
    author.age += 1
    return author.age


class Entry(AwaitedContender):
    aware = True
    operations = True
    skips = frozenset({"W3b", "W7r", "W7w", "W7f", "W9"})

    def tracked(self) -> AbstractContextManager[Sequence[Any]]:
        raise NotImplementedError

    async def a_create(self) -> None:
        self.db = await open_database(self.path)

    async def a_close(self) -> None:
        await self.db.close()

    async def a_insert(self, rows: Sequence[AuthorRow]) -> None:
        async with self.db.session() as session:
            session.add(*new_authors(rows))

    async def a_load(self) -> Sequence[Any]:
        async with self.db.session() as session:
            return await session.query(Author).all()

    async def a_get_each(self, keys: Sequence[int]) -> Sequence[Any]:
        async with self.db.session() as session:
            get = session.get
            return [await get(Author, key) for key in keys]

    async def a_update_all(self) -> None:
        async with self.db.session() as session:
            for author in await session.query(Author).all():
                author.age += 1

    async def a_insert_books(self, shelves: Sequence[Shelf]) -> None:
        async with self.db.session() as session:
            authors = new_authors(row for row, _ in shelves)
            session.add(*authors, *new_books(authors, shelves))

    async def a_load_books(self) -> Sequence[Any]:
        async with self.db.session() as session:
            books = await session.query(Book).include(Book.author).all()
            for book in books:
                book.author.name
            return books

    async def a_delete_all(self) -> None:
        async with self.db.session() as session:
            session.delete(*await session.query(Author).all())

    async def a_small_each(self, keys: Sequence[int]) -> None:
        for key in keys:
            async with self.db.session() as session:
                author = await session.get(Author, key)
                author.age += 1

    def arguments(self, keys: Sequence[int]) -> Sequence[Any]:
        found: Sequence[Any] = self.run(self._arguments(keys))
        return found

    async def _arguments(self, keys: Sequence[int]) -> Sequence[Any]:
        async with self.db.session() as session:
            return [await session.get(Author, key) for key in keys]

    def operate_each(self, arguments: Sequence[Any]) -> None:
        self.run(self._operate_each(arguments))

    async def _operate_each(self, arguments: Sequence[Any]) -> None:
        for author in arguments:
            await birthday(author)

    def hops(self, count: int) -> None:
        """A yardstick: bare round trips between the event loop and a thread."""
        self.run(self._hops(count))

    async def _hops(self, count: int) -> None:
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1) as thread:
            for _ in range(count):
                await loop.run_in_executor(thread, _nothing)


def _nothing() -> None:
    return None
