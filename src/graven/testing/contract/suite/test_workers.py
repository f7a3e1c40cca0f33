"""Deferred operations: logged with the caller's data, taken by workers, each done once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from graven import OperationError, Queue, Rate, UsageError, current_operation
from graven._common import atomic as known
from graven.flows.queues import Claim, take_queued
from graven.ops.operating import OPERATIONS
from graven.testing import VirtualClock
from graven.testing.contract import TRANSACTIONS, WAITS, rows
from graven.testing.contract.suite.operations import Account, Die, Numbered, both, log_of

pytestmark = pytest.mark.needs(TRANSACTIONS)

Open = Callable[..., Any]

LEASE_S = 31.0
ran: list[Any] = []
"""What the operations were called with, in the order in which they ran."""


@both
def note(*what: Any) -> Any:
    ran.append(what[0] if len(what) == 1 else what)
    return what[0] if what else None


@both(attempts=2)
def deposit(account: Account, amount: int) -> Any:
    account.balance += amount
    if amount < 0:
        raise ValueError("no")
    return account


@both
def measure(thing: Numbered) -> None:
    thing.size += 1


@pytest.fixture(autouse=True)
def clock() -> Iterator[VirtualClock]:
    ran.clear()
    with VirtualClock(datetime(2026, 6, 1, 12, 0, 30, tzinfo=UTC)) as found:
        yield found


@pytest.fixture
def db(open_db: Open) -> Any:
    made = open_db(Account, Numbered)
    with made.session() as session:
        session.add(Account(owner="Ada", balance=100))
    return made


class Deferred:
    """The operations of a colour, deferred in its task."""

    def __init__(self, colour: Any) -> None:
        self._colour = colour

    def __call__(self, operation: Any, how: str, *args: Any, **kwargs: Any) -> Any:
        options = kwargs.pop("options", {})
        function = operation.of(self._colour).options(**options)
        return self._colour.call(lambda: getattr(function, how)(*args, **kwargs))


@pytest.fixture
def defer(colour: Any) -> Deferred:
    return Deferred(colour)


def work(db: Any, *queues: Any, **options: Any) -> Any:
    return db.worker(queues or "default", **{"concurrency": 1, **options}).run(until_idle=True)


def plain(db: Any) -> Any:
    return getattr(db, "_target", db)


def balance(db: Any, owner: str = "Ada") -> int:
    ((found,),) = rows(db, Account, "balance", owner=owner)
    return int(found)


# -- with the caller's data ----------------------------------------------------------------------


def test_an_entry_is_committed_with_the_callers_data(db: Any, defer: Deferred) -> None:
    with db.session() as session:
        ada = session.query(Account).one()
        handle = defer(deposit, "start", ada, 5)
        ada.balance = 200
        assert (handle.state, log_of(db, "state")) == ("pending", [])
    assert log_of(db, "state", "queue", "priority") == [("pending", "default", 5)]
    assert work(db).finished == 1
    assert balance(db) == 205


def test_an_entry_vanishes_with_the_callers_data(db: Any, defer: Deferred) -> None:
    with pytest.raises(KeyError), db.session() as session:
        defer(deposit, "start", session.query(Account).one(), 5)
        raise KeyError
    with db.session() as session:
        ada = session.query(Account).one()
        with pytest.raises(KeyError), session.begin():
            defer(deposit, "start", ada, 5)
            raise KeyError
        defer(note, "start", "kept")
    with pytest.raises(KeyError), db.transaction(), db.session():
        defer(note, "start", "lost")
        raise KeyError
    assert work(db).finished == 1
    assert ran == ["kept"]
    assert balance(db) == 100


def test_an_operation_may_defer_others_which_are_logged_if_it_is_done(
    db: Any, colour: Any, defer: Deferred
) -> None:
    @both
    def outer(account: Account, fails: bool) -> Any:
        account.balance += 1
        yield note.of(colour).start(account.balance)
        if fails:
            raise ValueError("no")

    with db.session() as session:
        ada = session.query(Account).one()
        with pytest.raises(ValueError, match="no"):
            outer(colour, ada, True)
        assert log_of(db, "queue") == [None]
        outer(colour, ada, False)
    work(db)
    assert ran == [101]


def test_what_is_new_in_the_session_may_be_an_argument(db: Any, defer: Deferred) -> None:
    with db.session() as session:
        bob = Account(owner="Bob", balance=1)
        session.add(bob)
        defer(deposit, "start", bob, 5)
    assert work(db).finished == 1
    assert balance(db, "Bob") == 6


def test_what_could_be_committed_later_than_the_entry_is_refused(db: Any, defer: Deferred) -> None:
    with db.session() as session:
        outer, numbered = Account(owner="Bob"), Numbered()
        session.add(outer, numbered)
        with pytest.raises(OperationError, match="has no key yet"):
            defer(measure, "start", numbered)
        with session.begin(), pytest.raises(OperationError, match="a scope around this one"):
            defer(deposit, "start", outer, 5)
        with pytest.raises(OperationError, match="is new"):
            defer(deposit, "start", Account(owner="nowhere"), 5)
        ada = session.query(Account).where(Account.owner == "Ada").one()
        session.delete(ada)
        with pytest.raises(OperationError, match="is not committed"):
            defer(deposit, "start", ada, 5)
    with db.session() as session, db.session() as other:
        mine = session.query(Account).one()
        mine.balance = 9
        with pytest.raises(OperationError, match="has changes"):
            defer(deposit, "start", mine, 5)
        assert not other.dirty
    assert log_of(db, "state") == []


def test_without_a_session_an_entry_is_committed_at_once(
    db: Any, colour: Any, defer: Deferred
) -> None:
    function = note.of(colour).on(plain(db))
    handle = colour.call(lambda: function.start("now"))
    assert log_of(db, "state") == ["pending"]
    work(db)
    assert handle.wait() == "now"
    assert (handle.state, handle.attempts) == ("done", 1)


def test_the_wrong_colour_is_refused(db: Any, colour: Any) -> None:
    wrong = note.awaited if colour.name == "blocking" else note.blocking
    with db.session(), pytest.raises(UsageError, match="the database is"):
        colour.call(lambda: wrong.start("x"))


def test_a_handle_tells_of_its_operation(db: Any, defer: Deferred) -> None:
    with db.session() as session:
        ada = session.query(Account).one()
        good, bad = defer(deposit, "start", ada, 5), defer(deposit, "start", ada, -5)
    with pytest.raises(OperationError, match="is pending"):
        good.result()
    with pytest.raises(OperationError, match="is pending"):
        good.wait(timeout_s=3.0)
    work(db)
    assert good.wait().balance == 105
    bad.refresh()
    assert (bad.state, bad.error, bad.attempts) == ("pending", "ValueError: no", 1)


# -- later ---------------------------------------------------------------------------------------


def test_what_is_deferred_to_later_is_run_then(
    db: Any, defer: Deferred, clock: VirtualClock
) -> None:
    with db.session():
        defer(note, "later", "soon", delay_s=60.0)
        defer(note, "at", clock.now() + timedelta(hours=1), "in an hour")
        defer(note, "at", clock.now() - timedelta(hours=1), "overdue")
    work(db)
    assert ran == ["overdue"]
    clock.advance(59.0)
    work(db)
    assert ran == ["overdue"]
    clock.advance(1.0)
    work(db)
    clock.advance(3600.0)
    work(db)
    assert ran == ["overdue", "soon", "in an hour"]


@pytest.mark.parametrize("delay_s", [-1.0, float("nan"), float("inf"), 1e11])
def test_a_delay_that_makes_no_sense_is_refused(db: Any, defer: Deferred, delay_s: float) -> None:
    with db.session(), pytest.raises(UsageError, match="Nothing was logged"):
        defer(note, "later", "never", delay_s=delay_s)


def test_a_time_without_a_zone_is_refused(db: Any, defer: Deferred) -> None:
    with db.session(), pytest.raises(UsageError, match="tzinfo"):
        defer(note, "at", datetime(2030, 1, 1), "when?")
    assert log_of(db, "state") == []


def test_of_deferred_calls_with_one_key_one_is_done(
    db: Any, defer: Deferred, clock: VirtualClock
) -> None:
    with db.session() as session:
        first = defer(note, "start", "once", options={"key": "k"})
        session.commit()
        second = defer(note, "start", "once", options={"key": "k"})
        assert second.id == first.id
        with pytest.raises(OperationError, match="other arguments"):
            defer(note, "start", "twice", options={"key": "k"})
    work(db)
    assert ran == ["once"]
    with db.session():
        assert defer(note, "start", "once", options={"key": "k"}).wait() == "once"
    assert work(db).total == 0


# -- queues --------------------------------------------------------------------------------------


def test_higher_priorities_go_first_and_then_the_older(
    db: Any, defer: Deferred, clock: VirtualClock
) -> None:
    for priority in (5, 0, 9, 5, 9):
        clock.advance(1.0)
        with db.session():
            defer(note, "start", (priority, len(ran)), options={"priority": priority})
            ran.append(None)
    ran.clear()
    work(db)
    assert ran == [(9, 2), (9, 4), (5, 0), (5, 3), (0, 1)]


@pytest.mark.parametrize("options", [{"priority": 10}, {"priority": "high"}, {"queue": ""}])
def test_a_queue_or_priority_that_makes_no_sense_is_refused(colour: Any, options: Any) -> None:
    with pytest.raises(UsageError):
        note.of(colour).options(**options)


def test_a_worker_takes_from_its_queues_only(db: Any, defer: Deferred) -> None:
    with db.session():
        for queue in ("mail", "bulk", "default", "mail"):
            defer(note, "start", queue, options={"queue": queue})
    work(db, "mail")
    assert ran == ["mail", "mail"]
    work(db, "bulk", Queue("default"))
    assert sorted(ran) == ["bulk", "default", "mail", "mail"]


def test_no_more_run_at_a_time_than_a_queue_allows(db: Any, colour: Any, defer: Deferred) -> None:
    seen: list[int] = []

    @both
    def counting(number: int) -> Any:
        found = yield rows(plain(db), OPERATIONS, "id", state="running")
        seen.append(len(found))

    with db.session():
        for number in range(12):
            defer(counting, "start", number, options={"queue": "narrow"})
    report = work(db, Queue("narrow", concurrency=2), concurrency=4)
    assert report.finished == 12
    assert max(seen) <= 2


def test_no_more_begin_than_the_rate_of_a_queue_allows_for_all_workers(
    db: Any, defer: Deferred, clock: VirtualClock
) -> None:
    queue = Queue("calm", rate=Rate(3, per_s=30.0))
    with db.session():
        for number in range(8):
            defer(note, "start", number, options={"queue": "calm"})
    assert [work(db, queue).finished for _ in range(2)] == [3, 0]
    clock.advance(10.0)
    assert [work(db, queue).finished for _ in range(2)] == [1, 0]
    clock.advance(300.0)
    assert [work(db, queue).finished for _ in range(2)] == [3, 0]
    assert ran == list(range(7))


@pytest.mark.parametrize("options", [{"concurrency": 0}, {"poll_s": 0}, {"grace_s": -1}])
def test_a_worker_that_makes_no_sense_is_refused(db: Any, options: Any) -> None:
    with pytest.raises(UsageError):
        db.worker(**options)
    with pytest.raises(UsageError):
        db.worker([])


# -- many workers --------------------------------------------------------------------------------


@pytest.mark.needs(WAITS)
def test_workers_at_once_do_everything_once(url: str) -> None:
    from threading import Thread

    from graven import Database

    with Database(url) as db:
        with db.session():
            for number in range(60):
                note.blocking.start(number)
        workers = [db.worker(concurrency=2) for _ in range(3)]
        threads = [Thread(target=one.run, kwargs={"until_idle": True}) for one in workers]
        for one in threads:
            one.start()
        for one in threads:
            one.join(60)
        assert sorted(ran) == list(range(60))
        assert set(log_of(db, "state")) == {"done"}


def test_a_worker_finishes_what_others_have_left(
    db: Any, colour: Any, defer: Deferred, clock: VirtualClock
) -> None:
    crashes: list[bool] = [True]

    @both
    def fragile(account: Account) -> None:
        account.balance += 1
        if crashes:
            crashes.clear()
            raise Die

    with db.session() as session, pytest.raises(Die):
        fragile(colour, session.query(Account).one())
    assert work(db).total == 0
    clock.advance(LEASE_S)
    assert work(db).finished == 1
    assert balance(db) == 101


def test_what_fails_is_tried_again_later_and_left_to_a_person_at_last(
    db: Any, defer: Deferred, clock: VirtualClock
) -> None:
    with db.session() as session:
        bad = defer(deposit, "start", session.query(Account).one(), -5)
        defer(note, "start", "good")
    report = work(db)
    assert (report.finished, report.retried) == (1, 1)
    assert work(db).total == 0
    clock.advance(5.0)
    assert work(db).quarantined == 1
    bad.refresh()
    assert (bad.state, bad.error, bad.attempts) == ("quarantined", "ValueError: no", 2)
    assert balance(db) == 100


@pytest.mark.parametrize(("attempts", "counted"), [(1, 0), (5, 1)])
def test_of_what_a_worker_claimed_when_it_was_killed_nothing_is_lost(
    db: Any, colour: Any, defer: Deferred, clock: VirtualClock, attempts: int, counted: int
) -> None:
    @both(attempts=attempts)
    def counting() -> None:
        ran.append(current_operation().attempt)

    with db.session():
        defer(counting, "start")
    target, until = plain(db), clock.now() + timedelta(seconds=30)
    more_than_once = frozenset(known.names_of(target.operating.is_async, attempts=2))
    claim = Claim((Queue("default"),), 9, (), more_than_once, "killed", clock.now(), until)
    flow = take_queued(target.pool.dialect, claim)
    assert len(colour.call(lambda: target.operating.run(flow))) == 1
    assert log_of(db, "state", "worker", "attempts") == [("running", "killed", counted)]
    assert work(db).total == 0
    clock.advance(LEASE_S)
    assert work(db).finished == 1
    assert ran == [counted + 1]


def test_an_unknown_function_is_parked_and_a_newer_worker_runs_it(
    db: Any, colour: Any, defer: Deferred, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with db.session():
        handle = defer(note, "start", "known again")
    with monkeypatch.context() as patched:
        patched.delitem(known._functions, note.of(colour).name)
        assert work(db).parked == 1
    handle.refresh()
    assert (handle.state, handle.attempts) == ("pending", 0)
    assert "does not define it" in handle.error
    clock.advance(61.0)
    assert work(db).finished == 1
    assert ran == ["known again"]


def test_operations_of_the_other_colour_are_left_to_its_workers(
    db: Any, colour: Any, url: str
) -> None:
    from graven import Database

    if colour.name == "blocking":
        with db.session():
            note.blocking.start("mine")
        assert work(db).finished == 1
        return
    with Database(url) as other, other.session():
        note.blocking.start("not mine")
    assert work(db).total == 0
    assert log_of(db, "state", "error") == [("pending", None)]


# -- stopping ------------------------------------------------------------------------------------


def test_a_worker_that_is_stopped_gives_back_what_it_has_not_begun(
    db: Any, colour: Any, defer: Deferred
) -> None:
    @both
    def stopping(number: int) -> None:
        ran.append(number)
        worker.stop()

    with db.session():
        for number in range(8):
            defer(stopping, "start", number)
    target = plain(db)
    worker = target.worker(concurrency=1)
    found = colour.call(worker.run)
    assert found.finished == len(ran) == 1
    assert sorted(log_of(db, "state")) == ["done", *["pending"] * 7]
    assert set(log_of(db, "attempts", state="pending")) == {0}
    assert work(db).finished >= 1


def test_what_a_worker_cannot_begin_soon_is_given_back(url: str, clock: VirtualClock) -> None:
    from threading import Event, Thread

    from graven import Database

    begun, may_end = Event(), Event()

    @both
    def long() -> None:
        begun.set()
        assert may_end.wait(60)

    with Database(url) as db:
        with db.session():
            for number in range(6):
                note.blocking.start(number)
            long.blocking.options(priority=4).start()
            for number in range(6, 9):
                note.blocking.options(priority=3).start(number)
        worker = db.worker(concurrency=1, poll_s=0.01)
        thread = Thread(target=worker.run, kwargs={"until_idle": True})
        thread.start()
        try:
            assert begun.wait(60)
            while log_of(db, "state").count("pending") < 3:
                clock.advance(3.0)
                time.sleep(0.01)
            assert db.worker(concurrency=1).run(until_idle=True).finished == 3
        finally:
            may_end.set()
            thread.join(60)
        assert ran == list(range(9))
        assert set(log_of(db, "state")) == {"done"}


@pytest.mark.needs(WAITS)
def test_workers_at_once_keep_to_the_limits_of_a_queue(url: str) -> None:
    from threading import Thread

    from graven import Database

    queue = Queue("calm", concurrency=2, rate=Rate(20, per_s=1000.0))
    with Database(url) as db:
        with db.session():
            for number in range(30):
                note.blocking.options(queue="calm").start(number)
        workers = [db.worker(queue, concurrency=2) for _ in range(3)]
        threads = [Thread(target=one.run, kwargs={"until_idle": True}) for one in workers]
        for one in threads:
            one.start()
        for one in threads:
            one.join(60)
        work(db, queue)  # one that had to wait for the others may have given up too early
        assert len(ran) == 20


def test_a_worker_wakes_up_when_something_is_deferred_in_its_process(url: str) -> None:
    from threading import Event, Thread

    from graven import Database

    came = Event()
    with Database(url) as db:
        worker = db.worker(concurrency=1, poll_s=1000.0)
        thread = Thread(target=worker.run)

        @both
        def arriving() -> None:
            came.set()

        with db.session():
            note.blocking.start("first")
        thread.start()
        try:
            while ran != ["first"]:
                worker.wake()
            for _ in range(20):
                worker.wake()
            with db.session():
                arriving.blocking.start()
            assert came.wait(30)
        finally:
            worker.stop()
            thread.join(30)
        assert not thread.is_alive()


def test_a_worker_that_runs_cannot_be_run_again(db: Any, colour: Any, defer: Deferred) -> None:
    @both
    def again() -> Any:
        with pytest.raises(UsageError, match="it is running"):
            yield worker.run()
        ran.append("refused")

    worker = plain(db).worker(concurrency=1)
    with db.session():
        defer(again, "start")
    colour.call(lambda: worker.run(until_idle=True))
    assert ran == ["refused"]
    assert colour.call(lambda: worker.run(until_idle=True)).total == 0


def test_the_session_of_a_deferred_operation_is_its_own(
    db: Any, colour: Any, defer: Deferred
) -> None:
    @both
    def looking() -> None:
        running = current_operation()
        ran.append((running.attempt, running.entry.queue))
        running.session.add(Account(owner="Bob"))

    with db.session():
        defer(looking, "start")
    work(db)
    assert ran == [(1, "default")]
    assert balance(db, "Bob") == 0
