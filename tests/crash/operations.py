"""Operations that are killed: a transfer with a step, two objects and a result, in both colours.

The step has an effect outside of the store: a line in the file that ``GRAVEN_EFFECTS`` names.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Barrier
from typing import Any

from graven import AsyncDatabase, Database, Model, Operation, OperationLog, atomic, key, step
from graven.testing import VirtualClock

START = 100
AMOUNT = 30


class Account(Model):
    id: int = key()
    balance: int = START


class Receipt(Model):
    source: Account
    target: Account
    amount: int
    note: str


def effects() -> Counter[str]:
    """How often each effect has happened."""
    path = Path(os.environ["GRAVEN_EFFECTS"])
    return Counter(path.read_text().split()) if path.exists() else Counter()


def notify(name: str) -> str:
    with Path(os.environ["GRAVEN_EFFECTS"]).open("a") as file:
        file.write(f"{name}\n")
    return f"{name} told"


async def notify_async(name: str) -> str:
    return notify(name)


@atomic
def transfer(source: Account, target: Account, amount: int) -> Receipt:
    note = step(notify, f"{source.id}-{target.id}", name="tell")
    source.balance -= amount
    target.balance += amount
    return Receipt(source=source, target=target, amount=amount, note=note)


@atomic
async def transfer_async(source: Account, target: Account, amount: int) -> Receipt:
    note = await step(notify_async, f"{source.id}-{target.id}", name="tell")
    source.balance -= amount
    target.balance += amount
    return Receipt(source=source, target=target, amount=amount, note=note)


@atomic
def deposit(account: Account, amount: int) -> int:
    account.balance += amount
    return account.balance


@atomic(attempts=2)
def kill_me(account: Account) -> None:
    account.balance += 1_000_000
    os.kill(os.getpid(), signal.SIGKILL)


def account(number: int) -> Account:
    """A stand-in for the account of that number."""
    return Account(id=number)


def interrupted(db: Database, *calls: tuple[Any, ...]) -> None:
    """Log calls as a process leaves them that was killed while it ran them."""
    with db.session() as session:
        for function, *args in calls:
            given = [
                session.get_one(Account, one.id) if isinstance(one, Account) else one
                for one in args
            ]
            entry = OperationLog.create(Operation(None, function, *given))
            entry.state, entry.attempts, entry.worker = "running", 1, "somebody who died"
            session.add(entry)


def prepare_many(db: Database) -> None:
    """Twenty deposits on two accounts, as many of each, interrupted."""
    prepare(db)
    interrupted(db, *((deposit, account(number % 2 + 1), 1) for number in range(20)))


def every_deposit_is_done_once(db: Database) -> None:
    with db.session() as session:
        assert {one.balance for one in session.query(Account).all()} == {START + 10}
        assert Counter(one.state for one in session.query(OperationLog).all()) == {"done": 20}


def prepare(db: Any) -> None:
    """Two accounts and nothing else, whatever was there; no effect has happened."""
    Path(os.environ["GRAVEN_EFFECTS"]).unlink(missing_ok=True)
    db.create(Account, Receipt, OperationLog)
    with db.session() as session:
        for model in (Receipt, Account, OperationLog):
            session.delete(*session.query(model).all())
    with db.session() as session:
        session.add(Account(id=1), Account(id=2))


def work(db: Database) -> None:
    with db.session() as session:
        source, target = session.get_one(Account, 1), session.get_one(Account, 2)
        receipt = transfer(source, target, AMOUNT)
        assert receipt.source is source


async def work_async(db: AsyncDatabase) -> None:
    async with db.session() as session:
        source, target = await session.get_one(Account, 1), await session.get_one(Account, 2)
        receipt = await transfer_async(source, target, AMOUNT)
        assert receipt.source is source


def defer_and_work(db: Database) -> None:
    """Commit an account of one's own together with a deferred transfer; then be the worker."""
    with db.session() as session:
        source, target = session.get_one(Account, 1), session.get_one(Account, 2)
        session.add(Account(id=3, balance=0))
        transfer.start(source, target, AMOUNT)
    work_off(db)


def work_off(db: Database) -> None:
    """Recover, and be a worker until nothing is due."""
    db.recover()
    db.worker(concurrency=1).run(until_idle=True)


@atomic
def untell(told: str) -> None:
    notify(f"not-{told.split()[0]}")


@atomic(attempts=2)
def tell_and_fail(account: Account) -> None:
    for name in ("first", "second"):
        step(notify, name, name=name, compensate=untell)
    account.balance += 1_000_000
    raise ZeroDivisionError


def fail_and_undo(db: Database) -> None:
    with db.session() as session, suppress(ZeroDivisionError):
        tell_and_fail(session.get_one(Account, 1))


def recover_until_ended(db: Database) -> None:
    """Recover again and again, until back-off has passed each time."""
    for turn in range(6):
        with VirtualClock() as clock:
            clock.advance(3 * 3600.0 + turn * 3600.0)
            db.recover()


def everything_is_undone(db: Database) -> None:
    """What was told is taken back, and nothing else has happened."""
    with db.session() as session:
        balances = {one.id: one.balance for one in session.query(Account).all()}
        states = {one.state for one in session.query(OperationLog).all()}
    found = effects()
    assert states in (set(), {"failed"}), states
    assert balances == {1: START, 2: START}
    for name in ("first", "second"):
        assert (found[name] > 0) <= (found[f"not-{name}"] > 0), found
    assert (found["not-first"] > 0) >= (found["not-second"] > 0)


def is_done_with_the_callers_data_or_never_begun(db: Database) -> None:
    """The transfer is done once if the caller's account is there, and never began if not."""
    with db.session() as session:
        mine = session.get(Account, 3)
        has_committed = mine is not None
        if mine is not None:
            session.delete(mine)
        entries = session.query(OperationLog).count()
    assert entries == has_committed
    is_done_once_or_never_begun(db)


def is_done_once_or_never_begun(db: Database) -> None:
    """No entry is open; every entry is done, and its writes are there exactly once."""
    with db.session() as session:
        accounts = {one.id: one.balance for one in session.query(Account).all()}
        receipts = [(one.amount, one.note) for one in session.query(Receipt).all()]
        states = Counter(one.state for one in session.query(OperationLog).all())
    done = states.pop("done", 0)
    assert not states, states
    assert done <= 1
    assert receipts == [(AMOUNT, "1-2 told")] * done
    assert accounts == {1: START - AMOUNT * done, 2: START + AMOUNT * done}
    assert effects().keys() == ({"1-2"} if done else set())


def recover(db: Database) -> None:
    db.recover()


async def recover_async(db: AsyncDatabase) -> None:
    await db.recover()


def recover_together(db: Database, recoverers: int) -> None:
    """Let several recoverers begin at once, each with connections of its own."""
    start = Barrier(recoverers)

    def one(_: int) -> int:
        with Database(db.url, busy_timeout_s=20) as mine:
            start.wait(20)
            return mine.recover().finished

    with ThreadPoolExecutor(recoverers) as pool:
        assert sum(pool.map(one, range(recoverers))) <= 1


def recover_by_two(db: Database) -> None:
    recover_together(db, 2)


def recover_by_ten(db: Database) -> None:
    recover_together(db, 10)


async def recover_by_ten_async(db: AsyncDatabase) -> None:
    async def one() -> int:
        async with AsyncDatabase(db.url, busy_timeout_s=20) as mine:
            return (await mine.recover()).finished

    assert sum(await asyncio.gather(*(one() for _ in range(10)))) <= 1
