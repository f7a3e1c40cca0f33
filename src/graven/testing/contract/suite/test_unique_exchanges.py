"""Unique values that change hands within one commit."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from graven import ConcurrentUpdate, Model, UniqueError, field, key
from graven.testing.contract import EXCHANGES

Open = Callable[..., Any]


class Seat(Model, unique=(("row", "place"),)):
    id: int = key()
    label: str = field(unique=True)
    number: int | None = field(unique=True, default=None)
    token: UUID = field(unique=True, default_factory=lambda: UUID(int=next(tokens)))
    row: int = 0
    place: int = 0


class Loose(Model, guard="fields"):
    id: int = key()
    label: str = field(unique=True)
    note: str = ""


class Unguarded(Model, guard="none"):
    id: int = key()
    label: str = field(unique=True)
    note: str = ""


class Holder(Model):
    id: int = key()
    seat: Seat = field(unique=True)


class Rank(enum.Enum):
    FIRST = "first"
    SECOND = "second"


class Runner(Model):
    id: int = key()
    rank: Rank = field(unique=True)


tokens = iter(range(1, 1_000_000))


@pytest.fixture
def db(open_db: Open) -> Any:
    db = open_db(Holder, Loose, Unguarded, Runner)
    with db.session() as session:
        seats = [Seat(id=n, label=f"seat {n}", number=n, row=1, place=n) for n in range(3)]
        session.add(*(Holder(id=seat.id, seat=seat) for seat in seats))
        session.add(*(model(id=n, label=f"{n}") for model in (Loose, Unguarded) for n in range(3)))
        session.add(Runner(id=1, rank=Rank.FIRST), Runner(id=2, rank=Rank.SECOND))
    return db


def values(db: Any, model: Any, name: str) -> dict[int, Any]:
    with db.session() as session:
        return {one.id: getattr(one, name) for one in session.query(model).all()}


@pytest.mark.needs(EXCHANGES)
@pytest.mark.parametrize("name", ["label", "number", "token", "place"])
def test_two_objects_exchange_a_unique_value(db: Any, name: str) -> None:
    before = values(db, Seat, name)
    with db.session() as session:
        one, two = session.get(Seat, 0), session.get(Seat, 1)
        versions = [one._origin.version, two._origin.version]
        setattr(one, name, before[1])
        setattr(two, name, before[0])
        session.commit()
        assert [one._origin.version, two._origin.version] == [n + 1 for n in versions]
        setattr(one, name, before[0])
        setattr(two, name, before[1])
        session.commit()
        setattr(one, name, before[1])
        setattr(two, name, before[0])
    assert values(db, Seat, name) == {0: before[1], 1: before[0], 2: before[2]}


@pytest.mark.needs(EXCHANGES)
def test_unique_references_are_exchanged(db: Any) -> None:
    with db.session() as session:
        holders = session.query(Holder).include(Holder.seat).order_by(Holder.id).all()
        seats = [holder.seat for holder in holders]
        for holder, seat in zip(holders, [*seats[1:], seats[0]], strict=True):
            holder.seat = seat
    assert values(db, Holder, "seat_id") == {0: 1, 1: 2, 2: 0}


@pytest.mark.needs(EXCHANGES)
@pytest.mark.parametrize("model", [Seat, Loose, Unguarded])
def test_values_go_round_and_on_to_new_objects(db: Any, model: Any) -> None:
    before = values(db, model, "label")
    with db.session() as session:
        ones = session.query(model).order_by(model.id).all()
        ones[0].label, ones[1].label, ones[2].label = before[1], before[2], "last"
        session.add(model(id=3, label=before[0], **({"place": 9} if model is Seat else {})))
        session.commit()
        ones[0].label, ones[1].label, ones[2].label = before[2], "last", before[1]
    assert values(db, model, "label") == {0: before[2], 1: "last", 2: before[1], 3: before[0]}


@pytest.mark.needs(EXCHANGES)
@pytest.mark.parametrize("model", [Loose, Unguarded])
def test_value_of_a_deleted_object_is_free_in_the_same_commit(db: Any, model: Any) -> None:
    with db.session() as session:
        session.delete(session.get(model, 0))
        session.get(model, 1).label = "0"
        session.add(model(id=3, label="1"))
    assert values(db, model, "label") == {1: "0", 2: "2", 3: "1"}


def test_lost_race_in_an_exchange_is_refused_whole(db: Any) -> None:
    with db.session() as session:
        one, two = session.get(Seat, 0), session.get(Seat, 1)
        with db.session() as other:
            other.get(Seat, 1).row = 7
        one.label, two.label = two.label, one.label
        with pytest.raises(ConcurrentUpdate) as caught:
            session.commit()
        assert [(found.key, found.found) for found in caught.value.conflicts] == [
            (1, two._origin.version + 1)
        ]
        session.rollback()
    assert values(db, Seat, "label") == {n: f"seat {n}" for n in range(3)}


def test_value_that_a_third_object_has_is_still_refused(db: Any) -> None:
    with db.session() as session:
        one, two = session.get(Loose, 0), session.get(Loose, 1)
        one.label, two.label = "1", "2"
        with pytest.raises(UniqueError, match=r"Loose 1.*label must be unique"):
            session.commit()
        session.rollback()
    assert values(db, Loose, "label") == {n: f"{n}" for n in range(3)}


def test_exchange_that_nothing_can_stand_in_for_is_refused_with_the_remedy(db: Any) -> None:
    with db.session() as session:
        one, two = session.get(Runner, 1), session.get(Runner, 2)
        one.rank, two.rank = two.rank, one.rank
        with pytest.raises(UniqueError, match=r"gives it up only in this same commit.*flush"):
            session.commit()
        session.rollback()
    assert values(db, Runner, "rank") == {1: Rank.FIRST, 2: Rank.SECOND}


def test_exchange_is_explained(db: Any) -> None:
    with db.session() as session:
        one, two = session.get(Loose, 0), session.get(Loose, 1)
        one.label, two.label = "1", "0"
        first, second, *updates = session.explain().splitlines()
        assert (first, second) == (
            "vacate loose label where id 0",
            "vacate loose label where id 1",
        )
        assert len(updates) == 2
        session.rollback()
