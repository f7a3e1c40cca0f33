"""f.every(): one entry for each time that is due, however many workers there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from graven import OperationError, UsageError
from graven.ops.working import SCHEDULES
from graven.testing import VirtualClock
from graven.testing.contract import TRANSACTIONS, rows, update
from graven.testing.contract.suite.operations import Account, both, log_of

pytestmark = pytest.mark.needs(TRANSACTIONS)

Open = Callable[..., Any]

BEGINNING = datetime(2026, 6, 1, 12, 0, 30, tzinfo=UTC)
HOUR_S = 3600.0
ran: list[Any] = []


@both
def report(what: str, account: Account | None = None) -> None:
    ran.append(what if account is None else (what, account.balance))


@pytest.fixture(autouse=True)
def clock() -> Iterator[VirtualClock]:
    ran.clear()
    with VirtualClock(BEGINNING) as found:
        yield found


@pytest.fixture
def db(open_db: Open) -> Any:
    made = open_db(Account)
    with made.session() as session:
        session.add(Account(owner="Ada", balance=100))
    return made


def every(db: Any, colour: Any, cron: str, *args: Any, **options: Any) -> Any:
    function = report.of(colour).on(getattr(db, "_target", db))
    return colour.call(lambda: function.every(cron, *(args or ("x",)), **options))


def work(db: Any, workers: int = 1) -> None:
    for _ in range(workers):
        db.worker(concurrency=1).run(until_idle=True)


def due(db: Any) -> list[datetime]:
    return [found for (found,) in rows(db, SCHEDULES, "due")]


def test_an_entry_is_made_for_each_time_and_only_one(
    db: Any, colour: Any, clock: VirtualClock
) -> None:
    every(db, colour, "*/10 * * * *", "tick")
    work(db)
    assert ran == []
    for count in (1, 2):
        clock.advance(600)
        work(db, workers=3)
        assert ran == ["tick"] * count
    assert log_of(db, "schedule") == [report.of(colour).name] * 2
    assert due(db) == [BEGINNING.replace(minute=30, second=0)]


def test_two_workers_that_see_the_same_time_make_one_entry(
    db: Any, colour: Any, clock: VirtualClock
) -> None:
    every(db, colour, "0 * * * *", "tick")
    clock.advance(HOUR_S)
    work(db)
    update(db, SCHEDULES, report.of(colour).name, due=BEGINNING.replace(hour=13, second=0))
    work(db)
    assert ran == ["tick"]


@pytest.mark.parametrize(("missed", "times"), [("last", 1), ("all", 5)])
def test_missed_times_are_made_up_for_as_the_schedule_says(
    db: Any, colour: Any, clock: VirtualClock, missed: str, times: int
) -> None:
    every(db, colour, "0 * * * *", "tick", missed=missed)
    clock.advance(5 * HOUR_S)
    work(db)
    assert ran == ["tick"] * times
    assert due(db) == [BEGINNING.replace(hour=18, second=0)]


def test_a_schedule_goes_by_the_clocks_of_its_zone(
    db: Any, colour: Any, clock: VirtualClock
) -> None:
    every(db, colour, "0 7 * * *", "paris", zone="Europe/Paris", schedule="paris")
    every(db, colour, "0 7 * * *", "utc", schedule="utc")
    clock.advance(17 * HOUR_S)
    work(db)
    assert ran == ["paris"]
    clock.advance(2 * HOUR_S)
    work(db)
    assert ran == ["paris", "utc"]


def test_to_say_a_schedule_again_changes_it_and_loses_no_time(
    db: Any, colour: Any, clock: VirtualClock
) -> None:
    every(db, colour, "0 * * * *", "old")
    clock.advance(HOUR_S)
    every(db, colour, "0 * * * *", "new")  # as every worker does when it begins
    assert len(due(db)) == 1
    work(db)
    assert ran == ["new"]
    every(db, colour, "30 * * * *", "other")
    assert due(db) == [BEGINNING.replace(hour=13, minute=30, second=0)]


def test_a_schedule_can_be_ended(db: Any, colour: Any, clock: VirtualClock) -> None:
    name = every(db, colour, "0 * * * *", "tick")
    assert db.unschedule(name) is True
    assert db.unschedule(name) is False
    clock.advance(HOUR_S)
    work(db)
    assert ran == []


def test_where_nothing_was_ever_scheduled_nothing_can_be_ended(db: Any) -> None:
    assert db.unschedule("none") is False


def test_a_schedule_has_objects_as_they_are_when_it_is_due(
    db: Any, colour: Any, clock: VirtualClock
) -> None:
    with db.session() as session:
        ada = session.query(Account).one()
        function = report.of(colour)
        colour.call(lambda: function.every("0 * * * *", "balance", ada))
        ada.balance = 7
        with pytest.raises(OperationError, match="has changes"):
            colour.call(lambda: function.every("0 * * * *", "balance", ada))
    clock.advance(HOUR_S)
    work(db)
    assert ran == [("balance", 7)]


@pytest.mark.needs(TRANSACTIONS)
def test_a_schedule_is_a_part_of_the_callers_transaction(db: Any, colour: Any) -> None:
    every(db, colour, "0 * * * *", "first")
    with pytest.raises(KeyError), db.transaction():
        every(db, colour, "5 * * * *", "second")
        raise KeyError
    assert due(db) == [BEGINNING + timedelta(minutes=59, seconds=30)]


@pytest.mark.parametrize(
    ("cron", "options"),
    [
        ("nonsense", {}),
        ("* * * * *", {"zone": "Atlantis/Centre"}),
        ("* * * * *", {"zone": "../etc"}),
        ("* * * * *", {"missed": "some"}),
    ],
)
def test_a_schedule_that_is_not_understood_is_refused(
    db: Any, colour: Any, cron: str, options: Any
) -> None:
    with pytest.raises(UsageError):
        every(db, colour, cron, **options)
    assert db.unschedule(report.of(colour).name) is False


def test_a_schedule_that_cannot_be_judged_here_does_not_stop_a_worker(
    db: Any, colour: Any, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    every(db, colour, "0 * * * *", "good", schedule="good")
    every(db, colour, "0 * * * *", "bad", schedule="bad")
    update(db, SCHEDULES, "bad", zone="Atlantis/Centre")
    clock.advance(HOUR_S)
    work(db)
    assert ran == ["good"]
    assert "'bad' is due" in caplog.text
