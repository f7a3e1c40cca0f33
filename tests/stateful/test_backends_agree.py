"""Random writes past every session: memory and SQLite allow, refuse and keep the same."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from graven import Database, Model, field, key
from graven.errors import ForeignKeyError, IntegrityError
from graven.testing.contract import delete, insert, rows, update

STEPS = 30


class Holder(Model):
    id: int = key()
    name: str | None = field(default=None, unique=True)
    size: int = field(default=0, index=True)


class Held(Model):
    id: int = key(store_made=True)
    holder: Holder | None = None


class Undone(Exception):
    """Ends a transaction."""


@pytest.fixture
def databases() -> Iterator[list[Database]]:
    with Database("memory:") as memory, Database("sqlite://") as sqlite:
        for db in (memory, sqlite):
            db.create(Holder, Held)
        yield [memory, sqlite]


def some_write(dice: random.Random) -> Callable[[Database], Any]:
    """Return one write, the same for every database that it is given."""
    number, name = dice.randrange(6), dice.choice([None, "a", "b", "c"])
    size, holder = dice.randrange(3), dice.choice([None, 0, 1, 2, 3])
    writes: list[Callable[[Database], Any]] = [
        lambda db: insert(db, Holder, id=number, name=name, size=size),
        lambda db: update(db, Holder, number, name=name, size=size),
        lambda db: delete(db, Holder, number),
        lambda db: insert(db, Held, holder_id=holder),
        lambda db: update(db, Held, number, holder_id=holder),
        lambda db: delete(db, Held, number),
    ]
    return dice.choice(writes)


def outcome(db: Database, write: Callable[[Database], Any]) -> str:
    try:
        write(db)
    except IntegrityError as error:
        return type(error).__name__
    return "written"


def together(db: Database, writes: list[Callable[[Database], Any]], is_undone: bool) -> list[str]:
    outcomes: list[str] = []
    try:
        with suppress(Undone), db.transaction():
            outcomes += [outcome(db, write) for write in writes]
            if is_undone:
                raise Undone
    except ForeignKeyError:
        outcomes.append("refused at the commit")
    return outcomes


def content(db: Database) -> list[Any]:
    return [
        rows(db, Holder, "id", "name", "size"),
        rows(db, Held, "id", "holder_id"),
        rows(db, Holder, "id", size=1),
        rows(db, Holder, "id", name="a"),
        rows(db, Held, "id", holder_id=1),
    ]


@pytest.mark.parametrize("seed", range(25))
def test_memory_and_sqlite_allow_refuse_and_keep_the_same(
    databases: list[Database], seed: int
) -> None:
    dice = random.Random(seed)
    for _ in range(STEPS):
        if dice.random() < 0.5:
            write = some_write(dice)
            outcomes = [[outcome(db, write)] for db in databases]
        else:
            writes = [some_write(dice) for _ in range(dice.randrange(1, 6))]
            is_undone = dice.random() < 0.3
            outcomes = [together(db, writes, is_undone) for db in databases]
        assert outcomes[0] == outcomes[1], f"seed {seed}"
        assert content(databases[0]) == content(databases[1]), f"seed {seed}"
