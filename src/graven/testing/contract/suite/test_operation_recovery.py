"""Recovery: what was interrupted is finished once, and what cannot be finished is left visible."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from graven import (
    AsyncRecoverer,
    NotLoadedError,
    Operation,
    OperationError,
    OperationLog,
    Recoverer,
    ReferenceMapping,
    UsageError,
    current_operation,
)
from graven._common import atomic as known
from graven.core.entries import abandoned
from graven.ops.operating import OPERATIONS
from graven.testing import VirtualClock
from graven.testing.contract import TRANSACTIONS, delete, rows, update
from graven.testing.contract.suite.operations import Account, Die, both, log_of

pytestmark = pytest.mark.needs(TRANSACTIONS)

Open = Callable[..., Any]

LEASE_S = 30.0
behaviour: dict[str, Any] = {}
"""What ``work`` does with accounts of that owner: an exception to raise, or a function to call."""


@both(attempts=3)
def work(account: Account, amount: int) -> Any:
    account.balance += amount
    then = behaviour.get(account.owner)
    if isinstance(then, BaseException):
        raise then
    if then is not None:
        yield then()


@pytest.fixture(autouse=True)
def clock() -> Iterator[VirtualClock]:
    behaviour.clear()
    with VirtualClock() as found:
        yield found


@pytest.fixture
def db(open_db: Open) -> Any:
    made = open_db(Account)
    with made.session() as session:
        session.add(Account(owner="Ada", balance=100), Account(owner="Bob"))
    return made


def call(db: Any, colour: Any, owner: str = "Ada", amount: int = 5) -> None:
    with db.session() as session:
        account = session.query(Account).where(Account.owner == owner).one()
        work(colour, account, amount)


def crash(db: Any, colour: Any, owner: str = "Ada", amount: int = 5) -> None:
    behaviour[owner] = Die()
    with pytest.raises(Die):
        call(db, colour, owner, amount)
    del behaviour[owner]


def balance(db: Any, owner: str = "Ada") -> int:
    ((found,),) = rows(db, Account, "balance", owner=owner)
    return int(found)


# -- finished once -------------------------------------------------------------------------------


def test_what_a_crash_interrupts_is_finished_once(
    db: Any, colour: Any, clock: VirtualClock
) -> None:
    crash(db, colour)
    assert (balance(db), log_of(db, "state")) == (100, ["running"])
    assert db.recover().total == 0  # its lease has not run out
    clock.advance(LEASE_S + 1)
    report = db.recover()
    assert (report.finished, report.total) == (1, 1)
    assert (balance(db), log_of(db, "state", "attempts")) == (105, [("done", 2)])
    assert db.recover().total == 0
    assert balance(db) == 105


def test_arguments_are_loaded_as_they_are_now(db: Any, colour: Any, clock: VirtualClock) -> None:
    crash(db, colour)
    ((key,),) = rows(db, Account, "id", owner="Ada")
    update(db, Account, key, balance=1000)
    clock.advance(LEASE_S + 1)
    db.recover()
    assert balance(db) == 1005


def test_the_lease_is_the_databases(open_db: Open, colour: Any, clock: VirtualClock) -> None:
    db = open_db(Account, lease_s=3.0)
    with db.session() as session:
        session.add(Account(owner="Ada"))
    crash(db, colour)
    clock.advance(4)
    assert db.recover().finished == 1


@pytest.mark.parametrize("lease_s", [0, -1.0, float("nan")])
def test_a_lease_takes_time(open_db: Open, lease_s: float) -> None:
    with pytest.raises(UsageError, match="give a time"):
        open_db(lease_s=lease_s)


def test_two_recoverers_claim_everything_once(
    db: Any, open_db: Open, colour: Any, clock: VirtualClock
) -> None:
    for _ in range(7):
        crash(db, colour)
    clock.advance(LEASE_S + 1)
    other = open_db()
    mine = claimed(db, colour, 3)
    theirs = claimed(other, colour, 10)
    assert (len(mine), len(theirs)) == (3, 4)
    assert len({entry.id for entry in [*mine, *theirs]}) == 7
    assert claimed(db, colour, 10) == []
    for one, entries in ((db, mine), (other, theirs)):
        for entry in entries:
            assert run_claimed(one, colour, entry) == "done"
    assert balance(db) == 135


def claimed(db: Any, colour: Any, limit: int) -> list[Any]:
    target = getattr(db, "_target", db)
    found: list[Any] = colour.call(lambda: target.operating.claim_due(abandoned(), limit))
    return found


def run_claimed(db: Any, colour: Any, entry: Any) -> str:
    target = getattr(db, "_target", db)
    return str(colour.call(lambda: target.operating.run_claimed(entry)))


def test_a_recoverer_that_is_killed_leaves_it_to_the_next(
    db: Any, colour: Any, clock: VirtualClock
) -> None:
    crash(db, colour)
    clock.advance(LEASE_S + 1)
    (entry,) = claimed(db, colour, 1)  # and no more is heard of him
    assert db.recover().total == 0
    clock.advance(LEASE_S + 1)
    assert db.recover().finished == 1
    assert run_claimed(db, colour, entry) == "lost"
    assert balance(db) == 105


def test_a_late_commit_is_refused_by_the_fence(
    db: Any, open_db: Open, colour: Any, clock: VirtualClock
) -> None:
    other = open_db()

    def overtaken() -> Any:
        behaviour.clear()
        clock.advance(LEASE_S + 1)
        target = getattr(other, "_target", other)
        return target.recover()

    behaviour["Ada"] = overtaken
    with pytest.raises(OperationError, match="taken it over"):
        call(db, colour)
    assert balance(db) == 105
    assert log_of(db, "state", "attempts") == [("done", 2)]


@pytest.mark.parametrize("jump_s", [-3600.0, 3600.0])
def test_a_clock_that_jumps_loses_and_doubles_nothing(
    db: Any, colour: Any, clock: VirtualClock, jump_s: float
) -> None:
    behaviour["Ada"] = lambda: clock.jump(jump_s)
    call(db, colour)
    assert (balance(db), log_of(db, "state")) == (105, ["done"])
    crash(db, colour, "Bob")
    clock.jump(jump_s)
    clock.advance(abs(jump_s) + LEASE_S + 1)
    db.recover()
    assert (balance(db, "Bob"), log_of(db, "state")) == (5, ["done", "done"])


# -- what cannot be finished ---------------------------------------------------------------------


def test_a_failure_in_a_recovery_is_counted_and_backed_off_and_at_last_quarantined(
    db: Any, colour: Any, clock: VirtualClock
) -> None:
    crash(db, colour)
    behaviour["Ada"] = RuntimeError("poison")
    clock.advance(LEASE_S + 1)
    assert db.recover().retried == 1
    assert db.recover().total == 0  # not before its time
    ((state, attempts, error),) = log_of(db, "state", "attempts", "error")
    assert (state, attempts, error) == ("pending", 2, "RuntimeError: poison")
    clock.advance(3600)
    assert db.recover().quarantined == 1
    ((state, attempts, due, error),) = log_of(db, "state", "attempts", "due", "error")
    assert (state, attempts, due, error) == ("quarantined", 3, None, "RuntimeError: poison")
    clock.advance(3600)
    assert db.recover().total == 0
    assert balance(db) == 100


def test_one_that_is_poisoned_does_not_stop_the_others(
    db: Any, colour: Any, clock: VirtualClock
) -> None:
    for number in range(12):
        crash(db, colour, "Bob" if number == 4 else "Ada")
    behaviour["Bob"] = RuntimeError("poison")
    clock.advance(LEASE_S + 1)
    report = db.recover()
    assert (report.finished, report.retried, report.total) == (11, 1, 12)
    assert "11 finished, 1 retried" in str(report)
    assert balance(db) == 155


def test_what_kills_its_recoverers_is_quarantined(
    db: Any, colour: Any, clock: VirtualClock
) -> None:
    crash(db, colour)
    behaviour["Ada"] = Die()
    for _ in range(2):
        clock.advance(LEASE_S + 1)
        with pytest.raises(Die):
            db.recover()
    clock.advance(LEASE_S + 1)
    assert db.recover().quarantined == 1
    ((state, error),) = log_of(db, "state", "error")
    assert state == "quarantined"
    assert "begun 3 times" in error


def test_claimed_ones_that_were_not_begun_are_not_counted(
    db: Any, colour: Any, clock: VirtualClock
) -> None:
    crash(db, colour)
    for _ in range(5):
        clock.advance(LEASE_S + 1)
        assert len(claimed(db, colour, 1)) == 1
    clock.advance(LEASE_S + 1)
    assert db.recover().finished == 1
    assert log_of(db, "attempts") == [2]


def test_what_has_lost_an_argument_is_quarantined(
    db: Any, colour: Any, clock: VirtualClock
) -> None:
    crash(db, colour)
    ((key,),) = rows(db, Account, "id", owner="Ada")
    delete(db, Account, key)
    clock.advance(LEASE_S + 1)
    assert db.recover().quarantined == 1
    ((error,),) = [(one,) for one in log_of(db, "error")]
    assert "Account" in error


def test_what_is_not_known_here_is_parked_with_its_reason(
    db: Any, colour: Any, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    crash(db, colour)
    function = work.of(colour)
    monkeypatch.delitem(known._functions, function.name)
    for _ in range(5):  # that is no attempt
        clock.advance(120)
        assert db.recover().parked == 1
        assert db.recover().total == 0
    ((state, attempts, error),) = log_of(db, "state", "attempts", "error")
    assert (state, attempts) == ("pending", 1)
    assert "does not define it" in error
    monkeypatch.setitem(known._functions, function.name, function)
    clock.advance(120)
    assert db.recover().finished == 1


def test_a_renamed_function_is_found_by_its_former_name(
    db: Any, colour: Any, clock: VirtualClock
) -> None:
    crash(db, colour)
    (id_,) = log_of(db, "id")
    method = "the former name" + (" awaited" if colour.name == "async" else "")
    update(db, OPERATIONS, id_, method=method)

    @both(name="the present name", renamed_from="the former name")
    def renamed(account: Account, amount: int) -> None:
        account.balance -= amount

    clock.advance(LEASE_S + 1)
    assert db.recover().finished == 1
    assert balance(db) == 95


def test_what_is_spoilt_in_the_log_is_put_back_and_quarantined(
    db: Any, colour: Any, clock: VirtualClock
) -> None:
    crash(db, colour)
    (id_,) = log_of(db, "id")
    gone = '[{"__model__":"Nobody","__key__":1}]'
    update(
        db, OPERATIONS, id_, arguments=f'{{"graven":1,"roots":[{gone},{{}},[],null],"nodes":[]}}'
    )
    clock.advance(LEASE_S + 1)
    assert db.recover().retried == 1
    clock.advance(3600)
    assert db.recover().quarantined == 1
    ((state, error),) = log_of(db, "state", "error")
    assert state == "quarantined"
    assert "DataError" in error


# -- the log as objects --------------------------------------------------------------------------


def test_an_entry_has_the_documented_fields(db: Any, colour: Any) -> None:
    @both
    def named(*args: Any, **kwargs: Any) -> None:
        pass

    with db.session() as session:
        ada, bob = session.query(Account).order_by(Account.owner).all()
        named(colour, ada, 30, [bob, 1.5], to=bob, why={"x/y": [ada]})
        (entry,) = session.query(OperationLog).all()
        assert entry.method == named.of(colour).name
        assert entry.instance is None
        assert entry.timestamp == log_of(db, "timestamp")[0]
        assert [(one.key, one.value) for one in entry.arg_references] == [("0", ada), ("2/0", bob)]
        assert entry.arg_others == {"1": 30, "2": [None, 1.5]}
        assert [(one.key, one.value) for one in entry.kwarg_references] == [
            ("to", bob),
            ("why/x~1y/0", ada),
        ]
        assert entry.kwarg_others == {"why": {"x/y": [None]}}
        assert colour.call(entry.to_args) == [ada, 30, [bob, 1.5]]
        assert colour.call(entry.to_kwargs) == {"to": bob, "why": {"x/y": [ada]}}
        assert session.get(OperationLog, entry.id) is entry


def test_arguments_are_taken_apart_without_a_call(db: Any) -> None:
    with db.session() as session:
        ada, bob = session.query(Account).order_by(Account.owner).all()
        references, others = OperationLog.from_args((ada, 30, [bob]))
        assert [(one.key, one.model, one.id) for one in references] == [
            ("0", Account, ada.id),
            ("2/0", Account, bob.id),
        ]
        assert others == {"1": 30, "2": [None]}
        references, others = OperationLog.from_kwargs({"to": bob, "n": 1})
        assert [(one.key, one.id) for one in references] == [("to", bob.id)]
        assert others == {"n": 1}


def test_a_reference_is_loaded_where_that_may_be(db: Any, colour: Any) -> None:
    with db.session() as session:
        ada = session.query(Account).where(Account.owner == "Ada").one()
        key, held = ada.id, ReferenceMapping("0", Account, ada.id, ada)
        assert held.value is ada
    lazy = ReferenceMapping("0", Account, key)
    with pytest.raises(NotLoadedError, match="no session"):
        colour.call(lambda: lazy.value)
    with db.session() as session:
        if colour.name == "blocking":
            assert lazy.value is session.get(Account, key)
        else:
            with pytest.raises(NotLoadedError, match=r"await session\.get"):
                colour.call(lambda: lazy.value)


def test_an_entry_can_be_made_and_left_to_recovery(db: Any, colour: Any) -> None:
    db.create(OperationLog)
    with db.session() as session:
        ada = session.query(Account).where(Account.owner == "Ada").one()
        made = OperationLog.create(Operation(None, work.of(colour), ada, 7))
        assert (made.method, made.state) == (work.of(colour).name, "pending")
        session.add(made)
    assert balance(db) == 100
    assert db.recover().finished == 1
    assert balance(db) == 107


def test_one_entry_can_be_recovered(db: Any, colour: Any, clock: VirtualClock) -> None:
    crash(db, colour)
    crash(db, colour)
    with db.session() as session:
        entry = session.query(OperationLog).first()
        assert colour.call(entry.recover).total == 0
        clock.advance(LEASE_S + 1)
        assert colour.call(entry.recover).finished == 1
        assert colour.call(entry.recover).total == 0
    assert sorted(log_of(db, "state")) == ["done", "running"]


def test_all_are_recovered_of_a_database_or_of_the_current_session(
    db: Any, colour: Any, clock: VirtualClock
) -> None:
    target = getattr(db, "_target", db)
    for given in (target, None):
        crash(db, colour)
        clock.advance(LEASE_S + 1)
        with db.session():
            assert colour.call(lambda given=given: OperationLog.recover_all(given)).finished == 1
    with pytest.raises(UsageError, match="no current session"):
        OperationLog.recover_all()


# -- in the background ---------------------------------------------------------------------------


def test_a_recoverer_works_in_the_background(db: Any, colour: Any, clock: VirtualClock) -> None:
    crash(db, colour)
    clock.advance(LEASE_S + 1)
    reports: list[Any] = []
    target = getattr(db, "_target", db)
    kind = Recoverer if colour.name == "blocking" else AsyncRecoverer
    recoverer = kind(target, every_s=0.01, on_report=reports.append)
    colour.call(recoverer.start)
    while not reports:
        colour.call(lambda: None)
    colour.call(recoverer.stop)
    assert reports[0].finished == 1
    assert balance(db) == 105
    assert recoverer.last_error is None


def test_the_lease_of_what_runs_long_is_renewed(
    open_db: Open, colour: Any, clock: VirtualClock
) -> None:
    db, other = open_db(Account, lease_s=0.6), open_db()
    with db.session() as session:
        session.add(Account(owner="Ada"))
    target = getattr(other, "_target", other)
    dues: list[Any] = []

    @both
    def long(account: Account) -> Any:
        account.balance += 1
        while len(dues) < 2:
            found = yield rows(target, OPERATIONS, "due")
            clock.advance(0.01)
            if found[0][0] not in dues:
                dues.append(found[0][0])
        running = current_operation()
        assert running is not None
        assert not running.is_lost

    with db.session() as session:
        long(colour, session.query(Account).one())
    assert dues[0] < dues[1]
    assert log_of(db, "state", "attempts") == [("done", 1)]
