"""Whatever strikes in the middle of a commit: the store is consistent, unlocked, and goes on."""

import ctypes
import random
import sys
import threading
import time
from typing import Any

import pytest

from graven import Store
from graven.core.values import ABSENT
from graven.stm import Transaction
from graven.stm.waiting import Waiter

SEED = 20_240


class Strike(BaseException):
    """What another thread injects."""


def contents(store: Store) -> dict[Any, Any]:
    return dict(store.as_of().items())


class Trap(dict[Any, Any]):
    """The cells of a space that strike in the middle of being written."""

    armed = False

    def __setitem__(self, key: object, value: object) -> None:
        super().__setitem__(key, value)
        self.strike()

    def update(self, *arguments: Any, **named: Any) -> None:
        (new,) = arguments
        for key in list(new)[: len(new) // 2]:
            super().__setitem__(key, new[key])
        self.strike()
        super().update(new)

    def strike(self) -> None:
        if self.armed:
            self.armed = False
            raise Strike


@pytest.fixture
def store() -> Store:
    store = Store()
    store.space.cells = store._cells = Trap()
    return store


@pytest.mark.parametrize("size", [1, 3, 20])
def test_an_exception_in_the_middle_of_writing_leaves_all_or_nothing(
    store: Store, size: int
) -> None:
    keys = list(range(size))

    def write(tx: Transaction, value: int) -> None:
        for key in keys:
            tx.get(key)
            tx[key] = value

    store.atomically(write, 1)
    before = store.as_of()
    store.space.cells.armed = True  # type: ignore[attr-defined]
    with pytest.raises(Strike):
        store.atomically(write, 2)

    assert contents(store) == dict.fromkeys(keys, 2)
    assert store.version == 2
    assert dict(before.items()) == dict.fromkeys(keys, 1)
    store.atomically(write, 3)
    assert contents(store) == dict.fromkeys(keys, 3)


def test_who_sleeps_is_woken_by_a_commit_that_was_interrupted(store: Store) -> None:
    timeline, space = store.timeline, store.space
    timeline.commit({space: {"a": 1, "b": 1}})
    waiter = Waiter()
    reads = {space: {"b": space.cells["b"]}}
    assert timeline.watch(reads, waiter)

    space.cells.armed = True  # type: ignore[attr-defined]
    with pytest.raises(Strike):
        timeline.commit({space: {"a": 2, "b": 2}})

    assert waiter.is_woken
    timeline.unwatch(reads, waiter)
    assert space.watchers == {}


def test_what_two_strikes_have_left_is_finished_by_the_next_who_commits(store: Store) -> None:
    timeline, space = store.timeline, store.space
    timeline.commit({space: {"a": 1, "b": 1}})
    old = timeline.view()

    class Relentless(Trap):
        def strike(self) -> None:
            if self.armed:
                raise Strike

    space.cells = store._cells = Relentless(space.cells)
    space.cells.armed = True  # type: ignore[attr-defined]
    with pytest.raises(Strike):
        timeline.commit({space: {"a": 2, "b": 2, "c": 2}})
    assert contents(store) == {"a": 1, "b": 1}
    assert {key: old.cell(space, key)[0] for key in "ab"} == {"a": 1, "b": 1}  # type: ignore[index]

    space.cells.armed = False  # type: ignore[attr-defined]
    timeline.commit({space: {"d": 3, "c": ABSENT}})
    assert contents(store) == {"a": 2, "b": 2, "d": 3}
    assert timeline.last.number == 3


def test_an_exception_in_the_function_of_a_transaction_leaves_no_lock(store: Store) -> None:
    def strike(tx: Transaction) -> None:
        tx["a"] = 1
        raise Strike

    with pytest.raises(Strike):
        store.atomically(strike)
    assert contents(store) == {}
    store.atomically(lambda tx: tx.__setitem__("a", 2))


def test_threads_that_are_struck_anywhere_never_leave_half_a_commit_or_a_lock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Money is moved by threads into which exceptions are injected, at random, many times."""
    monkeypatch.setattr(threading, "excepthook", lambda _: None)  # struck outside of any try
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)  # struck in a finalizer
    dice = random.Random(SEED)
    store, accounts = Store(), range(10)
    store.timeline.commit({store.space: dict.fromkeys(accounts, 100)})
    stop = threading.Event()
    strikes: list[int] = []

    def move(tx: Transaction, source: int, target: int) -> None:
        tx[source] = tx[source] - 1
        tx[target] = tx[target] + 1

    def work(seed: int) -> None:
        own = random.Random(seed)
        while not stop.is_set():
            try:
                while not stop.is_set():
                    store.atomically(move, *own.sample(accounts, 2))
            except Strike:
                strikes.append(seed)

    def guarded(seed: int) -> None:
        while not stop.is_set():
            try:
                work(seed)
            except Strike:
                strikes.append(seed)

    threads = [threading.Thread(target=guarded, args=(n,), daemon=True) for n in range(3)]
    for thread in threads:
        thread.start()
    until = time.monotonic() + 1.0
    while time.monotonic() < until:
        victim = dice.choice(threads)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(victim.ident or 0), ctypes.py_object(Strike)
        )
        assert sum(store.as_of().values()) == 1_000
        time.sleep(0.001)
    stop.set()
    for thread in threads:
        thread.join(10)

    assert len(strikes) > 5
    assert sum(contents(store).values()) == 1_000
    store.timeline.commit({store.space: {"free": 1}}, timeout_s=0)
    assert store.space.watchers == {}
