"""How often MongoDB is asked for what: a small commit is one command, a larger one two."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from graven import Model, UniqueError, field, key, many_to_many, owned
from graven.testing.contract.proxy import Colour
from tests.mongo.wiretap import Wiretap


class Purse(Model):
    id: int = key()
    coins: int = 0


class Owner(Model):
    id: int = key()
    name: str = field(default="", unique=True)
    pets: list[Pet] = owned("owner")
    tags: list[Tag] = many_to_many()


class Pet(Model):
    id: int = key()
    owner: Owner


class Tag(Model):
    id: int = key()


class Numbered(Model):
    id: int = key(store_made=True)
    note: str = ""


@pytest.fixture
def tap(url: str) -> Iterator[Wiretap]:
    found = Wiretap(url)
    yield found
    found.close()


@pytest.fixture
def db(tap: Wiretap, url: str, colour: Colour) -> Any:
    db = colour.open(tap.url(url))
    db.create(Purse, Owner, Pet, Tag, Numbered)
    with db.session() as session:
        session.add(Purse(id=1), Purse(id=2), Owner(id=1, name="Ada"), Tag(id=1))
    with db.transaction():
        pass  # what graven keeps for itself is made before the first one
    return db


def asked(tap: Wiretap, work: Callable[[], Any]) -> list[str]:
    tap.watch()
    work()
    return list(tap.commands)


def test_the_commit_of_one_document_is_one_command_without_a_transaction(
    db: Any, tap: Wiretap
) -> None:
    with db.session() as session:
        purse = session.get(Purse, 1)
        purse.coins = 5
        assert asked(tap, session.commit) == ["update"]
        session.add(Purse(id=3))
        assert asked(tap, session.commit) == ["insert"]
        session.delete(purse)
        assert asked(tap, session.commit) == ["find", "delete"]  # who refers to it?


def test_the_commit_of_several_documents_is_one_command_and_the_commit(
    db: Any, tap: Wiretap
) -> None:
    with db.session() as session:
        one, two = session.get(Purse, 1), session.get(Purse, 2)
        one.coins, two.coins = 1, 2
        session.add(Purse(id=3), Tag(id=2))
        assert asked(tap, session.commit) == ["bulkWrite", "commitTransaction"]
        session.add(*[Purse(id=n) for n in range(1000, 3000)])
        assert asked(tap, session.commit) == ["insert", "commitTransaction"]
        for purse in session.query(Purse).all():
            purse.coins += 1
        assert asked(tap, session.commit) == ["update", "commitTransaction"]


def test_what_is_referred_to_is_looked_after_in_the_same_command(db: Any, tap: Wiretap) -> None:
    with db.session() as session:
        owner, tag = session.get(Owner, 1), session.get(Tag, 1)
        session.add(Pet(id=1, owner=owner))
        assert asked(tap, session.commit) == ["bulkWrite", "commitTransaction"]
        session.load(owner, Owner.tags)
        owner.tags.append(tag)
        assert asked(tap, session.commit) == ["bulkWrite", "commitTransaction"]


def test_a_serializable_transfer_takes_two_commands_to_commit(db: Any, tap: Wiretap) -> None:
    with db.session(isolation="serializable") as session:
        one, two = session.get(Purse, 1), session.get(Purse, 2)
        one.coins, two.coins = 1, 2
        commands = asked(tap, session.commit)
    written = [one for one in commands if one != "abortTransaction"]
    assert written == ["update", "commitTransaction"]


def test_keys_made_by_the_store_take_one_command_for_all(db: Any, tap: Wiretap) -> None:
    with db.session() as session:
        session.add(*[Numbered() for _ in range(50)])
        commands = asked(tap, session.commit)
        assert commands == ["findAndModify", "insert", "commitTransaction"]


def test_reading_by_key_is_one_command_and_so_is_a_query(db: Any, tap: Wiretap) -> None:
    with db.session() as session:
        assert asked(tap, lambda: session.get(Purse, 1)) == ["find"]
        query = session.query(Pet).where(Pet.owner.name == "Ada")
        assert asked(tap, query.all) == ["aggregate"]


def test_a_refusal_is_explained_by_few_commands(db: Any, tap: Wiretap) -> None:
    with db.session() as session:
        session.add(Owner(id=2, name="Ada"), Purse(id=9))

        def refused() -> None:
            with pytest.raises(UniqueError):
                session.commit()

        assert len(asked(tap, refused)) <= 8
        session.rollback()
