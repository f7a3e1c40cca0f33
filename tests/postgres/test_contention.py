"""Many at the same few rows: no money is made or lost, and what was told as done was done once."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from graven import AsyncDatabase, Database, Model, TransientError
from graven.core.retry import Backoff

SEED = 20250611
ACCOUNTS = 4
TRANSFERS = 60


class Account(Model):
    owner: str
    balance: int = 0


class Transfer(Model):
    number: int
    amount: int


Move = tuple[int, int, int, int]
"""The number of a transfer, from where, to where, how much."""

PATIENT = Backoff(first_s=0.001, longest_s=0.05)


def moves() -> list[Move]:
    dice = random.Random(SEED)
    pairs = [dice.sample(range(ACCOUNTS), 2) for _ in range(TRANSFERS)]
    return [(n, one, two, dice.randrange(1, 30)) for n, (one, two) in enumerate(pairs)]


def shares(count: int) -> list[list[Move]]:
    return [moves()[at::count] for at in range(count)]


def check(found: list[tuple[Any, ...]], balances: list[int], told: list[int]) -> None:
    """Compare what is stored with what the same transfers make one after the other."""
    assert sum(balances) == ACCOUNTS * 100, f"seed {SEED}"
    assert sorted(number for (number,) in found) == sorted(told), f"seed {SEED}"
    expected = [100] * ACCOUNTS
    for number, one, two, amount in moves():
        if number in told:
            expected[one] -= amount
            expected[two] += amount
    assert balances == expected, f"seed {SEED}"


ISOLATIONS = pytest.mark.parametrize("isolation", ["optimistic", "snapshot", "serializable"])


@ISOLATIONS
@pytest.mark.parametrize("locks", [False, True], ids=["versions", "locks"])
def test_threads_move_money_and_every_transfer_told_is_there_once(
    url: str, isolation: str, locks: bool
) -> None:
    told: list[int] = []
    with Database(url, pool_size=5, busy_timeout_s=2) as db:
        db.create(Account, Transfer)
        accounts = [Account(owner=f"owner {n}", balance=100) for n in range(ACCOUNTS)]
        with db.session() as session:
            session.add(*accounts)
        keys = [account.id for account in accounts]

        def get(session: Any, key: UUID) -> Account:
            query = session.query(Account)
            found: Account = (query.for_update() if locks else query).get(key)
            return found

        def work(share: list[Move]) -> None:
            for number, one, two, amount in share:
                try:
                    for attempt in db.attempts(limit=40, backoff=PATIENT, isolation=isolation):
                        with attempt as session:
                            for at in sorted((one, two)):  # so that nobody locks across
                                get(session, keys[at]).balance += amount if at == two else -amount
                            session.add(Transfer(number=number, amount=amount))
                except TransientError:
                    continue
                told.append(number)

        threads = [threading.Thread(target=work, args=(share,)) for share in shares(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        found = db.execute("select number from transfer")
        balances = [int(n) for (n,) in db.execute("select balance from account order by owner")]
        assert db.pool.out == 0
    check(found, balances, told)
    assert len(told) > TRANSFERS / 2
    if locks and isolation == "optimistic":
        assert len(told) == TRANSFERS  # who waits for his turn is never refused


@ISOLATIONS
@pytest.mark.parametrize("locks", [False, True], ids=["versions", "locks"])
def test_tasks_move_money_and_every_transfer_told_is_there_once(
    url: str, isolation: str, locks: bool
) -> None:
    async def main() -> tuple[list[tuple[Any, ...]], list[int], list[int]]:
        told: list[int] = []
        async with AsyncDatabase(url, pool_size=5, busy_timeout_s=2) as db:
            await db.create(Account, Transfer)
            accounts = [Account(owner=f"owner {n}", balance=100) for n in range(ACCOUNTS)]
            async with db.session() as session:
                session.add(*accounts)
            keys = [account.id for account in accounts]

            async def get(session: Any, key: UUID) -> Account:
                query = session.query(Account)
                found: Account = await (query.for_update() if locks else query).get(key)
                return found

            async def work(share: list[Move]) -> None:
                for number, one, two, amount in share:
                    try:
                        attempts = db.attempts(limit=40, backoff=PATIENT, isolation=isolation)
                        async for attempt in attempts:
                            async with attempt as session:
                                for at in sorted((one, two)):  # so that nobody locks across
                                    account = await get(session, keys[at])
                                    account.balance += amount if at == two else -amount
                                session.add(Transfer(number=number, amount=amount))
                    except TransientError:
                        continue
                    told.append(number)

            async with asyncio.TaskGroup() as group:
                for share in shares(20):
                    group.create_task(work(share))
            found = await db.execute("select number from transfer")
            rows = await db.execute("select balance from account order by owner")
            assert db.pool.out == 0
            return found, [int(balance) for (balance,) in rows], told

    found, balances, told = asyncio.run(main())
    check(found, balances, told)
    assert len(told) > TRANSFERS / 2
    if locks and isolation == "optimistic":
        assert len(told) == TRANSFERS  # who waits for his turn is never refused


def test_two_that_lock_in_a_different_order_are_told_apart_and_one_goes_on(
    open_db: Callable[..., Any],
) -> None:
    db = open_db(Account, busy_timeout_s=3)
    with db.session() as session:
        session.add(Account(owner="Ada"), Account(owner="Bob"))
    barrier = threading.Barrier(2, timeout=10)
    errors: list[BaseException] = []

    def lock(session: Any, owner: str) -> Account:
        found: Account = session.query(Account).where(Account.owner == owner).for_update().one()
        return found

    def work(first: str, second: str) -> None:
        with Database(db.url) as own, own.session() as session:
            lock(session, first).balance += 1
            barrier.wait()
            try:
                lock(session, second).balance += 1
            except TransientError as error:
                errors.append(error)
                session.rollback()

    threads = [
        threading.Thread(target=work, args=names) for names in (("Ada", "Bob"), ("Bob", "Ada"))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert [type(error).__name__ for error in errors] == ["DeadlockError"]
    assert db.execute("select balance from account") == [(1,), (1,)]
