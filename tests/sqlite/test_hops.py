"""The async colour over a connection with a thread: hops to it, and writes that go on in it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio

from graven import AsyncDatabase
from graven.drivers.sqlite_async import AsyncSQLiteConnection
from graven.testing.contract import rows
from graven.testing.contract.suite.test_cancelling import Crate, Parcel, cancelled_at, weights_of


@pytest_asyncio.fixture
async def db(url: str) -> AsyncIterator[AsyncDatabase]:
    async with AsyncDatabase(url) as db:
        await db.create(Crate, Parcel)
        async with db.session() as session:
            session.add(*(Crate(id=n) for n in range(5)))
        yield db


@pytest.fixture
def hops(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note every job that is sent to the thread of a connection."""
    made: list[str] = []
    run, soon = AsyncSQLiteConnection.run, AsyncSQLiteConnection.soon

    async def noted_run(self: Any, *arguments: Any) -> Any:
        made.append("run")
        return await run(self, *arguments)

    def noted_soon(self: Any, job: Callable[[], object]) -> None:
        made.append("soon")
        soon(self, job)

    monkeypatch.setattr(AsyncSQLiteConnection, "run", noted_run)
    monkeypatch.setattr(AsyncSQLiteConnection, "soon", noted_soon)
    return made


async def count_of(hops: list[str], call: Awaitable[Any]) -> int:
    hops.clear()
    await call
    return len(hops)


@pytest.mark.asyncio
@pytest.mark.parametrize("isolation", ["optimistic", "snapshot", "serializable"])
async def test_a_call_is_one_hop_however_many_statements_it_takes(
    db: AsyncDatabase, hops: list[str], isolation: str
) -> None:
    async with db.session(isolation=isolation) as session:
        assert await count_of(hops, session.get(Crate, 1)) == 1
        kept = await session.get(Crate, 1)
        assert await count_of(hops, session.get(Crate, 1)) == 0
        query = session.query(Crate).include(Crate.parcels)
        assert await count_of(hops, query.all()) == 1
        crate = await session.get_one(Crate, 1)
        assert crate is kept
        crate.weight = 7
        assert await count_of(hops, session.commit()) == 1
        session.add(*(Parcel(crate=crate) for _ in range(30)), Crate(id=50))
        assert await count_of(hops, session.commit()) == 1
        crate.weight = 8
        session.add(Parcel(crate=crate))
        assert await count_of(hops, session.flush()) == 1
        assert await count_of(hops, session.commit()) == 1
        assert await count_of(hops, session.commit()) == 0
    hops.clear()
    async with db.transaction():
        assert len(hops) == 1
    assert len(hops) == 2


@pytest.mark.asyncio
@pytest.mark.parametrize("statement", ["begin", "update", "commit"])
async def test_a_cancellation_while_something_is_written_waits_for_its_end(
    db: AsyncDatabase, statement: str
) -> None:
    def dawdle(text: str, *_: Any) -> None:
        time.sleep(0.05 if text.startswith(statement) else 0)

    session = db.session()
    crates = [await session.get_one(Crate, number) for number in (1, 2)]

    async def work() -> None:
        async with db.transaction():
            await session.commit()

    for call in (session.commit, work):
        for crate in crates:
            crate.weight += 1
        session.last_commit = None
        db.on_statement(dawdle)
        assert await cancelled_at(call(), 3, 0.02)
        db.on_statement(None)
        is_written = await rows(db, Crate, "weight", id=1) == [(crates[0].weight,)]
        assert is_written is (session.last_commit == "committed")
        assert (list(session.dirty) == []) is is_written
        assert is_written or call is work
        await session.commit()
    assert sum(await weights_of(db)) == 2
    await session.close()
