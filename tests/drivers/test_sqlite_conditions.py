"""Conditions and orders on SQLite agree with what Python says."""

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from itertools import product
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graven.drivers.sqlite import SQLiteConnection, SQLitePool
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
from graven.ops.requests import (
    Execute,
    Fetch,
    Insert,
)
from graven.ops.schema import Column, Table
from graven.ops.text import like_matcher
from tests.drivers.sqlite_things import AUTHOR, THING, add, author

# ── conditions agree with Python ─────────────────────────────────────────────────────────────

NUMBER, TEXT, PRICE = (
    Path((), n, k) for n, k in (("number", "int"), ("text", "str"), ("price", "decimal"))
)
OTHER = Step(("other_id",), THING)
OTHER_NUMBER = Path((OTHER,), "number", "int")
FAR_TEXT = Path((OTHER, OTHER), "text", "str")
PRICES = [Decimal(text) for text in ("1.0", "1.00", "10", "9", "-3", "1E+2")]
THINGS: list[dict[str, Any]] = [
    {
        "id": n,
        "number": [None, 0, 1, 2][n % 4],
        "text": [None, "", "a", "Ab", "a\0b", "ß", "a%", "[a*"][n % 8],
        "price": [None, *PRICES][n % 7 if n % 2 else 0],
        "other_id": [None, 0, 5, 11, 99][n % 5],
    }
    for n in range(30)
]


def value_at(thing: dict[str, Any] | None, path: Path) -> Any:
    for step in path.steps:
        by_id = {t["id"]: t for t in THINGS}
        thing = by_id.get(thing[step.columns[0]]) if thing else None
    return thing[path.column] if thing else None


def judge(condition: Condition, thing: dict[str, Any]) -> bool:
    match condition:
        case Truth(holds):
            return holds
        case Not(inner):
            return not judge(inner, thing)
        case And(inner_conditions):
            return all(judge(c, thing) for c in inner_conditions)
        case Or(inner_conditions):
            return any(judge(c, thing) for c in inner_conditions)
        case In(path, values):
            return value_at(thing, path) in values
        case Like(path, pattern, ignore_case):
            text = value_at(thing, path)
            return text is not None and like_matcher(pattern, ignore_case)(text)
        case Compare(operator, left, right):
            a = value_at(thing, left)
            b = value_at(thing, right) if isinstance(right, Path) else right
            if operator in ("==", "!="):
                return (a == b) is (operator == "==")
            if a is None or b is None:
                return False
            return bool({"<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b}[operator])
    raise AssertionError(condition)


OPERATORS = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
NUMBERS = st.sampled_from([None, 0, 1, 2, 3])
TEXTS = st.sampled_from([None, "", "a", "A", "ab", "a\0b", "ss", "a%"])
MAYBE_PRICES = st.sampled_from([None, *PRICES])
PATTERNS = st.text("aAbß%_\\\0[*", max_size=5)
LEAVES = st.one_of(
    st.builds(Truth, st.booleans()),
    st.builds(Compare, OPERATORS, st.sampled_from([NUMBER, OTHER_NUMBER]), NUMBERS),
    st.builds(Compare, OPERATORS, st.just(NUMBER), st.just(OTHER_NUMBER)),
    st.builds(Compare, OPERATORS, st.sampled_from([TEXT, FAR_TEXT]), TEXTS),
    st.builds(Compare, OPERATORS, st.just(PRICE), MAYBE_PRICES),
    st.builds(In, st.just(TEXT), st.lists(TEXTS, max_size=4).map(tuple)),
    st.builds(In, st.just(OTHER_NUMBER), st.lists(NUMBERS, max_size=4).map(tuple)),
    st.builds(In, st.just(PRICE), st.lists(MAYBE_PRICES, max_size=4).map(tuple)),
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
def things() -> Iterator[SQLiteConnection]:
    pool = SQLitePool("sqlite://")
    connection = pool.acquire()
    connection.run(create([THING]))
    columns = tuple(THINGS[0])
    stored = [tuple(str(v) if isinstance(v, Decimal) else v for v in t.values()) for t in THINGS]
    connection.perform(Insert(THING, columns, stored))
    yield connection
    pool.close()


@settings(max_examples=400)
@given(condition=CONDITIONS, doubtful=CONDITIONS)
def test_the_store_judges_as_python_does(
    things: SQLiteConnection, condition: Condition, doubtful: Condition
) -> None:
    expected = [(t["id"],) for t in THINGS if judge(condition, t)]

    assert things.perform(Fetch(Select(THING, ("id",), condition))) == expected
    assert things.perform(Fetch(Select(THING, (), condition, count=True))) == [(len(expected),)]
    both = [
        (t["id"], int(judge(doubtful, t)))
        for t in THINGS
        if judge(condition, t) or judge(doubtful, t)
    ]
    assert things.perform(Fetch(Select(THING, ("id",), condition, doubtful=doubtful))) == both


@pytest.mark.parametrize("ignore_case", [False, True])
def test_every_short_pattern_is_judged_alike(things: SQLiteConnection, ignore_case: bool) -> None:
    for length in range(4):
        for pattern in map("".join, product("aß%_\\\0[*", repeat=length)):
            like = Like(TEXT, pattern, ignore_case)
            expected = [(t["id"],) for t in THINGS if judge(like, t)]

            assert things.perform(Fetch(Select(THING, ("id",), like))) == expected, pattern


@given(
    orders=st.lists(
        st.builds(Order, st.sampled_from([NUMBER, TEXT, PRICE, OTHER_NUMBER]), st.booleans()),
        max_size=3,
    ).map(tuple)
)
def test_the_store_orders_as_python_does(
    things: SQLiteConnection, orders: tuple[Order, ...]
) -> None:
    expected = [*THINGS]
    for order in reversed(orders):

        def place(thing: dict[str, Any], path: Path = order.path) -> tuple[bool, Any]:
            value = value_at(thing, path)
            return value is not None, value if value is not None else 0

        expected.sort(key=place, reverse=order.descending)
        # sorting in reverse keeps equal ones in order, as a sort by several terms does

    found = things.perform(Fetch(Select(THING, ("id",), None, orders)))

    assert found == [(thing["id"],) for thing in expected]


@pytest.mark.parametrize(
    ("kind", "make"),
    [
        ("int", int),
        ("str", lambda n: f"text {n} \0 é"),
        ("float", lambda n: n / 7),
        ("uuid", lambda n: UUID(int=n)),
        ("bytes", lambda n: b"\0%d" % n),
        ("decimal", lambda n: Decimal(n) / 8),
        ("datetime", lambda n: datetime.fromtimestamp(n, UTC)),
    ],
)
def test_membership_in_very_many_values_is_exact(
    connection: SQLiteConnection, kind: str, make: Any
) -> None:
    table = Table("big", (Column("id", "int"), Column("v", kind, nullable=True)), ("id",))
    connection.run(create([table]))
    dialect = SQLitePool("sqlite://").dialect
    stored = [(n, dialect.encode(kind, make(n))) for n in range(50)]
    connection.perform(Insert(table, ("id", "v"), [*stored, (50, None)]))
    connection.statements._raw.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 999)
    path = Path((), "v", kind)
    wanted = tuple(make(n) for n in range(10, 40_010))

    inside = connection.perform(Fetch(Select(table, ("id",), In(path, wanted))))
    outside = connection.perform(Fetch(Select(table, ("id",), Not(In(path, (*wanted, None))))))

    assert [n for (n,) in inside] == list(range(10, 50))
    assert [n for (n,) in outside] == list(range(10))


def test_thousands_of_alternatives_are_no_obstacle(connection: SQLiteConnection) -> None:
    add(connection, author(1), author(4999), author(9999))
    name, key = Path((), "name", "str"), Path((), "id", "int")
    either = Or(
        tuple(And((Compare("==", key, n), Compare("==", name, "Ada"))) for n in range(5000))
    )

    assert connection.perform(Fetch(Select(AUTHOR, ("id",), either))) == [(1,), (4999,)]


def test_an_index_serves_a_prefix(connection: SQLiteConnection) -> None:
    email = Path((), "email", "str")
    text, values = SQLitePool("sqlite://").dialect.fetch(
        Select(AUTHOR, ("id",), Like(email, "ada%"))
    )

    plan, _ = connection.perform(Execute(f"explain query plan {text}", values))

    assert "INDEX author.email.unique (email>? AND email<?)" in str(plan)
