"""Transactions: all or nothing, run again, wait, choose, nest."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from graven import AsyncStore, BusyRetry, ConcurrentUpdate, DataError, Store, UsageError
from graven.stm import Transaction


@pytest.fixture
def store() -> Store:
    return Store()


def contents(store: Store) -> dict[object, object]:
    return dict(store.as_of().items())


def put(store: Store, **values: object) -> None:
    def write(tx: Transaction) -> None:
        for key, value in values.items():
            tx[key] = value

    store.atomically(write)


def run_together(*functions: Callable[[], object]) -> None:
    errors: list[BaseException] = []

    def guarded(function: Callable[[], object]) -> None:
        try:
            function()
        except BaseException as error:  # noqa: BLE001 - shown by the assertion below
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(one,)) for one in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert errors == []


def test_a_transaction_returns_what_its_function_gives_and_writes_all(store: Store) -> None:
    def move(tx: Transaction, amount: int, *, to: str) -> int:
        tx["a"] = tx.get("a", 10) - amount
        tx[to] = tx.get(to, 0) + amount
        assert to in tx
        return int(tx["a"])

    assert store.atomically(move, 3, to="b") == 7
    assert contents(store) == {"a": 7, "b": 3}
    assert store.version == 1


def test_an_exception_writes_nothing_and_reaches_the_caller(store: Store) -> None:
    def fail(tx: Transaction) -> None:
        tx["a"] = 1
        raise LookupError("no")

    with pytest.raises(LookupError, match="no"):
        store.atomically(fail)

    assert contents(store) == {}
    assert store.version == 0


def test_a_decorated_function_is_called_without_tx(store: Store) -> None:
    @store.transactional
    def add(tx: Transaction, key: str, amount: int = 1) -> int:
        """Add."""
        tx[key] = tx.get(key, 0) + amount
        return int(tx[key])

    assert (add("a"), add("a", amount=4)) == (1, 5)
    assert (add.__name__, add.__doc__) == ("add", "Add.")


def test_an_absent_key_is_a_key_error_and_can_be_deleted_once(store: Store) -> None:
    put(store, a=1)

    def delete(tx: Transaction) -> None:
        del tx["a"]
        assert "a" not in tx
        with pytest.raises(KeyError):
            tx["a"]
        with pytest.raises(KeyError):
            tx.delete("a")

    store.atomically(delete)
    assert contents(store) == {}
    assert store.usevar("a").version == 0


def test_what_is_read_is_one_copy_and_counts_only_when_assigned(store: Store) -> None:
    put(store, a=[1])

    def change(tx: Transaction) -> None:
        tx["a"].append(2)
        assert tx["a"] == [1, 2]

    store.atomically(change)
    assert store.usevar("a").value == [1]

    def assign(tx: Transaction) -> None:
        value = tx["a"]
        value.append(2)
        tx["a"] = value

    store.atomically(assign)
    assert store.usevar("a").value == [1, 2]


def test_a_value_that_cannot_be_copied_is_refused_and_nothing_is_written(store: Store) -> None:
    def write(tx: Transaction) -> None:
        tx["a"] = 1
        tx["b"] = threading.Lock()

    with pytest.raises(DataError):
        store.atomically(write)
    assert contents(store) == {}


def test_an_unhashable_key_is_refused(store: Store) -> None:
    for access in (lambda tx: tx[[]], lambda tx: tx.__setitem__([], 1), lambda tx: tx.get([])):
        with pytest.raises(UsageError, match="no hash"):
            store.atomically(access)


def test_a_transaction_is_of_no_use_after_its_end(store: Store) -> None:
    kept = store.atomically(lambda tx: tx)

    for access in (
        lambda: kept["a"],
        lambda: kept.get("a"),
        lambda: kept.__setitem__("a", 1),
        lambda: kept.delete("a"),
        lambda: kept.on_commit(print),
        lambda: kept.or_else(print, print),
    ):
        with pytest.raises(UsageError, match="ended"):
            access()


def test_a_coroutine_function_is_refused_by_the_blocking_store(store: Store) -> None:
    async def write(tx: Transaction) -> None:
        tx["a"] = 1

    with pytest.raises(UsageError, match="AsyncStore"):
        store.atomically(write)
    assert contents(store) == {}


# ── running again ───────────────────────────────────────────────────────────────────────────


def test_a_lost_race_runs_the_function_again_on_fresh_data(store: Store) -> None:
    put(store, a=1)
    runs: list[int] = []

    def double(tx: Transaction) -> None:
        runs.append(tx["a"])
        if len(runs) == 1:
            run_together(lambda: put(store, a=10))
        tx["a"] = tx["a"] * 2

    store.atomically(double)

    assert runs == [1, 10]
    assert contents(store) == {"a": 20}


def test_past_the_limit_the_last_error_comes_with_its_attempts(store: Store) -> None:
    put(store, a=0)
    runs: list[int] = []

    @store.transactional(limit=3)
    def unlucky(tx: Transaction) -> None:
        runs.append(tx["a"])
        run_together(lambda: put(store, a=len(runs)))
        tx["a"] = "mine"

    with pytest.raises(ConcurrentUpdate) as caught:
        unlucky()

    assert caught.value.attempts == len(runs) == 3
    assert contents(store) == {"a": 3}


def test_past_the_deadline_there_is_no_further_attempt(store: Store) -> None:
    put(store, a=0)

    @store.transactional(deadline_s=0.0)
    def unlucky(tx: Transaction) -> None:
        run_together(lambda: put(store, a=tx["a"] + 1))
        tx["a"] = "mine"

    with pytest.raises(ConcurrentUpdate) as caught:
        unlucky()

    assert caught.value.attempts == 1
    assert contents(store) == {"a": 1}


@pytest.mark.parametrize("limits", [{"limit": 0}, {"limit": 1.5}, {"deadline_s": -1.0}])
def test_senseless_limits_are_refused(store: Store, limits: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        store.transactional(**limits)(print)  # type: ignore[call-overload]
    with pytest.raises(UsageError):
        Store(**limits)  # type: ignore[arg-type]


def test_a_conflict_that_the_function_swallows_still_runs_it_again(store: Store) -> None:
    put(store, a=1, b=1)
    runs: list[int] = []

    def careless(tx: Transaction) -> None:
        runs.append(tx["a"])
        tx["c"] = 1
        if len(runs) == 1:
            run_together(lambda: put(store, a=2, b=2))
        try:
            tx["d"] = tx["b"]
        except ConcurrentUpdate:
            raise ValueError("hidden") from None

    store.atomically(careless)

    assert runs == [1, 2]
    assert contents(store) == {"a": 2, "b": 2, "c": 1, "d": 2}


def test_a_running_transaction_never_sees_two_states_mixed(store: Store) -> None:
    """What is overwritten after the first read: a reader stays in the past, a writer runs again."""
    put(store, a=1, b=1)
    seen: list[tuple[int, int]] = []

    def look(tx: Transaction) -> None:
        first = tx["a"]
        if not seen:
            run_together(lambda: put(store, a=2, b=2))
        seen.append((first, tx["b"]))

    store.atomically(look)
    assert seen == [(1, 1)]


def test_a_deletion_after_the_first_read_is_not_seen(store: Store) -> None:
    put(store, a=1, b=1)
    seen: list[object] = []

    def delete(tx: Transaction) -> None:
        tx["a"] = 2
        del tx["b"]

    def look(tx: Transaction) -> None:
        seen.append(tx["a"])
        if len(seen) == 1:
            run_together(lambda: store.atomically(delete))
        seen.append(tx.get("b"))

    store.atomically(look)
    assert seen == [1, 1]


def test_what_is_newer_is_read_without_running_again_if_all_that_was_read_still_holds(
    store: Store,
) -> None:
    put(store, a=1, b=1)
    runs: list[int] = []

    def copy(tx: Transaction) -> None:
        runs.append(tx["a"])
        run_together(lambda: put(store, b=2))
        tx["c"] = tx["b"]

    store.atomically(copy)
    assert runs == [1]
    assert store.usevar("c").value == 2


def test_write_skew_is_refused(store: Store) -> None:
    """Two doctors on call, each leaves if the other stays: one must stay."""
    put(store, ann=True, bob=True)
    gate = threading.Barrier(2)
    first_run = {"ann": True, "bob": True}

    def leave(tx: Transaction, me: str) -> None:
        both = tx["ann"] and tx["bob"]
        if first_run.pop(me, False):
            gate.wait(10)
        if both:
            tx[me] = False

    run_together(
        lambda: store.atomically(leave, "ann"),
        lambda: store.atomically(leave, "bob"),
    )
    assert sorted(contents(store).values()) == [False, True]  # type: ignore[type-var]


def test_eight_threads_counting_lose_nothing(store: Store) -> None:
    @store.transactional
    def add(tx: Transaction) -> None:
        tx["n"] = tx.get("n", 0) + 1

    def work() -> None:
        for _ in range(1_000):
            add()

    run_together(*[work] * 8)
    assert contents(store) == {"n": 8_000}


def test_disjoint_transactions_never_make_each_other_run_again(store: Store) -> None:
    runs = {0: 0, 1: 0}

    def work(me: int) -> None:
        def add(tx: Transaction) -> None:
            runs[me] += 1
            tx[me] = tx.get(me, 0) + 1

        for _ in range(5_000):
            store.atomically(add)

    run_together(lambda: work(0), lambda: work(1))
    assert runs == {0: 5_000, 1: 5_000}


def test_a_long_transaction_gets_its_turn_among_short_ones(store: Store) -> None:
    """Every attempt is overtaken, until it is run while nobody else may commit."""
    put(store, n=0)
    attempts: list[int] = []
    stop = threading.Event()
    turn_seen = threading.Event()

    def bump() -> None:
        while not stop.is_set():
            store.atomically(lambda tx: tx.__setitem__("n", tx["n"] + 1))

    def slow(tx: Transaction) -> None:
        attempts.append(tx["n"])
        turn_seen.wait(0.02)
        tx["total"] = tx["n"]

    def long() -> None:
        try:
            store.atomically(slow)
        finally:
            stop.set()

    run_together(bump, bump, long)
    assert 2 <= len(attempts) <= 9
    assert "total" in contents(store)


# ── waiting and choosing ────────────────────────────────────────────────────────────────────


def test_retry_sleeps_until_something_read_changes(store: Store) -> None:
    runs: list[object] = []

    def take(tx: Transaction) -> object:
        runs.append(tx.get("item"))
        if tx.get("item") is None:
            tx["noise"] = "never written"
            tx.retry()
        item = tx["item"]
        del tx["item"]
        return item

    found: list[object] = []

    def give() -> None:
        while not store.space.watchers:  # it sleeps
            pass
        put(store, other=1)
        put(store, item="x")

    run_together(lambda: found.append(store.atomically(take)), give)
    assert found == ["x"]
    assert runs == [None, "x"]
    assert contents(store) == {"other": 1}
    assert store.space.watchers == {}


def test_retry_with_nothing_read_is_refused(store: Store) -> None:
    with pytest.raises(UsageError, match="has read nothing"):
        store.atomically(lambda tx: tx.retry())
    put(store, a=1)


def test_a_retry_that_waits_too_long_is_busy(store: Store) -> None:
    @store.transactional(deadline_s=0.02)
    def wait(tx: Transaction) -> None:
        tx.get("never")
        tx.retry()

    with pytest.raises(BusyRetry, match="'never'") as caught:
        wait()
    assert caught.value.attempts == 1
    assert caught.value.waited_s >= 0.02  # type: ignore[operator]
    assert store.space.watchers == {}


def test_closing_the_store_tells_who_sleeps(store: Store) -> None:
    def wait(tx: Transaction) -> None:
        tx.get("never")
        tx.retry()

    def sleep() -> None:
        with pytest.raises(UsageError, match="closed"):
            store.atomically(wait)

    def close() -> None:
        while not store.space.watchers:
            pass
        store.close()

    run_together(sleep, close)


def test_or_else_undoes_the_first_and_runs_the_second(store: Store) -> None:
    put(store, a=1)

    def first(tx: Transaction) -> str:
        tx["a"] = 2
        tx.on_commit(effects.append, "first")
        return tx.retry()

    def second(tx: Transaction) -> str:
        tx["b"] = tx["a"]
        return "second"

    effects: list[str] = []
    assert store.atomically(lambda tx: tx.or_else(first, second)) == "second"
    assert contents(store) == {"a": 1, "b": 1}
    assert effects == []


def test_or_else_keeps_the_first_if_it_does_not_retry(store: Store) -> None:
    def first(tx: Transaction) -> str:
        tx["a"] = 1
        return "first"

    assert store.atomically(lambda tx: tx.or_else(first, lambda tx: tx.retry())) == "first"
    assert contents(store) == {"a": 1}


def test_two_alternatives_that_retry_wait_for_what_either_has_read(store: Store) -> None:
    def take(key: str) -> Callable[[Transaction], str]:
        def function(tx: Transaction) -> str:
            return tx.get(key) or tx.retry()

        return function

    def give() -> None:
        while len(store.space.watchers) < 2:
            pass
        put(store, a="from a")

    found: list[str] = []
    run_together(
        lambda: found.append(store.atomically(lambda tx: tx.or_else(take("a"), take("b")))), give
    )
    assert found == ["from a"]


def test_no_wake_up_is_lost_between_looking_and_sleeping(store: Store) -> None:
    """Two threads hand a token back and forth; one lost wake-up and they stand still."""

    def play(me: int) -> None:
        def turn(tx: Transaction) -> None:
            if tx.get("n", 0) % 2 != me:
                tx.retry()
            tx["n"] = tx.get("n", 0) + 1

        for _ in range(500):
            store.atomically(turn)

    run_together(lambda: play(0), lambda: play(1))
    assert contents(store) == {"n": 1_000}


# ── nesting and effects ─────────────────────────────────────────────────────────────────────


def test_a_nested_transaction_joins_the_outer_one(store: Store) -> None:
    put(store, a=1)

    @store.transactional
    def add(tx: Transaction) -> None:
        tx["a"] = tx["a"] + 1

    def outer(tx: Transaction) -> None:
        tx["a"] = 10
        add()
        assert tx["a"] == 11
        assert store.usevar("a").value == 1

    store.atomically(outer)
    assert contents(store) == {"a": 11}
    assert store.version == 2


def test_an_exception_undoes_the_nested_transaction_alone(store: Store) -> None:
    put(store, keep=[1])
    effects: list[str] = []

    def inner(tx: Transaction) -> None:
        tx["keep"].append("in place")
        tx["a"] = "inner"
        tx["b"] = "inner"
        tx.on_commit(effects.append, "inner")
        raise LookupError

    def outer(tx: Transaction) -> None:
        pending = tx["keep"]
        pending.append(2)
        tx["keep"] = pending
        tx["a"] = "outer"
        tx.on_commit(effects.append, "outer")
        with pytest.raises(LookupError):
            store.atomically(inner)
        assert tx["a"] == "outer"

    store.atomically(outer)
    assert contents(store) == {"keep": [1, 2], "a": "outer"}
    assert effects == ["outer"]


def test_a_transaction_of_another_store_inside_is_one_of_its_own(store: Store) -> None:
    other = Store()

    def outer(tx: Transaction) -> None:
        tx["a"] = 1
        put(other, a=2)
        put(store, b=3)
        raise LookupError

    with pytest.raises(LookupError):
        store.atomically(outer)
    assert (contents(store), contents(other)) == ({}, {"a": 2})


def test_a_thread_started_inside_is_not_in_the_transaction(store: Store) -> None:
    import contextvars

    def outer(tx: Transaction) -> None:
        context = contextvars.copy_context()
        run_together(lambda: context.run(put, store, a=1))
        raise LookupError

    with pytest.raises(LookupError):
        store.atomically(outer)
    assert contents(store) == {"a": 1}


def test_effects_run_once_after_the_commit_that_counts(store: Store) -> None:
    put(store, a=1)
    effects: list[object] = []
    runs: list[int] = []

    def change(tx: Transaction) -> None:
        runs.append(tx["a"])
        tx.on_commit(lambda: effects.append(contents(store)))
        if len(runs) == 1:
            run_together(lambda: put(store, a=2))
        tx["a"] = 3

    store.atomically(change)
    assert len(runs) == 2
    assert effects == [{"a": 3}]


def test_all_effects_run_and_their_errors_come_after_the_commit(store: Store) -> None:
    called: list[int] = []

    def change(tx: Transaction) -> None:
        tx["a"] = 1
        tx.on_commit(lambda: 1 // 0)
        tx.on_commit(called.append, 1)

    def change_twice(tx: Transaction) -> None:
        change(tx)
        change(tx)

    with pytest.raises(ZeroDivisionError):
        store.atomically(change)
    with pytest.raises(ExceptionGroup) as caught:
        store.atomically(change_twice)

    assert len(caught.value.exceptions) == 2
    assert called == [1, 1, 1]
    assert contents(store) == {"a": 1}
    assert store.version == 2


def test_a_transient_error_of_an_effect_does_not_look_like_one_of_the_transaction(
    store: Store,
) -> None:
    """Whoever runs again what fails with a transient error would do all of it twice."""
    late = store.usevar("a")

    def change(tx: Transaction) -> None:
        tx["a"] = 1
        late.set(2)
        tx.on_commit(late.commit)

    with pytest.raises(ExceptionGroup) as caught:
        store.atomically(change)
    assert [type(error) for error in caught.value.exceptions] == [ConcurrentUpdate]
    assert contents(store) == {"a": 1}


def test_a_coroutine_function_is_refused_inside_a_transaction_too(store: Store) -> None:
    async def write(tx: Transaction) -> None:
        tx["a"] = 1

    with pytest.raises(UsageError, match="AsyncStore"):
        store.atomically(lambda tx: store.atomically(write))
    assert contents(store) == {}


def test_tasks_started_inside_are_not_in_the_transaction(store: Store) -> None:
    async def write() -> None:
        await AsyncStore(store).atomically(lambda tx: tx.__setitem__("a", 1))

    def outer(tx: Transaction) -> None:
        asyncio.run(write())
        raise LookupError

    with pytest.raises(LookupError):
        store.atomically(outer)
    assert contents(store) == {"a": 1}


class Moody:
    """A key whose ``==`` fails, as that of an array might."""

    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        raise TypeError("ambiguous")


def test_an_error_of_a_keys_own_comparison_reaches_the_caller_and_locks_nothing(
    store: Store,
) -> None:
    put_one = lambda tx, key: tx.__setitem__(key, 1)  # noqa: E731 - shorter
    store.atomically(put_one, Moody())
    for attempt in (
        lambda: store.atomically(put_one, Moody()),
        lambda: store.atomically(lambda tx: tx[Moody()]),
        lambda: store.usevar(Moody()),
        lambda: store.using(Moody()),
    ):
        with pytest.raises(TypeError, match="ambiguous"):
            attempt()

    put(store, a=1)
    assert store.version == 2


def test_keys_that_are_equal_are_one_key(store: Store) -> None:
    store.atomically(lambda tx: tx.__setitem__(1, "one"))
    handle = store.usevar(True)
    assert (handle.value, handle.version) == ("one", 1)
    handle.set("two")
    store.set(1.0, handle)
    assert contents(store) == {1: "two"}


def test_a_lost_race_stays_one_if_its_value_cannot_be_copied() -> None:
    class Grudging:
        allowed = True

    def copier(value: object) -> object:
        if not Grudging.allowed:
            raise RuntimeError("not now")
        return value

    store = Store(copier=copier)
    put(store, a=[1])
    mine = store.usevar("a")
    put(store, a=[2])
    mine.value = 3
    Grudging.allowed = False
    with pytest.raises(ConcurrentUpdate) as caught:
        mine.commit()
    assert (caught.value.found, caught.value.value) == (2, None)
