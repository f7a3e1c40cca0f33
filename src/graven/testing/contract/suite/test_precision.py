"""``field(precision=…)``: times are rounded as they are assigned, and come back equal."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest

from graven import MappingError, Model, NaiveDatetime, desc, field, key
from graven.testing.contract import as_kept

Open = Callable[..., Any]
FINE = datetime(2024, 5, 1, 12, 30, 15, 123_456, tzinfo=UTC)
COARSE = FINE.replace(microsecond=123_000)


class Event(Model):
    id: int = key()
    at: datetime = field(precision="ms")
    wall: NaiveDatetime | None = field(precision="s", default=None)
    daily: time | None = field(precision="ms", default=None)
    lasts: timedelta = field(precision="s", default=timedelta(seconds=1.7))
    exact: datetime | None = field(precision="us", default=None)


class Concert(Event):
    band: str = ""


@pytest.mark.parametrize("model", [Event, Concert])
def test_value_is_rounded_at_once_and_comes_back_equal(
    open_db: Open, backend: Any, model: Any
) -> None:
    db = open_db(Event)
    exact = as_kept(backend, FINE)
    with db.session() as session:
        event = model(id=1, at=FINE, exact=exact, wall=FINE.replace(tzinfo=None))
        assert (event.at, event.exact, event.lasts) == (COARSE, exact, timedelta(seconds=2))
        assert event.wall == datetime(2024, 5, 1, 12, 30, 15)
        event.daily = time(23, 59, 59, 999_600)
        assert event.daily == time(23, 59, 59, 999_000)
        session.add(event)
        session.commit()
        event.at = FINE + timedelta(hours=1)
        assert event.at == COARSE + timedelta(hours=1)
    with db.session() as session:
        event = session.query(model).where(model.at == COARSE + timedelta(hours=1)).one()
        assert (event.at, event.daily) == (COARSE + timedelta(hours=1), time(23, 59, 59, 999_000))
        assert session.query(model).order_by(desc(model.at)).all() == [event]


def test_assigning_what_rounds_to_the_same_is_no_change(open_db: Open) -> None:
    db = open_db(Event)
    with db.session() as session:
        session.add(Event(id=1, at=FINE))
    with db.session() as session:
        event = session.get(Event, 1)
        event.at = FINE
        assert session.plan() == []
        scope = session.begin()
        event.at = FINE + timedelta(days=1)
        scope.cancel()
        assert event.at == COARSE


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (datetime.max, datetime.max.replace(microsecond=999_000)),
        (datetime(2024, 1, 1, 0, 0, 0, 500), datetime(2024, 1, 1, 0, 0, 0, 1_000)),
        (datetime(2024, 1, 1, 23, 59, 59, 999_500), datetime(2024, 1, 2)),
        (datetime(2024, 1, 1, 0, 0, 0, 499), datetime(2024, 1, 1)),
    ],
)
def test_nearest_millisecond_is_taken_if_there_is_one(value: datetime, expected: datetime) -> None:
    utc = {"tzinfo": UTC}
    event = Event(id=1, at=value.replace(**utc))
    assert event.at == expected.replace(**utc)


def test_precision_of_what_is_no_time_is_refused() -> None:
    class Odd(Model):
        size: int = field(precision="ms", default=0)

    with pytest.raises(MappingError, match=r"Odd\.size: precision='ms' goes with a time"):
        Odd()
    with pytest.raises(MappingError, match="cannot declare precision='ns'"):
        field(precision="ns")  # type: ignore[arg-type]
