"""step(): results that outlast a crash, found by name, and undone when the operation fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from graven import (
    Backoff,
    NotSerializableError,
    OperationError,
    UsageError,
    current_operation,
    step,
)
from graven.ops.operating import OPERATIONS, STEPS
from graven.testing import VirtualClock
from graven.testing.contract import TRANSACTIONS, rows, update
from graven.testing.contract.suite.operations import Account, Die, both, log_of

pytestmark = pytest.mark.needs(TRANSACTIONS)

Open = Callable[..., Any]

LEASE_S = 31.0
done: list[Any] = []
"""What the functions outside of the store were called with."""

trouble: dict[str, Any] = {}
"""What those functions raise, by name; a list is used up."""


def outside(name: str, value: Any) -> Any:
    """Do something that the store knows nothing of."""
    found = trouble.get(name)
    error = found.pop(0) if isinstance(found, list) and found else found
    if isinstance(error, BaseException):
        raise error
    done.append((name, value))
    return value


def charge(amount: int) -> str:
    return str(outside("charge", f"payment {amount}"))


def ship(owner: str) -> str:
    return str(outside("ship", owner))


@both
def refund(payment: str) -> None:
    outside("refund", payment)


@both
def unship(owner: str) -> None:
    outside("unship", owner)


@both(attempts=3)
def order(account: Account, amount: int) -> Any:
    payment = yield step(charge, amount)
    account.balance -= amount
    outside("order", payment)
    return payment


@pytest.fixture(autouse=True)
def clock() -> Iterator[VirtualClock]:
    done.clear()
    trouble.clear()
    with VirtualClock() as found:
        yield found


@pytest.fixture
def db(open_db: Open) -> Any:
    made = open_db(Account)
    with made.session() as session:
        session.add(Account(owner="Ada", balance=100))
    return made


def call(db: Any, colour: Any, operation: Any, *args: Any, **kwargs: Any) -> Any:
    with db.session() as session:
        return operation(colour, session.query(Account).one(), *args, **kwargs)


def crash(db: Any, colour: Any, operation: Any, *args: Any) -> None:
    with pytest.raises(Die):
        call(db, colour, operation, *args)
    trouble.clear()


def recover(db: Any, clock: VirtualClock) -> Any:
    clock.advance(LEASE_S)
    return db.recover()


def balance(db: Any) -> int:
    ((found,),) = rows(db, Account, "balance")
    return int(found)


def steps_of(db: Any, *columns: str) -> list[Any]:
    return rows(db, STEPS, *(columns or ("name", "state")), order="ordinal")


# -- results that are kept -----------------------------------------------------------------------


def test_a_step_is_run_once_and_its_result_kept(db: Any, colour: Any) -> None:
    assert call(db, colour, order, 30) == "payment 30"
    assert done == [("charge", "payment 30"), ("order", "payment 30")]
    assert steps_of(db, "name", "ordinal", "state", "attempts") == [("charge", 1, "done", 1)]
    assert balance(db) == 70


def test_a_replay_returns_the_result_and_does_not_repeat_the_step(
    db: Any, colour: Any, clock: VirtualClock
) -> None:
    trouble["order"] = Die()
    crash(db, colour, order, 30)
    assert (done, balance(db)) == ([("charge", "payment 30")], 100)
    assert recover(db, clock).finished == 1
    assert done == [("charge", "payment 30"), ("order", "payment 30")]
    assert balance(db) == 70


def test_a_step_that_was_interrupted_is_run_again(
    db: Any, colour: Any, clock: VirtualClock
) -> None:
    trouble["charge"] = Die()
    crash(db, colour, order, 30)
    assert steps_of(db) == []
    assert recover(db, clock).finished == 1
    assert done == [("charge", "payment 30"), ("order", "payment 30")]


def test_a_run_after_a_lost_race_does_not_repeat_steps(db: Any, colour: Any) -> None:
    @both
    def racing(account: Account) -> Any:
        payment = yield step(charge, account.balance)
        if done.count(("raced", account.balance)) == 0:
            done.append(("raced", account.balance))
            yield update(plain, Account, account.id, balance=200) if len(done) == 2 else None
        account.balance += 1
        return payment

    plain = getattr(db, "_target", db)
    assert call(db, colour, racing) == "payment 100"
    assert done == [("charge", "payment 100"), ("raced", 100), ("raced", 200)]
    assert balance(db) == 201


def test_steps_are_found_by_name_so_code_may_change_between_attempts(
    db: Any, colour: Any, clock: VirtualClock
) -> None:
    is_new: list[bool] = []

    @both
    def changing(account: Account) -> Any:
        if is_new:
            yield step(ship, "first", name="a new one")
            second = yield step(ship, "second", name="second")
            payment = yield step(charge, 5)
        else:
            payment = yield step(charge, 5)
            second = yield step(ship, "second", name="second")
            raise Die
        account.balance += 1
        return [payment, second]

    crash(db, colour, changing)
    is_new.append(True)
    assert recover(db, clock).finished == 1
    assert done == [("charge", "payment 5"), ("ship", "second"), ("ship", "first")]
    assert [name for name, _ in steps_of(db)] == ["charge", "second", "a new one"]


def test_repeated_names_are_numbered_and_a_name_that_is_said_twice_is_refused(
    db: Any, colour: Any
) -> None:
    @both
    def repeating(account: Account) -> Any:
        for amount in (1, 2, 3):
            yield step(charge, amount)
        yield step(charge, 4, name="mine")
        with pytest.raises(UsageError, match="another step of this operation has it"):
            yield step(charge, 5, name="mine")
        with pytest.raises(UsageError, match="no text"):
            yield step(charge, 5, name="")

    call(db, colour, repeating)
    assert [name for name, _ in steps_of(db)] == ["charge", "charge 2", "charge 3", "mine"]
    assert len(done) == 4


def test_a_step_may_return_models_which_a_replay_finds_again(
    db: Any, colour: Any, clock: VirtualClock
) -> None:
    @both
    def finding(account: Account) -> Any:
        found = yield step(lambda: {"who": [account]}, name="find")
        assert found["who"][0] is account
        if current_operation().attempt == 1:
            raise Die
        account.balance += 1

    crash(db, colour, finding)
    assert recover(db, clock).finished == 1
    assert balance(db) == 101


@pytest.mark.parametrize("what", ["a function", "an object that is not committed"])
def test_a_result_that_cannot_be_stored_is_refused_and_names_the_step(
    db: Any, colour: Any, what: str
) -> None:
    @both
    def odd(account: Account) -> Any:
        new = Account(owner="Bob")
        yield step(lambda: charge if what == "a function" else new, name="oddity")

    with pytest.raises(NotSerializableError, match="the step 'oddity'"):
        call(db, colour, odd)
    assert steps_of(db) == []
    assert log_of(db, "state") == ["failed"]


def test_outside_of_an_operation_there_are_no_steps() -> None:
    with pytest.raises(UsageError, match="no operation is running"):
        step(charge, 5)
    assert done == []


@pytest.mark.parametrize("options", [{"retries": -1}, {"timeout_s": 0}])
def test_options_that_make_no_sense_are_refused(db: Any, colour: Any, options: Any) -> None:
    @both
    def wrong(account: Account) -> Any:
        yield step(charge, 5, **options)

    with pytest.raises(UsageError, match="Nothing was run"):
        call(db, colour, wrong)
    assert done == []


def test_steps_may_be_awaited_together_and_are_found_again_by_name(url: str) -> None:
    import asyncio

    from graven import AsyncDatabase, atomic

    async def charge_slowly(amount: int) -> int:
        await asyncio.sleep(0.001 * (4 - amount))
        done.append(amount)
        return amount

    dies = [True]

    @atomic(name="together")
    async def together(account: Account) -> int:
        named = [step(charge_slowly, amount, name=f"charge {amount}") for amount in (1, 2, 3)]
        plain = [step(charge_slowly, amount) for amount in (1, 2, 3)]
        found: list[int] = await asyncio.gather(*named, *plain)
        assert found == [1, 2, 3, 1, 2, 3]
        if dies:
            dies.clear()
            raise Die
        account.balance += sum(found)
        return account.balance

    async def main(clock: VirtualClock) -> int:
        async with AsyncDatabase(url) as db:
            await db.create(Account)
            async with db.session() as session:
                session.add(ada := Account(owner="Ada"))
                await session.commit()
                with pytest.raises(Die):
                    await together(ada)
            clock.advance(LEASE_S)
            assert (await db.recover()).finished == 1
            async with db.session() as session:
                return (await session.get_one(Account, ada.id)).balance

    with VirtualClock() as clock:
        assert asyncio.run(main(clock)) == 12
    assert sorted(done) == [1, 1, 2, 2, 3, 3]


# -- what a step may do --------------------------------------------------------------------------


def test_a_step_that_changes_objects_of_the_operation_is_refused(db: Any, colour: Any) -> None:
    @both
    def careless(account: Account) -> Any:
        yield step(lambda: setattr(account, "balance", 0), name="wipe")

    with pytest.raises(OperationError, match="changed objects of the operation"):
        call(db, colour, careless)
    assert balance(db) == 100


@pytest.mark.needs(TRANSACTIONS)
def test_after_a_flush_there_are_no_steps(db: Any, colour: Any) -> None:
    @both
    def flushed(account: Account) -> Any:
        account.balance += 1
        yield current_operation().session.flush()
        yield step(charge, 5)

    with pytest.raises(UsageError, match="before a flush"):
        call(db, colour, flushed)
    assert done == []
    assert balance(db) == 100


@pytest.mark.needs(TRANSACTIONS)
def test_in_a_transaction_of_the_caller_there_are_no_steps(db: Any, colour: Any) -> None:
    with pytest.raises(UsageError, match=r"db\.transaction"), db.transaction():
        call(db, colour, order, 5)
    assert done == []
    assert balance(db) == 100


def test_while_a_step_runs_the_operation_keeps_no_connection(open_db: Open, colour: Any) -> None:
    @both
    def looking(account: Account) -> Any:
        assert account.balance == 100
        yield step(charge, 5)  # its result is kept on the only connection
        yield current_operation().session.refresh(account)
        yield step(charge, 6)

    db = open_db(Account, pool_size=1, pool_timeout_s=5.0)
    with db.session() as session:
        session.add(Account(owner="Ada", balance=100))
    call(db, colour, looking)
    assert len(steps_of(db)) == 2


@pytest.mark.needs(TRANSACTIONS)
def test_what_was_read_before_a_step_is_checked_at_the_end(db: Any, colour: Any) -> None:
    seen: list[int] = []

    @both
    def reading(account: Account) -> Any:
        seen.append(account.balance)
        yield step(charge, 5)
        if len(seen) == 1:
            yield update(plain, Account, account.id, balance=7)
        current_operation().session.add(Account(owner="Bob", balance=account.balance))

    plain = getattr(db, "_target", db)
    call(db, colour, reading)
    assert seen == [100, 7]
    assert rows(db, Account, "balance", owner="Bob") == [(7,)]
    assert done == [("charge", "payment 5")]


@pytest.mark.needs(TRANSACTIONS)
def test_an_error_from_data_that_does_not_fit_together_leads_to_another_run(
    db: Any, colour: Any
) -> None:
    with db.session() as session:
        session.add(Account(owner="Bob", balance=100))

    @both
    def comparing() -> Any:
        session = current_operation().session
        ada = yield session.query(Account).where(Account.owner == "Ada").one()
        yield step(charge, 5)
        if ada.balance == 100:
            yield update(plain, Account, ada.id, balance=50)
            yield update(plain, Account, bob.id, balance=150)
        other = yield session.query(Account).where(Account.owner == "Bob").one()
        if ada.balance + other.balance != 200:
            raise ValueError("they had 200 together")
        ada.balance += 1

    plain = getattr(db, "_target", db)
    with db.session() as session:
        bob = session.query(Account).where(Account.owner == "Bob").one()
        comparing(colour)
    assert rows(db, Account, "balance", order="owner") == [(51,), (150,)]


# -- trying again --------------------------------------------------------------------------------


def test_a_step_is_tried_again_as_often_as_it_says(
    db: Any, colour: Any, clock: VirtualClock
) -> None:
    @both
    def patient(account: Account) -> Any:
        return (yield step(charge, 5, retries=2, backoff=Backoff(4.0, 2.0, 60.0)))

    trouble["charge"] = [OSError("away"), OSError("away")]
    before = clock.now_s()
    assert call(db, colour, patient) == "payment 5"
    assert steps_of(db, "name", "state", "attempts") == [("charge", "done", 3)]
    assert 3.0 <= clock.now_s() - before <= 12.0


def test_a_step_that_fails_for_good_raises_and_is_seen(
    db: Any, colour: Any, clock: VirtualClock
) -> None:
    @both
    def patient(account: Account) -> Any:
        yield step(charge, 5, retries=1)

    trouble["charge"] = OSError("away")
    with pytest.raises(OSError, match="away"):
        call(db, colour, patient)
    assert steps_of(db, "state", "attempts", "error") == [("failed", 2, "OSError: away")]


def test_a_failed_step_is_tried_again_by_a_replay(
    db: Any, colour: Any, clock: VirtualClock
) -> None:
    trouble["charge"] = OSError("away")
    with pytest.raises(OSError, match="away"):
        call(db, colour, order, 5)
    trouble.clear()
    (found,) = log_of(db, "id")
    db.operation(found).retry()
    assert db.recover().finished == 1
    assert steps_of(db, "state", "attempts", "error") == [("done", 2, None)]


def test_a_step_that_takes_too_long_has_failed(db: Any, colour: Any) -> None:
    import asyncio
    import threading

    ended = threading.Event()

    async def dawdle_async() -> None:
        await asyncio.sleep(60)

    def dawdle() -> None:
        ended.wait(60)

    @both
    def hasty(account: Account) -> Any:
        function = dawdle if colour.name == "blocking" else dawdle_async
        yield step(function, name="dawdle", timeout_s=0.02)

    with pytest.raises(TimeoutError):
        call(db, colour, hasty)
    ended.set()
    assert steps_of(db) == [("dawdle", "failed")]


def test_a_step_in_time_has_its_context(db: Any, colour: Any) -> None:
    @both
    def hasty(account: Account) -> Any:
        return (yield step(lambda: str(current_operation().id), name="id", timeout_s=60))

    found = call(db, colour, hasty)
    assert [found] == [str(one) for one in log_of(db, "id")]


# -- undoing -------------------------------------------------------------------------------------


@both(attempts=2)
def journey(account: Account, amount: int) -> Any:
    own = [colour for colour in (refund, unship) if current_operation() is not None]
    is_async = current_operation().db.operating.is_async
    undo, unsend = (one.awaited if is_async else one.blocking for one in own)
    yield step(charge, amount, compensate=undo)
    yield step(ship, account.owner, compensate=unsend)
    account.balance -= amount
    outside("journey", amount)


UNDONE = [
    ("charge", "payment 5"),
    ("ship", "Ada"),
    ("unship", "Ada"),
    ("refund", "payment 5"),
]


def test_when_an_operation_fails_its_steps_are_undone_in_reverse_order(
    db: Any, colour: Any
) -> None:
    trouble["journey"] = ValueError("no")
    with pytest.raises(ValueError, match="no"):
        call(db, colour, journey, 5)
    assert done == UNDONE
    assert steps_of(db) == [("charge", "compensated"), ("ship", "compensated")]
    assert log_of(db, "state", "error") == [("failed", "ValueError: no")]
    assert balance(db) == 100


def test_what_undoes_a_step_may_write_and_that_is_committed_with_its_mark(
    db: Any, colour: Any, clock: VirtualClock
) -> None:
    @both
    def give_back(found: Any) -> None:
        found.balance += 1
        outside("give back", found.balance)

    @both
    def taking(account: Account) -> Any:
        yield step(lambda: account, name="take", compensate=give_back.of(colour))
        raise ValueError

    trouble["give back"] = [Die()]
    with pytest.raises(Die):
        call(db, colour, taking)
    assert (balance(db), steps_of(db)) == (100, [("take", "done")])
    assert log_of(db, "state") == ["compensating"]
    trouble.clear()
    assert recover(db, clock).failed == 1
    assert (balance(db), steps_of(db)) == (101, [("take", "compensated")])
    assert recover(db, clock).total == 0
    assert balance(db) == 101


def test_a_crash_while_steps_are_undone_is_recovered_and_nothing_undone_twice(
    db: Any, colour: Any, clock: VirtualClock
) -> None:
    trouble.update(journey=ValueError("no"), refund=Die())
    with pytest.raises(Die):
        call(db, colour, journey, 5)
    assert steps_of(db) == [("charge", "done"), ("ship", "compensated")]
    trouble.clear()
    assert recover(db, clock).failed == 1
    assert done == UNDONE
    assert log_of(db, "state") == ["failed"]


def test_what_cannot_be_undone_is_tried_again_and_then_left_to_a_person(
    db: Any, colour: Any, clock: VirtualClock
) -> None:
    trouble.update(journey=ValueError("no"), refund=OSError("away"))
    with pytest.raises(ValueError, match="no"):
        call(db, colour, journey, 5)
    assert log_of(db, "state") == ["compensating"]
    assert db.recover().total == 0  # not yet
    clock.advance(600)
    assert db.recover().quarantined == 1
    ((state, error),) = log_of(db, "state", "error")
    assert state == "quarantined"
    assert "ValueError: no" in error
    assert "OSError: away" in error
    trouble.clear()
    (found,) = log_of(db, "id")
    db.operation(found).retry()
    assert log_of(db, "state") == ["compensating"]
    assert db.recover().failed == 1
    assert done == UNDONE


def test_an_operation_that_nobody_waits_for_is_undone_after_its_last_attempt(
    db: Any, colour: Any, clock: VirtualClock
) -> None:
    trouble["journey"] = Die()
    crash(db, colour, journey, 5)
    trouble["journey"] = ValueError("no")
    assert recover(db, clock).failed == 1
    assert done == UNDONE
    assert log_of(db, "state") == ["failed"]


def test_an_operation_that_failed_and_was_undone_can_be_done_again(
    db: Any, colour: Any, clock: VirtualClock
) -> None:
    trouble["journey"] = ValueError("no")
    with pytest.raises(ValueError, match="no"):
        call(db, colour, journey, 5)
    trouble.clear()
    done.clear()
    (found,) = log_of(db, "id")
    db.operation(found).retry()
    assert db.recover().finished == 1
    assert done == [("charge", "payment 5"), ("ship", "Ada"), ("journey", 5)]
    assert steps_of(db) == [("charge", "done"), ("ship", "done")]


def test_a_compensation_that_no_recovery_could_find_is_refused(db: Any, colour: Any) -> None:
    @both
    def wrong(account: Account) -> Any:
        yield step(charge, 5, compensate=charge)

    with pytest.raises(UsageError, match="marked with @atomic"):
        call(db, colour, wrong)
    assert done == []


# -- taken over ----------------------------------------------------------------------------------


def test_a_runner_that_lost_its_lease_cannot_keep_a_step(
    db: Any, colour: Any, clock: VirtualClock
) -> None:
    @both
    def slow(account: Account) -> Any:
        yield step(charge, 1)
        if current_operation().attempt == 1:
            clock.advance(LEASE_S)
            yield plain.recover()
        yield step(charge, 2)
        account.balance += 1

    plain = getattr(db, "_target", db)
    with pytest.raises(OperationError, match="somebody else has taken it over"):
        call(db, colour, slow)
    assert log_of(db, "state", "attempts") == [("done", 2)]
    assert balance(db) == 101
    assert steps_of(db) == [("charge", "done"), ("charge 2", "done")]


def test_a_step_prolongs_the_lease(db: Any, colour: Any, clock: VirtualClock) -> None:
    @both
    def long(account: Account) -> Any:
        for amount in (1, 2, 3):
            clock.advance(20)
            yield step(charge, amount)
            found.append((yield plain.recover()).total)

    plain, found = getattr(db, "_target", db), list[int]()
    call(db, colour, long)
    assert found == [0, 0, 0]


# -- older code ----------------------------------------------------------------------------------


def test_results_of_older_code_are_lifted(db: Any, colour: Any, clock: VirtualClock) -> None:
    @both(version=3)
    def versioned(account: Account) -> Any:
        upcast = {1: lambda text: int(text.split()[1]), 2: lambda amount: {"amount": amount}}
        payment = yield step(charge, 5, upcast=upcast)
        if current_operation().attempt == 1:
            raise Die
        account.balance -= payment["amount"]

    crash(db, colour, versioned)
    ((operation, name),) = rows(db, STEPS, "operation", "name")
    update(db, STEPS, (operation, name), code_version=1)
    assert recover(db, clock).finished == 1
    assert balance(db) == 95


def test_arguments_of_older_code_are_lifted(db: Any, colour: Any, clock: VirtualClock) -> None:
    def lift(args: Any, kwargs: Any) -> Any:
        return args[:1], {"cents": args[1] * 100, **kwargs}

    @both(version=2, upcast={1: lift}, attempts=3)
    def paying(account: Account, *amounts: int, cents: int = 0) -> None:
        if amounts:
            raise Die
        account.balance -= cents

    crash(db, colour, paying, 5)
    (found,) = log_of(db, "id")
    update(db, OPERATIONS, found, code_version=1)
    assert recover(db, clock).finished == 1
    assert balance(db) == -400


def test_an_operation_of_newer_code_is_left_to_newer_code(
    db: Any, colour: Any, clock: VirtualClock
) -> None:
    trouble["order"] = Die()
    crash(db, colour, order, 30)
    (found,) = log_of(db, "id")
    update(db, OPERATIONS, found, code_version=2)
    assert recover(db, clock).parked == 1
    ((state, error),) = log_of(db, "state", "error")
    assert state == "pending"
    assert "version 2 of its code" in error
    assert balance(db) == 100
