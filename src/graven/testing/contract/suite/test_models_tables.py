"""What ``db.create`` makes of models, what it mends, and what it refuses."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

import pytest

from graven import DataError, MappingError, Model, UniqueError, field
from graven.testing.contract import count, shape


class Kind(enum.Enum):
    A = "a"
    B = "b"


class OldBook(Model, table="book"):
    id: int
    title: str = field(index=True)
    writer: OldWriter
    rating: int = 0


class OldWriter(Model, table="writer"):
    id: int
    name: str


class NewBook(Model, table="book"):
    id: int
    name: str = field(renamed_from=("heading", "title"), index=True)
    author: NewWriter = field(renamed_from="writer")
    rating: int = 0
    kind: Kind | None = None
    notes: list[str] | None = field(default=None)


class NewWriter(Model, table="writer"):
    id: int
    name: str


class Stricter(Model, table="book"):
    id: int
    title: str
    writer: OldWriter
    rating: int = 0
    pages: int


class OtherType(Model, table="book"):
    id: int
    title: int
    writer: OldWriter
    rating: int = 0


class OtherKey(Model, table="book"):
    title: str = field()
    writer: OldWriter
    rating: int = 0


class Email(Model, unique=(("host", "user"),)):
    id: int
    user: str
    host: str
    label: str | None = field(default=None, unique=True)


class Pet(Model):
    id: int
    name: str = field(unique=True)


class Fish(Pet):
    kind: Kind = Kind.A
    depth: int


class Bird(Pet):
    kind: Kind2


class Kind2(enum.Enum):
    C = "c"


def library(db: Any) -> None:
    with db.session() as session:
        session.add(OldBook(id=1, title="Notes", writer=OldWriter(id=7, name="Ada"), rating=5))


def columns(db: Any, table: str) -> list[str]:
    return [name for name, _, _ in shape(db, table).columns]


def test_a_renamed_column_and_reference_keep_their_values(open_db: Callable[..., Any]) -> None:
    db = open_db(OldBook)
    library(db)

    db.create(NewBook)
    db.create(NewBook)

    with db.session() as session:
        book = session.query(NewBook).include(NewBook.author).one()
        assert (book.name, book.author.name, book.rating, book.kind) == ("Notes", "Ada", 5, None)
        book.kind, book.notes = Kind.B, ["kept"]
    with db.session() as session:
        book = session.query(NewBook).where(NewBook.name == "Notes").one()
        assert (book.kind, book.notes) == (Kind.B, ["kept"])
    names = ["author_id", "id", "kind", "name", "notes", "rating", "version"]
    assert sorted(columns(db, "book")) == names


@pytest.mark.parametrize(
    ("model", "words", "column"),
    [
        (Stricter, "must not be null.*renamed_from", "pages"),
        (OtherType, "expected a column for int, found type", "title"),
        (OtherKey, "id", "id"),
    ],
    ids=["required", "type", "key"],
)
def test_a_table_that_does_not_fit_is_refused_and_left_alone(
    open_db: Callable[..., Any], model: Any, words: str, column: str
) -> None:
    db = open_db(OldBook)
    library(db)
    before = shape(db, "book")

    with pytest.raises(MappingError, match=words) as caught:
        db.create(Email, model)

    assert (caught.value.table, caught.value.field) == ("book", column)
    assert shape(db, "book") == before
    assert shape(db, "email") is None
    with db.session() as session:
        assert session.query(OldBook).one().title == "Notes"


def test_unique_fields_and_groups_are_kept_by_the_store(open_db: Callable[..., Any]) -> None:
    db = open_db(Email)
    with db.session() as session:
        session.add(
            Email(id=1, user="a", host="x"),
            Email(id=2, user="b", host="x", label="one"),
            Email(id=3, user="a", host="y"),
        )
    for bad, columns_named in (
        (Email(id=4, user="b", host="x"), {"host", "user"}),
        (Email(id=4, user="c", host="x", label="one"), {"label"}),
    ):
        with db.session() as session:
            session.add(bad)
            with pytest.raises(UniqueError) as caught:
                session.commit()
            assert (caught.value.model, caught.value.key) == ("Email", 4)
            assert set(caught.value.columns) == columns_named
            session.rollback()
    assert count(db, Email) == 3


def test_classes_of_one_table_have_their_own_required_fields_and_members(
    open_db: Callable[..., Any],
) -> None:
    db = open_db(Pet)
    with db.session() as session:
        session.add(Fish(id=1, name="f", depth=3), Bird(id=2, name="b", kind=Kind2.C))
        fish = Fish(id=3, name="g", depth=None)
        session.add(fish)
        with pytest.raises(DataError, match=r"Fish\.depth"):
            session.commit()
        fish.depth = 1
        fish.name = "f"
        with pytest.raises(UniqueError):
            session.commit()
        fish.name = "h"
    with db.session() as session:
        assert [(one.name, one.kind) for one in session.query(Pet).order_by(Pet.id).all()] == [
            ("f", Kind.A),
            ("b", Kind2.C),
            ("h", Kind.A),
        ]
