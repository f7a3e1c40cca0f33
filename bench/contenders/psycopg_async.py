"""psycopg 3 by hand, awaited, in the plain form."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psycopg

from bench.contenders import psycopg as plain
from bench.contenders.awaited import AwaitedContender
from bench.data import AuthorRow, Shelf
from bench.models.psycopg import SCHEMA


class Entry(AwaitedContender):
    aware = True
    values = plain.Entry.values
    book_values = plain.Entry.book_values
    tracked = plain.Entry.tracked

    async def a_create(self) -> None:
        connect = psycopg.AsyncConnection.connect
        self.connection = await connect(self.path, autocommit=True)
        await self.connection.execute(SCHEMA)

    async def a_close(self) -> None:
        await self.connection.close()

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[psycopg.AsyncCursor[Any]]:
        cursor = self.connection.cursor()
        await cursor.execute("begin")
        yield cursor
        await cursor.execute("commit")

    async def a_insert(self, rows: Sequence[AuthorRow]) -> None:
        async with self._transaction() as cursor:
            await cursor.executemany(plain.INSERT_AUTHOR, plain.author_parameters(rows))

    async def a_load(self) -> Sequence[Any]:
        return await self._rows(plain.SELECT)

    async def a_get_each(self, keys: Sequence[int]) -> Sequence[Any]:
        execute = self.connection.execute
        return [await (await execute(plain.SELECT_ONE, (key,))).fetchone() for key in keys]

    async def a_update_all(self) -> None:
        async with self._transaction() as cursor:
            rows = await self._rows(plain.SELECT)
            await cursor.executemany(plain.UPDATE, [(row[3] + 1, row[0]) for row in rows])

    async def a_insert_books(self, shelves: Sequence[Shelf]) -> None:
        async with self._transaction() as cursor:
            authors = plain.author_parameters([row for row, _ in shelves])
            await cursor.executemany(plain.INSERT_AUTHOR, authors)
            await cursor.executemany(plain.INSERT_BOOK, plain.book_parameters(shelves))

    async def a_load_books(self) -> Sequence[Any]:
        self.authors = {row[0]: row for row in await self._rows(plain.SELECT)}
        books = await self._rows(plain.SELECT_BOOKS)
        for book in books:
            self.authors[book[3]][1]
        return books

    async def a_delete_all(self) -> None:
        async with self._transaction() as cursor:
            rows = await self._rows(plain.SELECT)
            await cursor.executemany(plain.DELETE, [(row[0],) for row in rows])

    async def a_small_each(self, keys: Sequence[int]) -> None:
        execute = self.connection.execute
        for key in keys:
            await execute("begin")
            row: Any = await (await execute(plain.SELECT_ONE, (key,))).fetchone()
            await execute(plain.UPDATE, (row[3] + 1, key))
            await execute("commit")

    async def _rows(self, query: Any) -> list[tuple[Any, ...]]:
        return await (await self.connection.execute(query)).fetchall()
