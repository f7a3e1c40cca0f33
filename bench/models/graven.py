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


def connect(path: str) -> Database:
    """Open the file; WAL and foreign keys are graven's defaults."""
    db = Database(f"sqlite:///{path}?synchronous=normal")
    db.create(Author, Book)
    return db
