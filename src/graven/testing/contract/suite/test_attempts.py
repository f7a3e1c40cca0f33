"""Trying again: how often, how long, with what memory, and what is never tried again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from graven import BusyRetry, ConcurrentUpdate, Database, Model, UniqueError, key
from graven.core.retry import Backoff
from graven.errors import TransactionInactiveError, UnavailableError, UsageError
from graven.testing.contract import TRANSACTIONS, rows, update

pytestmark = pytest.mark.needs(TRANSACTIONS)

Opened = Callable[..., Any]
AT_ONCE = Backoff(first_s=0.0)


class Tally(Model):
    id: int = key()
    count: int = 0


@pytest.fixture
def db(open_db: Opened) -> Any:
    db = open_db(Tally, busy_timeout_s=0.05)
    with db.session() as session:
        session.add(Tally(id=1), Tally(id=2))
    return db


def bump(db: Any, number: int = 1) -> None:
    """Let somebody else count."""
    with db.session() as other:
        other.get(Tally, number).count += 100


@contextmanager
def locked(url: str) -> Iterator[None]:
    """Let somebody else hold what a writer of the first tally waits for, and write nothing."""
    with Database(url) as holder, pytest.raises(ZeroDivisionError), holder.transaction():
        update(holder, Tally, 1, count=50)
        yield
        raise ZeroDivisionError


def counts(db: Any) -> list[int]:
    return [row[0] for row in rows(db, Tally, "count")]


def test_the_work_is_run_again_on_fresh_data_and_with_fresh_memory(db: Any) -> None:
    seen: list[Any] = []
    for attempt in db.attempts(backoff=AT_ONCE):
        with attempt as session:
            tally = session.get(Tally, 1)
            assert all(tally is not one for one, _ in seen)
            seen.append((tally, tally.count))
            if attempt.number < 4:
                bump(db)
            tally.count += 1
    assert [count for _, count in seen] == [0, 100, 200, 300]
    assert attempt.number == 4
    assert counts(db) == [301, 0]


def test_the_last_error_is_raised_with_the_number_of_attempts(db: Any) -> None:
    with pytest.raises(ConcurrentUpdate) as caught:
        for attempt in db.attempts(limit=3, backoff=AT_ONCE):
            with attempt as session:
                tally = session.get(Tally, 1)
                bump(db)
                tally.count += 1
    assert caught.value.attempts == 3
    assert counts(db) == [300, 0]


def test_one_attempt_is_allowed_and_none_is_refused(db: Any) -> None:
    with pytest.raises(ConcurrentUpdate):
        for attempt in db.attempts(limit=1):
            with attempt as session:
                tally = session.get(Tally, 1)
                bump(db)
                tally.count += 1
    with pytest.raises(UsageError, match="at least one"):
        db.attempts(limit=0)


def test_no_attempt_begins_after_the_deadline(db: Any) -> None:
    begun: list[float] = []
    since = time.monotonic()
    with pytest.raises(ConcurrentUpdate) as caught:
        for attempt in db.attempts(limit=None, deadline_s=0.2):
            with attempt as session:
                begun.append(time.monotonic() - since)
                tally = session.get(Tally, 1)
                bump(db)
                tally.count += 1
    assert caught.value.attempts == len(begun) >= 2
    assert begun[-1] <= 0.21
    assert counts(db)[0] == 100 * len(begun)


def test_a_deadline_in_the_past_still_allows_the_first_attempt(db: Any) -> None:
    for attempt in db.attempts(deadline_s=0.0):
        with attempt as session:
            session.get(Tally, 1).count = 1
    assert counts(db) == [1, 0]


def test_an_error_that_is_not_transient_passes_through_at_once(db: Any) -> None:
    tries = 0
    with pytest.raises(UniqueError):
        for attempt in db.attempts():
            with attempt as session:
                tries += 1
                session.add(Tally(id=2))
    with pytest.raises(ZeroDivisionError):
        for attempt in db.attempts():
            with attempt as session:
                tries += 1
                session.get(Tally, 1).count = 5
                raise ZeroDivisionError
    assert tries == 2
    assert counts(db) == [0, 0]


def test_a_transient_error_raised_in_the_block_leads_to_another_attempt(db: Any) -> None:
    for attempt in db.attempts(backoff=AT_ONCE):
        with attempt as session:
            session.get(Tally, 1).count += 1
            if attempt.number < 3:
                raise BusyRetry("somebody else's service is busy")
    assert attempt.number == 3
    assert counts(db) == [1, 0]


def test_a_break_or_return_in_the_block_commits(db: Any) -> None:
    for attempt in db.attempts():
        with attempt as session:
            session.get(Tally, 1).count += 1
            break

    def work() -> int:
        for attempt in db.attempts():
            with attempt as session:
                session.get(Tally, 1).count += 1
                return 7
        return 0

    assert work() == 7
    assert counts(db) == [2, 0]


def test_a_break_whose_commit_was_refused_is_reported(db: Any, url: str) -> None:
    def left_by_break(blocking: Database) -> Any:
        for attempt in blocking.attempts(backoff=AT_ONCE):
            with attempt as session:
                tally: Any = session.get(Tally, 1)
                bump(db)
                tally.count += 1
                break
        return attempt.error

    blocking = Database(url)
    with pytest.warns(RuntimeWarning, match="nothing was written"):
        error = left_by_break(blocking)
    blocking.close()
    assert isinstance(error, ConcurrentUpdate)
    assert counts(db) == [100, 0]


def test_an_attempt_is_entered_once(db: Any) -> None:
    for attempt in db.attempts():
        with attempt as session:
            session.get(Tally, 1).count = 1
        with pytest.raises(UsageError, match="it stands for one try"), attempt:
            pass
    assert counts(db) == [1, 0]


def test_a_loop_that_never_enters_an_attempt_ends(db: Any) -> None:
    assert len([attempt.number for attempt in db.attempts()]) == 1


def test_run_calls_the_function_with_arguments_until_it_commits(
    colour: Any, db: Any, url: str
) -> None:
    tries: list[int] = []

    def add(session: Any, number: int, *, by: int) -> int:
        tally = session.get(Tally, number)
        tries.append(tally.count)
        with Database(url) as other:
            if len(tries) < 3:
                bump(other)
        tally.count += by
        return int(tally.count)

    async def add_async(session: Any, number: int, *, by: int) -> int:
        tally = await session.get(Tally, number)
        tries.append(tally.count)
        with Database(url) as other:
            if len(tries) < 3:
                bump(other)
        tally.count += by
        return int(tally.count)

    function: Any = add if colour.name == "blocking" else add_async
    assert db.run(function, 1, by=5) == 205
    assert tries == [0, 100, 200]
    with pytest.raises(ConcurrentUpdate) as caught:
        tries.clear()
        db.attempts(limit=2, backoff=AT_ONCE).run(function, 1, by=5)
    assert caught.value.attempts == 2


def test_attempts_are_serializable_unless_told_otherwise(db: Any) -> None:
    for isolation, tries in (("serializable", 2), ("optimistic", 1)):
        number = 0
        for attempt in db.attempts(isolation=isolation, backoff=AT_ONCE):
            with attempt as session:
                number += 1
                other = session.get(Tally, 2)
                session.get(Tally, 1).count = other.count + 1
                if number == 1:
                    bump(db, 2)
        assert number == tries


def test_a_session_inside_an_attempt_commits_by_itself(db: Any) -> None:
    for attempt in db.attempts(backoff=AT_ONCE):
        with attempt as session:
            session.get(Tally, 1).count += 1
            with db.session() as inner:
                inner.get(Tally, 2).count += 1
            if attempt.number == 1:
                raise BusyRetry("again")
    assert counts(db) == [1, 2]


def test_attempts_in_a_transaction_that_is_lost_are_not_made_again(db: Any) -> None:
    tries = 0
    with pytest.raises(TransactionInactiveError), db.transaction() as transaction:
        for attempt in db.attempts(backoff=AT_ONCE):
            with attempt as session:
                tries += 1
                session.get(Tally, 1).count = 5
                session.commit()
                transaction.rollback()
                raise BusyRetry("no")
    assert tries == 2
    assert counts(db) == [0, 0]


def test_a_lock_held_too_long_is_a_busy_retry_and_the_same_call_may_be_sent_again(
    db: Any, url: str
) -> None:
    holder = locked(url)
    holder.__enter__()
    with db.session() as session:
        tally = session.get(Tally, 1)
        tally.count = 9
        since = time.monotonic()
        with pytest.raises(BusyRetry, match="busy_timeout_s"):
            session.commit()
        assert 0.04 < time.monotonic() - since < 2
        assert list(session.dirty) == [tally]
        session.add(Tally(id=3))
        with pytest.raises(BusyRetry):
            session.commit()
        with pytest.raises(BusyRetry):
            session.flush()
        assert len(session.new) == 1
        holder.__exit__(None, None, None)
    assert counts(db) == [9, 0, 0]


def test_a_writer_waits_for_a_lock_that_is_released_in_time(
    open_db: Opened, db: Any, url: str
) -> None:
    patient = open_db(busy_timeout_s=10.0)
    is_held = threading.Event()

    def hold() -> None:
        with locked(url):
            is_held.set()
            time.sleep(0.2)

    holder = threading.Thread(target=hold)
    holder.start()
    assert is_held.wait(10)
    with patient.session(isolation="serializable") as session:
        session.get(Tally, 1).count = 4
    holder.join()
    assert counts(db) == [4, 0]


def test_a_pool_with_no_connection_left_is_unavailable_and_the_session_goes_on(
    open_db: Opened, db: Any
) -> None:
    narrow = open_db(pool_size=1, pool_timeout_s=0.05)
    with narrow.session() as session:
        tally = session.get(Tally, 1)
        tally.count = 3
        with narrow.session(isolation="snapshot") as reader:
            reader.get(Tally, 2)
            with pytest.raises(UnavailableError, match="pool_size"):
                session.commit()
            tally.count = 0
            assert list(session.dirty) == []
            tally.count = 3
            assert session.last_commit == "rolled back"
            with pytest.raises(UnavailableError):
                session.flush()
            with pytest.raises(UnavailableError):
                session.get(Tally, 2)
            with pytest.raises(UnavailableError), narrow.transaction():
                pass
            assert list(session.dirty) == [tally]
        tally.count = 4
        assert list(session.dirty) == [tally]
        session.commit()
        assert session.last_commit == "committed"
        assert list(session.dirty) == []
        assert rows(narrow, Tally, "count", id=1) == [(4,)]
    assert counts(db) == [4, 0]


def test_waiting_times_grow_to_a_bound_and_are_never_less_than_a_quarter() -> None:
    backoff = Backoff(first_s=0.01, factor=3.0, longest_s=0.1)
    ceilings = backoff.ceilings()
    found = [next(ceilings) for _ in range(6)]
    assert found == pytest.approx([0.01, 0.03, 0.09, 0.1, 0.1, 0.1])
    assert Backoff.wait_s(0.1, 0.0) == pytest.approx(0.025)
    assert Backoff.wait_s(0.1, 1.0) == pytest.approx(0.1)


def test_threads_that_count_together_count_exactly(url: str) -> None:
    threads, each = 8, 12
    with Database(url, pool_size=threads) as db:
        db.create(Tally)
        with db.session() as session:
            session.add(Tally(id=1))
        errors: list[BaseException] = []

        def count() -> None:
            try:
                for _ in range(each):
                    for attempt in db.attempts(limit=None, deadline_s=60):
                        with attempt as session:
                            session.get(Tally, 1).count += 1
            except BaseException as error:  # noqa: BLE001 - the test judges it
                errors.append(error)

        workers = [threading.Thread(target=count) for _ in range(threads)]
        for one in workers:
            one.start()
        for one in workers:
            one.join()
        assert errors == []
        assert rows(db, Tally, "count") == [(threads * each,)]
