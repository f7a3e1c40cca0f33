"""The async colour: cancellation at any point."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio

from graven import AsyncDatabase, ConcurrentUpdate, Database, Model, field, key, owned
from graven.testing.contract import TRANSACTIONS, count, rows

SEED = 20_251_107


class Crate(Model):
    id: int = key()
    weight: int = 0
    parcels: list[Parcel] = owned("crate")


class Parcel(Model):
    id: int = key(store_made=True)
    crate: Crate
    note: str = field(default="", unique=False)


@pytest_asyncio.fixture
async def db(url: str) -> AsyncIterator[AsyncDatabase]:
    async with AsyncDatabase(url) as db:
        await db.create(Crate, Parcel)
        async with db.session() as session:
            session.add(*(Crate(id=n) for n in range(5)))
        yield db


async def weights_of(db: AsyncDatabase) -> set[int]:
    return {weight for (weight,) in await rows(db, Crate, "weight")}


async def left_out(db: AsyncDatabase) -> int:
    """Return how many connections stay out: what a call left open is rolled back in a thread."""
    for _ in range(500):
        if db.pool.out == 0:
            break
        await asyncio.sleep(0.01)
    return int(db.pool.out)


async def cancelled_at(call: Awaitable[Any], steps: int, delay_s: float) -> bool:
    """Cancel *call* after *steps* turns of the event loop, and a delay; say whether that hit it."""
    task = asyncio.ensure_future(call)
    for _ in range(steps):
        await asyncio.sleep(0)
    if delay_s:
        await asyncio.wait([task], timeout=delay_s)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return True
    return False


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "isolation", ["optimistic", pytest.param("serializable", marks=pytest.mark.needs(TRANSACTIONS))]
)
async def test_a_commit_that_is_cancelled_is_whole_or_absent_and_last_commit_says_which(
    db: AsyncDatabase, isolation: str
) -> None:
    dice = random.Random(SEED)
    outcomes: set[str | None] = set()
    hits = 0
    for number in range(60):
        async with db.session(isolation=isolation) as session:
            for crate in await session.query(Crate).all():
                crate.weight = number + 1
            session.add(Parcel(crate=crate, note=str(number)))
            before = {type(one) for one in (*session.new, *session.dirty)}
            hits += await cancelled_at(
                session.commit(), number % 6, dice.choice([0, 0, 0.0002, 0.001])
            )
            outcomes.add(session.last_commit)
            weights = await weights_of(db)
            parcels = await count(db, Parcel, note=str(number))
            if session.last_commit == "committed":
                assert (weights, parcels) == ({number + 1}, 1)
                assert not [*session.new, *session.dirty]
            else:
                assert weights != {number + 1}
                assert parcels == 0
                assert {type(one) for one in (*session.new, *session.dirty)} == before
                await session.commit()
        assert await weights_of(db) == {number + 1}
    assert hits > 5, f"seed {SEED}"
    assert "committed" in outcomes, f"seed {SEED}"
    assert len(outcomes) > 1, f"seed {SEED}"
    assert await count(db, Parcel) == 60
    assert await left_out(db) == 0


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "isolation", ["optimistic", pytest.param("serializable", marks=pytest.mark.needs(TRANSACTIONS))]
)
async def test_reads_that_are_cancelled_leave_the_session_usable(
    db: AsyncDatabase, isolation: str
) -> None:
    dice = random.Random(SEED)
    hits = 0
    for number in range(60):
        async with db.session(isolation=isolation) as session:
            calls: list[Callable[[], Awaitable[Any]]] = [
                lambda: session.get(Crate, 3),
                lambda: session.query(Crate).where(Crate.weight >= 0).all(),
                lambda: session.query(Crate).include(Crate.parcels).all(),
                lambda: session.query(Crate).count(),
            ]
            hits += await cancelled_at(
                dice.choice(calls)(), number % 5, dice.choice([0, 0, 0.0001])
            )
            crate = await session.get_one(Crate, 3)
            crate.weight += 1
        assert session.last_commit == "committed"
    assert hits > 5, f"seed {SEED}"
    assert await rows(db, Crate, "weight", id=3) == [(60,)]
    assert await left_out(db) == 0


@pytest.mark.needs(TRANSACTIONS)
@pytest.mark.asyncio
async def test_flushes_and_transactions_that_are_cancelled_write_nothing(db: AsyncDatabase) -> None:
    for number in range(30):
        async with db.session() as session:
            crate = await session.get_one(Crate, 1)
            crate.weight = 77
            await cancelled_at(session.flush(), number % 6, 0)
            await session.rollback()

        async def work() -> None:
            async with db.transaction():
                async with db.session() as inner:
                    (await inner.get_one(Crate, 2)).weight = 78
                await asyncio.sleep(10)

        await cancelled_at(work(), number % 25, 0)
        assert await weights_of(db) == {0}
    assert await left_out(db) == 0


@pytest.mark.needs(TRANSACTIONS)
@pytest.mark.asyncio
async def test_the_commit_of_a_transaction_that_is_cancelled_is_told_as_it_was(
    db: AsyncDatabase,
) -> None:
    outcomes = set()
    for number in range(40):
        session = db.session()
        crate = await session.get_one(Crate, 1)

        async def work(session: Any = session, crate: Any = crate, number: int = number) -> None:
            async with db.transaction():
                crate.weight = number + 1
                await session.commit()

        await cancelled_at(work(), number % 20, 1.0 if number % 20 == 19 else 0)
        ((weight,),) = await rows(db, Crate, "weight", id=1)
        is_committed = weight == number + 1
        outcomes.add(is_committed)
        if session.last_commit is not None:
            assert is_committed is (session.last_commit == "committed")
        if not is_committed and crate.weight == number + 1:
            assert list(session.dirty) == [crate]
            await session.commit()
        await session.close()
    assert await left_out(db) == 0
    assert True in outcomes


@pytest.mark.asyncio
async def test_a_task_that_waits_for_the_session_may_be_cancelled(db: AsyncDatabase) -> None:
    async with db.session() as session:
        crate = await session.get_one(Crate, 1)
        crate.weight = 4
        first = asyncio.ensure_future(session.commit())
        second = asyncio.ensure_future(session.query(Crate).all())
        await asyncio.sleep(0)
        second.cancel()
        await first
        with pytest.raises(asyncio.CancelledError):
            await second
        assert session.last_commit == "committed"
        assert len(await session.query(Crate).all()) == 5


@pytest.mark.needs(TRANSACTIONS)
@pytest.mark.asyncio
async def test_a_commit_that_waits_for_a_connection_may_be_cancelled(url: str, db: Any) -> None:
    async with AsyncDatabase(url, pool_size=1) as narrow, narrow.session() as session:
        crate = await session.get_one(Crate, 1)
        crate.weight = 4
        async with narrow.session(isolation="snapshot") as reader:
            await reader.get(Crate, 2)
            assert await cancelled_at(session.commit(), 3, 0.005)
            assert session.last_commit == "rolled back"
            assert list(session.dirty) == [crate]
        crate.weight = 5
        await session.commit()
    assert await rows(db, Crate, "weight", id=1) == [(5,)]


@pytest.mark.asyncio
async def test_what_is_edited_while_a_commit_is_awaited_belongs_to_the_next(
    db: AsyncDatabase,
) -> None:
    async with db.session() as session:
        crate = await session.get_one(Crate, 1)
        crate.weight = 4
        commit = asyncio.ensure_future(session.commit())
        await asyncio.sleep(0)
        crate.weight = 5
        await commit
        assert await rows(db, Crate, "weight", id=1) == [(4,)]
        assert list(session.dirty) == [crate]
    assert await rows(db, Crate, "weight", id=1) == [(5,)]


@pytest.mark.needs(TRANSACTIONS)
@pytest.mark.asyncio
async def test_tasks_that_count_together_count_exactly(db: AsyncDatabase) -> None:
    async def count() -> None:
        for _ in range(8):
            async for attempt in db.attempts(limit=None, deadline_s=60):
                async with attempt as session:
                    (await session.get_one(Crate, 1)).weight += 1

    await asyncio.gather(*(count() for _ in range(5)))
    assert await rows(db, Crate, "weight", id=1) == [(40,)]


@pytest.mark.needs(TRANSACTIONS)
@pytest.mark.asyncio
async def test_a_break_whose_commit_was_refused_is_reported(db: AsyncDatabase, url: str) -> None:
    with pytest.warns(RuntimeWarning, match="nothing was written"):  # noqa: PT031
        async for attempt in db.attempts():
            async with attempt as session:
                crate = await session.get_one(Crate, 1)
                with Database(url) as other, other.session() as theirs:
                    theirs.get_one(Crate, 1).weight = 100
                crate.weight += 1
                break
    assert isinstance(attempt.error, ConcurrentUpdate)
