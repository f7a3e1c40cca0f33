"""Values go to PostgreSQL and come back equal, by each of the ways that they can go."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from graven.drivers.postgres import PostgresPool
from graven.drivers.postgres_requests import COPY_ROWS_MIN
from graven.errors import DataError
from graven.flows.schema import create
from graven.ops.conditions import Compare, In, Path, Select
from graven.ops.requests import Fetch, FetchKeys, Insert, Update
from graven.ops.schema import Column, Table
from tests.postgres.raw import Raw

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
LEAST, GREATEST = datetime(1, 1, 2), datetime(9999, 12, 30)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "int": st.integers(-(2**63), 2**63 - 1),
    "str": TEXTS,
    "bool": st.booleans(),
    "float": st.floats(allow_nan=False),
    "datetime": st.datetimes(LEAST, GREATEST, timezones=ZONES),
    "naive": st.datetimes(),
    "date": st.dates(),
    "time": st.times(),
    "timedelta": st.timedeltas(),
    "decimal": st.decimals(allow_nan=False, allow_infinity=False),
    "uuid": st.uuids(),
    "bytes": st.binary(),
    "json": JSON.map(json.dumps),
}
EVERY = Table(
    "every",
    (
        Column("id", "int"),
        *(Column(f"a {kind}", kind, nullable=True) for kind in VALUES),
    ),
    ("id",),
)
NAMES = tuple(column.name for column in EVERY.columns)
ROWS = st.tuples(*(st.none() | values for values in VALUES.values()))

EXTREMES = (
    (2**63 - 1, "\U0010ffff'\"%s\\", True, math.inf, datetime(9999, 12, 31, tzinfo=UTC),
     datetime.max, date.max, time.max, timedelta.max, Decimal("-1E-16383"), None,
     bytes(range(256)), '{"b": 1, "a": "\\u0000\\ud800", "a": 1e400}'),
    (-(2**63), "", False, -0.0, datetime(1, 1, 1, tzinfo=UTC),
     datetime.min, date.min, time.min, timedelta.min, Decimal("9.99E+131071"), None,
     b"", '"%s"'),
)  # fmt: skip


@pytest.fixture(scope="module")
def store(raw_kept: Raw) -> Raw:
    raw_kept.run(create([EVERY]))
    return raw_kept


@pytest.fixture(scope="module")
def pool(store: Raw) -> Iterator[PostgresPool]:
    found = PostgresPool(store.url)
    yield found
    found.close()


def same(sent: tuple[Any, ...], found: tuple[Any, ...]) -> bool:
    """Say whether the rows are equal in type, value and sign, and instants are in UTC."""
    return all(
        one == other
        and type(one) is type(other)
        and (type(one) is not float or math.copysign(1, one) == math.copysign(1, other))
        and getattr(other, "tzinfo", None) in (None, UTC)
        for one, other in zip(sent, found, strict=True)
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rows=st.lists(ROWS, min_size=3, max_size=3))
@example(rows=[*EXTREMES, (None,) * len(VALUES)])
@example(rows=[(None,) * len(VALUES)] * 3)
def test_a_value_comes_back_as_it_went_by_parameter_array_and_copy(
    store: Raw, rows: list[tuple[Any, ...]]
) -> None:
    sent = [(at, *row) for at, row in enumerate(rows * 3)]
    store.execute('truncate "every"')

    store.perform(Insert(EVERY, NAMES, sent[:1]))
    store.perform(Insert(EVERY, NAMES, sent[1:5]))
    store.copy(Insert(EVERY, NAMES, sent[5:]))

    found = store.perform(Fetch(Select(EVERY, NAMES)))
    assert [same(one, other) for one, other in zip(sent, found, strict=True)] == [True] * 9


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(row=ROWS, many=st.just(COPY_ROWS_MIN) | st.integers(1, 5))
@example(row=EXTREMES[0], many=COPY_ROWS_MIN)
@example(row=EXTREMES[0], many=3)
@example(row=EXTREMES[1], many=COPY_ROWS_MIN)
@example(row=EXTREMES[1], many=3)
def test_a_value_comes_back_as_it_went_through_the_driver(
    store: Raw, pool: PostgresPool, row: tuple[Any, ...], many: int
) -> None:
    sent = [(at, *(row if at % 3 else (None,) * len(row))) for at in range(many)]
    store.execute('truncate "every"')
    connection = pool.acquire()

    connection.run(iter(Insert(EVERY, NAMES, sent)))
    found = connection.run(iter(Fetch(Select(EVERY, NAMES))))
    pool.release(connection)

    assert [same(one, other) for one, other in zip(sent, found, strict=True)] == [True] * many


@pytest.mark.parametrize("kind", VALUES)
def test_a_guard_holds_for_what_came_back(store: Raw, kind: str) -> None:
    values = [row[list(VALUES).index(kind)] for row in EXTREMES] + [None]
    name = f"a {kind}"
    store.execute('truncate "every"')
    store.perform(Insert(EVERY, ("id", name), list(enumerate(values))))
    found = store.perform(Fetch(Select(EVERY, ("id", name))))

    one = Update(EVERY, (name,), (name,), [(value, at, value) for at, value in found[:1]])
    many = Update(EVERY, (name,), (name,), [(value, at, value) for at, value in found])
    wrong = Update(EVERY, (name,), (name,), [(None, 0, None), (None, 1, None)])

    assert store.perform(one) == 1
    assert store.perform(many) == len(found)
    assert store.perform(wrong) == [value for _, value in found[:2]].count(None)


@pytest.mark.parametrize("kind", [kind for kind in VALUES if kind != "uuid"])
def test_a_condition_finds_the_very_value(store: Raw, kind: str) -> None:
    values = [row[list(VALUES).index(kind)] for row in EXTREMES]
    path = Path((), f"a {kind}", kind)
    store.execute('truncate "every"')
    store.perform(Insert(EVERY, ("id", path.column), list(enumerate(values))))

    for at, value in enumerate(values):
        for condition in (Compare("==", path, value), In(path, (value,))):
            assert store.perform(Fetch(Select(EVERY, ("id",), condition))) == [(at,)]
    if kind != "json":
        keys = FetchKeys(EVERY, ("id",), (path.column,), [(value,) for value in values])
        assert sorted(store.perform(keys)) == [(0,), (1,)]
        pairs = [(at, value) for at, value in enumerate(values)]
        both = FetchKeys(EVERY, ("id",), ("id", path.column), pairs)
        assert sorted(store.perform(both)) == [(0,), (1,)]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("int", 2**63),
        ("str", "a\0b"),
        ("str", "\ud800"),
        ("decimal", Decimal("1E-16384")),
        ("decimal", Decimal("1E+131072")),
        ("json", "no json"),
    ],
)
@pytest.mark.parametrize("ways", ["parameter", "array", "copy"])
def test_what_cannot_be_kept_is_refused_and_nothing_is_written(
    store: Raw, kind: str, value: object, ways: str
) -> None:
    store.execute('truncate "every"')
    rows = [(1, value), (2, value)]
    columns = ("id", f"a {kind}")

    with pytest.raises(DataError, match="usually"):
        if ways == "copy":
            store.copy(Insert(EVERY, columns, rows))
        else:
            store.perform(Insert(EVERY, columns, rows if ways == "array" else rows[:1]))

    assert store.perform(Fetch(Select(EVERY, (), count=True))) == [(0,)]


def test_instants_are_compared_as_instants(store: Raw) -> None:
    noon = datetime(2024, 5, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    path = Path((), "a datetime", "datetime")
    store.execute('truncate "every"')
    store.perform(Insert(EVERY, ("id", path.column), [(1, noon)]))

    same_instant = Compare("==", path, noon.astimezone(UTC))
    with pytest.raises(DataError, match="naive"):
        store.dialect.fetch(Select(EVERY, ("id",), Compare("<", path, datetime(2025, 1, 1))))

    assert store.perform(Fetch(Select(EVERY, ("id",), same_instant))) == [(1,)]
