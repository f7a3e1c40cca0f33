"""One lost race among many rows, which go out by the hundred, is found, and nothing is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from graven import ConcurrentUpdate, Model, key
from graven.testing.contract import BULK

MANY = 1_203
"""More than two statements' worth of rows, and some that are left over."""


class Grain(Model):
    id: int = key()
    size: int = 0


def filled(open_db: Callable[..., Any]) -> Any:
    db = open_db(Grain)
    with db.session() as session:
        session.add(*(Grain(id=number) for number in range(MANY)))
    return db


def sizes(db: Any) -> dict[int, int]:
    with db.session() as session:
        return {one.id: one.size for one in session.query(Grain).all()}


def removed(session: Any, grains: list[Any]) -> None:
    session.delete(*grains)


def grown(session: Any, grains: list[Any]) -> None:
    for grain in grains:
        grain.size += 1


@pytest.mark.needs(BULK)
@pytest.mark.parametrize("work", [removed, grown])
@pytest.mark.parametrize("number", [0, 700, MANY - 1])
def test_the_one_that_lost_among_many_is_named_and_nothing_is_written(
    open_db: Callable[..., Any], work: Callable[[Any, list[Any]], None], number: int
) -> None:
    db = filled(open_db)
    with pytest.raises(ConcurrentUpdate) as caught, db.session() as session:
        work(session, session.query(Grain).all())
        with db.session() as other:
            other.get(Grain, number).size = 9

    assert [one.key for one in caught.value.conflicts] == [number]
    assert sizes(db) == {**dict.fromkeys(range(MANY), 0), number: 9}


def test_many_rows_of_different_versions_are_deleted_together(
    open_db: Callable[..., Any],
) -> None:
    db = filled(open_db)
    with db.session() as session:
        for grain in session.query(Grain).all():
            if grain.id % 3 == 0:
                grain.size = 1
    with db.session() as session:
        session.delete(*(one for one in session.query(Grain).all() if one.id != 5))

    assert sizes(db) == {5: 0}
