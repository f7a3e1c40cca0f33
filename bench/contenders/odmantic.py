"""ODMantic: `save_all`, which writes object by object; it has no unit of work."""

from collections.abc import Sequence
from typing import Any

from bench.contenders.awaited import AwaitedContender
from bench.data import AuthorRow, Shelf
from bench.models.odmantic import Author, Book, open_engine


def new_author(row: AuthorRow) -> Author:
    i, name, mail, age, score, at, on = row
    return Author(id=i, name=name, email=mail, age=age, score=score, joined=at, active=on)


class Entry(AwaitedContender):
    def tracked(self) -> Any:
        raise NotImplementedError

    async def a_create(self) -> None:
        self.engine = open_engine(self.path)

    async def a_close(self) -> None:
        self.engine.client.close()

    async def a_insert(self, rows: Sequence[AuthorRow]) -> None:
        await self.engine.save_all([new_author(row) for row in rows])

    async def a_load(self) -> Sequence[Any]:
        return await self.engine.find(Author)

    async def a_get_each(self, keys: Sequence[int]) -> Sequence[Any]:
        return [await self.engine.find_one(Author, Author.id == key) for key in keys]

    async def a_update_all(self) -> None:
        authors = await self.engine.find(Author)
        for author in authors:
            author.age += 1
        await self.engine.save_all(authors)

    async def a_insert_books(self, shelves: Sequence[Shelf]) -> None:
        authors = [new_author(row) for row, _ in shelves]
        await self.engine.save_all(
            [
                Book(id=number, title=title, pages=pages, author=author)
                for author, (_, rows) in zip(authors, shelves, strict=True)
                for number, title, pages in rows
            ]
        )

    async def a_load_books(self) -> Sequence[Any]:
        books = await self.engine.find(Book)
        for book in books:
            book.author.name
        return books

    async def a_delete_all(self) -> None:
        for author in await self.engine.find(Author):
            await self.engine.delete(author)

    async def a_small_each(self, keys: Sequence[int]) -> None:
        for key in keys:
            async with self.engine.transaction() as transaction:
                author: Any = await transaction.find_one(Author, Author.id == key)
                author.age += 1
                await transaction.save(author)
                await transaction.commit()
