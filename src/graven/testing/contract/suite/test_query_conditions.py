"""Every condition on every kind of value: the store and memory give Python's own answer.

Each test asks twice: of rows in the store, and of objects that are pending and judged in memory.
"""

from __future__ import annotations

import enum
import operator
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from graven import Model, NaiveDatetime, ilike, in_, key, like
from graven.errors import QueryError
from graven.testing.contract import BYTE_ORDER, MICROSECONDS, Backend


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"
    GREEN = "green"


class Level(enum.Enum):
    LOW = 1
    HIGH = 2


class Sample(Model):
    """One field of every scalar kind, all of which may be null."""

    id: int = key()
    number: int | None = None
    text: str | None = None
    flag: bool | None = None
    ratio: float | None = None
    at: datetime | None = None
    wall: NaiveDatetime | None = None
    day: date | None = None
    clock: time | None = None
    span: timedelta | None = None
    price: Decimal | None = None
    token: UUID | None = None
    raw: bytes | None = None
    colour: Colour | None = None
    level: Level | None = None


def wall(*parts: int) -> datetime:
    """Return a wall-clock time."""
    return datetime(*parts)  # type: ignore[arg-type]


VALUES: dict[str, list[Any]] = {
    "number": [-(2**63), -1, 0, 7, 2**63 - 1],
    "text": ["", "Ada", "ada", "Äther", "zebra", "😀"],
    "flag": [False, True],
    "ratio": [float("-inf"), -0.5, 0.0, 2.0, 1e300],
    "at": [
        datetime(1999, 12, 31, 23, 59, 59, 999000, tzinfo=UTC),
        datetime(2024, 5, 1, 12, tzinfo=UTC),
        datetime(2024, 5, 1, 12, 0, 0, 1000, tzinfo=timezone(timedelta(hours=2))),
    ],
    "wall": [wall(1, 1, 1), wall(2024, 5, 1, 12), wall(2024, 5, 1, 12, 0, 0, 1)],
    "day": [date(1, 1, 1), date(2024, 2, 29), date(9999, 12, 31)],
    "clock": [time(0), time(12, 30), time(12, 30, 0, 1)],
    "span": [timedelta(-1), timedelta(0), timedelta(days=3, microseconds=1)],
    "price": [Decimal("-1.5"), Decimal("9.99"), Decimal("10.0"), Decimal("1e20")],
    "token": [UUID(int=0), UUID(int=5), UUID(int=2**128 - 1)],
    "raw": [b"", b"\x00\x01", b"\xff"],
    "colour": list(Colour),
    "level": list(Level),
}

SIGNS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def samples_of(field: str) -> list[Sample]:
    return [Sample(id=n, **{field: value}) for n, value in enumerate([*VALUES[field], None])]


def stored(value: Any) -> Any:
    return value.value if isinstance(value, enum.Enum) else value


def expected_for(field: str, sign: str, operand: Any) -> list[int]:
    """What Python says, null being a value that is neither less nor greater than any."""
    found = []
    for sample in samples_of(field):
        value = stored(getattr(sample, field))
        if sign in ("==", "!="):
            holds = SIGNS[sign](value, stored(operand))
        else:
            holds = None not in (value, operand) and SIGNS[sign](value, stored(operand))
        if holds:
            found.append(sample.id)
    return found


@pytest.fixture(params=["stored", "pending"])
def asked(request: pytest.FixtureRequest, open_db: Callable[..., Any]) -> Iterator[Any]:
    """Returns a session that has objects, in the store or pending."""
    db = open_db(Sample)
    sessions: list[Any] = []

    def given(objects: list[Sample]) -> Any:
        if request.param == "stored":
            with db.session() as session:
                session.add(*objects)
        session = db.session()
        sessions.append(session)
        if request.param == "pending":
            session.add(*objects)
        return session

    yield given
    for session in sessions:
        session.close()


def ids(query: Any) -> list[int]:
    return [one.id for one in query.order_by(Sample.id).all()]


def signs_for(backend: Backend, field: str) -> dict[str, Callable[[Any, Any], Any]]:
    """Return the operators that the store has for a field."""
    if field != "raw" or BYTE_ORDER in backend.capabilities:
        return SIGNS
    return {sign: SIGNS[sign] for sign in ("==", "!=")}


@pytest.mark.parametrize("field", VALUES)
def test_every_operator_on_every_kind_answers_as_python_does(
    asked: Any, backend: Backend, field: str
) -> None:
    session = asked(samples_of(field))
    column = getattr(Sample, field)
    for sign, compare in signs_for(backend, field).items():
        for operand in [*VALUES[field], None]:
            answer = ids(session.query(Sample).where(compare(column, operand)))
            assert answer == expected_for(field, sign, operand), (sign, operand)


@pytest.mark.needs(MICROSECONDS)
def test_instants_compare_to_the_microsecond(asked: Any) -> None:
    first = datetime(1999, 12, 31, 23, 59, 59, 999998, tzinfo=UTC)
    session = asked([Sample(id=n, at=first + timedelta(microseconds=n)) for n in range(3)])
    assert ids(session.query(Sample).where(Sample.at > first)) == [1, 2]
    assert ids(session.query(Sample).where(Sample.at == first)) == [0]


@pytest.mark.parametrize("field", VALUES)
def test_every_condition_and_its_complement_share_all_objects(
    asked: Any, backend: Backend, field: str
) -> None:
    session = asked(samples_of(field))
    column = getattr(Sample, field)
    everything = set(range(len(VALUES[field]) + 1))
    for compare in signs_for(backend, field).values():
        for operand in [VALUES[field][1], None]:
            condition = compare(column, operand)
            kept = set(ids(session.query(Sample).where(condition)))
            left = set(ids(session.query(Sample).where(~condition)))
            assert kept | left == everything
            assert not kept & left


@pytest.mark.parametrize("field", VALUES)
def test_in_finds_exactly_the_values_listed(asked: Any, field: str) -> None:
    session = asked(samples_of(field))
    column = getattr(Sample, field)
    values, null = VALUES[field], len(VALUES[field])

    def answer(listed: Any) -> list[int]:
        return ids(session.query(Sample).where(in_(column, listed)))

    assert answer([]) == []
    assert answer(values[:2]) == [0, 1]
    assert answer(iter([values[1], None])) == [1, null]
    assert answer([None]) == [null]
    assert ids(session.query(Sample).where(~in_(column, [values[0]]))) == [*range(1, null + 1)]
    assert ids(session.query(Sample).where(~in_(column, [values[0], None]))) == [*range(1, null)]
    assert ids(session.query(Sample).where(~in_(column, []))) == [*range(null + 1)]


def test_in_takes_thousands_of_values(asked: Any) -> None:
    session = asked([Sample(id=n, number=n, text=str(n)) for n in range(10)])
    many = range(5, 70_000)
    assert ids(session.query(Sample).where(in_(Sample.number, many))) == [5, 6, 7, 8, 9]
    texts = [str(n) for n in many]
    assert ids(session.query(Sample).where(~in_(Sample.text, texts))) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("pattern", "minding_case", "ignoring_case"),
    [
        ("A%", [0], [0, 1]),
        ("_da", [0, 1], [0, 1]),
        ("%", [0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5]),
        ("", [5], [5]),
        ("50\\%", [3], [3]),
        ("50%", [3, 4], [3, 4]),
        ("äT%", [], [2]),
        ("[A]da", [], []),
    ],
)
def test_like_minds_case_and_ilike_does_not(
    asked: Any, pattern: str, minding_case: list[int], ignoring_case: list[int]
) -> None:
    texts = ["Ada", "ada", "Äther", "50%", "500", "", None]
    session = asked([Sample(id=n, text=text) for n, text in enumerate(texts)])
    text = Sample.text
    assert ids(session.query(Sample).where(like(text, pattern))) == minding_case
    assert ids(session.query(Sample).where(ilike(text, pattern))) == ignoring_case
    everything = {*range(len(texts))}
    others = ids(session.query(Sample).where(~like(text, pattern)))
    assert others == sorted(everything - {*minding_case})
    others = ids(session.query(Sample).where(~ilike(text, pattern)))
    assert others == sorted(everything - {*ignoring_case})


def test_joined_conditions_nest_and_their_complements_keep_the_nulls(asked: Any) -> None:
    pairs = [(n, t) for n in (None, 1, 2) for t in (None, "a", "b")]
    session = asked([Sample(id=i, number=n, text=t) for i, (n, t) in enumerate(pairs)])
    number, text = Sample.number, Sample.text
    cases: list[tuple[Any, Callable[[Any, Any], bool]]] = [
        ((number > 1) & (text == "a"), lambda n, t: n == 2 and t == "a"),
        ((number > 1) | (text == "a"), lambda n, t: n == 2 or t == "a"),
        (~((number > 1) & (text == "a")), lambda n, t: not (n == 2 and t == "a")),
        (~((number > 1) | ~(text == "a")), lambda n, t: n != 2 and t == "a"),
        (
            ~(~(number == 1) & ~((text != "b") | (number == None))),  # noqa: E711
            lambda n, t: n == 1 or t != "b" or n is None,
        ),
        (~~(number < 2), lambda n, t: n == 1),
        (~(number < 2), lambda n, t: n != 1),
        ((number == None) & (text != None), lambda n, t: n is None and t is not None),  # noqa: E711
    ]
    for condition, python in cases:
        expected = [i for i, (n, t) in enumerate(pairs) if python(n, t)]
        assert ids(session.query(Sample).where(condition)) == expected, condition


def test_where_joins_its_conditions_and_takes_plain_truth(asked: Any) -> None:
    session = asked([Sample(id=n, number=n) for n in range(5)])
    query = session.query(Sample)
    assert ids(query.where(Sample.number > 0, Sample.number < 3)) == [1, 2]
    assert ids(query.where(Sample.number > 0).where(Sample.number < 3)) == [1, 2]
    assert ids(query.where(True)) == [0, 1, 2, 3, 4]
    assert ids(query.where(Sample.number > 1, False)) == []
    assert ids(query.where()) == [0, 1, 2, 3, 4]


def test_two_fields_are_compared_with_each_other_null_being_a_value(asked: Any) -> None:
    session = asked([Sample(id=n, number=number) for n, number in enumerate([1, 1, 1, None, None])])
    assert ids(session.query(Sample).where(Sample.number == Sample.id)) == [1]
    assert ids(session.query(Sample).where(Sample.number != Sample.id)) == [0, 2, 3, 4]
    assert ids(session.query(Sample).where(Sample.number > Sample.id)) == [0]
    assert ids(session.query(Sample).where(~(Sample.number > Sample.id))) == [1, 2, 3, 4]


def test_a_whole_number_is_compared_with_a_float_field(asked: Any) -> None:
    session = asked([Sample(id=0, ratio=2.0), Sample(id=1, ratio=2.5)])
    assert ids(session.query(Sample).where(Sample.ratio == 2)) == [0]
    assert ids(session.query(Sample).where(Sample.ratio > 2)) == [1]


@pytest.mark.parametrize("field", [name for name in VALUES if name != "raw"])
def test_a_value_of_another_type_is_refused_with_field_value_and_expectation(
    open_db: Callable[..., Any], field: str
) -> None:
    open_db(Sample)
    column = getattr(Sample, field)
    with pytest.raises(QueryError, match=rf"Sample\.{field}.*b'wrong'.*bytes") as caught:
        column == b"wrong"  # noqa: B015
    assert caught.value.model == "Sample"
    assert caught.value.field == field
    with pytest.raises(QueryError, match=rf"Sample\.{field}"):
        in_(column, [VALUES[field][0], b"wrong"])


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("number", 2**63, "64 bits"),
        ("number", True, "expected int"),
        ("text", "a\0b", "NUL"),
        ("text", "\ud800", "surrogate"),
        ("at", wall(2024, 1, 1), "time zone"),
        ("wall", datetime(2024, 1, 1, tzinfo=UTC), "wall-clock"),
        ("ratio", float("nan"), "NaN"),
        ("price", Decimal("NaN"), "finite"),
        ("day", wall(2024, 1, 1), "expected date"),
        ("colour", "red", "expected Colour"),
    ],
)
def test_a_value_that_no_object_can_have_is_refused(field: str, value: Any, why: str) -> None:
    with pytest.raises(QueryError, match=why):
        getattr(Sample, field) == value  # noqa: B015


def test_and_or_not_in_between_conditions_are_refused_with_the_remedy(
    open_db: Callable[..., Any],
) -> None:
    open_db(Sample)
    for wrong in (
        lambda: Sample.number > 1 and Sample.text == "a",
        lambda: Sample.number > 1 or Sample.text == "a",
        lambda: not Sample.number,
        lambda: 1 < Sample.number < 5,
    ):
        with pytest.raises(QueryError, match=r"& \| ~"):
            wrong()
    with pytest.raises(QueryError, match="in_"):
        bool(Sample.number in [1, 2])
