"""Snapshots, history, and waiting for a change."""

import threading

import pytest

from graven import BusyRetry, Store, UsageError
from graven.stm import Past, Transaction


def put(store: Store, **values: object) -> None:
    def write(tx: Transaction) -> None:
        for key, value in values.items():
            tx[key] = value

    store.atomically(write)


@pytest.fixture
def store() -> Store:
    """Three commits: a and b, then a alone, then b deleted."""
    store = Store()
    put(store, a=1, b=[1])
    put(store, a=2)
    store.atomically(lambda tx: tx.delete("b"))
    return store


@pytest.mark.parametrize(
    ("version", "held"),
    [(0, {}), (1, {"a": 1, "b": [1]}), (2, {"a": 2, "b": [1]}), (3, {"a": 2})],
)
def test_a_snapshot_shows_the_store_as_it_was_at_a_version(
    store: Store, version: int, held: dict[str, object]
) -> None:
    snapshot = store.as_of(version)
    put(store, a=9, c=9)

    assert dict(snapshot) == held
    assert snapshot.store_version == version
    assert ("b" in snapshot, len(snapshot)) == ("b" in held, len(held))
    assert snapshot.get("c") is None
    assert {key: snapshot.version(key) for key in snapshot} == {
        key: {0: 1, 1: 1, 2: 2, 3: 2}[version] if key == "a" else 1 for key in held
    }


def test_a_snapshot_is_read_only_and_its_values_are_copies(store: Store) -> None:
    snapshot = store.as_of(1)
    snapshot["b"].append(2)

    assert snapshot["b"] == [1]
    assert not hasattr(snapshot, "__setitem__")
    with pytest.raises(KeyError):
        store.as_of()["b"]


@pytest.mark.parametrize("version", [-1, 4])
def test_a_version_that_is_not_remembered_is_refused_with_what_is(
    store: Store, version: int
) -> None:
    with pytest.raises(UsageError, match="reaches from 0 to 3"):
        store.as_of(version)


def test_history_is_bounded_and_snapshots_in_hand_outlive_it() -> None:
    store = Store(history=3)
    put(store, n=0)
    early = store.as_of()
    for number in range(1, 10):
        put(store, n=number)

    assert early["n"] == 0
    assert [past.value for past in store.history("n")] == [6, 7, 8, 9]
    assert store.as_of(8)["n"] == 7
    with pytest.raises(UsageError, match="reaches from 7 to 10"):
        store.as_of(6)


def test_without_history_only_now_is_known() -> None:
    store = Store(history=0)
    put(store, n=1)
    put(store, n=2)

    assert store.history("n") == (Past(2, 2, 2),)
    assert store.as_of(2)["n"] == 2
    with pytest.raises(UsageError):
        store.as_of(1)


def test_history_tells_values_versions_and_deletions(store: Store) -> None:
    put(store, b="back")

    assert store.history("b") == (
        Past(store_version=0, version=0, value=None),
        Past(store_version=1, version=1, value=[1]),
        Past(store_version=3, version=0, value=None),
        Past(store_version=4, version=2, value="back"),
    )
    assert store.history("never") == (Past(0, 0, None),)


def test_changed_waits_for_another_version(store: Store) -> None:
    def change() -> None:
        while not store.space.watchers:
            pass
        put(store, other=1)
        put(store, a=3)

    thread = threading.Thread(target=change)
    thread.start()
    assert store.changed("a", since=2) == 3
    thread.join()
    assert store.space.watchers == {}


def test_changed_returns_at_once_if_the_change_is_there(store: Store) -> None:
    assert store.changed("a", since=1) == 2
    assert store.changed("b", since=1) == 0


def test_changed_gives_up_after_its_time(store: Store) -> None:
    with pytest.raises(BusyRetry, match="no") as caught:
        store.changed("a", timeout_s=0.01)
    assert caught.value.waited_s >= 0.01  # type: ignore[operator]
    assert store.space.watchers == {}
