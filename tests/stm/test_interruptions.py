"""An exception that strikes from outside, at every point where the interpreter lets one in."""

import gc
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

import pytest

from graven import Store
from graven.stm import Transaction
from graven.stm.waiting import Waiter


@pytest.fixture(autouse=True)
def strikes_hit_the_store() -> Iterator[None]:
    """Let no collection run meanwhile: a strike in a callback of the collector would be ignored."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


POINTS_MAX = 400


class Strike(BaseException):
    """What is injected."""


class Striker:
    """Strikes after *left* calls; there, and at their ends in C, signals and kills come in."""

    def __init__(self, left: int) -> None:
        self.left = left

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        if event in ("call", "c_return") and "graven" in frame.f_code.co_filename:
            self.left -= 1
            if self.left < 0:
                raise Strike


def struck(left: int, function: Any) -> bool:
    """Run *function*, and strike it; say whether it was still running then."""
    sys.setprofile(Striker(left))
    try:
        function()
    except Strike:
        return True
    finally:
        sys.setprofile(None)
    return False


def add(tx: Transaction) -> None:
    for key in ("a", "b"):
        tx[key] = tx.get(key, 0) + 1


def add_one(tx: Transaction) -> None:
    tx["a"] = tx["a"] + 1


def by_handles(store: Store) -> None:
    pair = store.using("a", "b")
    for handle in pair.values():
        handle.set((handle.value or 0) + 1)
    pair.commit()


def with_a_turn(store: Store) -> None:
    with store.timeline.turn():
        pass
    store.atomically(add)


@pytest.mark.parametrize(
    ("write", "keys"),
    [
        (lambda store: store.atomically(add), "ab"),
        (lambda store: store.atomically(add_one), "a"),
        (lambda store: store.atomically(lambda tx: store.atomically(add)), "ab"),
        (by_handles, "ab"),
        (with_a_turn, "ab"),
    ],
    ids=["two keys", "one key", "nested", "handles", "turn"],
)
def test_a_strike_anywhere_leaves_all_or_nothing_and_what_follows_counts(
    write: Any, keys: str
) -> None:
    for point in range(POINTS_MAX):
        store = Store(history=2)
        store.timeline.commit({store.space: {"a": 0, "b": 0}})
        was_struck = struck(point, lambda store=store: write(store))

        assert store.timeline.lock.acquire(timeout=1), f"left locked at point {point}"
        store.timeline.lock.release()
        write(store)
        found = store.as_of()
        assert {found[key] for key in keys} in ({1}, {2}), f"at point {point}"
        assert store.version == 1 + found["a"], f"at point {point}"
        if not was_struck:
            assert found["a"] == 2
            return
    raise AssertionError("the function has more points than were tried")


def test_who_is_struck_while_it_wakes_a_sleeper_wakes_it_all_the_same() -> None:
    store, woken = Store(), threading.Event()
    waiter = Waiter()
    notes: list[int] = []

    def notify() -> None:
        notes.append(1)
        if len(notes) == 1:
            raise Strike
        woken.set()

    assert store.timeline.watch({store.space: {"a": None}}, waiter)
    waiter.arm(notify)
    with pytest.raises(Strike):
        store.atomically(lambda tx: tx.__setitem__("a", 1))

    assert woken.is_set()
