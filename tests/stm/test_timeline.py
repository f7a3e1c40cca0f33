"""What a backend is built on: spaces, views, bulk commits, turns."""

import gc
import threading
import time
import weakref
from typing import Any

import pytest

from graven import BusyRetry, ConcurrentUpdate, Store, UsageError
from graven.core.values import ABSENT
from graven.stm import Space, Timeline, Transaction, View


@pytest.fixture
def timeline() -> Timeline:
    return Timeline()


@pytest.fixture
def books(timeline: Timeline) -> Space:
    space = timeline.space("book")
    timeline.commit({space: {1: "a", 2: "b"}})
    return space


def held(view: View, space: Space) -> dict[object, object]:
    return {key: cell[0] for key, cell in view.scan(space).items()}


def test_a_space_is_the_same_object_every_time_and_apart_from_others(
    timeline: Timeline, books: Space
) -> None:
    authors = timeline.space("author")
    assert timeline.commit({authors: {1: "x"}, books: {3: "c"}}) == 2

    assert timeline.space("book") is books
    assert held(timeline.view(), authors) == {1: "x"}
    assert held(timeline.view(), books) == {1: "a", 2: "b", 3: "c"}


def test_a_view_shows_one_moment_by_key_and_by_scan(timeline: Timeline, books: Space) -> None:
    view = timeline.view()
    assert view.is_current
    timeline.commit({books: {1: ABSENT, 2: "B", 3: "c"}})
    timeline.commit({books: {1: "back"}})

    assert held(view, books) == {1: "a", 2: "b"}
    assert [view.cell(books, key) for key in (1, 2, 3)] == [("a", 1, 1), ("b", 1, 1), None]
    assert held(timeline.view(), books) == {1: "back", 2: "B", 3: "c"}
    assert not view.is_current


def test_a_view_knows_which_spaces_are_unchanged(timeline: Timeline, books: Space) -> None:
    view = timeline.view()
    timeline.commit({timeline.space("author"): {1: "x"}})

    assert not view.is_current
    assert view.is_unchanged(books)
    assert not view.is_unchanged(timeline.space("author"))


def test_values_are_shared_and_never_copied(timeline: Timeline, books: Space) -> None:
    row = ["mutable"]
    timeline.commit({books: {9: row}})

    cell = timeline.view().cell(books, 9)
    assert cell is not None
    assert cell[0] is row


def test_a_commit_of_what_was_read_checks_presence_and_absence(
    timeline: Timeline, books: Space
) -> None:
    view = timeline.view()
    reads = {books: {key: view.cell(books, key) for key in (1, 3)}}
    assert timeline.commit({books: {1: "mine"}}, reads=reads) == 2

    reads = {books: {3: None}}
    timeline.commit({books: {3: "theirs"}})
    with pytest.raises(ConcurrentUpdate) as caught:
        timeline.commit({books: {4: "mine"}}, reads=reads)

    assert (caught.value.key, caught.value.expected, caught.value.found) == (3, 0, 1)
    assert held(timeline.view(), books) == {1: "mine", 2: "b", 3: "theirs"}


def test_a_phantom_in_a_scanned_space_is_refused(timeline: Timeline, books: Space) -> None:
    authors = timeline.space("author")
    view = timeline.view()
    timeline.commit({authors: {1: "x"}})
    timeline.commit({authors: {2: "y"}}, scanned=[books], since=view)

    timeline.commit({books: {3: "phantom"}})
    with pytest.raises(TypeError, match="since"):
        timeline.commit({authors: {3: "z"}}, scanned=[books])
    with pytest.raises(ConcurrentUpdate, match="'book' was scanned"):
        timeline.commit({authors: {3: "z"}}, scanned=[books], since=view)

    assert held(timeline.view(), authors) == {1: "x", 2: "y"}


def test_a_commit_of_nothing_only_checks(timeline: Timeline, books: Space) -> None:
    assert timeline.commit({}, reads={books: {1: books.cells[1]}}) == 1
    assert timeline.commit({books: {}}) == 1
    with pytest.raises(ConcurrentUpdate):
        timeline.commit({}, reads={books: {1: None}})


def test_a_record_that_nobody_needs_is_let_go(timeline: Timeline, books: Space) -> None:
    class Row:
        pass

    row = Row()
    timeline.commit({books: {1: row}})
    view = timeline.view()
    timeline.commit({books: {1: "new"}})
    gone = weakref.ref(row)
    del row
    gc.collect()
    assert gone() is not None

    del view
    gc.collect()
    assert gone() is None


def test_while_one_has_the_turn_others_wait_and_readers_do_not(
    timeline: Timeline, books: Space
) -> None:
    with timeline.turn() as turn:
        with pytest.raises(BusyRetry) as caught:
            timeline.commit({books: {1: "x"}}, timeout_s=0.01)
        assert caught.value.waited_s >= 0.01  # type: ignore[operator]
        with pytest.raises(BusyRetry):
            timeline.turn(timeout_s=0)
        assert held(timeline.view(), books) == {1: "a", 2: "b"}
        timeline.commit({books: {1: "mine"}}, turn=turn)
    turn.release()

    timeline.commit({books: {2: "theirs"}}, timeout_s=0)
    assert held(timeline.view(), books) == {1: "mine", 2: "theirs"}


def test_turns_are_first_come_first_served(timeline: Timeline) -> None:
    order: list[int] = []

    def wait(number: int) -> None:
        with timeline.turn(timeout_s=10):
            order.append(number)

    threads = []
    with timeline.turn():
        for number in range(5):
            threads.append(threading.Thread(target=wait, args=(number,)))
            threads[-1].start()
            while len(timeline.turns._queue) <= number:
                time.sleep(0.001)
    for thread in threads:
        thread.join()

    assert order == [0, 1, 2, 3, 4]


def test_a_turn_that_was_dropped_unreleased_ends_by_itself(
    timeline: Timeline, books: Space
) -> None:
    turn = timeline.turn()
    assert turn.is_held
    del turn
    gc.collect()

    timeline.commit({books: {1: "x"}}, timeout_s=0)
    with timeline.turn(timeout_s=0):
        pass


def test_a_handle_waits_as_long_as_it_is_told() -> None:
    store = Store(busy_timeout_s=0.01)
    handle = store.usevar("a")
    handle.set(1)
    with store.timeline.turn():
        for options in ({}, {"nowait": True}, {"timeout_s": 0.02}):
            with pytest.raises(store.BusyRetry) as caught:
                handle.commit(**options)  # type: ignore[arg-type]
            assert (caught.value.waited_s or 0) < 5
        with pytest.raises(BusyRetry):
            store.atomically(lambda tx: tx.__setitem__("a", 1))
    handle.commit()
    assert store.usevar("a").value == 1


def test_a_commit_goes_on_when_the_turn_is_over() -> None:
    store = Store()
    turn = store.timeline.turn()
    threading.Timer(0.02, turn.release).start()

    store.atomically(lambda tx: tx.__setitem__("a", 1))
    assert store.usevar("a").value == 1


def test_closing_tells_who_waits_for_a_turn(timeline: Timeline) -> None:
    turn = timeline.turn()
    threading.Timer(0.02, timeline.close).start()
    with pytest.raises(UsageError, match="closed"):
        timeline.turn(timeout_s=10)
    turn.release()
    with pytest.raises(UsageError, match="closed"):
        timeline.view()


def test_a_commit_costs_the_same_however_many_keys_there_are() -> None:
    """Counted, not timed: how many keys are looked at, hashes being the measure."""

    class Key:
        hashed = 0

        def __init__(self, number: int) -> None:
            self.number = number

        def __hash__(self) -> int:
            Key.hashed += 1
            return hash(self.number)

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Key) and self.number == other.number

    counts = []
    for size in (10, 10_000):
        store = Store()
        keys = [Key(number) for number in range(size)]
        store.timeline.commit({store.space: dict.fromkeys(keys, 0)})
        Key.hashed = 0

        def add(tx: Transaction, key: Key) -> None:
            tx[key] = tx[key] + 1

        store.atomically(add, keys[5])
        counts.append(Key.hashed)
    assert counts[0] == counts[1] < 20


def test_a_scan_goes_on_while_another_thread_reads_the_same_view(
    timeline: Timeline, books: Space
) -> None:
    """The other one learns of more that was replaced, in the middle of the scan."""
    view = timeline.view()
    timeline.commit({books: {1: "A", 2: "B"}})

    class Meddling(dict[Any, Any]):
        def __setitem__(self, key: object, value: object) -> None:
            timeline.commit({books: {f"new {key}": "c"}})
            view.replaced(books)
            super().__setitem__(key, value)

    class Host(dict[Any, Any]):
        def copy(self) -> Meddling:
            return Meddling(self)

    books.cells = Host(books.cells)
    assert held(view, books) == {1: "a", 2: "b"}
