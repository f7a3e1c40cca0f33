"""What is known of many keys at once, and what is left of a session that has ended."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from random import Random

import pytest

from graven import Database, Model, Session, key
from graven.core.identity import IdentityMap


class Thing:
    """Anything that can be referred to weakly."""


def told(identity: IdentityMap, keys: range) -> list[tuple[int | None, bool]]:
    return [(identity.version(one), one in identity.absent) for one in keys]


@pytest.mark.parametrize("seed", range(20))
def test_many_versions_are_remembered_as_one_after_another(seed: int) -> None:
    dice, keys = Random(seed), range(8)
    singly, together, things = IdentityMap(), IdentityMap(), [Thing() for _ in keys]
    for _ in range(5):
        absent = dice.sample(keys, dice.randrange(4))
        chosen = dice.sample(keys, dice.randrange(len(keys)))
        versions = [dice.choice((1, 1, 1, 2, 3)) for _ in chosen]
        for identity in (singly, together):
            identity.absent.update(absent)
            for one in chosen:
                identity.enter(one, things[one])
        for one, version in zip(chosen, versions, strict=True):
            singly.remember(one, version)
        together.remember_all(chosen, versions)

        assert told(together, keys) == told(singly, keys)
        assert together.versions == singly.versions


def test_lost_records_are_known_to_be_absent_and_nothing_else_of_them() -> None:
    identity, kept, lost = IdentityMap(), Thing(), Thing()
    identity.put(1, kept, 5)
    identity.put(2, lost, 7)
    identity.bury(2, lost)
    identity.put(3, lost, 7)

    identity.lose([2, 3])

    assert told(identity, range(1, 4)) == [(5, False), (0, True), (0, True)]
    assert not identity.buried
    assert not identity.versions
    assert identity.get(1) is kept


class Jar(Model):
    id: int = key()
    size: int = 0


@pytest.fixture
def db() -> Iterator[Database]:
    with Database("sqlite://") as db:
        db.create(Jar)
        with db.session() as session:
            session.add(*(Jar(id=number) for number in range(1, 300)))
        yield db


def read_one(session: Session) -> None:
    assert session.get(Jar, 1) is not None


def read_many(session: Session) -> None:
    assert len(session.query(Jar).all()) == 299


def change_one(session: Session) -> None:
    session.get_one(Jar, 1).size += 1


def change_many(session: Session) -> None:
    for jar in session.query(Jar).all():
        jar.size += 1


@pytest.mark.parametrize("work", [read_one, read_many, change_one, change_many])
def test_an_ended_session_leaves_nothing_to_the_garbage_collector(
    db: Database, work: Callable[[Session], None]
) -> None:
    def in_a_session() -> None:
        with db.session() as session:
            work(session)

    in_a_session()
    gc.collect()
    gc.disable()
    try:
        in_a_session()
        assert gc.collect() == 0
    finally:
        gc.enable()
