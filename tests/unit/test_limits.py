"""Limits of queues: how many operations may begin."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graven import UsageError
from graven.core.limits import Queue, Rate, allowance, checked_priority, checked_queue, debt_of

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_a_rate_lets_its_count_begin_at_once_and_then_waits() -> None:
    rate = Rate(10, per_s=5.0)
    assert allowance(rate, None, NOON) == 10
    debt = debt_of(rate, None, NOON, 10)
    assert allowance(rate, debt, NOON) == 0
    assert allowance(rate, debt, NOON + timedelta(seconds=0.4)) == 0
    assert allowance(rate, debt, NOON + timedelta(seconds=0.5)) == 1
    assert allowance(rate, debt, NOON + timedelta(seconds=2)) == 4
    assert allowance(rate, debt, NOON + timedelta(hours=1)) == 10


@given(
    st.integers(1, 50),
    st.floats(0.1, 100),
    st.lists(st.tuples(st.floats(0, 30), st.integers(0, 60)), max_size=30),
)
def test_in_the_long_run_no_more_begin_than_the_rate_says(
    count: int, per_s: float, visits: list[tuple[float, int]]
) -> None:
    rate, debt, now, begun = Rate(count, per_s), None, NOON, 0
    for wait_s, wanted in visits:
        now += timedelta(seconds=wait_s)
        taken = min(wanted, allowance(rate, debt, now))
        begun += taken
        debt = debt_of(rate, debt, now, taken)
        assert begun <= count + (now - NOON) / rate.pace + 1e-3


def test_a_clock_that_jumps_back_only_makes_a_rate_wait() -> None:
    rate = Rate(2, per_s=1.0)
    debt = debt_of(rate, None, NOON, 2)
    assert allowance(rate, debt, NOON - timedelta(hours=1)) == 0


@pytest.mark.parametrize(
    "given",
    ["", 7, None, Queue(""), Queue("q", 0), Queue("q", rate=Rate(0)), Queue("q", rate=Rate(1, 0))],
)
def test_a_queue_that_lets_nothing_through_is_refused(given: Any) -> None:
    with pytest.raises(UsageError):
        checked_queue(given)


def test_a_name_is_a_queue_without_limits() -> None:
    assert checked_queue("mail") == Queue("mail")


@pytest.mark.parametrize("given", [-1, 10, 1.0, "5", True, None])
def test_a_priority_is_a_whole_number_from_0_to_9(given: Any) -> None:
    assert [checked_priority(one) for one in (0, 9)] == [0, 9]
    with pytest.raises(UsageError, match="from 0"):
        checked_priority(given)
