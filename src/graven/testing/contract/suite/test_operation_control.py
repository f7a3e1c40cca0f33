"""What a person may ask: cancel, pause, resume, retry, rerun; and removing what is finished."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from graven import NotFoundError, OperationError, UsageError, current_operation, step
from graven._async import control as async_control
from graven._sync import control as sync_control
from graven.ops.operating import OPERATIONS, STEPS
from graven.ops.recording import COMMITS
from graven.testing import VirtualClock
from graven.testing.contract import TRANSACTIONS, count, insert, rows
from graven.testing.contract.suite.operations import Account, Die, both, log_of

pytestmark = pytest.mark.needs(TRANSACTIONS)

Open = Callable[..., Any]

LEASE_S = 31.0
ran: list[Any] = []
trouble: list[BaseException] = []
meanwhile: list[Callable[[], Any]] = []
"""What somebody else does while the body runs."""


def outside(what: str) -> str:
    ran.append(what)
    return what


@both
def undo(what: str) -> None:
    ran.append(f"undo {what}")


@both(attempts=2)
def work(account: Account, amount: int) -> Any:
    account.balance += amount
    if meanwhile:
        yield meanwhile.pop()()
    if trouble:
        raise trouble.pop()
    return amount


@both(attempts=2)
def stepping(account: Account) -> Any:
    is_async = current_operation().db.operating.is_async
    yield step(outside, "a", name="a", compensate=undo.awaited if is_async else undo.blocking)
    yield step(outside, "b", name="b")
    yield step(outside, "c", name="c")
    account.balance += 1
    if meanwhile:
        yield meanwhile.pop()()
    if trouble:
        raise trouble.pop()


@pytest.fixture(autouse=True)
def clock() -> Iterator[VirtualClock]:
    for one in (ran, trouble, meanwhile):
        one.clear()
    with VirtualClock(datetime(2026, 6, 1, 12, tzinfo=UTC)) as found:
        yield found


@pytest.fixture
def db(open_db: Open) -> Any:
    made = open_db(Account)
    with made.session() as session:
        session.add(Account(owner="Ada", balance=100))
    return made


def call(db: Any, colour: Any, operation: Any, *args: Any) -> Any:
    with db.session() as session:
        return operation(colour, session.query(Account).one(), *args)


def start(db: Any, colour: Any, operation: Any, *args: Any) -> Any:
    with db.session() as session:
        ada = session.query(Account).one()
        return colour.call(lambda: operation.of(colour).start(ada, *args))


def only(db: Any) -> Any:
    (found,) = log_of(db, "id")
    return db.operation(found)


def worker(db: Any) -> Any:
    return db.worker(concurrency=1).run(until_idle=True)


def balance(db: Any) -> int:
    ((found,),) = rows(db, Account, "balance")
    return int(found)


def do(db: Any, what: str) -> Callable[[], Any]:
    """Return what asks for something of the only operation, in the colour of the body."""
    target = getattr(db, "_target", db)

    def blocking() -> Any:
        ((found,),) = rows(target, OPERATIONS, "id")
        getattr(target.operation(found), what)()

    async def awaited() -> Any:
        ((found,),) = await rows(target, OPERATIONS, "id")
        await getattr(await target.operation(found), what)()

    return awaited if target.operating.is_async else blocking


# -- cancel --------------------------------------------------------------------------------------


def test_a_pending_operation_that_is_cancelled_is_never_run(db: Any, colour: Any) -> None:
    handle = start(db, colour, work, 5)
    handle.cancel()
    assert (handle.state, handle.is_finished) == ("cancelled", True)
    assert worker(db).total == 0
    assert balance(db) == 100
    with pytest.raises(OperationError, match="is cancelled"):
        handle.wait()


def test_a_running_operation_that_is_cancelled_cannot_commit(db: Any, colour: Any) -> None:
    meanwhile.append(do(db, "cancel"))
    with pytest.raises(OperationError, match="somebody else"):
        call(db, colour, work, 5)
    assert log_of(db, "state") == ["cancelled"]
    assert balance(db) == 100


def test_a_paused_a_quarantined_and_a_compensating_operation_can_be_cancelled_or_not(
    db: Any, colour: Any, clock: VirtualClock
) -> None:
    handle = start(db, colour, work, 5)
    handle.pause()
    handle.cancel()
    assert handle.state == "cancelled"
    bad = start(db, colour, work, 5)
    trouble.extend([ValueError(), ValueError()])
    worker(db)
    clock.advance(600)
    assert worker(db).quarantined == 1
    bad.cancel()
    assert bad.state == "cancelled"
    assert balance(db) == 100


@pytest.mark.parametrize("state", ["done", "failed"])
def test_what_has_ended_cannot_be_cancelled(db: Any, colour: Any, state: str) -> None:
    if state == "failed":
        trouble.append(KeyError("no"))
        with pytest.raises(KeyError):
            call(db, colour, work, 5)
    else:
        call(db, colour, work, 5)
    handle = only(db)
    with pytest.raises(OperationError, match=f"its state is '{state}'"):
        handle.cancel()
    assert log_of(db, "state") == [state]


def test_cancelling_undoes_the_steps_that_are_done(
    db: Any, colour: Any, clock: VirtualClock
) -> None:
    trouble.append(Die())
    with pytest.raises(Die):
        call(db, colour, stepping)
    handle = only(db)
    handle.cancel()
    assert handle.state == "compensating"
    with pytest.raises(OperationError, match="compensating"):
        handle.cancel()
    db.recover()
    handle.refresh()
    assert (handle.state, handle.error) == ("cancelled", "cancelled")
    assert ran == ["a", "b", "c", "undo a"]
    assert balance(db) == 100


def test_a_step_that_is_kept_while_its_operation_is_cancelled_is_undone_too(
    db: Any, colour: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle, target = start(db, colour, work, 5), getattr(db, "_target", db)
    module = async_control if target.operating.is_async else sync_control
    fetch, late = module.fetch_steps, [True]
    row = {
        "operation": handle.id,
        "name": "late",
        "ordinal": 1,
        "state": "done",
        "result": '{"graven":1,"roots":["late"],"nodes":[]}',
        "error": None,
        "attempts": 1,
        "compensation": undo.of(colour).name,
        "code_version": 1,
        "at": datetime(2026, 6, 1, tzinfo=UTC),
    }

    def blocking(*asked: Any) -> Any:
        found = fetch(*asked)
        if late:
            late.clear()
            insert(target, STEPS, **row)
        return found

    async def awaited(*asked: Any) -> Any:
        found = await fetch(*asked)
        if late:
            late.clear()
            await insert(target, STEPS, **row)
        return found

    function = awaited if target.operating.is_async else blocking
    monkeypatch.setattr(module, "fetch_steps", function)
    handle.cancel()
    assert handle.state == "compensating"
    db.recover()
    assert ran == ["undo late"]


# -- pause and resume ----------------------------------------------------------------------------


def test_a_paused_operation_waits_until_it_is_resumed(db: Any, colour: Any) -> None:
    handle = start(db, colour, work, 5)
    handle.pause()
    assert (handle.state, worker(db).total) == ("paused", 0)
    handle.resume()
    assert handle.state == "pending"
    assert worker(db).finished == 1
    assert handle.wait() == 5
    for call_again in (handle.pause, handle.resume):
        with pytest.raises(OperationError, match="its state is 'done'"):
            call_again()


def test_a_running_operation_that_is_paused_goes_on_later_without_repeating_steps(
    db: Any, colour: Any
) -> None:
    meanwhile.append(do(db, "pause"))
    with pytest.raises(OperationError, match="somebody else"):
        call(db, colour, stepping)
    assert (log_of(db, "state"), db.recover().total) == (["paused"], 0)
    only(db).resume()
    assert db.recover().finished == 1
    assert ran == ["a", "b", "c"]
    assert balance(db) == 101


# -- again ---------------------------------------------------------------------------------------


def test_a_failed_operation_can_be_tried_again(db: Any, colour: Any) -> None:
    trouble.append(KeyError("no"))
    with pytest.raises(KeyError):
        call(db, colour, work, 5)
    handle = only(db)
    handle.retry()
    assert (handle.state, handle.attempts) == ("pending", 0)
    assert db.recover().finished == 1
    assert handle.wait() == 5
    with pytest.raises(OperationError, match="cannot retry"):
        handle.retry()
    assert balance(db) == 105


def test_a_quarantined_operation_gets_all_its_attempts_again(
    db: Any, colour: Any, clock: VirtualClock
) -> None:
    trouble.extend(ValueError() for _ in range(3))
    handle = start(db, colour, work, 5)
    worker(db)
    clock.advance(600)
    assert worker(db).quarantined == 1
    handle.retry()
    assert worker(db).retried == 1
    clock.advance(600)
    assert worker(db).finished == 1
    assert balance(db) == 105


@pytest.mark.parametrize(
    ("first", "again"), [(None, ["a", "b", "c"]), ("b", ["b", "c"]), ("c", ["c"])]
)
def test_an_operation_can_be_done_again_from_a_step_on(
    db: Any, colour: Any, first: str | None, again: list[str]
) -> None:
    call(db, colour, stepping)
    ran.clear()
    only(db).rerun(first)
    assert log_of(db, "state") == ["pending"]
    assert db.recover().finished == 1
    assert ran == again
    assert balance(db) == 102


def test_a_rerun_from_a_step_that_is_not_there_changes_nothing(db: Any, colour: Any) -> None:
    call(db, colour, stepping)
    with pytest.raises(OperationError, match="Its steps are a, b, c"):
        only(db).rerun("d")
    assert log_of(db, "state") == ["done"]
    assert count(db, STEPS) == 3


def test_what_is_not_in_the_log_cannot_be_found(db: Any, colour: Any) -> None:
    handle = start(db, colour, work, 5)
    with pytest.raises(NotFoundError):
        db.operation(uuid4())
    handle.cancel()
    assert db.prune_operations(timedelta()) == 0
    with VirtualClock(datetime(2027, 1, 1, tzinfo=UTC)):
        assert db.prune_operations(timedelta(days=1)) == 1
    with pytest.raises(NotFoundError):
        handle.retry()


# -- removing ------------------------------------------------------------------------------------


def test_finished_operations_are_removed_with_their_steps(
    db: Any, colour: Any, clock: VirtualClock
) -> None:
    call(db, colour, stepping)
    clock.advance(3600)
    call(db, colour, work, 5)
    waiting = start(db, colour, work, 6)
    clock.advance(1800)
    assert db.prune_operations(timedelta(hours=2)) == 0
    assert db.prune_operations(timedelta(hours=1)) == 1
    assert (count(db, OPERATIONS), count(db, STEPS)) == (2, 0)
    assert db.prune_operations(timedelta(minutes=10)) == 1
    waiting.refresh()
    assert waiting.state == "pending"


def test_operations_with_keys_are_removed_too_and_the_key_is_free(
    db: Any, colour: Any, clock: VirtualClock
) -> None:
    for key in ("one", "two", "three"):
        with db.session() as session:
            keyed = work.of(colour).options(key=key)
            ada = session.query(Account).one()
            colour.call(lambda keyed=keyed, ada=ada: keyed(ada, 1))
    clock.advance(3600)
    assert db.prune_operations(timedelta(minutes=10)) == 3
    assert log_of(db, "id") == []


def test_many_operations_are_removed_in_pieces(
    db: Any, colour: Any, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    from graven.flows import retention

    with db.session():
        for key in [None, "k"]:
            for number in range(4):
                name = None if key is None else f"{key}{number}"
                one = idle.of(colour).options(key=name)
                colour.call(lambda one=one, number=number: one.start(number))
    worker(db)
    monkeypatch.setattr(retention, "PIECE", 3)
    clock.advance(60)
    assert db.prune_operations(timedelta()) == 8


def test_only_what_is_finished_can_be_removed(db: Any) -> None:
    for states in (["running"], ["pending", "done"], []):
        with pytest.raises(UsageError, match="are finished"):
            db.prune_operations(timedelta(), states)
    for age in (timedelta(-1), 5):
        with pytest.raises(UsageError, match="timedelta"):
            db.prune_operations(age)
    assert db.prune_operations(timedelta()) == 0


def test_a_worker_removes_what_was_kept_long_enough(
    db: Any, colour: Any, clock: VirtualClock
) -> None:
    call(db, colour, work, 5)
    clock.advance(3600)
    handle = start(db, colour, work, 5)
    db.worker(retention=timedelta(minutes=30)).run(until_idle=True)
    assert log_of(db, "id") == [handle.id]


def test_old_commit_records_are_removed(db: Any, clock: VirtualClock) -> None:
    assert db.prune_commit_records(timedelta()) == 0
    for owner in ("Bob", "Cid"):
        with db.session(commit_record=True) as session:
            session.add(Account(owner=owner))
        clock.advance(3600)
    assert db.prune_commit_records(timedelta(hours=1, minutes=30)) == 1
    assert count(db, COMMITS) == 1


@both
def idle(number: int) -> int:
    return number
