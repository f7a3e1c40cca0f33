"""A clock that a test moves."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest

from graven import AsyncDatabase, BusyRetry, Database, UsageError
from graven._async import colour as awaited
from graven._common import clock as place
from graven._sync import colour as blocking
from graven.testing import VirtualClock

START = datetime(2030, 1, 1, tzinfo=UTC)


def wait_until(is_true: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + 20
    while not is_true():
        assert time.monotonic() < ends_at
        time.sleep(0.001)


def test_the_process_goes_by_the_clock_of_the_block_and_by_the_one_before_after_it() -> None:
    with VirtualClock(START) as outer:
        assert place.now() == START
        with VirtualClock(START + timedelta(days=1)):
            assert place.now() == START + timedelta(days=1)
        assert place.running() is outer
        assert place.now() == START
    assert abs(place.now() - datetime.now(UTC)) < timedelta(seconds=5)
    assert abs(place.now_s() - time.monotonic()) < 5


def test_it_stands_still_until_it_is_advanced_and_begins_as_the_machine_s() -> None:
    with VirtualClock() as clock:
        began, began_s = place.now(), place.now_s()
        assert abs(began - datetime.now(UTC)) < timedelta(seconds=5)
        time.sleep(0.01)
        assert (place.now(), place.now_s()) == (began, began_s)
        clock.advance(90)
        assert place.now() - began == timedelta(seconds=90)
        assert place.now_s() - began_s == 90


def test_a_jump_moves_the_time_of_day_alone() -> None:
    with VirtualClock(START) as clock:
        clock.jump(-3600)
        assert (place.now(), place.now_s()) == (START - timedelta(hours=1), 0)
        clock.jump(7200)
        assert (place.now(), place.now_s()) == (START + timedelta(hours=1), 0)


def test_a_start_in_another_time_zone_is_told_in_utc() -> None:
    there = START.astimezone(timezone(timedelta(hours=9)))
    with VirtualClock(there):
        assert place.now() == START
        assert place.now().tzinfo is UTC


def test_who_sleeps_lets_the_time_pass_at_once() -> None:
    async def sleep() -> None:
        await awaited.sleep(1000)

    with VirtualClock(START):
        began_s = time.monotonic()
        blocking.sleep(1000)
        asyncio.run(sleep())
        assert time.monotonic() - began_s < 5
        assert place.now() == START + timedelta(seconds=2000)


def test_without_autojump_a_thread_sleeps_until_the_clock_is_advanced_far_enough() -> None:
    woken: list[float] = []

    def sleep(seconds: float) -> None:
        blocking.sleep(seconds)
        woken.append(seconds)

    with VirtualClock(START, autojump=False) as clock:
        threads = [threading.Thread(target=sleep, args=(seconds,)) for seconds in (30, 10)]
        for thread in threads:
            thread.start()
        wait_until(lambda: clock.sleepers == 2)
        clock.advance(9.5)
        assert clock.sleepers == 2
        clock.advance(0.5)
        wait_until(lambda: woken == [10])
        clock.jump(3600)
        assert clock.sleepers == 1
        clock.advance(20)
        for thread in threads:
            thread.join(20)
        assert woken == [10, 30]
        blocking.sleep(0)


def test_without_autojump_a_task_sleeps_likewise_and_may_be_cancelled() -> None:
    async def work(clock: VirtualClock) -> list[str]:
        told: list[str] = []

        async def sleep(name: str, seconds: float) -> None:
            await awaited.sleep(seconds)
            told.append(name)

        tasks = [asyncio.create_task(sleep(*one)) for one in (("a", 5), ("b", 1), ("c", 2))]
        await asyncio.sleep(0.01)
        assert clock.sleepers == 3
        tasks[2].cancel()
        await asyncio.sleep(0.01)
        assert clock.sleepers == 2
        clock.advance(1)
        await tasks[1]
        clock.advance(4)
        await tasks[0]
        return told

    with VirtualClock(START, autojump=False) as clock:
        assert asyncio.run(work(clock)) == ["b", "a"]


def test_whoever_still_sleeps_at_the_end_of_the_block_wakes_up() -> None:
    with VirtualClock(autojump=False) as clock:
        thread = threading.Thread(target=blocking.sleep, args=(1e9,))
        thread.start()
        wait_until(lambda: clock.sleepers == 1)
    thread.join(20)
    assert not thread.is_alive()


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(UsageError, match="has no time zone"):
        VirtualClock(datetime(2030, 1, 1))
    with VirtualClock(START) as clock:
        for seconds in (-1, float("nan")):
            with pytest.raises(UsageError, match="time does not run backwards"):
                clock.advance(seconds)
        with pytest.raises(UsageError, match="entered twice"), clock:
            raise AssertionError
        assert clock.now() == START


def test_attempts_back_off_and_end_by_the_clock() -> None:
    def fail(_: object) -> None:
        raise BusyRetry("not now")

    with VirtualClock(START) as clock, Database("memory:") as db:
        began_s = time.monotonic()
        with pytest.raises(BusyRetry) as caught:
            db.attempts(limit=None, deadline_s=600).run(fail)
        assert time.monotonic() - began_s < 20
        assert caught.value.attempts is not None
        assert caught.value.attempts > 10
        assert 300 < clock.now_s() <= 600


def test_awaited_attempts_do_too(virtual_clock: VirtualClock) -> None:
    async def fail(_: object) -> None:
        raise BusyRetry("not now")

    async def work() -> None:
        async with AsyncDatabase("memory:") as db:
            with pytest.raises(BusyRetry):
                await db.attempts(limit=None, deadline_s=600).run(fail)

    asyncio.run(work())
    assert 300 < virtual_clock.now_s() <= 600
