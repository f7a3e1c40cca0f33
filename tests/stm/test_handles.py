"""Handles: what the ancestor's store did, and what is sound now."""

import threading
from dataclasses import dataclass

import pytest

from graven import ConcurrentUpdate, DataError, Store, UsageError
from graven.stm import Collection, Value


@pytest.fixture
def store() -> Store:
    return Store()


def put(store: Store, **values: object) -> None:
    handles = store.using(*values)
    for key, value in values.items():
        handles[key].set(value)
    handles.commit()


def test_a_value_that_is_set_and_committed_is_there_for_the_next(store: Store) -> None:
    greeting = store.usevar("hello")
    assert (greeting.value, greeting.version, greeting.key) == (None, 0, "hello")

    greeting.set("Hello World")
    greeting.commit()

    assert (greeting.version, store.version) == (1, 1)
    again = store.usevar("hello", islocked=True)
    assert isinstance(again, Value)
    assert (again.value, again.version, again.store) == ("Hello World", 1, store)


def test_each_commit_that_writes_counts_the_version_of_its_key_up(store: Store) -> None:
    put(store, a=1, b=1)
    handle = store.usevar("a")
    for value in (2, 3):
        handle.set(value)
        handle.commit()

    assert (store.usevar("a").version, store.usevar("b").version, store.version) == (3, 1, 3)


def test_reading_never_makes_a_key(store: Store) -> None:
    store.usevar("a")
    store.using("a", "b")
    store.usevar("a").commit()

    assert store.dump() == {}
    assert store.version == 0


def test_setting_none_makes_a_key_with_none(store: Store) -> None:
    handle = store.usevar("a")
    handle.set(None)
    handle.commit()

    assert (store.usevar("a").value, store.usevar("a").version) == (None, 1)


def test_setting_an_equal_value_is_a_commit_and_committing_without_a_change_is_none(
    store: Store,
) -> None:
    put(store, a=1)
    handle = store.usevar("a")
    handle.set(1)
    handle.commit()
    handle.commit()

    assert (handle.version, store.version) == (2, 2)


def test_the_second_of_two_who_read_the_same_version_is_refused_with_all_it_needs(
    store: Store,
) -> None:
    put(store, a=1)
    mine, theirs = store.usevar("a"), store.usevar("a")
    theirs.set(2)
    theirs.commit()
    mine.set(3)

    with pytest.raises(store.ConcurrentUpdate) as caught:
        mine.commit()

    error = caught.value
    assert (error.key, error.expected, error.found, error.value) == ("a", 1, 2, 2)
    assert [(c.key, c.expected, c.found) for c in error.conflicts or ()] == [("a", 1, 2)]
    assert store.usevar("a").value == 2
    assert (mine.value, mine.version) == (3, 1)


def test_inserting_twice_is_a_lost_race(store: Store) -> None:
    first, second = store.usevar("a"), store.usevar("a")
    first.set(1)
    first.commit()
    second.set(2)

    with pytest.raises(ConcurrentUpdate) as caught:
        second.commit()

    assert (caught.value.expected, caught.value.found, caught.value.value) == (0, 1, 1)


@pytest.mark.parametrize("comes_back", [False, True])
def test_a_handle_from_before_a_deletion_is_refused_whatever_came_after(
    store: Store, comes_back: bool
) -> None:
    put(store, a=1)
    old = store.usevar("a")
    store.atomically(lambda tx: tx.delete("a"))
    if comes_back:
        put(store, a=1)
    old.set(9)

    with pytest.raises(ConcurrentUpdate) as caught:
        old.commit()

    assert caught.value.expected == 1
    assert caught.value.found == (2 if comes_back else 0)
    assert store.usevar("a").value == (1 if comes_back else None)


def test_a_collection_checks_all_members_and_writes_the_changed_ones(store: Store) -> None:
    put(store, a=1, b=1)
    pair = store.using("a", "b")
    assert isinstance(pair, Collection)
    pair["a"].set(2)
    pair.commit()
    assert (pair["a"].version, pair["b"].version) == (2, 1)

    put(store, b=5)
    pair["a"].set(3)
    with pytest.raises(ConcurrentUpdate) as caught:
        pair.commit()

    assert caught.value.key == "b"
    assert {key: handle.value for key, handle in store.dump().items()} == {"a": 2, "b": 5}


def test_what_is_read_is_a_copy_and_so_is_what_is_written(store: Store) -> None:
    mine = [1, [2]]
    put(store, a=mine)
    mine.append("later")
    store.usevar("a").value[1].append("not committed")

    assert store.usevar("a").value == [1, [2]]
    clone = store.usevar("a").clone()
    assert (clone.value, clone.version) == ([1, [2]], 1)
    assert clone.value is not store.usevar("a").value


def test_a_change_in_place_is_written(store: Store) -> None:
    put(store, a=[1])
    handle = store.usevar("a")
    handle.value.append(2)
    handle.commit()

    assert (store.usevar("a").value, store.usevar("a").version) == ([1, 2], 2)


def test_values_that_cannot_change_are_not_copied(store: Store) -> None:
    frozen = ("text", (1, frozenset({2})), None)
    put(store, a=frozen)

    assert store.usevar("a").value is frozen


def test_a_copier_of_ones_own_copies_once_per_read_and_once_per_commit() -> None:
    copied: list[object] = []

    def copier(value: list[int]) -> list[int]:
        copied.append(value)
        return list(value)

    store = Store(copier=copier)
    put(store, a=[1], b=2)
    assert len(copied) == 1
    store.using("a", "b")
    assert len(copied) == 2


def test_a_value_that_cannot_be_copied_is_refused_before_anything_is_written(store: Store) -> None:
    put(store, a=1, b=1)
    pair = store.using("a", "b")
    pair["a"].set(2)
    pair["b"].set(threading.Lock())

    with pytest.raises(DataError, match="cannot copy the value of key 'b'") as caught:
        pair.commit()

    assert caught.value.key == "b"
    assert isinstance(caught.value.__cause__, TypeError)
    assert [handle.value for handle in store.dump().values()] == [1, 1]
    pair["b"].set(3)
    pair.commit()
    assert [handle.value for handle in store.dump().values()] == [2, 3]


def test_handles_of_another_store_or_key_and_what_is_none_are_refused(store: Store) -> None:
    put(store, a=1)
    other = Store()
    handle = other.usevar("a")
    handle.set(2)

    with pytest.raises(UsageError, match="another store"):
        store.set("a", handle)
    with pytest.raises(UsageError, match="another key"):
        store.set("b", store.usevar("a"))
    with pytest.raises(UsageError, match="no handle"):
        store.set_values({"a": 2})  # type: ignore[dict-item]

    assert store.usevar("a").version == 1
    assert other.dump() == {}


def test_set_and_set_values_commit_handles(store: Store) -> None:
    pair = store.using("a", "b")
    pair["a"].set(1)
    store.set("a", pair["a"])
    pair["b"].set(2)
    store.set_values(pair)

    assert {key: (v.value, v.version) for key, v in store.dump().items()} == {
        "a": (1, 1),
        "b": (2, 1),
    }


@pytest.mark.parametrize("read", ["usevar", "using", "history", "changed"])
def test_an_unhashable_key_is_refused_with_its_name(store: Store, read: str) -> None:
    with pytest.raises(UsageError, match="no hash"):
        getattr(store, read)(["a"])


def test_a_closed_store_refuses_everything(store: Store) -> None:
    put(store, a=1)
    handle = store.usevar("a")
    handle.set(2)
    store.close()
    store.close()

    for attempt in (
        handle.commit,
        store.dump,
        store.as_of,
        lambda: store.usevar("a"),
        lambda: store.using("a"),
        lambda: store.history("a"),
        lambda: store.changed("a"),
        lambda: store.atomically(lambda tx: tx.get("a")),
        lambda: store.atomically(lambda tx: tx.__setitem__("a", 1)),
    ):
        with pytest.raises(UsageError, match="closed"):
            attempt()


def test_using_never_mixes_two_states_under_writers(store: Store) -> None:
    """Both keys always hold the same number; a reader that sees two has read in between."""
    put(store, a=0, b=0)
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            put(store, a=number, b=number)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(3_000):
            pair = store.using("a", "b")
            assert pair["a"].value == pair["b"].value
    finally:
        stop.set()
        writer.join()


def test_one_handle_committed_by_many_threads_at_once_never_loses_a_commit(store: Store) -> None:
    handle = store.usevar("a")
    handle.set(0)
    done: list[int] = []

    def commit() -> None:
        for number in range(200):
            handle.set(number)
            try:
                handle.commit()
            except ConcurrentUpdate:
                continue
            done.append(number)

    threads = [threading.Thread(target=commit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert store.usevar("a").version == store.version <= len(done)
    assert handle.version == store.version


def test_an_object_of_a_class_below_a_frozen_one_is_copied(store: Store) -> None:
    """It inherits the marks of the frozen class, but may have what changes."""

    @dataclass(frozen=True)
    class Point:
        x: int

    class Track(Point):
        def __init__(self) -> None:
            super().__init__(1)
            self.more = [1]

    put(store, a=Track(), b=Point(1))
    store.usevar("a").value.more.append(2)
    assert store.usevar("a").value.more == [1]
    assert store.usevar("b").value is store.usevar("b").value


def test_a_collection_of_several_reads_is_checked_member_by_member(store: Store) -> None:
    """An old handle put among new ones is as old as it is."""
    put(store, a=1, b=1)
    old = store.usevar("a")
    put(store, a=2)
    pair = store.using("a", "b")
    pair["a"] = old
    for handle in pair.values():
        handle.set(9)
    with pytest.raises(ConcurrentUpdate, match="'a'"):
        pair.commit()
    pair["a"], pair["b"] = pair["b"], store.usevar("a")
    with pytest.raises(UsageError, match="another key"):
        pair.commit()
    assert {key: handle.value for key, handle in store.dump().items()} == {"a": 2, "b": 1}


def test_a_negative_history_is_refused() -> None:
    with pytest.raises(UsageError, match="history"):
        Store(history=-1)
