"""isolation="serializable", which MongoDB itself does not have: no write skew, no phantoms.

Everything is done by threads at the same time, so that transactions really meet.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from graven import Database, ForeignKeyError, Model, NotFoundError, TransientError, key
from graven.testing.contract import count, rows
from tests.mongo.raw import Raw


class Doctor(Model):
    id: int = key()
    on_call: bool = True
    shift: int = 0


class Booking(Model):
    id: int = key()
    room: int = 0


class Owner(Model):
    id: int = key()


class Pet(Model):
    id: int = key()
    owner: Owner


def together(*works: Callable[[], object]) -> list[BaseException | None]:
    """Run all at once; return how each has ended."""
    barrier = threading.Barrier(len(works))
    ends: list[BaseException | None] = [None] * len(works)

    def run(at: int, work: Callable[[], object]) -> None:
        barrier.wait()
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - it is looked at by the test
            ends[at] = error

    threads = [threading.Thread(target=run, args=one) for one in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return ends


@pytest.fixture
def db(url: str) -> Any:
    with Database(url) as db:
        db.create(Doctor, Booking, Owner, Pet)
        yield db


def test_of_two_doctors_who_leave_at_once_one_stays(db: Any) -> None:
    def leave(me: int, shift: int) -> None:
        with db.session(isolation="serializable") as session:
            doctors = [session.get_one(Doctor, n) for n in (2 * shift, 2 * shift + 1)]
            if all(one.on_call for one in doctors):
                doctors[me].on_call = False

    with db.session() as session:
        session.add(*[Doctor(id=n) for n in range(40)])
    for shift in range(20):
        ends = together(lambda n=shift: leave(0, n), lambda n=shift: leave(1, n))
        assert all(isinstance(one, TransientError | None) for one in ends)
        on_call = [rows(db, Doctor, "on_call", id=n)[0][0] for n in (2 * shift, 2 * shift + 1)]
        assert any(on_call), f"shift {shift}"


def test_a_room_that_is_asked_for_by_query_is_booked_once(db: Any) -> None:
    """Both find no booking of the room; only one may insert its own."""

    def book(room: int, number: int) -> None:
        for attempt in db.attempts():
            with attempt as session:
                if not session.query(Booking).where(Booking.room == room).exists():
                    session.add(Booking(id=number, room=room))

    for room in range(12):
        ends = together(*(lambda n=n, room=room: book(room, 10 * room + n) for n in range(3)))
        assert ends == [None] * 3
        assert count(db, Booking, room=room) == 1


def test_counters_of_many_threads_lose_nothing(db: Any) -> None:
    with db.session() as session:
        session.add(*[Doctor(id=n) for n in range(3)])

    def add() -> None:
        for _ in range(8):
            for attempt in db.attempts(limit=None, deadline_s=60):
                with attempt as session:
                    for n in range(3):
                        session.get_one(Doctor, n).shift += 1

    assert together(*[add] * 4) == [None] * 4
    assert rows(db, Doctor, "shift") == [(32,)] * 3


def test_what_is_referred_to_is_not_deleted_at_the_same_time(db: Any) -> None:
    for n in range(15):
        with db.session() as session:
            session.add(Owner(id=n))

        def adopt(n: int = n) -> None:
            with db.session() as session:
                session.add(Pet(id=n, owner=session.get_one(Owner, n)))

        def leave(n: int = n) -> None:
            with db.session() as session:
                session.delete(session.get_one(Owner, n))

        ends = together(adopt, leave)
        allowed = ForeignKeyError | NotFoundError | TransientError | None
        assert all(isinstance(one, allowed) for one in ends)
        owner, pet = count(db, Owner, id=n), count(db, Pet, id=n)
        assert owner >= pet, f"round {n}: {ends}"


def test_touches_are_no_fields_and_leave_versions_alone(db: Any, raw: Raw) -> None:
    with db.session() as session:
        session.add(Doctor(id=1), Doctor(id=2))
    with db.session(isolation="serializable") as session:
        session.get_one(Doctor, 1)
        session.get_one(Doctor, 2).on_call = False
    documents = {one["_id"]: one for one in raw.client.get_default_database()["doctor"].find()}
    assert documents[1].pop("_graven_touched") == 1
    with db.session() as session:
        first, second = session.get_one(Doctor, 1), session.get_one(Doctor, 2)
        assert not hasattr(first, "_graven_touched")
        first.shift = second.shift = 1
    versions = dict(rows(db, Doctor, "id", "version"))
    assert versions[2] == versions[1] + 1
