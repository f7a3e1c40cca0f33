"""Random questions to random rows: the store and memory give one answer, in one order.

The same people are in three databases: stored; all of them pending; and stored with other values
and then changed, so that each answer is put together of both.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graven import Model, desc, ilike, in_, key, like
from graven.ops.conditions import And, Condition, Not, Or

SEED = 20240501
TEXTS = [
    None,
    "",
    "a",
    "A",
    "ab",
    "Ab",
    "ß",
    "SS",
    "ẞ",
    "é",
    "e\u0301",
    "İ",
    "i",
    "a%",
    "_",
    "😀",
]
PRICES = [None, *map(Decimal, ("0", "-0.0", "1", "1.0", "1.00", "9", "10", "1E+2", "-3.5", "0.1"))]
NUMBERS = [None, -1, 0, 1, 2]


class Asked(Model, table="memory_asked"):
    id: int = key()
    number: int | None = None
    text: str | None = None
    price: Decimal | None = None
    friend: Asked | None = None


def values(dice: random.Random) -> list[dict[str, Any]]:
    return [
        {
            "number": dice.choice(NUMBERS),
            "text": dice.choice(TEXTS),
            "price": dice.choice(PRICES),
            "friend": dice.choice([None, *range(24)]),
        }
        for _ in range(24)
    ]


def fill(people: list[Asked], rows: list[dict[str, Any]]) -> None:
    for person, row in zip(people, rows, strict=True):
        for name, value in row.items():
            is_friend = name == "friend" and value is not None
            setattr(person, name, people[value] if is_friend else value)


@pytest.fixture
def sessions(colour: Any, new_url: Callable[[], str]) -> Iterator[dict[str, Any]]:
    dice = random.Random(SEED)
    wanted, others = values(dice), values(dice)
    mixed = [
        one if n % 3 == 0 else other
        for n, (one, other) in enumerate(zip(wanted, others, strict=True))
    ]
    opened = {}
    for name, stored in (("stored", wanted), ("pending", None), ("changed", mixed)):
        db = colour.open(new_url())
        db.create(Asked)
        people = [Asked(id=n) for n in range(24)]
        fill(people, stored or wanted)
        session = opened[name] = db.session()
        if stored is None:
            session.add(*people)
            continue
        with db.session() as first:
            first.add(*people)
        if stored is mixed:
            people = session.query(Asked).order_by(Asked.id).all()
            colour.call(partial(fill, people, wanted))
    yield opened
    for session in opened.values():
        session.close()


def compared(field: Any, others: st.SearchStrategy[Any]) -> st.SearchStrategy[Condition]:
    sign = st.sampled_from(["__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__"])
    either = st.one_of(others, others.filter(lambda one: one is not None))
    return st.builds(lambda name, value: getattr(field, name)(value), sign, either)


PATTERNS = st.text("aAbsSßẞé\u0301iİ%_\\", max_size=4)
LEAVES = st.one_of(
    compared(Asked.number, st.sampled_from(NUMBERS)),
    compared(Asked.text, st.sampled_from(TEXTS)),
    compared(Asked.price, st.sampled_from(PRICES)),
    compared(Asked.friend.number, st.sampled_from(NUMBERS)),
    compared(Asked.friend.friend.text, st.sampled_from(TEXTS)),
    compared(Asked.number, st.just(Asked.friend.number)),
    st.builds(in_, st.just(Asked.text), st.lists(st.sampled_from(TEXTS), max_size=3)),
    st.builds(in_, st.just(Asked.price), st.lists(st.sampled_from(PRICES), max_size=3)),
    st.builds(in_, st.just(Asked.friend), st.lists(st.sampled_from([None, 3, 7, 99]), max_size=3)),
    st.builds(like, st.sampled_from([Asked.text, Asked.friend.text]), PATTERNS),
    st.builds(ilike, st.sampled_from([Asked.text, Asked.friend.text]), PATTERNS),
)
CONDITIONS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(And, st.lists(inner, min_size=1, max_size=3).map(tuple)),
        st.builds(Or, st.lists(inner, min_size=1, max_size=3).map(tuple)),
    ),
    max_leaves=6,
)
TERM = st.sampled_from([Asked.number, Asked.text, Asked.price, Asked.friend.price])
ORDERS = st.lists(st.builds(lambda term, down: desc(term) if down else term, TERM, st.booleans()))


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    where=CONDITIONS,
    order=ORDERS,
    limit=st.none() | st.integers(0, 6),
    offset=st.integers(0, 3),
)
def test_stored_pending_and_changed_people_give_the_same_answer(
    sessions: dict[str, Any], where: Condition, order: list[Any], limit: int | None, offset: int
) -> None:
    answers = {}
    for name, session in sessions.items():
        query = session.query(Asked).where(where)
        if order:
            query = query.order_by(*order)
        if limit is not None:
            query = query.limit(limit)
        found = query.offset(offset).all() if offset else query.all()
        answers[name] = [one.id for one in found]

    assert answers["pending"] == answers["stored"]
    assert answers["changed"] == answers["stored"]


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(where=CONDITIONS)
def test_they_count_the_same_and_a_condition_and_its_complement_share_all(
    sessions: dict[str, Any], where: Condition
) -> None:
    for session in sessions.values():
        inside = {one.id for one in session.query(Asked).where(where).all()}
        outside = {one.id for one in session.query(Asked).where(~where).all()}

        assert inside | outside == set(range(24))
        assert not inside & outside
        assert session.query(Asked).where(where).count() == len(inside)
