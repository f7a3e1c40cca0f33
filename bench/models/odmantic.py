"""The model in ODMantic."""

from datetime import datetime
from typing import ClassVar

from motor.motor_asyncio import AsyncIOMotorClient
from odmantic import AIOEngine, Field, Model, Reference


class Author(Model):
    id: int = Field(primary_field=True)
    name: str
    email: str
    age: int
    score: float
    joined: datetime
    active: bool
    model_config: ClassVar = {"collection": "author"}


class Book(Model):
    id: int = Field(primary_field=True)
    title: str
    pages: int
    author: Author = Reference()
    model_config: ClassVar = {"collection": "book"}


def open_engine(place: str) -> AIOEngine:
    """Open the store."""
    url, _, database = place.rpartition("/")
    return AIOEngine(client=AsyncIOMotorClient(url), database=database.partition("?")[0])
