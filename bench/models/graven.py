"""The model in graven, blocking."""

import os
from datetime import datetime

from graven import Database, Model, field, key

# MongoDB keeps milliseconds, and graven asks for that to be said.
_JOINED = {"precision": "ms"} if os.environ.get("BENCH_DB", "").startswith("mongodb") else {}


class Author(Model):
    id: int = key()
    name: str
    email: str
    age: int
    score: float
    joined: datetime = field(**_JOINED)
    active: bool


class Book(Model):
    id: int = key()
    title: str
    pages: int
    author: Author


def url(place: str) -> str:
    """The URL of a place, which may be the path of a file."""
    return place if "://" in place else f"sqlite:///{place}?synchronous=normal"


def connect(place: str) -> Database:
    """Open the store; WAL and foreign keys are graven's defaults."""
    db = Database(url(place))
    db.create(Author, Book)
    return db
