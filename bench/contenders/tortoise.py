"""Tortoise ORM over aiosqlite: `bulk_create`, `bulk_update`, prefetching; it has no session."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tortoise import Tortoise, connections
from tortoise.transactions import in_transaction

from bench.contenders.awaited import AwaitedContender
from bench.contenders.base import batches
from bench.data import AuthorRow, Shelf
from bench.models.tortoise import Author, Book, open_database

UPDATE_BATCH = 100


def new_author(row: AuthorRow) -> Author:
    i, name, mail, age, score, at, on = row
    return Author(id=i, name=name, email=mail, age=age, score=score, joined=at, active=on)


class Entry(AwaitedContender):
    @contextmanager
    def tracked(self) -> Iterator[Sequence[Any]]:
        yield self.load()

    async def a_create(self) -> None:
        await open_database(self.path)
        await Tortoise.generate_schemas()

    async def a_close(self) -> None:
        await connections.close_all()

    async def a_insert(self, rows: Sequence[AuthorRow]) -> None:
        await Author.bulk_create([new_author(row) for row in rows])

    async def a_load(self) -> Sequence[Any]:
        return await Author.all()

    async def a_get_each(self, keys: Sequence[int]) -> Sequence[Any]:
        return [await Author.get(id=key) for key in keys]

    async def a_update_all(self) -> None:
        async with in_transaction():
            authors = await Author.all()
            for author in authors:
                author.age += 1
            await Author.bulk_update(authors, ["age"], batch_size=UPDATE_BATCH)

    async def a_insert_books(self, shelves: Sequence[Shelf]) -> None:
        authors = [new_author(row) for row, _ in shelves]
        async with in_transaction():
            await Author.bulk_create(authors)
            await Book.bulk_create(
                [
                    Book(id=number, title=title, pages=pages, author_id=author.id)
                    for author, (_, rows) in zip(authors, shelves, strict=True)
                    for number, title, pages in rows
                ]
            )

    async def a_load_books(self) -> Sequence[Any]:
        books = await Book.all().prefetch_related("author")
        for book in books:
            book.author.name
        return books

    async def a_delete_all(self) -> None:
        """Delete by the loaded objects' keys: object by object would take ten times as long."""
        async with in_transaction():
            for keys in batches(author.id for author in await Author.all()):
                await Author.filter(id__in=keys).delete()

    async def a_small_each(self, keys: Sequence[int]) -> None:
        for key in keys:
            async with in_transaction():
                author = await Author.get(id=key)
                author.age += 1
                await author.save(update_fields=["age"])
