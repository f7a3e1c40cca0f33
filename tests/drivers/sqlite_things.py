"""Tables, rows and helpers that the tests of SQLite share."""

from pathlib import Path as File
from typing import Any

from graven.drivers.sqlite import SQLiteConnection
from graven.ops.conditions import (
    Select,
)
from graven.ops.requests import (
    Fetch,
    Insert,
)
from graven.ops.schema import Column, Reference, Table

AUTHOR = Table(
    "author",
    (
        Column("id", "int"),
        Column("name", "str"),
        Column("email", "str", nullable=True, unique=True),
        Column("version", "int"),
    ),
    ("id",),
    "version",
)
BOOK = Table(
    "book",
    (Column("id", "int"), Column("title", "str"), Column("author_id", "int", nullable=True)),
    ("id",),
    references=(Reference(("author_id",), "author", ("id",)),),
    store_made=True,
)
THING = Table(
    "thing",
    (
        Column("id", "int"),
        Column("number", "int", nullable=True),
        Column("text", "str", nullable=True),
        Column("price", "decimal", nullable=True),
        Column("other_id", "int", nullable=True),
    ),
    ("id",),
)
COLUMNS = ("id", "name", "email", "version")
ALL = Select(AUTHOR, COLUMNS)


def url(folder: File, name: str = "test.db") -> str:
    return f"sqlite:///{folder / name}"


def author(number: int, name: str = "Ada", email: str | None = None) -> tuple[object, ...]:
    return (number, name, email, 1)


def add(connection: SQLiteConnection, *rows: tuple[object, ...]) -> None:
    connection.perform(Insert(AUTHOR, COLUMNS, rows))


def rows(connection: SQLiteConnection) -> list[Any]:
    return connection.perform(Fetch(ALL))
