"""MongoDB judges and orders as :mod:`graven.core.evaluate` does in memory."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from itertools import product
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graven.core.evaluate import judge_of, sort_key
from graven.errors import DataError, QueryError
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
from graven.ops.requests import Fetch, FetchKeys, Insert
from graven.ops.schema import Column, Table
from tests.mongo.raw import Raw

THING = Table(
    "thing",
    (
        Column("id", "int"),
        Column("number", "int", nullable=True),
        Column("text", "str", nullable=True, index=True),
        Column("price", "decimal", nullable=True),
        Column("notes", "json", nullable=True),
        Column("at", "datetime", nullable=True),
        Column("token", "uuid", nullable=True),
        Column("data", "bytes", nullable=True),
        Column("other_id", "int", nullable=True),
    ),
    ("id",),
)
OTHER = Step(("other_id",), THING)
NUMBER, TEXT, PRICE, NOTES, AT, TOKEN, DATA = (
    Path((), name, THING.column(name).kind)
    for name in ("number", "text", "price", "notes", "at", "token", "data")
)
OTHER_NUMBER = Path((OTHER,), "number", "int")
FAR_TEXT = Path((OTHER, OTHER), "text", "str")

NASTY = (
    *(None, "", "a", "Ab", "ß", "a%", "[a*", "SS", "ſs", "İ", "ﬃ", "z", "$where", "a\0b"),
    *("é", "É", "\n_", "\\", "\U0001f600", "\ufffd", "b\n", "$$ROOT"),
)
PRICES = (None, *map(Decimal, ("1.0", "1.00", "10", "9", "-3", "1E+2", "Infinity")))
TIMES = (None, datetime(1, 1, 1, tzinfo=UTC), datetime(2024, 5, 1, 12, 0, 0, 1000, tzinfo=UTC))
TOKENS = (None, UUID(int=0), UUID(int=2**127), UUID(int=5))
BYTES = (None, b"", b"\xff", b"\x00\x01")
KEPT = (None, "[]", "{}", "null", "[[]]", '{"a":1}', '{"$gt":1}')
THINGS: list[dict[str, Any]] = [
    {
        "id": n,
        "number": [None, 0, 1, 2**40][n % 4],
        "text": NASTY[n % len(NASTY)],
        "price": PRICES[n % len(PRICES)],
        "notes": KEPT[n % len(KEPT)],
        "at": TIMES[n % len(TIMES)],
        "token": TOKENS[n % len(TOKENS)],
        "data": BYTES[n % len(BYTES)],
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
EQUAL = st.sampled_from(["==", "!="])
NUMBERS = st.sampled_from([None, 0, 1, 2**40, 3])
TEXTS = st.sampled_from(NASTY) | st.text("aAbsß%\\$", max_size=3)
PATTERNS = st.text("aAbsSſßéÉfi%_\\\0[*.$\n", max_size=5)
LEAVES = st.one_of(
    st.builds(Truth, st.booleans()),
    st.builds(Compare, OPERATORS, st.sampled_from([NUMBER, OTHER_NUMBER]), NUMBERS),
    st.builds(Compare, OPERATORS, st.just(NUMBER), st.just(OTHER_NUMBER)),
    st.builds(Compare, OPERATORS, st.sampled_from([TEXT, FAR_TEXT]), TEXTS),
    st.builds(Compare, OPERATORS, st.just(TEXT), st.just(FAR_TEXT)),
    st.builds(Compare, OPERATORS, st.just(PRICE), st.sampled_from(PRICES)),
    st.builds(Compare, OPERATORS, st.just(AT), st.sampled_from(TIMES)),
    st.builds(Compare, OPERATORS, st.just(TOKEN), st.sampled_from(TOKENS)),
    st.builds(Compare, EQUAL, st.just(DATA), st.sampled_from(BYTES)),
    st.builds(Compare, EQUAL, st.just(NOTES), st.sampled_from(KEPT)),
    st.builds(In, st.just(NOTES), st.lists(st.sampled_from(KEPT), max_size=3).map(tuple)),
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
    names = tuple(THINGS[0])
    encode, kinds = raw_kept.dialect.encode, [THING.column(name).kind for name in names]
    rows = [tuple(map(encode, kinds, thing.values())) for thing in THINGS]
    raw_kept.perform(Insert(THING, names, rows))
    raw_kept.db["thing"].update_many(
        {"number": None, "_id": {"$gt": 20}}, {"$unset": {"number": 1}}
    )
    return raw_kept


@settings(max_examples=200, deadline=None)
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


def test_case_is_ignored_for_every_letter_there_is(raw: Raw) -> None:
    cased = [chr(n) for n in range(1, 0x110000) if not 0xD800 <= n < 0xE000]
    cased = [letter for letter in cased if letter.casefold() != letter]
    letters = [letter for letter in cased if len(letter.casefold()) > 1] + cased[::40]
    table = Table("cased", (Column("id", "int"), Column("text", "str")), ("id",))
    texts = [
        text
        for letter in letters
        for text in (f"{letter}!", f"{letter.casefold()}!", f"{letter.upper()}x", letter)
    ]
    raw.perform(Insert(table, ("id", "text"), list(enumerate(texts))))
    for letter in letters[::15]:
        judge = judge_of(Like(TEXT, f"{letter}_", True), lambda text, _: text)
        expected = [(n,) for n, text in enumerate(texts) if judge(text)]
        like = Like(Path((), "text", "str"), f"{letter}_", True)
        assert raw.perform(Fetch(Select(table, ("id",), like))) == expected, letter


@settings(max_examples=60, deadline=None)
@given(
    orders=st.lists(
        st.builds(
            Order, st.sampled_from([NUMBER, TEXT, PRICE, AT, TOKEN, OTHER_NUMBER]), st.booleans()
        ),
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


def test_values_are_never_taken_for_operators(store: Raw) -> None:
    for text in ("$where", "$$ROOT"):
        expected = [(thing["id"],) for thing in THINGS if thing["text"] == text]
        for condition in (
            Compare("==", TEXT, text),
            In(TEXT, (text,)),
            Or((Compare("==", TEXT, text), Compare("==", FAR_TEXT, "no such text"))),
        ):
            assert store.perform(Fetch(Select(THING, ("id",), condition))) == expected
    found = store.perform(Fetch(Select(THING, ("id",), Compare("==", NOTES, '{"$gt":1}'))))
    assert found == [(thing["id"],) for thing in THINGS if thing["notes"] == '{"$gt":1}']


def test_hundreds_of_conditions_joined_are_not_nested_too_deep(store: Raw) -> None:
    condition: Condition = Compare("==", NUMBER, 0)
    for n in range(150):
        condition = condition | Compare("==", NUMBER, n + 1)
    expected = [(thing["id"],) for thing in THINGS if thing["number"] in range(151)]

    assert store.perform(Fetch(Select(THING, ("id",), condition))) == expected


@pytest.mark.parametrize("path", [DATA, NOTES], ids=["bytes", "json"])
def test_an_order_that_mongodb_has_otherwise_is_refused(store: Raw, path: Path) -> None:
    for select in (
        Select(THING, ("id",), Compare("<", path, b"")),
        Select(THING, ("id",), Not(Compare(">=", path, path))),
        Select(THING, ("id",), None, (Order(path),)),
    ):
        with pytest.raises(QueryError, match="by order"):
            store.dialect.fetch(select)


def test_a_pattern_too_long_for_mongodb_is_refused(store: Raw) -> None:
    with pytest.raises(QueryError, match="pattern"):
        store.dialect.fetch(Select(THING, ("id",), Like(TEXT, "ab" * 20_000)))


def test_a_long_text_is_no_slow_pattern(raw: Raw) -> None:
    table = Table("long", (Column("id", "int"), Column("text", "str")), ("id",))
    raw.perform(Insert(table, ("id", "text"), [(1, "a" * 20_000)]))
    for ignore_case in (False, True):
        like = Like(Path((), "text", "str"), "%a%a%a%a%a%a%a%b", ignore_case)
        assert raw.perform(Fetch(Select(table, ("id",), like))) == []


def test_an_index_serves_equality_and_membership(store: Raw) -> None:
    queries = [
        Select(THING, ("text",), In(TEXT, ("a", "b")), (Order(TEXT),)),
        Select(THING, ("id",), Compare("==", TEXT, "a")),
    ]
    for select in queries:
        asked: Any = store.dialect.fetch(select)
        plan = store.db["thing"].find(asked.filter, asked.projection).explain()
        assert "thing.text.index" in str(plan["queryPlanner"]["winningPlan"]), asked


def test_a_value_that_cannot_be_stored_cannot_be_looked_for(store: Raw) -> None:
    finer = datetime(2024, 5, 1, 12, 0, 0, 1, tzinfo=UTC)
    with pytest.raises(DataError, match="millisecond"):
        store.perform(Fetch(Select(THING, ("id",), Compare("<", AT, finer))))
    with pytest.raises(DataError, match="surrogate"):
        store.perform(Fetch(Select(THING, ("id",), Compare("==", TEXT, "\ud800"))))
    with pytest.raises(DataError, match="64 bits"):
        store.perform(Fetch(Select(THING, ("id",), Compare("<", NUMBER, 2**63))))
    with pytest.raises(DataError, match="34 digits"):
        store.perform(Fetch(Select(THING, ("id",), Compare("<", PRICE, Decimal(10**34 + 1)))))


def test_keys_are_found_by_one_or_several_columns(store: Raw) -> None:
    def found(by: tuple[str, ...], keys: list[tuple[object, ...]]) -> list[int]:
        rows = store.perform(FetchKeys(THING, ("id", "text"), by, keys))
        return sorted(key for key, _ in rows)

    assert found(("id",), [(3,)]) == [3]
    assert found(("id",), [(n,) for n in range(40_000)]) == [*range(36)]
    assert found(("other_id",), [(5,), (None,)]) == [n for n in range(36) if n % 5 == 2]
    pairs = [(n % 4, ["a", "Ab"][n % 2]) for n in range(2000)]
    expected = [t["id"] for t in THINGS if (t["number"], t["text"]) in pairs]
    assert found(("number", "text"), pairs) == expected
    assert found(("number", "text"), [(None, "a")]) == []
    assert found(("id",), []) == []
