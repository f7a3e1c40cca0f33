"""Values go to MongoDB and come back equal, or are refused before they are sent."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest
from bson import Binary, Decimal128, Int64, ObjectId
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from graven.errors import DataError
from graven.flows.schema import create
from graven.ops.conditions import Compare, In, Path, Select
from graven.ops.requests import Delete, Fetch, FetchKeys, Insert, Sweep, Update
from graven.ops.schema import Column, Table
from tests.mongo.raw import Raw

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
KEYS = st.text("ab.$%\0é", max_size=4)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner),
    max_leaves=6,
)
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
LEAST, GREATEST = datetime(1, 1, 2), datetime(9999, 12, 30)
INSTANTS = st.datetimes(LEAST, GREATEST, timezones=ZONES).map(
    lambda one: one.replace(microsecond=one.microsecond // 1000 * 1000)
)
DECIMALS = st.builds(
    lambda sign, digits, exponent: Decimal((sign, tuple(map(int, str(digits))), exponent)),
    st.integers(0, 1),
    st.integers(0, 10**34 - 1),
    st.integers(-6176, 6111),
)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "int": st.integers(-(2**63), 2**63 - 1),
    "str": TEXTS,
    "bool": st.booleans(),
    "float": st.floats(allow_nan=False),
    "datetime": INSTANTS,
    "naive": st.datetimes(),
    "date": st.dates(),
    "time": st.times(),
    "timedelta": st.timedeltas(timedelta(-(10**8)), timedelta(10**8)),
    "decimal": DECIMALS,
    "uuid": st.uuids(),
    "bytes": st.binary(),
    "objectid": st.binary(min_size=12, max_size=12).map(ObjectId),
    "json": JSON.map(json.dumps) | JSON.filter(lambda one: "64" not in str(one)).map(json.dumps),
}
EVERY = Table(
    "every",
    (
        Column("id", "int"),
        *(Column(f"a {kind}", kind, nullable=True) for kind in VALUES),
        Column("version", "int"),
    ),
    ("id",),
    version="version",
)
NAMES = tuple(column.name for column in EVERY.columns)
ROWS = st.tuples(*(st.none() | values for values in VALUES.values()))

EXTREMES = (
    (2**63 - 1, "\0\U0010ffff'$where", True, math.inf, datetime(9999, 12, 31, tzinfo=UTC),
     datetime.max, date.max, time.max, timedelta(microseconds=2**63 - 1), Decimal("-1E-6176"),
     UUID(int=2**128 - 1), bytes(range(256)), ObjectId("f" * 24), '{"b": 1, "a": 1e400, "a": 2}'),
    (-(2**63), "", False, -0.0, datetime(1, 1, 1, tzinfo=UTC),
     datetime.min, date.min, time.min, timedelta(microseconds=-(2**63)), Decimal("9.9E+6111"),
     UUID(int=0), b"", ObjectId("0" * 24), '{"$ref":"x","$id":1,"a.b":[{"%text":"x"}]}'),
)  # fmt: skip


@pytest.fixture(scope="module")
def store(raw_kept: Raw) -> Raw:
    raw_kept.run(create([EVERY]))
    return raw_kept


def encoded(store: Raw, values: tuple[Any, ...]) -> tuple[object, ...]:
    return tuple(map(store.dialect.encode, VALUES, values))


def decoded(store: Raw, row: tuple[Any, ...]) -> tuple[Any, ...]:
    return store.dialect.decoded(EVERY, NAMES[1:-1], row)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(values=ROWS)
@example(EXTREMES[0])
@example(EXTREMES[1])
@example((None,) * len(VALUES))
def test_what_comes_back_equals_what_went(store: Raw, values: tuple[Any, ...]) -> None:
    """Inserted, updated under the guard of every column, read by key, and by each of its values."""
    first, second = (None,) * len(VALUES), encoded(store, values)
    store.perform(Insert(EVERY, NAMES, [(1, *first, 1), (2, *second, 1)]))
    change = Update(EVERY, NAMES[1:-1], NAMES[1:], [(*second, 1, *first, 1)])
    again = Update(EVERY, ("a int",), NAMES[1:], [(second[0], 2, *second, 1)])
    assert store.perform(change) == store.perform(again) == 1

    rows = store.perform(FetchKeys(EVERY, NAMES, ("id",), [(1,), (2,)]))
    found = [(row[0], decoded(store, row[1:-1]), row[-1]) for row in sorted(rows)]
    assert found == [(1, values, 2), (2, values, 2)]
    assert [*map(type, found[0][1])] == [*map(type, values)]
    for kind, value in zip(VALUES, values, strict=True):
        path = Path((), f"a {kind}", kind)
        for condition in (Compare("==", path, value), In(path, (value,))):
            count = Select(EVERY, (), condition, count=True)
            assert store.perform(Fetch(count)) == [(2,)], condition.__class__
    assert store.perform(Delete(EVERY, NAMES[1:], [(2, *second, 2)])) == 1
    assert store.perform(Sweep(EVERY, ("id",), [(1,), (2,)])) == 1


REFUSED: list[tuple[str, Any, str]] = [
    ("int", 2**63, "64 bits"),
    ("int", -(2**63) - 1, "64 bits"),
    ("timedelta", timedelta.max, "64 bits"),
    ("str", "\ud800", "surrogate"),
    ("float", math.nan, "nan"),
    ("decimal", Decimal("NaN"), "NaN"),
    ("decimal", Decimal(10**34 + 1), "34 digits"),
    ("decimal", Decimal("1E+6145"), "34 digits"),
    ("decimal", Decimal("1E-6177"), "34 digits"),
    ("datetime", datetime(2024, 5, 1, 12, 0, 0, 1, tzinfo=UTC), "millisecond"),
    ("datetime", datetime.max.replace(tzinfo=UTC), "stored_as=int"),
    ("datetime", datetime(2024, 5, 1), "naive"),
    ("naive", datetime(2024, 5, 1, tzinfo=UTC), "aware"),
    ("json", "[" * 100 + "]" * 100, "100 levels"),
    ("json", '{"a":' * 3000 + "1" + "}" * 3000, "100 levels"),
    ("uuid", object, "BSON"),
]


@pytest.mark.parametrize(("kind", "value", "message"), REFUSED, ids=lambda one: repr(one)[:30])
def test_what_mongodb_cannot_keep_is_refused_and_nothing_is_written(
    store: Raw, kind: str, value: Any, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        stored = store.dialect.encode(kind, value)
        store.perform(Insert(EVERY, ("id", f"a {kind}", "version"), [(7, stored, 1)]))

    assert store.perform(Fetch(Select(EVERY, (), count=True))) == [(0,)]


def test_a_document_beyond_sixteen_megabytes_is_refused(store: Raw) -> None:
    large, half = b"x" * 17_000_000, b"x" * 9_000_000
    names = ("id", "a bytes", "a str", "version")
    with pytest.raises(DataError, match="16 MB") as alone:
        store.perform(Insert(EVERY, names, [(6, b"", "", 1), (7, large, None, 1)]))
    with pytest.raises(DataError, match="16 MB"):
        store.perform(Insert(EVERY, names, [(7, half, half.decode(), 1)]))
    assert (alone.value.model, alone.value.key) == ("every", 7)
    assert store.perform(Fetch(Select(EVERY, (), count=True))) == [(0,)]

    store.perform(Insert(EVERY, names, [(7, half, None, 1)]))
    for change in (("a bytes", large), ("a str", half.decode())):
        with pytest.raises(DataError, match="16 MB"):
            store.perform(Update(EVERY, change[:1], ("version",), [(change[1], 7, 1)]))
    assert store.perform(Fetch(Select(EVERY, ("a str", "version")))) == [(None, 1)]
    store.perform(Sweep(EVERY, ("id",), [(7,)]))


def test_instants_in_a_column_are_encoded_at_once_unless_one_needs_a_look(store: Raw) -> None:
    encode = store.dialect.column_encoders["datetime"]
    plain = [datetime(2024, 5, 1, tzinfo=UTC), datetime(2024, 5, 1, 0, 0, 0, 1000, tzinfo=UTC)]

    assert encode(plain) == plain
    assert encode([plain[0].replace(microsecond=1)]) is None
    assert encode([plain[0].astimezone(timezone(timedelta(hours=1)))]) is None
    assert encode([datetime(2024, 5, 1)]) is None


# ── how it looks to others ──────────────────────────────────────────────────────────────────


def test_documents_look_as_one_would_write_them(store: Raw) -> None:
    values = {
        "int": 7,
        "str": "Ada",
        "datetime": datetime(2024, 5, 1, 12, tzinfo=UTC),
        "date": date(2024, 5, 1),
        "timedelta": timedelta(seconds=1),
        "decimal": Decimal("1.10"),
        "bytes": b"x",
        "json": '{"tags":["a","b"],"where":{"city":"Oslo"},"a.b":1}',
    }
    names = tuple(f"a {kind}" for kind in values)
    row = (1, *(store.dialect.encode(kind, one) for kind, one in values.items()), 3)
    store.perform(Insert(EVERY, ("id", *names, "version"), [row]))

    (document,) = store.db["every"].find({"a json.where.city": "Oslo", "a json.tags": "b"})
    store.perform(Sweep(EVERY, ("id",), [(1,)]))

    assert document == {
        "_id": 1,
        "a int": 7,
        "a str": "Ada",
        "a datetime": datetime(2024, 5, 1, 12),
        "a date": "2024-05-01",
        "a timedelta": 1_000_000,
        "a decimal": Decimal128("1.10"),
        "a bytes": b"x",
        "a json": {"tags": ["a", "b"], "where": {"city": "Oslo"}, "a%2Eb": 1},
        "version": 3,
    }


@pytest.mark.parametrize(
    ("field", "value", "found"),
    [
        ("a int", "7", "'7' (str)"),
        ("a int", 7.0, "7.0 (float)"),
        ("a str", 7, "7 (int)"),
        ("a bool", 1, "1 (int)"),
        ("a float", 1, "1 (int)"),
        ("a datetime", "2024-05-01", "(str)"),
        ("a decimal", 1.5, "1.5 (float)"),
        ("a uuid", Binary(b"x" * 16, 3), "(Binary)"),
        ("a json", ObjectId("0" * 24), "(ObjectId)"),
        ("version", None, "nothing"),
    ],
)
def test_a_wrong_type_in_a_document_is_an_error_that_names_it(
    raw: Raw, field: str, value: Any, found: str
) -> None:
    raw.db["every"].insert_many([{"_id": 1, "version": 1}, {"_id": 2, "version": 1, field: value}])
    select = Select(EVERY, ("id", field))
    with pytest.raises(DataError) as caught:
        raw.perform(Fetch(select))

    error = caught.value
    assert (error.model, error.field, error.value) == ("every", field, value)
    assert found in str(error)
    assert "document 2" in str(error)


def test_what_others_have_written_into_a_container_is_told_as_json(raw: Raw) -> None:
    kept = {"n": 2**40, "inner": {"%text": 5, "x%2Ey": 1}, "when": datetime(2024, 5, 1)}
    raw.db["every"].insert_one({"_id": 1, "a json": kept, "version": Int64(2**40)})

    ((text, version),) = raw.perform(Fetch(Select(EVERY, ("a json", "version"))))

    assert msgspec.json.decode(text) == {
        "n": 2**40,
        "inner": {"%text": 5, "x.y": 1},
        "when": "2024-05-01T00:00:00",
    }
    assert (type(version), version) == (int, 2**40)


def test_unknown_fields_outlive_an_update(raw: Raw) -> None:
    raw.db["every"].insert_one({"_id": 1, "a str": "old", "theirs": [1], "version": 1})
    raw.perform(Update(EVERY, ("a str",), ("version",), [("new", 1, 1)]))

    expected = {"_id": 1, "a str": "new", "theirs": [1], "version": 2}
    assert raw.db["every"].find_one() == expected


@pytest.mark.parametrize("kind", ["float", "datetime", "naive", "date", "timedelta", "decimal"])
def test_a_value_of_another_kind_is_refused(store: Raw, kind: str) -> None:
    with pytest.raises(DataError) as caught:
        store.dialect.encode(kind, "text" if kind != "float" else math.nan)

    assert caught.value.expected
