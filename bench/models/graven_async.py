"""The model in graven, awaited."""

import asyncio

from bench.models.graven import Author, Book, url
from graven import AsyncDatabase


async def open_database(place: str) -> AsyncDatabase:
    """Open the store; WAL and foreign keys are graven's defaults."""
    db = AsyncDatabase(url(place))
    await db.create(Author, Book)
    return db


def connect(path: str) -> None:
    """Open the file and close it again (what W10 starts)."""

    async def once() -> None:
        db = await open_database(path)
        await db.close()

    asyncio.run(once())
