"""The store for tasks: the same data, awaited."""

import asyncio
import threading

import pytest

from graven import AsyncStore, BusyRetry, ConcurrentUpdate, Store, UsageError
from graven.stm import AsyncCollection, AsyncValue, Transaction

pytestmark = pytest.mark.asyncio


@pytest.fixture
def store() -> AsyncStore:
    return AsyncStore()


def contents(store: AsyncStore) -> dict[object, object]:
    return dict(store.as_of().items())


def write(tx: Transaction, **values: object) -> None:
    for key, value in values.items():
        tx[key] = value


async def asleep(store: AsyncStore, keys: int = 1) -> None:
    while len(store.store.space.watchers) < keys:  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0)


async def test_it_is_the_twin_of_a_blocking_store() -> None:
    blocking = Store()
    store = AsyncStore(blocking)
    await store.atomically(write, a=1)
    blocking.atomically(write, b=2)

    assert contents(store) == {"a": 1, "b": 2}
    assert (store.version, store.store) == (2, blocking)
    assert [past.value for past in store.history("a")] == [None, 1]


async def test_functions_and_coroutine_functions_are_run(store: AsyncStore) -> None:
    @store.transactional
    async def add(tx: Transaction, amount: int) -> int:
        found = tx.get("n", 0)
        await asyncio.sleep(0)
        tx["n"] = found + amount
        return int(tx["n"])

    @store.transactional(limit=5)
    def double(tx: Transaction) -> int:
        tx["n"] = tx["n"] * 2
        return int(tx["n"])

    assert await add(2) == 2
    assert await double() == 4


async def test_handles_are_committed_with_await(store: AsyncStore) -> None:
    value = store.usevar("a")
    assert isinstance(value, AsyncValue)
    value.set(1)
    await value.commit()
    pair = store.using("a", "b")
    assert isinstance(pair, AsyncCollection)
    pair["b"].set(2)
    await pair.commit()
    await store.set("a", value)
    await store.set_values(pair)
    value.set(5)
    await value.commit()
    pair["b"].set(9)

    with pytest.raises(store.ConcurrentUpdate):
        await pair.commit()
    assert {key: (v.value, v.version) for key, v in store.dump().items()} == {
        "a": (5, 2),
        "b": (2, 1),
    }


async def test_tasks_that_interleave_lose_nothing(store: AsyncStore) -> None:
    async def add(tx: Transaction) -> None:
        found = tx.get("n", 0)
        await asyncio.sleep(0)
        tx["n"] = found + 1

    async def work() -> None:
        for _ in range(20):
            await store.atomically(add)

    await asyncio.gather(*(work() for _ in range(5)))
    assert contents(store) == {"n": 100}


async def test_past_the_limit_the_last_error_comes_with_its_attempts(store: AsyncStore) -> None:
    @store.transactional(limit=2)
    async def unlucky(tx: Transaction) -> None:
        found = tx.get("a", 0)
        await asyncio.create_task(other())
        tx["a"] = found

    async def other() -> None:
        await store.atomically(lambda tx: tx.__setitem__("a", tx.get("a", 0) + 1))

    with pytest.raises(ConcurrentUpdate) as caught:
        await unlucky()
    assert caught.value.attempts == 2
    assert contents(store) == {"a": 2}


async def test_a_nested_call_of_the_same_task_joins_and_a_child_task_does_not(
    store: AsyncStore,
) -> None:
    async def outer(tx: Transaction) -> None:
        await store.atomically(write, joined=1)
        store.store.atomically(write, joined_too=1)
        await asyncio.create_task(store.atomically(write, apart=1))
        assert "joined" in tx
        raise LookupError

    with pytest.raises(LookupError):
        await store.atomically(outer)
    assert contents(store) == {"apart": 1}


async def test_retry_sleeps_in_the_task_and_is_woken_by_a_thread(store: AsyncStore) -> None:
    def take(tx: Transaction) -> object:
        return tx.get("a") or tx.retry()

    task = asyncio.create_task(store.atomically(take))
    await asleep(store)
    thread = threading.Thread(target=store.store.atomically, args=(lambda tx: write(tx, a="x"),))
    thread.start()
    assert await asyncio.wait_for(task, 10) == "x"
    thread.join()
    assert store.store.space.watchers == {}


async def test_changed_is_awaited(store: AsyncStore) -> None:
    task = asyncio.create_task(store.changed("a"))
    await asleep(store)
    await store.atomically(write, a=1)
    assert await task == 1
    with pytest.raises(BusyRetry):
        await store.changed("a", since=1, timeout_s=0.01)


async def test_a_cancelled_task_leaves_nothing_behind(store: AsyncStore) -> None:
    def wait(tx: Transaction) -> None:
        tx["written"] = tx.get("never", 0)
        tx.retry()

    tasks = [asyncio.create_task(store.atomically(wait)), asyncio.create_task(store.changed("b"))]
    await asleep(store, 2)
    for task in tasks:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert [type(result) for result in results] == [asyncio.CancelledError] * 2
    assert store.store.space.watchers == {}
    await store.atomically(write, a=1)
    assert contents(store) == {"a": 1}


async def test_a_task_cancelled_while_it_waits_for_a_turn_leaves_the_queue(
    store: AsyncStore,
) -> None:
    turns = store.store.timeline.turns
    with store.store.timeline.turn():
        task = asyncio.create_task(store.atomically(write, a=1))
        while not turns._queue:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not turns._queue
    assert contents(store) == {}
    await store.atomically(write, a=2)


async def test_a_task_cancelled_in_its_function_writes_nothing(store: AsyncStore) -> None:
    started = asyncio.Event()

    async def slow(tx: Transaction) -> None:
        tx["a"] = 1
        started.set()
        await asyncio.sleep(60)

    task = asyncio.create_task(store.atomically(slow))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert contents(store) == {}


async def test_waiting_for_a_turn_does_not_hold_up_the_event_loop(store: AsyncStore) -> None:
    turn = store.store.timeline.turn()
    task = asyncio.create_task(store.atomically(write, a=1))
    for _ in range(10):
        await asyncio.sleep(0.001)
    assert not task.done()
    turn.release()
    await asyncio.wait_for(task, 10)
    assert contents(store) == {"a": 1}


async def test_effects_may_be_coroutine_functions(store: AsyncStore) -> None:
    called: list[object] = []

    async def effect() -> None:
        await asyncio.sleep(0)
        called.append(contents(store))

    def change(tx: Transaction) -> None:
        tx["a"] = 1
        tx.on_commit(effect)

    await store.atomically(change)
    assert called == [{"a": 1}]


async def test_leaving_its_block_closes_it() -> None:
    async with AsyncStore(history=5) as store:
        await store.atomically(write, a=1)
    with pytest.raises(UsageError, match="closed"):
        await store.atomically(write, a=1)


async def test_a_task_that_is_thrown_away_inside_a_commit_does_not_stop_it(
    store: AsyncStore,
) -> None:
    """The garbage collector may close a coroutine anywhere, also while the lock is held."""
    waiting = store.changed("a")
    waiting.send(None)
    with store.store.timeline.lock:
        closing = threading.Thread(target=waiting.close, daemon=True)
        closing.start()
        closing.join(5)
        assert not closing.is_alive()

    with pytest.raises(BusyRetry):
        await store.changed("b", timeout_s=0)
    assert store.store.space.watchers == {}
