"""What else can go wrong with operations: none is lost, none is done twice, none is half done."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from graven import (
    Database,
    GravenError,
    NotSerializableError,
    Operation,
    OperationError,
    OperationLog,
    StoreError,
    atomic,
    step,
)
from graven._common import atomic as registry
from graven.testing import VirtualClock
from tests.crash import operations as bank
from tests.crash.operations import (
    START,
    Account,
    Receipt,
    account,
    deposit,
    interrupted,
    kill_me,
)

ROOT = Path(__file__).parents[2]
LEASE_S = 30.0
ACCOUNTS = 10


@pytest.fixture(autouse=True)
def effects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAVEN_EFFECTS", str(tmp_path / "effects"))


@pytest.fixture
def db(url: str) -> Iterator[Database]:
    """Ten accounts, in a store of each backend in turn."""
    with Database(url, lease_s=LEASE_S) as opened:
        opened.create(Account, Receipt, OperationLog)
        with opened.session() as session:
            session.add(*(Account(id=number) for number in range(1, ACCOUNTS + 1)))
        yield opened


@pytest.fixture
def clock() -> Iterator[VirtualClock]:
    with VirtualClock() as running:
        yield running


@atomic
def poison(account: Account) -> None:
    account.balance += 1_000_000
    raise ZeroDivisionError("poisoned")


@atomic
def keep(text: bytes, account: Account) -> int:
    account.balance += len(text)
    return len(text)


@atomic
def return_what_cannot_be_stored(account: Account) -> object:
    account.balance += 1_000_000
    return object()


BEFORE_THE_COMMIT: list[Callable[[], object]] = []
"""What happens to whoever runs ``hold``, once his work is done and not yet committed."""


@atomic
def hold(account: Account, amount: int) -> int:
    account.balance += amount
    while BEFORE_THE_COMMIT:
        BEFORE_THE_COMMIT.pop()()
    return amount


def balances(db: Database) -> dict[int, int]:
    with db.session() as session:
        return {one.id: one.balance - START for one in session.query(Account).all()}


def states(db: Database) -> Counter[str]:
    with db.session() as session:
        return Counter(one.state for one in session.query(OperationLog).all())


def errors(db: Database) -> list[str | None]:
    with db.session() as session:
        return [one.error for one in session.query(OperationLog).all() if one.error]


def elsewhere(work: Callable[[], object]) -> None:
    """Do something in another thread, outside of the operation that this one runs."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised below
            failed.append(error)

    thread = Thread(target=run)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()
    if failed:
        raise failed[0]


def test_one_poisoned_operation_among_a_hundred_stops_none_and_ends_in_quarantine(
    db: Database, clock: VirtualClock
) -> None:
    good = [(deposit, account(number % ACCOUNTS + 1), 1) for number in range(100)]
    interrupted(db, *good[:50], (poison, account(1)), *good[50:])

    report = db.recover()

    assert (report.finished, report.retried, report.total) == (100, 1, 101)
    assert set(balances(db).values()) == {10}
    for _ in range(10):
        clock.advance(3600)
        db.recover()
    assert states(db) == {"done": 100, "quarantined": 1}
    assert errors(db) == ["ZeroDivisionError: poisoned"]
    assert set(balances(db).values()) == {10}


def recover_elsewhere(url: str, later_s: float = 0.0) -> int:
    """Recover in a process of its own; return its status."""
    command = [sys.executable, "-m", "tests.crash.recoverer", url, str(later_s)]
    return subprocess.run(command, check=False, cwd=ROOT, timeout=60).returncode


def test_what_kills_its_recoverer_every_time_ends_in_quarantine_and_the_rest_is_done(
    db: Database,
) -> None:
    interrupted(db, (deposit, account(1), 1), (kill_me, account(2)), (deposit, account(3), 1))

    assert recover_elsewhere(db.url) == -9
    assert recover_elsewhere(db.url, later_s=3600) == 0

    assert states(db) == {"done": 2, "quarantined": 1}
    assert balances(db) == {**dict.fromkeys(range(1, ACCOUNTS + 1), 0), 1: 1, 3: 1}
    (why,) = errors(db)
    assert why is not None
    assert "begun 2 times" in why


def test_a_late_commit_is_refused_when_the_lease_ran_out_and_another_has_finished_the_work(
    db: Database, url: str, clock: VirtualClock
) -> None:
    def take_over() -> None:
        clock.advance(LEASE_S + 1)
        with Database(url) as other:
            assert other.recover().finished == 1

    BEFORE_THE_COMMIT.append(lambda: elsewhere(take_over))
    with db.session() as session:
        mine = session.get_one(Account, 1)
        with pytest.raises(OperationError, match="somebody else has taken it over"):
            hold(mine, 7)
        assert mine.balance == START

    assert balances(db)[1] == 7
    assert states(db) == {"done": 1}


@pytest.mark.parametrize("jump_s", [-7200.0, -1.0, 10.0, 7200.0])
def test_a_clock_that_jumps_loses_nothing_and_doubles_nothing(
    db: Database, url: str, clock: VirtualClock, jump_s: float
) -> None:
    def jump() -> None:
        clock.jump(jump_s)
        with Database(url) as other:
            other.recover()

    for _ in range(3):
        BEFORE_THE_COMMIT.append(lambda: elsewhere(jump))
        with db.session() as session:
            try:
                hold(session.get_one(Account, 1), 1)
            except OperationError:
                assert jump_s > LEASE_S
    interrupted(db, (deposit, account(2), 1))
    clock.jump(jump_s)
    clock.advance(8 * 3600)
    db.recover()

    assert balances(db) == {**dict.fromkeys(range(1, ACCOUNTS + 1), 0), 1: 3, 2: 1}
    assert states(db) == {"done": 4}


def test_a_vanished_function_is_parked_with_its_reason_until_somebody_knows_it(
    db: Database, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(db, (deposit, account(1), 5), (deposit, account(2), 5))
    with monkeypatch.context() as patch:
        patch.delitem(registry._functions, deposit.name)
        for _ in range(20):
            assert db.recover().parked == 2
            clock.advance(3600)
        assert states(db) == {"pending": 2}
        assert all(error and deposit.name in error for error in errors(db))
    assert db.recover().finished == 2
    assert balances(db)[1] == balances(db)[2] == 5


def test_a_renamed_function_finishes_what_was_logged_under_its_former_name(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(db, (deposit, account(1), 5))
    monkeypatch.delitem(registry._functions, deposit.name)

    @atomic(renamed_from=deposit.name)
    def pay_in(account: Account, amount: int) -> None:
        account.balance += amount

    assert db.recover().finished == 1
    assert balances(db)[1] == 5
    assert states(db) == {"done": 1}


def test_a_deleted_argument_ends_in_quarantine_at_once_and_says_which(db: Database) -> None:
    interrupted(db, (deposit, account(1), 5), (deposit, account(2), 5))
    with db.session() as session:
        session.delete(session.get_one(Account, 1))

    report = db.recover()

    assert (report.finished, report.quarantined) == (1, 1)
    (why,) = errors(db)
    assert why is not None
    assert "Account" in why
    assert "1" in why


def test_an_argument_of_ten_megabytes_comes_back_as_it_was(db: Database) -> None:
    data = bytes(range(256)) * 40_000
    assert len(data) > 10_000_000
    with db.session() as session:
        assert keep(data, session.get_one(Account, 1)) == len(data)
    interrupted(db, (keep, data, account(2)))

    assert db.recover().finished == 1

    assert balances(db)[1] == balances(db)[2] == len(data)
    with db.session() as session:
        entry = session.query(OperationLog).first()
        assert entry is not None
        assert entry.to_args()[0] == data


def test_a_result_that_cannot_be_stored_is_refused_before_the_commit(
    db: Database, clock: VirtualClock
) -> None:
    with db.session() as session:
        mine = session.get_one(Account, 1)
        with pytest.raises(NotSerializableError):
            return_what_cannot_be_stored(mine)
        assert mine.balance == START
    assert states(db) == {"failed": 1}
    interrupted(db, (return_what_cannot_be_stored, account(1)))
    for _ in range(10):
        db.recover()
        clock.advance(3600)
    assert states(db) == {"failed": 1, "quarantined": 1}
    assert set(balances(db).values()) == {0}


def test_a_full_disk_leaves_an_operation_whole_or_visible(tmp_path: Path) -> None:
    """SQLite is not given more pages: somewhere in an operation there is no room for the next."""
    outcomes: Counter[str] = Counter()
    for room in range(24):
        url = f"sqlite:///{tmp_path}/full{room}.db"
        with Database(url, pool_size=1) as db:
            db.create(Account, Receipt, OperationLog)
            with db.session() as session:
                session.add(Account(id=1), Account(id=2))
            with db.session() as session:
                deposit(session.get_one(Account, 2), 0)
            ((pages,),) = db.execute("pragma page_count")
            db.execute(f"pragma max_page_count = {pages + room}")
            with db.session() as session:
                try:
                    keep(b"x" * 30_000, session.get_one(Account, 1))
                    outcomes["done"] += 1
                except StoreError as error:
                    outcomes["refused" if "full" in str(error) else str(error)] += 1
        with Database(url) as db, VirtualClock() as clock:
            clock.advance(3600)
            report = db.recover()
            outcomes["recovered"] += report.finished
            done = states(db)["done"] - 1
            assert states(db).keys() <= {"done", "failed"}
            assert balances(db) == {1: 30_000 * done, 2: 0}
    assert outcomes.keys() == {"refused", "done", "recovered"}
    assert outcomes["refused"] > 2
    assert outcomes["done"] > 2


@atomic
def untell(told: str) -> None:
    bank.notify(f"not-{told.split()[0]}")


@atomic(attempts=1)
def deposit_with_a_step(account: Account, amount: int) -> int:
    step(bank.notify, f"done-{account.id}", name="told", compensate=untell)
    account.balance += amount
    while BEFORE_THE_COMMIT:
        BEFORE_THE_COMMIT.pop()()
    return amount


def in_state(db: Database, state: str, clock: VirtualClock) -> Any:
    """Bring one operation that deposits 5 on account 1 into *state*; return its handle."""
    bound = db.atomic(deposit)
    with db.session() as session:
        mine = session.get_one(Account, 1)
        if state == "done":
            bound.options(key="it")(mine, 5)
        elif state == "failed":
            with pytest.raises(ZeroDivisionError):
                poison.options(key="it")(mine)
        elif state == "quarantined":
            session.add(OperationLog.create(Operation(None, poison, mine)))
        else:
            bound.later(mine, 5, delay_s=0)
    if state == "quarantined":
        for _ in range(10):
            db.recover()
            clock.advance(3600)
    with db.session() as session:
        (entry,) = session.query(OperationLog).all()
    handle = db.operation(entry.id)
    if state in {"paused", "cancelled"}:
        {"paused": handle.pause, "cancelled": handle.cancel}[state]()
    assert handle.state == state
    return handle


@pytest.mark.parametrize(
    ("state", "is_allowed"),
    [
        ("pending", True),
        ("paused", True),
        ("done", False),
        ("failed", False),
        ("quarantined", True),
        ("cancelled", True),
    ],
)
def test_a_cancellation_in_each_state_is_done_or_refused_and_nothing_runs_after_it(
    db: Database, clock: VirtualClock, state: str, is_allowed: bool
) -> None:
    handle = in_state(db, state, clock)

    if is_allowed:
        handle.cancel()
        assert handle.state == "cancelled"
    else:
        with pytest.raises(OperationError, match="cannot cancel"):
            handle.cancel()
        assert handle.refresh().state == state
    for _ in range(3):
        clock.advance(3600)
        db.recover()
        db.worker(concurrency=1).run(until_idle=True)

    assert balances(db)[1] == (5 if state == "done" else 0)
    assert handle.refresh().state == ("cancelled" if is_allowed else state)


@pytest.mark.parametrize("dies", [False, True], ids=["runs-on", "dies"])
def test_a_running_operation_that_is_cancelled_commits_nothing_and_undoes_its_step(
    db: Database, clock: VirtualClock, dies: bool
) -> None:
    def cancel() -> None:
        with db.session() as session:
            (entry,) = session.query(OperationLog).all()
        handle = db.operation(entry.id)
        handle.cancel()
        assert handle.state == "compensating"

    def die() -> None:
        raise KeyboardInterrupt

    if dies:
        BEFORE_THE_COMMIT.append(die)
    BEFORE_THE_COMMIT.append(lambda: elsewhere(cancel))
    with db.session() as session:
        mine = session.get_one(Account, 1)
        with pytest.raises(KeyboardInterrupt if dies else OperationError):
            deposit_with_a_step(mine, 5)
        assert mine.balance == START
    for _ in range(3):
        clock.advance(3600)
        db.recover()

    assert states(db) == {"cancelled": 1}
    assert balances(db)[1] == 0
    assert bank.effects() == {"done-1": 1, "not-done-1": 1}


def test_errors_of_operations_leave_the_session_usable(db: Database) -> None:
    with db.session() as session:
        mine = session.get_one(Account, 1)
        for function, wrong in (
            (poison, ZeroDivisionError),
            (return_what_cannot_be_stored, NotSerializableError),
        ):
            with pytest.raises(wrong):
                function(mine)
        with pytest.raises(GravenError):
            deposit(Account(id=99), 1)
        assert deposit(mine, 3) == START + 3
        assert mine.balance == START + 3
        mine.balance += 1
    assert balances(db)[1] == 4


def test_the_bank_of_the_crash_tests_is_itself_sound(db: Database) -> None:
    with db.session() as session:
        session.delete(*session.query(Account).all())
    bank.prepare(db)
    bank.work(db)
    bank.is_done_once_or_never_begun(db)
    assert bank.effects() == {"1-2": 1}
