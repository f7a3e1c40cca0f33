"""The model in graven, blocking."""

from datetime import datetime

from graven import Database, Model, key


class Author(Model):
    id: int = key()
    name: str
    email: str
    age: int
    score: float
    joined: datetime
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
