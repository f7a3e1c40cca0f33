"""The short way to the plan of one changed object comes to the plan of the long way, or to none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from graven.core.alone import plan_alone
from graven.errors import DataError
from tests.plans.test_plans import Badge, Note, Person, Pet, Planner, Shelf, told

PERSON = (1, "Ada", 36, 5, None, 4)
PET = (1, "Rex", 1, 3)


def named(person: Any) -> None:
    person.name = "Bea"


def aged_and_named(person: Any) -> None:
    person.age += 1
    person.name = "Bea"


@pytest.mark.parametrize("change", [named, aged_and_named])
def test_both_ways_come_to_the_same_plan(change: Callable[[Any], None]) -> None:
    short, long = Planner(), Planner()
    for planner in (short, long):
        (person,) = planner.read(Person, PERSON)
        change(person)
    alone, usual = plan_alone(short.unit, short.binding), long.plan()

    assert alone is not None
    assert [told(write) for write in alone.writes()] == [told(write) for write in usual.writes()]
    assert (alone.is_single, usual.is_single) == (True, True)
    assert len(list(alone.records())) == len(list(usual.records())) == 1
    (mine,), (theirs,) = alone.groups, usual.groups
    for name in ("action", "bits", "versions", "after", "ordinals", "images"):
        assert getattr(mine, name) == getattr(theirs, name), name


def many(planner: Planner) -> None:
    for person in planner.read(Person, PERSON, (2, *PERSON[1:])):
        person.age += 1


def a_new_one_beside(planner: Planner) -> None:
    (person,) = planner.read(Person, PERSON)
    person.age += 1
    planner.add(Note(id=1, text="a"))


def a_key(planner: Planner) -> None:
    (person,) = planner.read(Person, PERSON)
    person.id = 9


def a_reference(planner: Planner) -> None:
    (pet,) = planner.read(Pet, PET)
    (pet.owner,) = planner.read(Person, PERSON)


def another_guard(planner: Planner) -> None:
    (badge,) = planner.read(Badge, (1, "a", 0, 2))
    badge.text = "b"


def no_guard(planner: Planner) -> None:
    (note,) = planner.read(Note, (1, "a", 2))
    note.text = "b"


def back_again(planner: Planner) -> None:
    (person,) = planner.read(Person, PERSON)
    person.age, person.age = 1, PERSON[2]


def within_a_scope(planner: Planner) -> None:
    (person,) = planner.read(Person, PERSON)
    person.age += 1
    planner.unit.begin()


def a_list_in_hand(planner: Planner) -> None:
    (person,) = planner.read(Person, PERSON)
    person.age += 1
    shelf = Shelf(id=1)
    planner.add(shelf)
    shelf.books.clear()


@pytest.mark.parametrize(
    "change",
    [
        many,
        a_new_one_beside,
        a_key,
        a_reference,
        another_guard,
        no_guard,
        back_again,
        within_a_scope,
        a_list_in_hand,
    ],
)
def test_anything_more_goes_the_long_way_and_is_left_as_it_was(
    change: Callable[[Planner], None],
) -> None:
    planner, untouched = Planner(), Planner()
    change(planner)
    change(untouched)

    assert plan_alone(planner.unit, planner.binding) is None
    assert list(map(str, planner.unit.touched)) == list(map(str, untouched.unit.touched))
    assert list(map(str, planner.unit.records)) == list(map(str, untouched.unit.records))


def test_a_value_that_does_not_fit_is_refused_and_stays_pending() -> None:
    planner = Planner()
    (person,) = planner.read(Person, PERSON)
    person.name = 3
    with pytest.raises(DataError, match="name"):
        plan_alone(planner.unit, planner.binding)

    assert plan_alone(planner.unit, planner.binding) is None
    person.name = "Bea"
    assert planner.golden() == [("update", "person", ("name",), ("version",), [("Bea", 1, 4)])]
