"""The async SQLite driver: one hop per call, cancellation, threads that end."""

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from graven.drivers.sqlite_async import AsyncSQLiteConnection, AsyncSQLitePool
from graven.errors import StoreError, UnavailableError, UniqueError, UsageError
from graven.flows.schema import create
from graven.ops.requests import Begin, Commit, Execute, Fetch, Flow, Insert, Rollback
from tests.drivers.sqlite_things import ALL, AUTHOR, COLUMNS, author, url

pytestmark = pytest.mark.asyncio

ENDLESS = "with recursive n(i) as (values(0) union all select i + 1 from n) select max(i) from n"


@pytest_asyncio.fixture
async def pool(tmp_path: Path) -> AsyncIterator[AsyncSQLitePool]:
    pool = AsyncSQLitePool(url(tmp_path), size=2, timeout_s=0.05, busy_timeout_s=0.05)
    yield pool
    await pool.close()


@pytest_asyncio.fixture
async def connection(pool: AsyncSQLitePool) -> AsyncIterator[AsyncSQLiteConnection]:
    connection = await pool.acquire()
    await connection.run(create([AUTHOR]))
    yield connection
    pool.release(connection)


class Settled(list[Any]):
    """Notes how a flow ended, and on which thread."""

    def __call__(self, result: object, error: BaseException | None) -> None:
        self.append((result, error, threading.get_ident()))


async def happened(event: threading.Event) -> None:
    """Wait, without blocking the loop, until the connection's thread has set *event*."""
    assert await asyncio.to_thread(event.wait, 10)


def add(*numbers: int) -> Flow[str]:
    yield from Begin(write=True)
    for number in numbers:
        yield from Insert(AUTHOR, COLUMNS, [author(number)])
    yield from Commit()
    return "added"


def rows() -> Flow[list[Any]]:
    return (yield from Fetch(ALL))


async def test_a_whole_flow_is_one_hop(connection: AsyncSQLiteConnection) -> None:
    threads: list[int] = []
    settled = Settled()

    def flow() -> Flow[str]:
        while len(threads) < 50:
            yield from Execute("select 1")
            threads.append(threading.get_ident())
        return (yield from add(1, 2))

    assert await connection.run(flow(), settled) == "added"

    here = threading.get_ident()
    assert settled == [("added", None, here)]
    assert len(threads) == 50
    assert len(set(threads)) == 1
    assert here not in threads


async def test_an_error_arrives_after_memory_was_told(connection: AsyncSQLiteConnection) -> None:
    settled = Settled()

    with pytest.raises(UniqueError) as caught:
        await connection.run(add(1, 1), settled)

    assert settled == [(None, caught.value, threading.get_ident())]
    assert not connection.in_transaction
    assert await connection.run(rows()) == []


async def test_an_error_of_settling_reaches_the_caller(connection: AsyncSQLiteConnection) -> None:
    def settle(result: object, error: BaseException | None) -> None:
        raise LookupError("memory")

    with pytest.raises(LookupError, match="memory"):
        await connection.run(add(1), settle)
    assert await connection.run(rows()) == [author(1)]


# ── cancellation ────────────────────────────────────────────────────────────────────────────


async def test_a_cancelled_flow_that_has_not_started_never_starts(
    connection: AsyncSQLiteConnection,
) -> None:
    gate, blocking = threading.Event(), threading.Event()
    started: list[int] = []
    settled = Settled()

    def block() -> Flow[None]:
        blocking.set()
        gate.wait(5)
        yield from Execute("select 1")

    def late() -> Flow[None]:
        started.append(1)
        yield from add(1)

    first = asyncio.create_task(connection.run(block()))
    await happened(blocking)
    second = asyncio.create_task(connection.run(late(), settled))
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second  # while the first still runs
    gate.set()
    await first

    assert started == []
    assert [(result, type(error)) for result, error, _ in settled] == [
        (None, asyncio.CancelledError)
    ]
    assert await connection.run(rows()) == []


async def test_a_cancelled_write_is_brought_to_its_end_first(
    connection: AsyncSQLiteConnection,
) -> None:
    gate, started = threading.Event(), threading.Event()
    settled = Settled()

    def slow() -> Flow[str]:
        yield from Begin(write=True)
        yield from Insert(AUTHOR, COLUMNS, [author(1)])
        started.set()
        gate.wait(5)
        yield from Fetch(ALL)
        yield from Commit()
        return "written"

    task = asyncio.create_task(connection.run(slow(), settled))
    await happened(started)
    for _ in range(3):  # impatience changes nothing
        task.cancel()
        await asyncio.sleep(0.03)
    assert not task.done()
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert settled == [("written", None, threading.get_ident())]
    assert await connection.run(rows()) == [author(1)]


@pytest.mark.parametrize("begins", [False, True])
async def test_a_statement_that_writes_is_never_interrupted(
    connection: AsyncSQLiteConnection, begins: bool
) -> None:
    numbers = ENDLESS.replace("from n)", "from n where i < 400000)").replace("max(i)", "i, 'x', 1")
    text = numbers.replace("select i,", "insert into author (id, name, version) select i,")

    started = threading.Event()

    def write() -> Flow[str]:
        started.set()
        if begins:
            yield from Begin(write=True)
        yield from Execute(text)
        if begins:
            yield from Commit()
        return "written"

    settled = Settled()
    task = asyncio.create_task(connection.run(write(), settled))
    await happened(started)
    await asyncio.sleep(0.03)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert [result for result, _, _ in settled] == ["written"]
    assert len(await connection.run(rows())) == 400_001


@pytest.mark.parametrize("in_transaction", [False, True])
async def test_a_cancelled_read_is_interrupted(
    connection: AsyncSQLiteConnection, in_transaction: bool
) -> None:
    started = threading.Event()

    def read() -> Flow[Any]:
        started.set()
        if in_transaction:
            yield from Begin(write=False)
        return (yield from Fetch(ALL)), (yield from Execute(f"select * from ({ENDLESS})"))

    def write() -> Flow[None]:
        yield from Insert(AUTHOR, COLUMNS, [author(1)])

    await connection.run(write())  # what was written before is no reason to spare what reads now
    settled = Settled()
    task = asyncio.create_task(connection.run(read(), settled))
    await happened(started)
    await asyncio.sleep(0.02)
    since = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert time.monotonic() - since < 2
    ((result, error, thread),) = settled
    assert result is None
    assert isinstance(error, StoreError)
    assert thread == threading.get_ident()
    assert not connection.in_transaction
    assert await connection.run(rows()) == [author(1)]


async def test_a_flow_between_two_statements_is_interrupted_at_the_next(
    connection: AsyncSQLiteConnection,
) -> None:
    started = threading.Event()

    def read() -> Flow[Any]:
        started.set()
        time.sleep(0.05)
        return (yield from Execute(f"select * from ({ENDLESS})"))

    task = asyncio.create_task(connection.run(read()))
    await happened(started)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 2)


async def test_an_interrupt_never_hits_the_next_flow(connection: AsyncSQLiteConnection) -> None:
    for _ in range(30):
        task = asyncio.create_task(connection.run(rows()))
        await asyncio.sleep(0)
        task.cancel()
        long = connection.run(count_to(200_000))
        await asyncio.gather(task, return_exceptions=True)
        assert await long == [(200_000,)]


def count_to(limit: int) -> Flow[Any]:
    text = ENDLESS.replace("from n)", f"from n where i < {limit})")
    found, _ = yield from Execute(f"select * from ({text})")
    return found


async def test_a_timeout_works_as_everywhere(connection: AsyncSQLiteConnection) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await connection.run(count_to(10**12))

    assert await connection.run(count_to(3)) == [(3,)]


# ── the pool ────────────────────────────────────────────────────────────────────────────────


async def test_what_a_user_left_open_is_rolled_back(tmp_path: Path) -> None:
    pool = AsyncSQLitePool(url(tmp_path), size=1)
    connection = await pool.acquire()
    await connection.run(create([AUTHOR]))

    def half() -> Flow[None]:
        yield from Begin(write=True)
        yield from Insert(AUTHOR, COLUMNS, [author(1)])

    await connection.run(half())
    assert connection.in_transaction
    pool.release(connection)
    again = await pool.acquire()

    assert again is connection
    assert await again.run(rows()) == []
    await pool.close()


async def test_a_dry_pool_says_how_many_are_out(pool: AsyncSQLitePool) -> None:
    held = [await pool.acquire() for _ in range(2)]

    with pytest.raises(UnavailableError, match="2 of 2 are out"):
        await pool.acquire()

    pool.release(held[0])
    assert await pool.acquire() is held[0]
    for connection in held:
        pool.release(connection)


async def test_waiting_tasks_are_served_in_order_and_may_be_cancelled(tmp_path: Path) -> None:
    pool = AsyncSQLitePool(url(tmp_path), size=1)
    held = await pool.acquire()
    order: list[int] = []

    async def wait(number: int) -> None:
        connection = await pool.acquire()
        order.append(number)
        await asyncio.sleep(0)
        pool.release(connection)

    tasks = [asyncio.create_task(wait(n)) for n in range(5)]
    await asyncio.sleep(0.01)
    tasks[1].cancel()
    pool.release(held)
    tasks[3].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

    assert order == [0, 2, 4]
    assert pool.out == 0
    await pool.close()


async def test_a_connection_handed_to_a_cancelled_task_is_not_lost(tmp_path: Path) -> None:
    pool = AsyncSQLitePool(url(tmp_path), size=1, timeout_s=1)
    held = await pool.acquire()
    task = asyncio.create_task(pool.acquire())
    await asyncio.sleep(0.01)

    pool.release(held)  # served now, but the task has not run
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert await pool.acquire() is held
    pool.release(held)
    await pool.close()


async def test_a_failed_opening_leaves_no_thread_and_room_for_the_next(tmp_path: Path) -> None:
    before = threading.active_count()
    pool = AsyncSQLitePool(url(tmp_path, "missing/a.db"), size=1, timeout_s=0.2)

    for _ in range(2):
        with pytest.raises(StoreError, match="folder is missing"):
            await pool.acquire()

    await asyncio.sleep(0.05)
    assert threading.active_count() == before
    await pool.close()


async def test_a_cancelled_opening_leaves_room_for_the_next(tmp_path: Path) -> None:
    pool = AsyncSQLitePool(url(tmp_path), size=1, timeout_s=0.5)
    task = asyncio.create_task(pool.acquire())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    pool.release(await pool.acquire())
    await pool.close()


async def test_no_thread_is_left_behind_after_close(tmp_path: Path) -> None:
    before = threading.active_count()
    pool = AsyncSQLitePool(url(tmp_path), size=3)
    held = [await pool.acquire() for _ in range(3)]
    assert threading.active_count() == before + 3
    pool.release(held[0])
    pool.release(held[1])

    await pool.close()

    assert threading.active_count() == before + 1
    with pytest.raises(UsageError, match="closed"):
        await pool.acquire()
    pool.release(held[2])
    await asyncio.sleep(0.05)
    assert threading.active_count() == before


async def test_connections_of_a_pool_share_its_memory() -> None:
    pool = AsyncSQLitePool("sqlite://")
    one, two = await pool.acquire(), await pool.acquire()
    await one.run(create([AUTHOR]))
    await one.run(add(1))

    assert await two.run(rows()) == [author(1)]
    await pool.close()


async def test_a_rollback_can_be_asked_for_from_outside(connection: AsyncSQLiteConnection) -> None:
    def begin() -> Flow[None]:
        yield from Begin(write=True)

    def rollback() -> Flow[None]:
        yield from Rollback()

    await connection.run(begin())
    await connection.run(rollback())

    assert not connection.in_transaction


LOOPS = """
import asyncio
from graven.drivers.sqlite_async import AsyncSQLitePool
from graven.ops.requests import Execute
pool = AsyncSQLitePool({url!r}, size=1)
def flow():
    return (yield Execute("select 1"))
async def use():
    connection = await pool.acquire()
    assert (await connection.run(flow()))[0] == [(1,)]
    pool.release(connection)
asyncio.run(use())
asyncio.run(use())
print("used")
"""


async def test_a_pool_serves_a_second_loop_and_never_keeps_the_interpreter(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LOOPS.format(url=url(tmp_path))]
    run = partial(subprocess.run, capture_output=True, text=True, check=False, timeout=30)

    done: Any = await asyncio.to_thread(run, command)

    assert (done.returncode, done.stdout, done.stderr) == (0, "used\n", "")
