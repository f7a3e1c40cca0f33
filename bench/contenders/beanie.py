"""Beanie: `insert_many`, `BulkWriter`, `fetch_links`; it has no unit of work."""

from collections.abc import Sequence
from typing import Any

from beanie import BulkWriter

from bench.contenders.awaited import AwaitedContender
from bench.data import AuthorRow, Shelf
from bench.models.beanie import Author, Book, open_client


def new_author(row: AuthorRow) -> Author:
    i, name, mail, age, score, at, on = row
    return Author(id=i, name=name, email=mail, age=age, score=score, joined=at, active=on)


class Entry(AwaitedContender):
    skips = frozenset({"W5l"})  # its lookup by links is not understood by the server used here

    def tracked(self) -> Any:
        raise NotImplementedError

    async def a_create(self) -> None:
        self.client = await open_client(self.path)

    async def a_close(self) -> None:
        await self.client.close()

    async def a_insert(self, rows: Sequence[AuthorRow]) -> None:
        await Author.insert_many([new_author(row) for row in rows])

    async def a_load(self) -> Sequence[Any]:
        return await Author.find_all().to_list()

    async def a_get_each(self, keys: Sequence[int]) -> Sequence[Any]:
        return [await Author.get(key) for key in keys]

    async def a_update_all(self) -> None:
        async with BulkWriter() as writer:
            for author in await Author.find_all().to_list():
                author.age += 1
                await author.set({Author.age: author.age}, bulk_writer=writer)

    async def a_insert_books(self, shelves: Sequence[Shelf]) -> None:
        authors = [new_author(row) for row, _ in shelves]
        await Author.insert_many(authors)
        await Book.insert_many(
            [
                Book(id=number, title=title, pages=pages, author=author)
                for author, (_, rows) in zip(authors, shelves, strict=True)
                for number, title, pages in rows
            ]
        )

    async def a_load_books(self) -> Sequence[Any]:
        books = await Book.find_all(fetch_links=True).to_list()
        for book in books:
            book.author.name
        return books

    async def a_delete_all(self) -> None:
        async with BulkWriter() as writer:
            for author in await Author.find_all().to_list():
                await author.delete(bulk_writer=writer)

    async def a_small_each(self, keys: Sequence[int]) -> None:
        async with self.client.start_session() as session:
            for key in keys:
                async with await session.start_transaction():
                    author: Any = await Author.get(key, session=session)
                    await author.set({Author.age: author.age + 1}, session=session)
