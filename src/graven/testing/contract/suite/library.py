"""A small library of models that refer to each other, for the tests of queries and of loading."""

from __future__ import annotations

from typing import Any

from graven import Model, key


class Land(Model):
    id: int = key()
    name: str | None = None


class Writer(Model):
    id: int = key()
    name: str | None = None
    land: Land | None = None


class Novel(Model):
    id: int = key()
    title: str | None = None
    price: int | None = None
    writer: Writer | None = None
    editor: Writer | None = None


class Shelf(Model):
    """Has a key of two parts."""

    room: str = key()
    row: int = key()
    name: str = ""


class Place(Model):
    id: int = key()
    shelf: Shelf | None = None
    writer: Writer | None = None


def library() -> list[Any]:
    """Return lands, writers and novels; what they refer to is null here and there."""
    north, south, nameless = Land(id=1, name="North"), Land(id=2, name="South"), Land(id=3)
    writers = [
        Writer(id=1, name="Ada", land=north),
        Writer(id=2, name="Bob", land=south),
        Writer(id=3, name="Cid"),
        Writer(id=4, land=nameless),
    ]
    ada, bob, cid, nobody = writers
    novels = [
        Novel(id=1, title="Iron", price=10, writer=ada, editor=bob),
        Novel(id=2, title="Ash", price=20, writer=ada),
        Novel(id=3, title="Elm", price=10, writer=bob, editor=bob),
        Novel(id=4, title="Oak", writer=cid, editor=ada),
        Novel(id=5, price=5, writer=nobody, editor=cid),
        Novel(id=6, title="Fir", price=30),
    ]
    return [north, south, nameless, *writers, *novels]


def ids(objects: Any) -> list[int]:
    """Return the keys of objects."""
    return [one.id for one in objects]
