"""PostgreSQL judges and orders as :mod:`graven.core.evaluate` does in memory."""

from __future__ import annotations

from decimal import Decimal
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graven.core.evaluate import judge_of, sort_key
from graven.errors import BusyRetry, DataError
from graven.flows.schema import create
from graven.ops.conditions import (
    And,
    Compare,
    Condition,
    In,
    Like,
    Not,
    Or,
    Order,
    Path,
    Select,
    Step,
    Truth,
)
from graven.ops.requests import Begin, Fetch, Insert, Rollback
from graven.ops.schema import Column, Table
from tests.postgres.raw import Raw

THING = Table(
    "thing",
    (
        Column("id", "int"),
        Column("number", "int", nullable=True),
        Column("text", "str", nullable=True, index=True),
        Column("price", "decimal", nullable=True),
        Column("notes", "json", nullable=True),
        Column("other_id", "int", nullable=True),
    ),
    ("id",),
)
OTHER = Step(("other_id",), THING)
NUMBER, TEXT, PRICE, NOTES = (
    Path((), name, THING.column(name).kind) for name in ("number", "text", "price", "notes")
)
OTHER_NUMBER = Path((OTHER,), "number", "int")
FAR_TEXT = Path((OTHER, OTHER), "text", "str")

NASTY = (
    *(None, "", "a", "Ab", "ß", "a%", "[a*", "SS", "ſs", "İ", "ﬃ", "z"),
    *("é", "É", "\n_", "\\", "\U0001f600", "\ufffd"),
)
PRICES = (None, *map(Decimal, ("1.0", "1.00", "10", "9", "-3", "1E+2")))
THINGS: list[dict[str, Any]] = [
    {
        "id": n,
        "number": [None, 0, 1, 2][n % 4],
        "text": NASTY[n % len(NASTY)],
        "price": PRICES[n % len(PRICES)],
        "notes": [None, "[]", "{}"][n % 3],
        "other_id": [None, 0, 5, 11, 99][n % 5],
    }
    for n in range(36)
]


def read(thing: dict[str, Any] | None, path: Path) -> Any:
    for step in path.steps:
        other = thing[step.columns[0]] if thing else None
        thing = THINGS[other] if other is not None and other < len(THINGS) else None
    return thing[path.column] if thing else None


OPERATORS = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
NUMBERS = st.sampled_from([None, 0, 1, 2, 3])
TEXTS = st.sampled_from(NASTY) | st.text("aAbsß%\\", max_size=3)
PATTERNS = st.text("aAbsSſßéÉfi%_\\\0[*.$", max_size=5)
LEAVES = st.one_of(
    st.builds(Truth, st.booleans()),
    st.builds(Compare, OPERATORS, st.sampled_from([NUMBER, OTHER_NUMBER]), NUMBERS),
    st.builds(Compare, OPERATORS, st.just(NUMBER), st.just(OTHER_NUMBER)),
    st.builds(Compare, OPERATORS, st.sampled_from([TEXT, FAR_TEXT]), TEXTS),
    st.builds(Compare, OPERATORS, st.just(TEXT), st.just(FAR_TEXT)),
    st.builds(Compare, OPERATORS, st.just(PRICE), st.sampled_from(PRICES)),
    st.builds(
        Compare, st.sampled_from(["==", "!="]), st.just(NOTES), st.sampled_from([None, "[]"])
    ),
    st.builds(In, st.just(TEXT), st.lists(TEXTS, max_size=4).map(tuple)),
    st.builds(In, st.just(OTHER_NUMBER), st.lists(NUMBERS, max_size=4).map(tuple)),
    st.builds(In, st.just(PRICE), st.lists(st.sampled_from(PRICES), max_size=4).map(tuple)),
    st.builds(Like, st.sampled_from([TEXT, FAR_TEXT]), PATTERNS, st.booleans()),
)
CONDITIONS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(And, st.lists(inner, max_size=3).map(tuple)),
        st.builds(Or, st.lists(inner, max_size=3).map(tuple)),
    ),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def store(raw_kept: Raw) -> Raw:
    raw_kept.run(create([THING]))
    rows = [tuple(thing.values()) for thing in THINGS]
    raw_kept.perform(Insert(THING, tuple(THINGS[0]), rows))
    return raw_kept


@settings(max_examples=250, deadline=None)
@given(condition=CONDITIONS, doubtful=CONDITIONS)
def test_the_store_judges_as_memory_does(
    store: Raw, condition: Condition, doubtful: Condition
) -> None:
    sure = [thing["id"] for thing in filter(judge_of(condition, read), THINGS)]
    maybe = [thing["id"] for thing in filter(judge_of(doubtful, read), THINGS)]

    assert store.perform(Fetch(Select(THING, ("id",), condition))) == [(n,) for n in sure]
    assert store.perform(Fetch(Select(THING, (), condition, count=True))) == [(len(sure),)]
    assert store.perform(Fetch(Select(THING, ("id",), condition, doubtful=doubtful))) == [
        (n, int(n in maybe)) for n in sorted({*sure, *maybe})
    ]


@pytest.mark.parametrize("ignore_case", [False, True])
def test_every_short_pattern_is_judged_alike(store: Raw, ignore_case: bool) -> None:
    for length in range(4):
        for pattern in map("".join, product("sß%_\\", repeat=length)):
            like = Like(TEXT, pattern, ignore_case)
            expected = [(thing["id"],) for thing in filter(judge_of(like, read), THINGS)]

            assert store.perform(Fetch(Select(THING, ("id",), like))) == expected, pattern


def test_case_is_ignored_for_every_letter_there_is(store: Raw) -> None:
    cased = [chr(n) for n in range(1, 0x110000) if not 0xD800 <= n < 0xE000]
    cased = [letter for letter in cased if letter.casefold() != letter]
    for letter in [letter for letter in cased if len(letter.casefold()) > 1] + cased[::40]:
        parameters: list[object] = []
        like = store.dialect.like("%s::text", f"{letter}_", True, parameters)
        judge = judge_of(Like(TEXT, f"{letter}_", True), read)
        texts = [f"{letter}!", f"{letter.casefold()}!", f"{letter.upper()}x", letter, "!"]
        for text in texts:
            filled = [text, parameters[0], text, *parameters[1:4], text, parameters[4]]
            ((found,),) = store.execute(f"select {like}", filled).fetchall()
            assert found is judge({"text": text}), (letter, text)


@settings(max_examples=60, deadline=None)
@given(
    orders=st.lists(
        st.builds(Order, st.sampled_from([NUMBER, TEXT, PRICE, OTHER_NUMBER]), st.booleans()),
        max_size=3,
    ).map(tuple),
    limit=st.none() | st.integers(0, 40),
    offset=st.integers(0, 40),
)
def test_the_store_orders_as_memory_does(
    store: Raw, orders: tuple[Order, ...], limit: int | None, offset: int
) -> None:
    ordered = sorted(THINGS, key=sort_key(orders, read))
    expected = [thing["id"] for thing in ordered][offset:][:limit]

    select = Select(THING, ("id",), None, orders, limit, offset)
    counted = Select(THING, (), None, orders, limit, offset, count=True)

    assert store.perform(Fetch(select)) == [(n,) for n in expected]
    assert store.perform(Fetch(counted)) == [(len(expected),)]


def test_columns_of_other_collations_are_compared_all_the_same(raw: Raw) -> None:
    raw.execute(
        'create table thing (id bigint primary key, "text" text collate "pg_unicode_fast",'
        ' "more" varchar(9) collate "pg_c_utf8")'
    )
    columns = Column("id", "int"), Column("text", "str", True), Column("more", "str", True)
    table, more = Table("thing", columns, ("id",)), Path((), "more", "str")
    raw.perform(Insert(table, ("id", "text", "more"), [(1, "a", "a"), (2, "b", "é"), (3, "B", "")]))

    def found(condition: Condition) -> list[int]:
        select = Select(table, ("id",), condition, (Order(TEXT), Order(more)))
        return [key for (key,) in raw.perform(Fetch(select))]

    assert found(Compare("==", TEXT, more)) == [1]
    assert found(Compare("<", TEXT, more)) == [2]
    assert found(Compare("!=", TEXT, "a")) == [3, 2]
    assert found(In(more, ("a", "é"))) == [1, 2]


def test_an_index_serves_orders_prefixes_and_keys(store: Raw) -> None:
    queries = [
        Select(THING, ("id",), Like(TEXT, "a%")),
        Select(THING, ("text",), None, (Order(TEXT),), limit=1),
        Select(THING, ("text",), None, (Order(TEXT, True),), limit=1),
        Select(THING, ("id",), In(TEXT, ("a", "b"))),
    ]
    store.execute("set enable_seqscan to off")
    for select in queries:
        text, parameters = store.dialect.fetch(select)
        plan = store.execute(f"explain {text}", parameters).fetchall()
        assert "thing.text.index" in str(plan), text
    store.execute("reset enable_seqscan")


def test_a_text_that_cannot_be_stored_cannot_be_looked_for(store: Raw) -> None:
    with pytest.raises(DataError, match="NUL"):
        store.perform(Fetch(Select(THING, ("id",), Compare("==", TEXT, "a\0"))))

    assert store.perform(Fetch(Select(THING, ("id",), Like(TEXT, "a\0%")))) == []


def test_locked_rows_are_waited_for_refused_or_skipped(store: Raw) -> None:
    other = Raw(store.url)
    store.perform(Begin(True))
    store.perform(Fetch(Select(THING, ("id",), Compare("==", NUMBER, 0), lock="wait")))
    far = Compare("!=", OTHER_NUMBER, 77)

    with pytest.raises(BusyRetry, match="locked"):
        other.perform(Fetch(Select(THING, ("id",), limit=2, lock="nowait")))
    left = other.perform(Fetch(Select(THING, ("id",), far, limit=2, lock="skip_locked")))
    store.perform(Rollback())
    all_now = other.perform(Fetch(Select(THING, ("id",), far, limit=2, lock="nowait")))
    other.close()

    assert left == [(0,), (2,)]
    assert all_now == [(0,), (1,)]
