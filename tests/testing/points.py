"""Functions that are killed: at the top of a module, where another process finds them."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from graven import Model, key


class Account(Model):
    id: int = key()
    balance: int = 100


class Intent(Model):
    """Money that is to be paid to account 2, and has left account 1."""

    amount: int


def prepare(db: Any) -> None:
    """Two accounts with 100 each, whatever was there."""
    db.create(Account, Intent)
    with db.session() as session:
        session.delete(*session.query(Account).all(), *session.query(Intent).all())
    with db.session() as session:
        session.add(Account(id=1), Account(id=2))


def together(db: Any) -> None:
    with db.session() as session:
        session.get_one(Account, 1).balance -= 30
        session.get_one(Account, 2).balance += 30
        session.add(Intent(amount=0))


async def together_async(db: Any) -> None:
    async with db.session() as session:
        (await session.get_one(Account, 1)).balance -= 30
        (await session.get_one(Account, 2)).balance += 30
        session.add(Intent(amount=0))


def one_after_the_other(db: Any) -> None:
    with db.session() as session:
        session.get_one(Account, 1).balance -= 30
    with db.session() as session:
        session.get_one(Account, 2).balance += 30


def by_intent(db: Any) -> None:
    """Move money in two commits, the second of which another process can make good."""
    with db.session() as session:
        session.get_one(Account, 1).balance -= 30
        session.add(Intent(amount=30))
    pay(db)


def pay(db: Any) -> None:
    """Do what intents say, each in one commit."""
    with db.session() as session:
        for intent in session.query(Intent).all():
            session.get_one(Account, 2).balance += intent.amount
            session.delete(intent)


def pay_carelessly(db: Any) -> None:
    """Do what intents say, in two commits: who dies in between pays twice."""
    with db.session() as session:
        for intent in session.query(Intent).all():
            session.get_one(Account, 2).balance += intent.amount
    with db.session() as session:
        session.delete(*session.query(Intent).all())


def tells(db: Any) -> None:
    """Say before and after what happens, in a file that outlives the process."""
    told = Path(os.environ["GRAVEN_POINTS"])
    with told.open("a") as file:
        file.write("begun\n")
    together(db)
    with told.open("a") as file:
        file.write("done\n")


def fails(db: Any) -> None:
    together(db)
    raise ZeroDivisionError("by itself")


def hangs(db: Any) -> None:
    together(db)
    if told := os.environ.get("GRAVEN_POINTS"):
        Path(told).write_text(f"{os.getpid()}\n")
    time.sleep(60)


def reads(db: Any) -> None:
    with db.session() as session:
        session.query(Account).all()


def leaves_alone(db: Any) -> None:
    """Recover nothing."""


def moved(db: Any) -> int:
    """How much money there is on the second account that was not there at first."""
    with db.session() as session:
        accounts = {one.id: one.balance for one in session.query(Account).all()}
    assert sum(accounts.values()) == 200, accounts
    return accounts[2] - 100


def money_is_kept(db: Any) -> None:
    assert moved(db) in {0, 30}


async def money_is_kept_async(db: Any) -> None:
    async with db.session() as session:
        assert sum([one.balance for one in await session.query(Account).all()]) == 200


def money_has_arrived_or_not(db: Any) -> bool:
    return moved(db) in {0, 30}


def is_never_true(db: Any) -> bool:
    return False
