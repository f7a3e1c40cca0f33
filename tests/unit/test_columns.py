"""Rows made column by column are the rows made one by one, and what is odd goes the slow way."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graven import Model, key
from graven.dialects.sqlite import SQLiteDialect
from graven.errors import DataError
from graven.models.binding import ModelBinding
from graven.models.columns import ROWS_MIN
from graven.models.model import mapper_of


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class ColumnOwner(Model, table="column_owner"):
    id: int = key()
    code: UUID = UUID(int=7)


class ColumnMade(Model, table="column_made"):
    id: int = key(store_made=True)


class ColumnWide(Model, table="column_wide"):
    id: int = key()
    whole: int
    text: str
    number: float
    flag: bool
    at: datetime
    day: date
    hour: time
    span: timedelta
    amount: Decimal
    code: UUID
    data: bytes
    colour: Colour
    tags: list[str]
    owner: ColumnOwner
    maybe: str | None = None
    perhaps: datetime | None = None
    made: ColumnMade | None = None


AT = datetime(2024, 5, 1, 12, tzinfo=UTC)
OWNER = ColumnOwner(id=3)
DIALECT = SQLiteDialect()
BINDING = ModelBinding(
    mapper_of(ColumnWide), DIALECT.encoders, DIALECT.decoders, DIALECT.column_encoders
)


def wide(number: int, /, **changes: Any) -> ColumnWide:
    values: dict[str, Any] = {
        "whole": number,
        "text": f"text {number}",
        "number": number / 7,
        "flag": number % 2 == 0,
        "at": AT + timedelta(seconds=number, microseconds=number),
        "day": date(2024, 1, 1) + timedelta(days=number),
        "hour": time(12, number % 60),
        "span": timedelta(seconds=number),
        "amount": Decimal(number) / 4,
        "code": UUID(int=number),
        "data": bytes([number % 256]),
        "colour": Colour.RED if number % 3 else Colour.BLUE,
        "tags": [str(number)],
        "owner": OWNER,
    }
    return ColumnWide(id=number, **{**values, **changes})


def nothing(_: Any) -> Any:
    raise AssertionError


def rows_of(objects: list[ColumnWide], later: Callable[[Any], Any] = nothing) -> list[Any]:
    return BINDING.insert_rows(objects, later, [5] * len(objects))


def single(objects: list[ColumnWide]) -> list[Any]:
    return [BINDING.insert_row(one, nothing, 5) for one in objects]


def columns_of(objects: list[ColumnWide]) -> list[Any] | None:
    BINDING.insert_rows(objects, nothing, [5] * len(objects))
    columns: list[Any] | None = BINDING._columns_of[-1](objects)
    return columns


MANY = range(ROWS_MIN + 3)


def test_columns_make_the_rows_that_objects_make_one_by_one() -> None:
    objects = [wide(number, maybe=None if number % 2 else "x") for number in MANY]
    objects[4].perhaps = AT

    assert columns_of(objects) is not None
    assert rows_of(objects) == single(objects)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.builds(
            wide,
            st.integers(0, 1000),
            text=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
            number=st.floats(allow_nan=False) | st.integers(-5, 5),
            at=st.datetimes(
                min_value=datetime(2, 1, 1),
                max_value=datetime(9998, 1, 1),
                timezones=st.sampled_from([UTC, timezone(timedelta(hours=2)), timezone.min]),
            ),
            maybe=st.none() | st.text("ab"),
            perhaps=st.none() | st.just(AT),
        ),
        min_size=ROWS_MIN,
        max_size=ROWS_MIN + 2,
    )
)
def test_columns_and_rows_agree_on_whatever_is_written(objects: list[ColumnWide]) -> None:
    assert rows_of(objects) == single(objects)


ODD = {
    "an int where a float is declared": {"number": 1},
    "an instant of another zone": {"at": AT.astimezone(timezone(timedelta(hours=3)))},
    "a subclass of the type": {"text": type("Text", (str,), {})("x")},
    "infinities that cancel out": {"number": float("inf")},
}


@pytest.mark.parametrize("changes", ODD.values(), ids=ODD)
def test_what_has_to_be_converted_goes_the_slow_way(changes: dict[str, Any]) -> None:
    objects = [wide(number) for number in MANY]
    objects[5] = wide(5, **changes)
    if changes == {"number": float("inf")}:
        objects[6] = wide(6, number=-float("inf"))

    assert columns_of(objects) is None
    assert rows_of(objects) == single(objects)


WRONG = {
    "a text for an int": {"whole": "1"},
    "a bool for an int": {"whole": True},
    "a NUL": {"text": "a\0b"},
    "a NaN": {"number": float("nan")},
    "a naive datetime": {"at": datetime(2024, 1, 1)},
    "a naive datetime that may be missing": {"perhaps": datetime(2024, 1, 1)},
    "a zone in a time of day": {"hour": time(1, tzinfo=UTC)},
    "no finite number": {"amount": Decimal("Infinity")},
    "nothing": {"text": None},
    "no list": {"tags": 3},
    "another class": {"owner": ColumnMade()},
    "no owner": {"owner": None},
}


@pytest.mark.parametrize("changes", WRONG.values(), ids=WRONG)
def test_one_wrong_value_among_many_is_refused_with_its_object_named(
    changes: dict[str, Any],
) -> None:
    objects = [wide(number) for number in MANY]
    objects[7] = wide(7, **changes)

    with pytest.raises(DataError) as caught:
        rows_of(objects)
    assert (caught.value.key, caught.value.field) == (7, next(iter(changes)))


def test_a_key_that_the_store_will_make_is_asked_for() -> None:
    made = ColumnMade()
    objects = [wide(number, made=made if number == 4 else None) for number in MANY]

    rows = rows_of(objects, lambda one: ("later", one))
    assert [row[-2] for row in rows] == [("later", made) if n == 4 else None for n in MANY]


def test_updates_are_made_by_column_too() -> None:
    objects = [wide(number) for number in MANY]
    bits = 1 << mapper_of(ColumnWide).field_index["text"]
    keys, versions = [one.id for one in objects], [one.id + 10 for one in objects]

    rows = BINDING.update_rows(bits, objects, nothing, keys, versions)
    assert rows == [(f"text {number}", number, number + 10) for number in MANY]
