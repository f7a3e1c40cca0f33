"""The model in Beanie."""

from datetime import datetime
from typing import Any

from beanie import Document, Link, init_beanie
from pymongo import AsyncMongoClient


class Author(Document):
    id: int  # type: ignore[assignment]
    name: str
    email: str
    age: int
    score: float
    joined: datetime
    active: bool

    class Settings:
        name = "author"


class Book(Document):
    id: int  # type: ignore[assignment]
    title: str
    pages: int
    author: Link[Author]

    class Settings:
        name = "book"


async def open_client(place: str) -> AsyncMongoClient[Any]:
    """Open the store."""
    client: AsyncMongoClient[Any] = AsyncMongoClient(place)
    await init_beanie(client.get_default_database(), document_models=[Author, Book])
    return client
