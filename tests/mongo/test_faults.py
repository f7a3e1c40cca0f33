"""What can go wrong between graven and MongoDB: nothing is lost, doubled or called what it is not.

A commit is acknowledged, or it raises; afterwards either all of it is there, or nothing.
"""

from __future__ import annotations

import asyncio
import gc
import random
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from pymongo import MongoClient

from graven import (
    AsyncDatabase,
    BusyRetry,
    CommitUnknownError,
    Database,
    Model,
    TransientError,
    UnavailableError,
    key,
)
from graven.testing.contract import count, rows
from graven.testing.contract.proxy import Colour
from graven.testing.mongo import MongoServer, database_at
from tests.mongo.wiretap import Wiretap

SEED = 20_261_122
DOCUMENTED = (BusyRetry, CommitUnknownError)  #: UnavailableError is a BusyRetry


class Purse(Model):
    id: int = key()
    coins: int = 0


class Coin(Model):
    id: int = key()
    purse: Purse


@pytest.fixture(autouse=True)
def broken_lines_end_here() -> Iterator[None]:
    """Let the collector find the sockets that PyMongo leaves open where a line broke."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def tap(url: str) -> Iterator[Wiretap]:
    found = Wiretap(url)
    yield found
    found.close()


def write_one(session: Any, number: int) -> None:
    session.get(Purse, 1).coins = number


def write_several(session: Any, number: int) -> None:
    for purse in session.query(Purse).all():
        purse.coins = number
    session.add(Coin(id=number, purse=session.get(Purse, 1)))


def state(db: Database, number: int, is_single: bool) -> str:
    """Return what became of the commit with that number: all of it, nothing, or else."""
    with db.session() as session:
        coins = {purse.id: purse.coins for purse in session.query(Purse).all()}
        coin = session.get(Coin, number)
    if is_single:
        return "all" if coins[1] == number else "nothing"
    found = {coins[1] == number, coins[2] == number, coin is not None}
    return {True: "all", False: "nothing"}[found.pop()] if len(found) == 1 else f"torn: {coins}"


@pytest.mark.parametrize(
    ("work", "for_good"),
    [(write_one, False), (write_several, False), (write_several, True)],
    ids=["one-glitch", "several-glitch", "several-for good"],
)
def test_a_line_cut_at_any_message_of_a_commit_leaves_all_or_nothing_and_says_which(
    tap: Wiretap, url: str, colour: Colour, work: Any, for_good: bool
) -> None:
    options = {"pool_timeout_s": 1.0, "busy_timeout_s": 0.1}
    is_single = work is write_one
    outcomes = set()
    with Database(url) as direct:
        direct.create(Purse, Coin)
        with direct.session() as session:
            session.add(Purse(id=1), Purse(id=2))
        db = colour.open(tap.url(url), **options)
        number = 0
        for who in ("client", "server"):
            for at in range(10):
                number += 1
                session = db.session(commit_record=not is_single)
                work(session, number)
                tap.watch((who, at), for_good)
                error: Exception | None = None
                try:
                    session.commit()
                except DOCUMENTED as caught:
                    error = caught
                is_over = at >= len(tap.commands)
                tap.watch()
                found = state(direct, number, is_single)
                outcomes.add(type(error).__name__)
                if error is None:
                    assert found == "all", (who, at)
                elif isinstance(error, CommitUnknownError):
                    assert found in ("all", "nothing"), (who, at)
                    if error.commit_id is not None and found == "all":
                        assert direct.committed(error.commit_id)
                else:
                    assert found == "nothing", (who, at, error)
                    session.commit()
                    assert state(direct, number, is_single) == "all"
                session.close()
                if is_over:
                    break
    assert "NoneType" in outcomes
    if for_good:
        assert "CommitUnknownError" in outcomes
        assert "UnavailableError" in outcomes


def test_a_primary_that_steps_down_costs_nothing_but_time(mortal: MongoServer) -> None:
    """Threads count together while the primary steps down."""
    url = database_at(mortal.url) + "?heartbeatFrequencyMS=500"
    counted = [0] * 3
    stop = threading.Event()
    with Database(url, pool_timeout_s=10) as db:
        db.create(Purse)
        with db.session() as session:
            session.add(Purse(id=1), Purse(id=2))

        def work(me: int) -> None:
            while not stop.is_set():
                try:
                    with db.session() as session:
                        one, two = session.get(Purse, 1), session.get(Purse, 2)
                        one.coins += 1
                        two.coins -= 1
                except TransientError:
                    continue
                counted[me] += 1

        threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
        for thread in threads:
            thread.start()
        with closing(MongoClient(mortal.url)) as client:
            time.sleep(0.4)
            client.admin.command({"replSetStepDown": 1, "force": True})
            before = sum(counted)
            time.sleep(2.5)
        stop.set()
        for thread in threads:
            thread.join()
        assert sorted(rows(db, Purse, "coins")) == [(-sum(counted),), (sum(counted),)]
    assert sum(counted) > before > 0


def test_a_killed_server_keeps_what_it_acknowledged_once(mortal: MongoServer) -> None:
    url = database_at(mortal.url)
    done: list[int] = []
    doubtful: list[int] = []
    stop = threading.Event()
    with Database(url, pool_timeout_s=10) as db:
        db.create(Purse, Coin)
        with db.session() as session:
            session.add(Purse(id=1))

        def work(me: int) -> None:
            for n in range(me, 100_000, 4):
                if stop.is_set():
                    return
                try:
                    with db.session() as session:
                        session.add(Coin(id=2 * n, purse=session.get(Purse, 1)))
                        session.add(Coin(id=2 * n + 1, purse=session.get(Purse, 1)))
                except CommitUnknownError:
                    doubtful.append(n)
                except TransientError:
                    continue
                else:
                    done.append(n)

        threads = [threading.Thread(target=work, args=(me,)) for me in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(0.7)
        mortal.stop("immediate")
        mortal.start()
        time.sleep(1.0)
        stop.set()
        for thread in threads:
            thread.join()
        found = {number for (number,) in rows(db, Coin, "id")}
    assert {2 * n for n in done} <= found
    assert {number ^ 1 for number in found} == found
    assert found <= {2 * n for n in (*done, *doubtful)} | {2 * n + 1 for n in (*done, *doubtful)}
    assert done


@pytest.mark.asyncio
async def test_a_commit_that_is_cancelled_anywhere_is_whole_or_absent(url: str) -> None:
    dice = random.Random(SEED)
    outcomes = set()
    async with AsyncDatabase(url) as db:
        await db.create(Purse, Coin)
        async with db.session() as session:
            session.add(Purse(id=1), Purse(id=2))
        for number in range(1, 60):
            async with db.session() as session:
                for purse in await session.query(Purse).all():
                    purse.coins = number
                session.add(Coin(id=number, purse=await session.get(Purse, 1)))
                task = asyncio.ensure_future(session.commit())
                await asyncio.sleep(dice.choice([0, 0.0005, 0.001, 0.002, 0.004]))
                task.cancel()
                try:
                    await task
                except asyncio.CancelledError:
                    outcomes.add("cancelled")
                outcomes.add(session.last_commit)
                coins = {one for (one,) in await rows(db, Purse, "coins")}
                if session.last_commit == "committed":
                    assert coins == {number}, f"seed {SEED}"
                else:
                    assert number not in coins, f"seed {SEED}"
                    await session.rollback()
        assert db.pool.out == 0
    assert {"cancelled", "committed"} <= outcomes


@pytest.mark.asyncio
async def test_fifty_tasks_share_five_connections_and_count_exactly(url: str) -> None:
    async with AsyncDatabase(url, pool_size=5) as db:
        await db.create(Purse)
        async with db.session() as session:
            session.add(*[Purse(id=n) for n in range(10)])

        async def work(me: int) -> None:
            async for attempt in db.attempts(limit=None, deadline_s=60):
                async with attempt as session:
                    for n in (me % 10, (me + 1) % 10):
                        (await session.get_one(Purse, n)).coins += 1

        await asyncio.gather(*(work(me) for me in range(50)))
        assert sorted(await rows(db, Purse, "coins")) == [(10,)] * 10
        assert db.pool.out == 0


def test_a_dry_pool_names_who_holds_the_connections(url: str, colour: Colour) -> None:
    db = colour.open(url, pool_size=1, pool_timeout_s=0.1)
    db.create(Purse)
    with db.session() as holder:
        holder.add(Purse(id=1))
        holder.flush()
        with pytest.raises(UnavailableError, match=r"1 of 1 are out \(t"), db.session() as other:
            other.get(Purse, 1)
        holder.rollback()
    assert count(db, Purse) == 0


def test_no_server_is_told_with_the_place_and_without_the_password(colour: Colour) -> None:
    db = colour.open("mongodb://ada:secret@127.0.0.1:1/bank", pool_timeout_s=0.2)
    with pytest.raises(UnavailableError, match=r"bank at 127\.0\.0\.1:1") as caught:
        db.create(Purse)
    assert "secret" not in str(caught.value)
