"""asyncpg by hand: its own `executemany`, records, statements that it prepares by itself."""

from collections.abc import Sequence
from typing import Any

import asyncpg

from bench.contenders import psycopg as plain
from bench.contenders.awaited import AwaitedContender
from bench.data import AuthorRow, Shelf
from bench.models.psycopg import SCHEMA

INSERT_AUTHOR = "insert into author values ($1, $2, $3, $4, $5, $6, $7)"
INSERT_BOOK = "insert into book values ($1, $2, $3, $4)"
SELECT_ONE = plain.SELECT + " where id = $1"
UPDATE = "update author set age = $1 where id = $2"
DELETE = "delete from author where id = $1"


class Entry(AwaitedContender):
    aware = True
    tracked = plain.Entry.tracked
    book_values = plain.Entry.book_values

    async def a_create(self) -> None:
        self.connection = await asyncpg.connect(self.path)
        await self.connection.execute(SCHEMA)

    async def a_close(self) -> None:
        await self.connection.close()

    async def a_insert(self, rows: Sequence[AuthorRow]) -> None:
        async with self.connection.transaction():
            await self.connection.executemany(INSERT_AUTHOR, plain.author_parameters(rows))

    async def a_load(self) -> Sequence[Any]:
        found: Sequence[Any] = await self.connection.fetch(plain.SELECT)
        return found

    async def a_get_each(self, keys: Sequence[int]) -> Sequence[Any]:
        fetch = self.connection.fetchrow
        return [await fetch(SELECT_ONE, key) for key in keys]

    async def a_update_all(self) -> None:
        async with self.connection.transaction():
            rows = await self.a_load()
            await self.connection.executemany(UPDATE, [(row[3] + 1, row[0]) for row in rows])

    async def a_insert_books(self, shelves: Sequence[Shelf]) -> None:
        async with self.connection.transaction():
            authors = plain.author_parameters([row for row, _ in shelves])
            await self.connection.executemany(INSERT_AUTHOR, authors)
            await self.connection.executemany(INSERT_BOOK, plain.book_parameters(shelves))

    async def a_load_books(self) -> Sequence[Any]:
        self.authors = {row[0]: row for row in await self.a_load()}
        books: Sequence[Any] = await self.connection.fetch(plain.SELECT_BOOKS)
        for book in books:
            self.authors[book[3]][1]
        return books

    async def a_delete_all(self) -> None:
        async with self.connection.transaction():
            rows = await self.a_load()
            await self.connection.executemany(DELETE, [(row[0],) for row in rows])

    async def a_small_each(self, keys: Sequence[int]) -> None:
        connection = self.connection
        for key in keys:
            async with connection.transaction():
                row = await connection.fetchrow(SELECT_ONE, key)
                await connection.execute(UPDATE, row[3] + 1, key)

    def values(self, author: Any) -> AuthorRow:
        row: Any = tuple(author)
        return row  # type: ignore[no-any-return]
