"""When schedules are due: cron texts, time zones, clocks that are put forward and back."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graven import UsageError
from graven.core.cron import due_between, next_due

PARIS = ZoneInfo("Europe/Paris")
TEXTS = ["* * * * *", "*/7 * * * *", "30 2 * * *", "0 */6 * * *", "15 3 * * SUN", "0 0 L * *"]
ZONES = [UTC, PARIS, ZoneInfo("America/New_York"), ZoneInfo("Australia/Lord_Howe")]
moments = st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_a_time_that_the_clocks_leave_out_in_spring_is_due_right_after_the_gap() -> None:
    assert next_due("30 2 * * *", PARIS, at("2026-03-28T12:00")) == at("2026-03-29T01:00")
    assert next_due("30 2 * * *", PARIS, at("2026-03-29T01:00")) == at("2026-03-30T00:30")


@pytest.mark.parametrize("after", ["2026-10-24T12:00", "2026-10-25T00:29"])
def test_a_time_that_the_clocks_repeat_in_autumn_is_due_once(after: str) -> None:
    first = next_due("30 2 * * *", PARIS, at(after))
    assert first == at("2026-10-25T00:30")
    assert next_due("30 2 * * *", PARIS, first) == at("2026-10-26T01:30")
    assert next_due("30 2 * * *", PARIS, at("2026-10-25T01:10")) == at("2026-10-26T01:30")


def test_what_is_due_every_half_hour_goes_by_real_time_when_clocks_change() -> None:
    found = [at("2026-10-25T00:00")]
    for _ in range(4):
        found.append(next_due("*/30 * * * *", PARIS, found[-1]))
    assert {later - earlier for earlier, later in pairwise(found)} == {timedelta(minutes=30)}


@given(st.sampled_from(TEXTS), st.sampled_from(ZONES), moments)
def test_the_next_time_is_later_and_nothing_is_between(
    text: str, zone: ZoneInfo, after: datetime
) -> None:
    found = next_due(text, zone, after)
    assert found > after
    assert found.tzinfo is UTC
    between = after + (found - after) / 2
    assert next_due(text, zone, between) == found


def test_only_the_last_missed_time_is_made_up_for_unless_all_are_asked_for() -> None:
    first, now = at("2026-01-01T00:00"), at("2026-01-01T05:03")
    assert due_between("0 * * * *", UTC, first, now, "last") == (
        [at("2026-01-01T05:00")],
        at("2026-01-01T06:00"),
    )
    every = [first + timedelta(hours=hour) for hour in range(6)]
    assert due_between("0 * * * *", UTC, first, now, "all") == (every, at("2026-01-01T06:00"))


@pytest.mark.parametrize("missed", ["last", "all"])
@pytest.mark.parametrize("late", [timedelta(), timedelta(microseconds=1), timedelta(seconds=59)])
def test_a_time_that_is_met_is_due_once(missed: str, late: timedelta) -> None:
    first = at("2026-01-01T05:00")
    found = due_between("*/5 * * * *", UTC, first, first + late, missed)
    assert found == ([first], at("2026-01-01T05:05"))


def test_no_more_than_a_thousand_missed_times_are_made_up_for_at_once() -> None:
    first = at("2026-01-01T00:00")
    found, following = due_between("* * * * *", UTC, first, first + timedelta(days=2), "all")
    assert len(found) == 1000
    assert following == found[-1] + timedelta(minutes=1)


@pytest.mark.parametrize("zone", ZONES)
def test_the_last_missed_time_is_the_last_of_all_missed_times(zone: ZoneInfo) -> None:
    for text in TEXTS[1:]:
        first = next_due(text, zone, at("2026-10-01T00:00"))
        for hours in (1, 600, 700):
            now = max(first, at("2026-10-01T00:00") + timedelta(hours=hours))
            every, following = due_between(text, zone, first, now, "all")
            while following <= now:
                more, following = due_between(text, zone, following, now, "all")
                every += more
            assert due_between(text, zone, first, now, "last") == (every[-1:], following)


@pytest.mark.parametrize(
    "text", ["", "x", "* * * *", "* * * * * *", "60 * * * *", "0 0 30 2 *", "0 0 * * MOO"]
)
def test_a_text_that_makes_no_sense_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match="each Monday at seven"):
        next_due(text, UTC, at("2026-01-01T00:00"))


def test_without_its_package_a_schedule_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "cronsim", None)
    with pytest.raises(UsageError, match=r"graven\[cron\]"):
        next_due("* * * * *", UTC, at("2026-01-01T00:00"))
