"""PyMongo by hand, awaited."""

from collections.abc import Sequence
from typing import Any

from pymongo import AsyncMongoClient

from bench.contenders import pymongo as plain
from bench.contenders.awaited import AwaitedContender
from bench.data import AuthorRow, Shelf


class Entry(AwaitedContender):
    values = plain.Entry.values
    book_values = plain.Entry.book_values
    tracked = plain.Entry.tracked

    async def a_create(self) -> None:
        self.client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(self.path)
        database = self.client.get_default_database()
        self.authors, self.books = database["author"], database["book"]

    async def a_close(self) -> None:
        await self.client.close()

    async def a_insert(self, rows: Sequence[AuthorRow]) -> None:
        await self.authors.insert_many(plain.author_documents(rows))

    async def a_load(self) -> Sequence[Any]:
        return await self.authors.find().to_list()

    async def a_get_each(self, keys: Sequence[int]) -> Sequence[Any]:
        return [await self.authors.find_one({"_id": key}) for key in keys]

    async def a_update_all(self) -> None:
        await self.authors.bulk_write(plain.birthdays(await self.authors.find().to_list()))

    async def a_insert_books(self, shelves: Sequence[Shelf]) -> None:
        await self.authors.insert_many(plain.author_documents([row for row, _ in shelves]))
        await self.books.insert_many(plain.book_documents(shelves))

    async def a_load_books(self) -> Sequence[Any]:
        books = await self.books.find().to_list()
        return plain.joined(books, await self.authors.find().to_list())

    async def a_delete_all(self) -> None:
        keys = [one["_id"] for one in await self.authors.find().to_list()]
        await self.authors.delete_many({"_id": {"$in": keys}})

    async def a_small_each(self, keys: Sequence[int]) -> None:
        authors = self.authors
        async with self.client.start_session() as session:
            for key in keys:
                async with await session.start_transaction():
                    author: Any = await authors.find_one({"_id": key}, session=session)
                    change = {"$set": {"age": author["age"] + 1}}
                    await authors.update_one({"_id": key}, change, session=session)
