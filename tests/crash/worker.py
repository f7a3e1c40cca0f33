"""A process that works on a bank until it is killed, and tells each commit after it returned.

``python -m tests.crash.worker URL COLOUR NAME SEED COUNT``: *COUNT* transfers at most, 0 for no
limit. A line goes to the standard output for each one that was committed.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from itertools import count as count_up
from typing import Any

from graven import AsyncDatabase, Database, Model, key

ACCOUNTS = 6
START = 1000


class Account(Model):
    id: int = key()
    balance: int = START
    moves: int = 0


class Transfer(Model):
    name: str = key()
    source: Account
    target: Account
    amount: int


def acknowledge(name: str) -> None:
    os.write(1, f"{name}\n".encode())


def numbers(count: int) -> Any:
    return range(count) if count else count_up()


def move(session: Any, source: Account, target: Account, name: str, amount: int) -> None:
    source.balance -= amount
    target.balance += amount
    source.moves += 1
    target.moves += 1
    session.add(Transfer(name=name, source=source, target=target, amount=amount))


def work(url: str, name: str, seed: int, count: int) -> None:
    dice = random.Random(seed)
    with Database(url, busy_timeout_s=20) as db:
        for number in numbers(count):
            first, second = dice.sample(range(ACCOUNTS), 2)
            for attempt in db.attempts(limit=None):
                with attempt as session:
                    source, target = session.get(Account, first), session.get(Account, second)
                    assert source is not None
                    assert target is not None
                    move(session, source, target, f"{name}-{number}", dice.randint(1, 9))
            acknowledge(f"{name}-{number}")


async def work_async(url: str, name: str, seed: int, count: int) -> None:
    dice = random.Random(seed)
    async with AsyncDatabase(url, busy_timeout_s=20) as db:
        for number in numbers(count):
            first, second = dice.sample(range(ACCOUNTS), 2)
            async for attempt in db.attempts(limit=None):
                async with attempt as session:
                    source = await session.get_one(Account, first)
                    target = await session.get_one(Account, second)
                    move(session, source, target, f"{name}-{number}", dice.randint(1, 9))
            acknowledge(f"{name}-{number}")


def main(url: str, colour: str, name: str, seed: str, count: str) -> None:
    if colour == "async":
        asyncio.run(work_async(url, name, int(seed), int(count)))
    else:
        work(url, name, int(seed), int(count))


if __name__ == "__main__":
    main(*sys.argv[1:])
