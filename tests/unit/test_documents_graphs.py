"""A graph is restored breadth first: each class and level is asked for once."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from graven import (
    AsyncDatabase,
    Database,
    DataError,
    Model,
    ModelSerializer,
    NotFoundError,
    flatten_object,
    key,
    to_json,
    unflatten_object,
)
from graven._async import restoring as awaited
from graven._sync import restoring as blocking
from graven.models.documents.serializer import serializer


class Borough(Model):
    name: str = key()


class Citizen(Model):
    number: int = key()
    town: Borough
    friend: Citizen | None = None


@dataclasses.dataclass
class Place:
    town: Borough


class Visit(Model):
    who: Citizen
    where: Place


def drive(steps: Generator[Any, Any, list[Any]], store: dict[Any, dict[Any, Any]]) -> Any:
    """Answer out of *store*; return the result and what was asked."""
    asked: list[dict[Any, list[Any]]] = []
    found: Any = None
    while True:
        try:
            wanted = steps.send(found)
        except StopIteration as stop:
            return stop.value, asked
        asked.append(wanted)
        found = {
            model: {one: store[model][one] for one in keys if one in store.get(model, {})}
            for model, keys in wanted.items()
        }


def documents(*objects: Any) -> dict[Any, dict[Any, Any]]:
    store: dict[Any, dict[Any, Any]] = {}
    for one in objects:
        found = one.name if isinstance(one, Borough) else one.number
        store.setdefault(type(one), {})[found] = flatten_object(one)
    return store


def test_a_thousand_references_over_two_classes_are_two_questions() -> None:
    towns = [Borough(name=str(n)) for n in range(500)]
    people = [Citizen(number=n, town=towns[0]) for n in range(500)]
    state = flatten_object([*towns, *people])

    ((found,), asked) = drive(serializer.restoring([state]), documents(*towns, *people))

    assert [{model: len(keys) for model, keys in level.items()} for level in asked] == [
        {Borough: 500, Citizen: 500}
    ]
    assert [one.name for one in found[:500]] == [one.name for one in towns]
    assert all(one.town is found[0] for one in found[500:])


def test_a_cycle_in_the_store_ends_and_each_object_is_asked_for_once() -> None:
    town = Borough(name="Ulm")
    first, second = Citizen(number=1, town=town), Citizen(number=2, town=town)
    first.friend, second.friend = second, first

    ((found,), asked) = drive(
        serializer.restoring([flatten_object(first)]), documents(town, second)
    )

    assert asked == [{Borough: ["Ulm"], Citizen: [2]}]
    assert found.friend.friend is found
    assert found.friend.town is found.town


def test_a_chain_is_one_question_a_level_and_may_be_cut_off() -> None:
    town = Borough(name="Ulm")
    last = None
    people = []
    for number in range(5):
        last = Citizen(number=number, town=town, friend=last)
        people.append(last)
    store = documents(town, *people)

    ((found,), asked) = drive(serializer.restoring([flatten_object(last)]), store)
    ((cut,), fewer) = drive(serializer.restoring([flatten_object(last)], levels_max=2), store)

    assert [sorted(one.__name__ for one in level) for level in asked] == [
        ["Borough", "Citizen"],
        ["Citizen"],
        ["Citizen"],
        ["Citizen"],
    ]
    assert found.friend.friend.friend.friend.number == 0
    assert len(fewer) == 2
    assert flatten_object(cut.friend.friend) == store[Citizen][2]


def test_what_is_in_the_scope_is_not_asked_for() -> None:
    town = Borough(name="Ulm")
    state = flatten_object(Citizen(number=1, town=town))

    ((found,), asked) = drive(serializer.restoring([state], {(Borough, "Ulm"): town}), {})

    assert asked == []
    assert found.town is town


def test_references_inside_embedded_values_are_fetched_too() -> None:
    town = Borough(name="Ulm")
    who = Citizen(number=1, town=town)
    visit = ModelSerializer(Place, Borough).flatten_object(Place(town))

    ((found,), asked) = drive(
        ModelSerializer(Place, Borough, Citizen).restoring([visit]), documents(town, who)
    )

    assert asked == [{Borough: ["Ulm"]}]
    assert found.town.name == "Ulm"


def test_a_reference_that_leads_nowhere_is_refused_and_names_what_is_missing() -> None:
    state = flatten_object(Citizen(number=1, town=Borough(name="Ulm")))
    scope: dict[Any, Any] = {}

    with pytest.raises(NotFoundError, match="Borough 'Ulm', which is not in the store"):
        drive(serializer.restoring([state], scope), {})
    assert scope == {}


def test_the_document_of_another_object_is_refused() -> None:
    state = flatten_object(Citizen(number=1, town=Borough(name="Ulm")))
    wrong = {Borough: {"Ulm": flatten_object(Borough(name="Bonn"))}}

    with pytest.raises(DataError, match="the document of Borough 'Ulm'"):
        drive(serializer.restoring([state]), wrong)


# -- with the real store, in both colours ----------------------------------------------------------


def fill(db: Database) -> Any:
    db.create(Citizen)
    with db.session() as session:
        towns = [Borough(name=str(n)) for n in range(500)]
        people = [Citizen(number=n, town=towns[n]) for n in range(500)]
        people[0].friend = people[499]
        session.add(*people)
        return flatten_object([*towns, *people])


def test_a_session_restores_a_graph_of_tracked_objects_in_two_queries(tmp_path: Path) -> None:
    db = Database(f"sqlite:///{tmp_path}/a.db")
    state = fill(db)
    statements: list[str] = []
    db.on_statement(lambda text, *_: statements.append(text))

    with db.session() as session:
        (found,) = blocking.joined(session, serializer, [state], {}, [], None)
        reads = [one for one in statements if one.startswith("select")]
        assert found[500].friend is found[999]
        assert session.get(Borough, "7") is found[7] is found[507].town
        found[507].town = found[8]

    with db.session() as session:
        assert session.get(Citizen, 7).town.name == "8"
    assert len(reads) == 2
    db.close()


def test_writing_stored_objects_loads_nothing(tmp_path: Path) -> None:
    db = Database(f"sqlite:///{tmp_path}/c.db")
    fill(db)
    statements: list[str] = []

    with db.session() as session:
        citizen = session.get(Citizen, 0)
        db.on_statement(lambda text, *_: statements.append(text))
        document, text = flatten_object(citizen), to_json(citizen)

    assert document["town"] == {"__model__": "Borough", "__key__": "0"}
    assert document["friend"] == {"__model__": "Citizen", "__key__": 499}
    assert '"town":{"__model__":"Borough","__key__":"0"}' in text
    assert statements == []
    db.close()


def test_a_restored_model_can_be_stored(tmp_path: Path) -> None:
    town = Borough(name="Ulm")
    scope = {(Borough, "Ulm"): town}
    found = unflatten_object(flatten_object(Citizen(number=1, town=town)), scope)
    db = Database(f"sqlite:///{tmp_path}/d.db")
    db.create(Citizen)

    with db.session() as session:
        session.add(found)
    with db.session() as session:
        assert session.get(Citizen, 1).town.name == "Ulm"
    db.close()


def test_an_async_session_restores_with_the_same_steps(tmp_path: Path) -> None:
    with Database(f"sqlite:///{tmp_path}/b.db") as first:
        state = fill(first)

    async def restore() -> tuple[str, str]:
        db = AsyncDatabase(f"sqlite:///{tmp_path}/b.db")
        async with db.session() as session:
            (found,) = await awaited.joined(session, serializer, [state], {}, [], None)
            names = found[507].town.name, found[500].friend.town.name
        await db.close()
        return names

    assert asyncio.run(restore()) == ("7", "499")
