"""Every kind of plain value comes back equal, in type and in value, or is refused."""

from __future__ import annotations

import enum
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Annotated, Any, NewType
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from graven import DataError, Model, NaiveDatetime
from graven.testing.contract import as_kept


class Suit(enum.Enum):
    HEARTS = "h"
    SPADES = "s"


class Rank(enum.IntEnum):
    TWO = 2
    ACE = 14


class Shape(enum.Enum):
    POINT = (0, 0)
    NOTHING = None
    LINE = "POINT"


class Right(enum.Flag):
    READ = 1
    WRITE = 2


Score = NewType("Score", int)


class Sample(Model):
    number: int | None = None
    text: str | None = None
    flag: bool | None = None
    ratio: float | None = None
    instant: datetime | None = None
    wall: NaiveDatetime | None = None
    day: date | None = None
    hour: time | None = None
    span: timedelta | None = None
    price: Decimal | None = None
    token: UUID | None = None
    data: bytes | None = None
    suit: Suit | None = None
    rank: Rank | None = None
    shape: Shape | None = None
    right: Right | None = None
    score: Score | None = None
    noted: Annotated[int, "a note"] | None = None


class Required(Model):
    number: int
    text: str
    flag: bool
    ratio: float
    instant: datetime
    wall: NaiveDatetime
    day: date
    hour: time
    span: timedelta
    price: Decimal
    token: UUID
    data: bytes
    suit: Suit
    rank: Rank
    shape: Shape
    right: Right


INDIA = timezone(timedelta(hours=5, minutes=30))
VALUES: list[tuple[str, Any]] = [
    *(("number", one) for one in (0, -1, 2**63 - 1, -(2**63))),
    *(("text", one) for one in ("", "a", "naïve ☃ 𝄞", "it's", 'a"b', "line\nline", "%_\\", "0042")),
    ("flag", True),
    ("flag", False),
    *(("ratio", one) for one in (0.1, -1e308, 5e-324, float("inf"), float("-inf"), 3.0)),
    ("instant", datetime(2024, 5, 1, 12, 30, 15, 123456, tzinfo=UTC)),
    ("instant", datetime(2024, 5, 1, 12, tzinfo=INDIA)),
    ("instant", datetime(2024, 7, 1, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"))),
    ("instant", datetime(1, 1, 1, tzinfo=UTC)),
    ("instant", datetime.max.replace(tzinfo=UTC)),
    ("wall", datetime(2024, 5, 1, 12, 30, 15, 1)),
    ("wall", datetime.min),
    ("wall", datetime.max),
    ("day", date.min),
    ("day", date.max),
    ("hour", time(0)),
    ("hour", time.max),
    ("span", timedelta(days=-3, microseconds=1)),
    ("span", timedelta(days=100_000_000, microseconds=7)),
    *(("price", Decimal(one)) for one in ("0.10", "-1E+40", "1E-40", "12345678901234567890.123")),
    ("token", UUID(int=0)),
    ("token", UUID(int=2**128 - 1)),
    ("data", b""),
    ("data", bytes(range(256))),
    *(("suit", one) for one in Suit),
    *(("rank", one) for one in Rank),
    *(("shape", one) for one in Shape),
    *(("right", one) for one in (Right.READ, Right.READ | Right.WRITE, Right(0))),
    ("score", Score(7)),
    ("noted", 8),
]


def stored(open_db: Callable[..., Any], model: Any, **fields: Any) -> Any:
    """Return an object with *fields* as another session reads it."""
    db = open_db(model)
    instance = model(**fields)
    with db.session() as session:
        session.add(instance)
    with open_db().session() as session:
        return session.get(model, instance.id)


@pytest.mark.parametrize(("field", "value"), VALUES, ids=lambda one: repr(one)[:40])
def test_a_value_comes_back_equal_and_of_the_same_type(
    open_db: Callable[..., Any], backend: Any, field: str, value: Any
) -> None:
    value = as_kept(backend, value) if field == "instant" else value
    found = getattr(stored(open_db, Sample, **{field: value}), field)

    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("field", Sample.__annotations__)
def test_none_comes_back_as_none(open_db: Callable[..., Any], field: str) -> None:
    assert getattr(stored(open_db, Sample, **{field: None}), field) is None


def test_required_values_of_every_kind_come_back(open_db: Callable[..., Any], backend: Any) -> None:
    fields = {name: value for name, value in reversed(VALUES) if name in Required.__annotations__}
    fields["instant"] = as_kept(backend, fields["instant"])

    found = stored(open_db, Required, **fields)

    assert {name: getattr(found, name) for name in fields} == fields


def test_an_instant_comes_back_in_utc_whatever_its_zone(open_db: Callable[..., Any]) -> None:
    given_time = datetime(2024, 5, 1, 12, tzinfo=INDIA)

    found = stored(open_db, Sample, instant=given_time).instant

    assert found.tzinfo is UTC
    assert found.isoformat() == "2024-05-01T06:30:00+00:00"


@pytest.mark.parametrize("fold", [0, 1])
def test_the_hour_that_clocks_repeat_comes_back_as_the_instant_it_was(
    open_db: Callable[..., Any], fold: int
) -> None:
    twice = datetime(2024, 10, 27, 2, 30, fold=fold, tzinfo=ZoneInfo("Europe/Berlin"))

    found = stored(open_db, Sample, instant=twice).instant

    assert found == datetime(2024, 10, 27, fold, 30, tzinfo=UTC)


def test_a_decimal_keeps_its_zeros(open_db: Callable[..., Any]) -> None:
    assert str(stored(open_db, Sample, price=Decimal("1.500")).price) == "1.500"


def test_a_whole_number_in_a_float_field_comes_back_as_an_equal_float(
    open_db: Callable[..., Any],
) -> None:
    found = stored(open_db, Sample, ratio=3).ratio

    assert (found, type(found)) == (3.0, float)


class Name(str):
    """A text of a class of its own."""


def test_a_subclass_of_a_plain_type_comes_back_as_the_plain_type(
    open_db: Callable[..., Any],
) -> None:
    found = stored(open_db, Sample, text=Name("ada")).text

    assert (found, type(found)) == ("ada", str)


class Older(enum.Enum):
    KEPT = "kept"
    GONE = "gone"


class Newer(enum.Enum):
    KEPT = "kept"


class OldCard(Model, table="card"):
    id: int
    state: Older


class NewCard(Model, table="card"):
    id: int
    state: Newer


def test_a_stored_member_that_the_enumeration_lost_is_named_when_it_is_read(
    open_db: Callable[..., Any],
) -> None:
    db = open_db(OldCard)
    with db.session() as session:
        session.add(OldCard(id=1, state=Older.GONE), OldCard(id=2, state=Older.KEPT))

    with db.session() as session:
        with pytest.raises(DataError, match=r"cannot read NewCard.state: found 'gone'"):
            session.get(NewCard, 1)
        assert session.get(NewCard, 2).state is Newer.KEPT


TEXTS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"))
ROWS = st.fixed_dictionaries(
    {
        "number": st.integers(-(2**63), 2**63 - 1),
        "text": TEXTS,
        "flag": st.booleans(),
        "ratio": st.floats(allow_nan=False),
        "instant": st.datetimes(
            datetime(2, 1, 1), datetime(9998, 1, 1), timezones=st.timezones() | st.just(UTC)
        ),
        "wall": st.datetimes(),
        "day": st.dates(),
        "hour": st.times(),
        "span": st.timedeltas(timedelta(days=-100_000_000), timedelta(days=100_000_000)),
        "price": st.decimals(allow_nan=False, allow_infinity=False),
        "token": st.uuids(),
        "data": st.binary(),
        "suit": st.sampled_from(Suit),
        "rank": st.sampled_from(Rank),
        "shape": st.sampled_from(Shape),
        "right": st.sampled_from([Right(bits) for bits in range(4)]),
    }
)


@seed(20241122)
@settings(
    max_examples=60,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(rows=st.lists(ROWS, min_size=1, max_size=5))
def test_whatever_is_written_is_read_back(
    open_db: Callable[..., Any], backend: Any, rows: list[Any]
) -> None:
    db = open_db(Required)
    for row in rows:
        row["instant"] = as_kept(backend, row["instant"])
    with db.session() as session:
        objects = [Required(**row) for row in rows]
        session.add(*objects)
    with db.session() as session:
        for instance, row in zip(objects, rows, strict=True):
            found = session.get(Required, instance.id)
            row["instant"] = row["instant"].astimezone(UTC)
            assert {name: getattr(found, name) for name in row} == row
