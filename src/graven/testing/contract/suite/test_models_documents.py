"""Containers and embedded values: kept with their types, and changes in place are noticed."""

from __future__ import annotations

import dataclasses
import enum
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from graven import DataError, Model, field
from graven.testing.contract import count


class Size(enum.Enum):
    SMALL = "s"
    LARGE = "l"


@dataclasses.dataclass
class Point:
    x: float
    y: float = 0.0


@dataclasses.dataclass
class Route:
    name: str
    points: list[Point] = dataclasses.field(default_factory=list)
    lengths: dict[str, Decimal] = dataclasses.field(default_factory=dict)
    start: Point | None = None


@dataclasses.dataclass(eq=False)
class Loose:
    number: int


class Struct(msgspec.Struct):
    number: int


class Sheet(Model):
    words: list[str] = field(default_factory=list)
    grid: list[list[int]] = field(default_factory=list)
    prices: dict[str, Decimal] = field(default_factory=dict)
    by_id: dict[UUID, list[date]] = field(default_factory=dict)
    tags: set[str] = field(default_factory=set)
    frozen: frozenset[int] = frozenset()
    pair: tuple[int, str] = (0, "")
    many: tuple[float, ...] = ()
    times: list[datetime] = field(default_factory=list)
    spans: list[timedelta] = field(default_factory=list)
    blobs: list[bytes] = field(default_factory=list)
    sizes: dict[Size, int] = field(default_factory=dict)
    point: Point | None = None
    route: Route = field(default_factory=lambda: Route(""))
    loose: Loose | None = None
    struct: Struct | None = None
    maybe: list[str] | None = None
    either: int | str = 0
    anything: Any = None


INSTANT = datetime(2024, 5, 1, 12, tzinfo=UTC)
FULL: list[tuple[str, Any]] = [
    ("words", ["a", "", "☃", "nul \0 inside", '"']),
    ("grid", [[1, 2], [], [-(2**63), 2**70]]),
    ("prices", {"a": Decimal("1.10"), "": Decimal("-1E+10")}),
    ("by_id", {UUID(int=7): [date(2024, 1, 1)], UUID(int=8): []}),
    ("tags", {"x", "y"}),
    ("frozen", frozenset({3, 1, 2})),
    ("pair", (7, "seven")),
    ("many", (1.5, 2.0, -0.25)),
    ("times", [INSTANT, INSTANT.replace(tzinfo=None)]),
    ("spans", [timedelta(days=-1, microseconds=3)]),
    ("blobs", [b"", bytes(range(256))]),
    ("sizes", {Size.LARGE: 2}),
    ("point", Point(1.0, 2.0)),
    ("route", Route("r", [Point(1.0), Point(2.0)], {"km": Decimal("3.0")}, Point(0.0))),
    ("struct", Struct(4)),
    ("maybe", []),
    ("maybe", None),
    ("either", "text"),
    ("either", 5),
    ("anything", {"a": [1, 2.5, None, True, "x"]}),
    ("anything", None),
]


def saved(db: Any, **fields: Any) -> Any:
    sheet = Sheet(**fields)
    with db.session() as session:
        session.add(sheet)
    return sheet.id


@pytest.mark.parametrize(("name", "value"), FULL, ids=range(len(FULL)))
def test_a_document_comes_back_with_its_types(
    open_db: Callable[..., Any], name: str, value: Any
) -> None:
    db = open_db(Sheet)
    key = saved(db, **{name: value})

    with db.session() as session:
        found = getattr(session.get(Sheet, key), name)

    assert found == value
    assert repr(found) == repr(value) if not isinstance(value, set) else type(found) is set


def test_an_embedded_value_without_equality_comes_back_and_is_clean(
    open_db: Callable[..., Any],
) -> None:
    db = open_db(Sheet)
    key = saved(db, loose=Loose(3))

    with db.session() as session:
        sheet = session.get(Sheet, key)
        assert sheet.loose.number == 3
        assert list(session.dirty) == []
        sheet.loose.number = 4
        assert list(session.dirty) == [sheet]


def _append_deep(sheet: Any) -> None:
    sheet.grid[0].append(9)


def _set_embedded(sheet: Any) -> None:
    sheet.route.points[0].x = 9.0


def _set_item(sheet: Any) -> None:
    sheet.prices["b"] = Decimal("2")


def _add_member(sheet: Any) -> None:
    sheet.tags.add("new")


def _set_inside_any(sheet: Any) -> None:
    sheet.anything["a"]["b"].append(1)


def _replace(sheet: Any) -> None:
    sheet.words = ["other"]


def _set_in_dict_of_embedded(sheet: Any) -> None:
    sheet.route.lengths["km"] = Decimal("4")


CHANGES = {
    _append_deep: lambda sheet: sheet.grid[0].pop(),
    _set_embedded: lambda sheet: setattr(sheet.route.points[0], "x", 1.0),
    _set_item: lambda sheet: sheet.prices.pop("b"),
    _add_member: lambda sheet: sheet.tags.remove("new"),
    _set_inside_any: lambda sheet: sheet.anything["a"]["b"].pop(),
    _replace: lambda sheet: setattr(sheet, "words", ["a"]),
    _set_in_dict_of_embedded: lambda sheet: sheet.route.lengths.clear(),
}


def filled(db: Any) -> Any:
    return saved(
        db,
        grid=[[1]],
        route=Route("r", [Point(1.0)]),
        prices={"a": Decimal("1")},
        tags={"x"},
        anything={"a": {"b": []}},
        words=["a"],
    )


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_in_place_at_any_depth_is_written(
    open_db: Callable[..., Any], change: Callable[[Any], None]
) -> None:
    db = open_db(Sheet)
    key = filled(db)

    with db.session() as session:
        sheet = session.get(Sheet, key)
        change(sheet)
        wanted = {name: getattr(sheet, name) for name in Sheet.__annotations__}
    with db.session() as session:
        sheet = session.get(Sheet, key)
        assert {name: getattr(sheet, name) for name in Sheet.__annotations__} == wanted
        assert sheet._origin.version == 2


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_in_place_that_is_reverted_leaves_the_object_clean(
    open_db: Callable[..., Any], change: Callable[[Any], None]
) -> None:
    db = open_db(Sheet)
    key = filled(db)

    with db.session() as session:
        sheet = session.get(Sheet, key)
        change(sheet)
        assert list(session.dirty) == [sheet]
        CHANGES[change](sheet)
        assert list(session.dirty) == []
        assert session.plan() == []


@pytest.mark.parametrize("change", CHANGES)
def test_rollback_takes_a_change_in_place_back(
    open_db: Callable[..., Any], change: Callable[[Any], None]
) -> None:
    db = open_db(Sheet)
    key = filled(db)

    with db.session() as session:
        sheet = session.get(Sheet, key)
        before = repr([getattr(sheet, name) for name in Sheet.__annotations__])
        change(sheet)
        session.rollback()
        assert repr([getattr(sheet, name) for name in Sheet.__annotations__]) == before


@pytest.mark.parametrize("change", CHANGES)
def test_an_inner_cancel_takes_only_the_inner_change_in_place_back(
    open_db: Callable[..., Any], change: Callable[[Any], None]
) -> None:
    db = open_db(Sheet)
    key = filled(db)

    with db.session() as session:
        sheet = session.get(Sheet, key)
        sheet.prices["outer"] = Decimal("5")
        scope = session.begin()
        change(sheet)
        scope.cancel()
        assert sheet.prices == {"a": Decimal("1"), "outer": Decimal("5")}
        CHANGES[_replace](sheet)
        assert sheet.grid == [[1]]
        assert sheet.route.points == [Point(1.0)]
    with db.session() as session:
        assert session.get(Sheet, key).prices == {"a": Decimal("1"), "outer": Decimal("5")}


def test_reading_a_document_makes_nothing_dirty(open_db: Callable[..., Any]) -> None:
    db = open_db(Sheet)
    key = filled(db)

    with db.session() as session:
        sheet = session.get(Sheet, key)
        for name in Sheet.__annotations__:
            getattr(sheet, name)
        assert list(session.dirty) == []


def test_two_objects_made_with_a_default_do_not_share_it() -> None:
    first, second = Sheet(), Sheet()
    first.words.append("mine")
    assert second.words == []


def cyclic() -> list[Any]:
    inner: list[Any] = []
    inner.append(inner)
    return inner


REFUSED: list[tuple[str, Any, str]] = [
    ("words", ["a", 1], "words"),
    ("words", None, "words"),
    ("words", "text", "words"),
    ("words", ("a",), "come back as"),
    ("words", ["lone \ud800"], "surrogate"),
    ("grid", [[True]], "grid"),
    ("many", (float("nan"),), "many"),
    ("many", (float("inf"),), "many"),
    ("many", (1, 2.0), "come back as"),
    ("point", Point(float("nan")), "point"),
    ("point", Point(1), "come back as"),
    ("prices", {1: Decimal("1")}, "prices"),
    ("prices", {"a": 1.5}, "prices"),
    ("prices", OrderedDict(a=Decimal("1")), "come back as"),
    ("pair", (1, "a", 2), "pair"),
    ("either", 1.5, "either"),
    ("anything", {1: "a"}, "come back as"),
    ("anything", (1, 2), "come back as"),
    ("anything", {"x": Decimal("1")}, "come back as"),
    ("anything", object(), "anything"),
    ("anything", cyclic(), "contains itself"),
    ("anything", [float("nan")], "come back as"),
]


@pytest.mark.parametrize(("name", "value", "words"), REFUSED, ids=range(len(REFUSED)))
def test_what_would_not_come_back_the_same_is_refused_before_the_write(
    open_db: Callable[..., Any], name: str, value: Any, words: str
) -> None:
    db = open_db(Sheet)
    with db.session() as session:
        good, bad = Sheet(), Sheet(**{name: value})
        session.add(good, bad)
        with pytest.raises(DataError, match=words) as caught:
            session.commit()
        error = caught.value
        assert (error.model, error.field, error.key) == ("Sheet", name, bad.id)
        assert error.value is value
        assert "Nothing was written" in str(error)
        assert count(db, Sheet) == 0
        setattr(bad, name, getattr(good, name))
        session.commit()
        assert count(db, Sheet) == 2


def test_a_bad_change_in_place_leaves_the_session_usable(open_db: Callable[..., Any]) -> None:
    db = open_db(Sheet)
    key = filled(db)

    with db.session() as session:
        sheet = session.get(Sheet, key)
        sheet.words.append(object())
        assert list(session.dirty) == [sheet]
        assert session.query(Sheet).count() == 1
        with pytest.raises(DataError, match="words"):
            session.commit()
        with session.begin():
            pass
        session.rollback()
        assert sheet.words == ["a"]
        sheet.words.append("b")
    with db.session() as session:
        assert session.get(Sheet, key).words == ["a", "b"]


def test_a_bad_change_in_an_inner_scope_is_cancelled_with_it(open_db: Callable[..., Any]) -> None:
    db = open_db(Sheet)
    key = filled(db)

    with db.session() as session:
        sheet = session.get(Sheet, key)
        sheet.words.append("outer")
        scope = session.begin()
        sheet.words.append(object())
        scope.cancel()
        assert sheet.words == ["a", "outer"]


PLAIN = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text('ab☃\0"\\')
TREES = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner)
)


@seed(20241123)
@settings(
    max_examples=60,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(tree=TREES, grid=st.lists(st.lists(st.integers(-(2**63), 2**63 - 1))))
def test_whatever_tree_is_written_is_read_back(
    open_db: Callable[..., Any], tree: Any, grid: Any
) -> None:
    db = open_db(Sheet)
    key = saved(db, anything=tree, grid=grid)
    with db.session() as session:
        found = session.get(Sheet, key)
        assert (found.anything, found.grid) == (tree, grid)
