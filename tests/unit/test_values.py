"""What it means that two values are the same, and that a value class is a value."""

from __future__ import annotations

import copy
import pickle
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graven.core.values import ABSENT, Absent, same
from graven.ops.value import VALUES_UNWRITTEN, Value

NAN = float("nan")


@dataclass
class Money:
    amount: int


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (1, 1),
        (NAN, float("nan")),
        (Decimal("NaN"), Decimal("NaN")),
        (Decimal("1.0"), Decimal("1.00")),
        (0.0, -0.0),
        ("a", "a"),
        (None, None),
        ([1, (2, {3})], [1, (2, {3})]),
        ({"a": [NAN]}, {"a": [float("nan")]}),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({1, 2}, {2, 1}),
        ({float("nan")}, {float("nan")}),
        (frozenset({(1,)}), frozenset({(1,)})),
        (Money(1), Money(1)),
        (
            datetime(2024, 5, 1, 12, tzinfo=UTC),
            datetime(2024, 5, 1, 14, tzinfo=timezone(timedelta(hours=2))),
        ),
    ],
)
def test_these_are_the_same(left: object, right: object) -> None:
    assert same(left, right) is True
    assert same(right, left) is True


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (1, True),
        (0, False),
        (1, 1.0),
        (1, Decimal(1)),
        ("1", 1),
        ("a", b"a"),
        (None, ABSENT),
        (NAN, 1.0),
        ([1], [True]),
        ([1], (1,)),
        ([1, 2], [1]),
        ([1, 2], [2, 1]),
        ({"a": 1}, {"a": True}),
        ({"a": 1}, {"b": 1}),
        ({"a": 1}, {"a": 1, "b": 1}),
        ({1: "x"}, {True: "x"}),
        ({1: "x", 2: "y"}, {2: "y", True: "x"}),
        ({1}, {True}),
        ({1}, {1, 2}),
        ({(1,)}, {(True,)}),
        ({NAN}, {1.0}),
        ({1}, frozenset({1})),
        (Money(1), Money(2)),
        (datetime(2024, 5, 1, tzinfo=UTC), datetime(2024, 5, 1, tzinfo=UTC).replace(tzinfo=None)),
    ],
)
def test_these_are_not_the_same(left: object, right: object) -> None:
    assert same(left, right) is False
    assert same(right, left) is False


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 2), st.floats(), st.text("ab", max_size=2)
)
THINGS = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner, inner),
        st.dictionaries(SCALARS, inner, max_size=3),
        st.frozensets(SCALARS, max_size=3),
    ),
    max_leaves=6,
)


@given(THINGS)
def test_a_value_is_the_same_as_its_copy_through_bytes(value: object) -> None:
    assert same(value, pickle.loads(pickle.dumps(value)))


@given(THINGS, THINGS)
def test_to_be_the_same_is_mutual_and_implies_the_same_type(left: object, right: object) -> None:
    assert same(left, right) == same(right, left)
    assert not same(left, right) or type(left) is type(right)


def test_absent_is_false_and_says_what_it_is() -> None:
    assert not ABSENT
    assert repr(ABSENT) == "ABSENT"
    assert isinstance(ABSENT, Absent)


# ── value classes ───────────────────────────────────────────────────────────────────────────


class Point(Value):
    x: int
    y: int = 0


class Named(Point):
    name: str = "p"


class Other(Value):
    x: int
    y: int = 0


def test_a_value_is_made_by_position_by_name_and_by_default() -> None:
    assert (Point(1).x, Point(1).y) == (1, 0)
    assert Point(1, 2) == Point(x=1, y=2) == Point(y=2, x=1)
    assert (Named(1, 2, "q").name, Named(1).name) == ("q", "p")


@pytest.mark.parametrize(
    "arguments", [((), {}), ((1, 2, 3), {}), ((1,), {"z": 1}), ((1,), {"x": 1})]
)
def test_a_value_with_wrong_arguments_is_a_type_error(
    arguments: tuple[tuple[int, ...], dict[str, int]],
) -> None:
    by_position, by_name = arguments

    with pytest.raises(TypeError):
        Point(*by_position, **by_name)
    assert Point(1) == Point(1)


@pytest.mark.parametrize("made_before", [0, 1, VALUES_UNWRITTEN, VALUES_UNWRITTEN + 1])
def test_a_class_of_values_makes_its_first_ones_like_all_others(made_before: int) -> None:
    class Fresh(Value):
        x: int
        y: int = 0

    for number in range(made_before):
        assert (Fresh(number).x, Fresh(number).y) == (number, 0)
    assert Fresh(1, 2) == Fresh(x=1, y=2) == Fresh(y=2, x=1)
    wrong: Any = Fresh
    for arguments, fields in [((), {}), ((1, 2, 3), {}), ((1,), {"z": 1}), ((1,), {"x": 1})]:
        with pytest.raises(TypeError):
            wrong(*arguments, **fields)
    assert (Fresh(3).x, Fresh(3).y) == (3, 0)


def test_values_are_equal_when_type_and_fields_are() -> None:
    assert Point(1) == Point(1, 0)
    assert Point(1) != Point(2)
    assert Point(1) != Other(1)
    assert Point(1) != Named(1)
    assert Point(1) != (1, 0)
    assert len({Point(1), Point(1), Point(2), Other(1)}) == 3


def test_a_value_says_what_it_holds() -> None:
    assert repr(Named(1, 2)) == "Named(x=1, y=2, name='p')"


def test_a_value_has_no_room_for_more() -> None:
    point: Any = Point(1)

    with pytest.raises(AttributeError):
        point.z = 1


def test_a_value_matches_by_position() -> None:
    match Named(1, 2, "q"):
        case Named(x, y, name):
            assert (x, y, name) == (1, 2, "q")


@pytest.mark.parametrize(
    "through", [copy.copy, copy.deepcopy, lambda v: pickle.loads(pickle.dumps(v))]
)
def test_a_value_can_be_copied_and_pickled(through: Any) -> None:
    assert through(Named(1, 2, "q")) == Named(1, 2, "q")
