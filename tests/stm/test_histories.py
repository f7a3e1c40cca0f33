"""Random histories of several threads are serializable: their dependency graph has no cycle.

Every write puts a value that was never written before, so each read tells which transaction it
read from. The versions of a key give the order of its writers. From these follow the edges of the
graph: who wrote what I read comes before me, who overwrote what I read comes after me, and writers
of a key come in the order of its versions.
"""

import random
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

import pytest

from graven import Store
from graven.stm import Transaction

KEYS = range(6)
THREADS, ROUNDS = 4, 150


@dataclass
class Done:
    """What one committed transaction has read (key to writer) and written."""

    name: int
    reads: dict[int, int] = field(default_factory=dict)
    writes: set[int] = field(default_factory=set)


def edges(history: Iterable[Done], order: dict[int, list[int]]) -> dict[int, set[int]]:
    """Return, for every transaction, those that must come before it. 0 wrote what was absent."""
    before: dict[int, set[int]] = {done.name: set() for done in history}
    before[0] = set()
    for writers in order.values():
        for first, second in pairwise(writers):
            before[second].add(first)
    for done in history:
        for key, writer in done.reads.items():
            if writer != done.name:
                before[done.name].add(writer)
            writers = order[key]
            after = writers[writers.index(writer) + 1 :]
            if after and after[0] != done.name:
                before[after[0]].add(done.name)
    return before


def check(history: list[Done], order: dict[int, list[int]]) -> None:
    """Fail unless the history could have happened one transaction after the other."""
    TopologicalSorter(edges(history, order)).prepare()


def play(
    work: Callable[[Store, random.Random, int], Done], seed: int
) -> tuple[list[Done], dict[int, list[int]]]:
    """Let threads run transactions; return what each did, and the order of writers per key."""
    store = Store(history=1_000_000)
    history: list[Done] = []
    names = iter(range(1, 1_000_000))
    gate = threading.Barrier(THREADS)

    def run(number: int) -> None:
        dice = random.Random(seed * 100 + number)
        gate.wait(10)
        history.extend(work(store, dice, next(names)) for _ in range(ROUNDS))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(history) == THREADS * ROUNDS
    order = {key: [0, *(p.value for p in store.history(key) if p.version)] for key in KEYS}
    return history, order


def mixed(store: Store, dice: random.Random, name: int) -> Done:
    """Read some keys, write some, with pauses in between in which others come in."""
    steps = [(dice.random() < 0.5, dice.choice(KEYS)) for _ in range(dice.randint(1, 6))]
    pauses = [dice.random() < 0.3 for _ in steps]

    def body(tx: Transaction) -> Done:
        done = Done(name)
        for (is_write, key), pauses_here in zip(steps, pauses, strict=True):
            if key not in done.writes and key not in done.reads:
                done.reads[key] = tx.get(key, 0)
            if is_write:
                tx[key] = name
                done.writes.add(key)
            if pauses_here:
                threading.Event().wait(0.0001)
        return done

    return store.atomically(body)


def by_hand(store: Store, dice: random.Random, name: int) -> Done:
    """The same with handles: a collection checks all its members."""
    while True:
        handles = store.using(*dice.sample(KEYS, 3))
        done = Done(name, {key: handle.value or 0 for key, handle in handles.items()})
        if dice.random() < 0.3:
            threading.Event().wait(0.0001)
        for key in dice.sample(sorted(handles), dice.randint(0, 2)):
            handles[key].set(name)
            done.writes.add(key)
        try:
            handles.commit()
        except store.ConcurrentUpdate:
            continue
        return done


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("work", [mixed, by_hand])
def test_random_histories_are_serializable(
    work: Callable[[Store, random.Random, int], Done], seed: int
) -> None:
    history, order = play(work, seed)

    assert any(len(writers) > 10 for writers in order.values())
    for done in history:
        assert all(done.name in order[key] for key in done.writes)
    check(history, order)


def test_the_checker_catches_a_lost_update() -> None:
    first, second = Done(1, {0: 0}, {0}), Done(2, {0: 0}, {0})
    with pytest.raises(CycleError):
        check([first, second], {0: [0, 1, 2]})


def test_the_checker_catches_write_skew() -> None:
    first, second = Done(1, {0: 0, 1: 0}, {0}), Done(2, {0: 0, 1: 0}, {1})
    with pytest.raises(CycleError):
        check([first, second], {0: [0, 1], 1: [0, 2]})


def test_the_checker_catches_a_torn_read() -> None:
    writer, reader = Done(1, {}, {0, 1}), Done(2, {0: 1, 1: 0})
    with pytest.raises(CycleError):
        check([writer, reader], {0: [0, 1], 1: [0, 1]})


def test_the_checker_lets_a_good_history_pass() -> None:
    first, second, third = Done(1, {0: 0}, {0}), Done(2, {0: 1}, {1}), Done(3, {0: 1, 1: 2})
    check([third, second, first], {0: [0, 1], 1: [0, 2]})


def test_the_checker_catches_a_store_that_does_not_check_what_was_read() -> None:
    """The whole apparatus, on a store whose commits look at nothing: it must not be green."""

    def unchecked(store: Store, dice: random.Random, name: int) -> Done:
        key = dice.choice(KEYS[:2])
        found = store.usevar(key).value or 0
        threading.Event().wait(0.0001)
        store.timeline.commit({store.space: {key: name}})
        return Done(name, {key: found}, {key})

    history, order = play(unchecked, 1)
    with pytest.raises(CycleError):
        check(history, order)
