"""Scopes of the record cache: what they take back, at any depth, and what they let go of."""

import pytest

from graven.core.cache import RecordCache
from graven.errors import StateChangeError


@pytest.fixture
def cache() -> RecordCache:
    cache = RecordCache()
    cache.write_clean("t", 1, {"a": 1, "b": 1})
    return cache


def dirty(cache: RecordCache, row: int = 1) -> dict[str, object] | None:
    return cache.dirty_tables().get("t", {}).get(row)


def test_confirm_and_cancel_with_no_scope_open_do_nothing(cache: RecordCache) -> None:
    cache.confirm()
    cache.cancel()

    assert cache.state("t", 1) == "clean"


@pytest.mark.parametrize("call", ["insert_record", "delete_record"])
def test_the_first_change_with_no_scope_open_begins_one(cache: RecordCache, call: str) -> None:
    row = 2 if call == "insert_record" else 1
    getattr(cache, call)("t", row)
    cache.cancel()

    assert cache.state("t", row) == (None if row == 2 else "clean")


def test_the_scope_that_a_write_began_covers_all_that_follows(cache: RecordCache) -> None:
    cache.write_dirty("t", 1, "a", 2)
    cache.write_dirty("t", 2, "a", 2)
    cache.delete_record("t", 1)
    cache.cancel()

    assert (cache.state("t", 1), cache.state("t", 2)) == ("clean", None)
    assert cache.read("t", 1, "a") == 1


def test_what_was_confirmed_outermost_can_not_be_taken_back(cache: RecordCache) -> None:
    cache.write_dirty("t", 1, "a", 2)
    cache.confirm()
    cache.cancel()

    assert dirty(cache) == {"a": 2}


def test_cancel_takes_back_only_what_was_changed_in_its_scope(cache: RecordCache) -> None:
    cache.write_dirty("t", 1, "a", 2)
    cache.begin()
    cache.write_dirty("t", 1, "b", 3)
    cache.cancel()

    assert dirty(cache) == {"a": 2}


def test_cancel_restores_fields_changed_in_inner_scope(cache: RecordCache) -> None:
    cache.write_dirty("t", 1, "a", 2)
    cache.begin()
    cache.write_dirty("t", 1, "a", 3)
    cache.write_dirty("t", 1, "a", 4)
    cache.cancel()
    assert dirty(cache) == {"a": 2}

    cache.cancel()
    assert (cache.state("t", 1), cache.read("t", 1, "a")) == ("clean", 1)


def test_confirm_folds_into_the_scope_around_it_which_takes_all_back(cache: RecordCache) -> None:
    cache.begin()
    cache.write_dirty("t", 1, "a", 2)
    cache.begin()
    cache.write_dirty("t", 1, "a", 3)
    cache.write_dirty("t", 1, "b", 3)
    cache.write_dirty("t", 2, "a", 3)
    cache.confirm()
    assert dirty(cache) == {"a": 3, "b": 3}

    cache.cancel()
    assert cache.dirty_tables() == {}
    assert (cache.state("t", 1), cache.state("t", 2)) == ("clean", None)


def test_a_field_set_back_in_an_inner_scope_is_dirty_again_after_its_cancel(
    cache: RecordCache,
) -> None:
    cache.write_dirty("t", 1, "a", 2)
    cache.begin()
    cache.write_dirty("t", 1, "a", 1)
    assert cache.state("t", 1) == "clean"
    cache.cancel()

    assert (cache.state("t", 1), dirty(cache)) == ("changed", {"a": 2})


def test_a_cancelled_insert_leaves_no_record() -> None:
    cache = RecordCache()
    cache.begin()
    cache.insert_record("t", 1)
    cache.write_dirty("t", 1, "a", 1)
    cache.initialized("t", 1)
    cache.write_dirty("t", 1, "a", 2)
    cache.cancel()

    assert (cache.state("t", 1), cache.dirty_tables()) == (None, {})
    assert not cache.has("t", 1, "a")
    cache.insert_record("t", 1)
    assert not cache.has("t", 1, "a")


def test_a_cancelled_delete_gives_the_former_state_and_dirty_fields_back(
    cache: RecordCache,
) -> None:
    cache.write_dirty("t", 1, "a", 2)
    cache.begin()
    cache.delete_record("t", 1)
    cache.cancel()

    assert (cache.state("t", 1), dirty(cache)) == ("changed", {"a": 2})


@pytest.mark.parametrize("state", ["initializing", "initialized", "inserted"])
def test_a_cancelled_delete_of_a_new_record_gives_it_back_whole(state: str) -> None:
    cache = RecordCache()
    cache.insert_record("t", 1)
    cache.write_dirty("t", 1, "a", 1)
    if state != "initializing":
        cache.initialized("t", 1)
    if state == "inserted":
        cache.write_dirty("t", 1, "a", 2)
    cache.write_clean("t", 1, {"b": "read meanwhile"})
    cache.begin()
    cache.delete_record("t", 1)
    assert not cache.has("t", 1, "b")
    cache.cancel()

    assert cache.state("t", 1) == state
    assert cache.read("t", 1, "a") == (2 if state == "inserted" else 1)
    assert cache.read("t", 1, "b", dirty=False) == "read meanwhile"


def test_a_record_deleted_and_made_anew_in_deeper_scopes_comes_back_as_it_was() -> None:
    cache = RecordCache()
    cache.insert_record("t", 1)
    cache.initialized("t", 1)
    cache.write_dirty("t", 1, "a", "old")
    cache.begin()
    cache.delete_record("t", 1)
    cache.begin()
    cache.insert_record("t", 1)
    cache.write_dirty("t", 1, "b", "new")
    cache.confirm()
    cache.cancel()

    assert (cache.state("t", 1), dirty(cache)) == ("inserted", {"a": "old"})


def test_cancelling_a_second_life_of_a_record_keeps_the_first_for_the_outer_scope() -> None:
    cache = RecordCache()
    cache.insert_record("t", 1)
    cache.initialized("t", 1)
    cache.write_dirty("t", 1, "a", "old")
    cache.begin()
    cache.delete_record("t", 1)
    cache.begin()
    cache.insert_record("t", 1)
    cache.cancel()
    assert cache.state("t", 1) is None

    cache.cancel()
    assert (cache.state("t", 1), dirty(cache)) == ("inserted", {"a": "old"})


def test_clean_values_loaded_in_a_scope_stay_when_it_is_cancelled(cache: RecordCache) -> None:
    cache.begin()
    cache.write_dirty("t", 1, "a", 2)
    cache.write_clean("t", 1, {"c": "loaded"})
    cache.write_dirty("t", 2, "a", 2)
    cache.write_clean("t", 2, {"c": "loaded"})
    cache.write_clean("t", 3, {"c": "loaded"})
    cache.cancel()

    assert [cache.state("t", row) for row in (1, 2, 3)] == ["clean", "clean", "clean"]
    assert [cache.read("t", row, "c") for row in (1, 2, 3)] == ["loaded"] * 3
    assert not cache.has("t", 2, "a")
    assert cache.dirty_tables() == {}


def test_an_error_inside_a_scope_leaves_it_open_and_able_to_cancel(cache: RecordCache) -> None:
    cache.begin()
    cache.write_dirty("t", 1, "a", 2)
    cache.delete_record("t", 1)
    with pytest.raises(StateChangeError):
        cache.write_dirty("t", 1, "a", 3)
    cache.cancel()

    assert (cache.state("t", 1), cache.read("t", 1, "a")) == ("clean", 1)


# ── what leaves the cache while scopes are open ─────────────────────────────────────────────


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_make_clean_in_open_scopes_cannot_be_taken_back(cache: RecordCache, depth: int) -> None:
    for level in range(depth):
        cache.begin()
        cache.write_dirty("t", 1, "a", level + 2)
    cache.make_clean("t", 1)
    for _ in range(depth):
        cache.cancel()

    assert (cache.state("t", 1), cache.read("t", 1, "a", dirty=False)) == ("clean", depth + 1)


def test_a_change_after_make_clean_is_taken_back_to_what_was_made_clean(cache: RecordCache) -> None:
    cache.begin()
    cache.write_dirty("t", 1, "a", 2)
    cache.make_clean("t", 1)
    cache.write_dirty("t", 1, "a", 3)
    cache.cancel()

    assert (cache.state("t", 1), cache.read("t", 1, "a")) == ("clean", 2)


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_a_record_removed_in_open_scopes_does_not_come_back(cache: RecordCache, depth: int) -> None:
    cache.write_clean("t", 2, {"a": 1})
    for level in range(depth):
        cache.begin()
        cache.write_dirty("t", 1, "a", level + 2)
        cache.write_dirty("t", 2, "a", level + 2)
    cache.remove("t", 1)
    for _ in range(depth):
        cache.cancel()

    assert (cache.state("t", 1), cache.state("t", 2)) == (None, "clean")


def test_a_deleted_new_record_that_is_removed_does_not_come_back() -> None:
    cache = RecordCache()
    cache.insert_record("t", 1)
    cache.begin()
    cache.delete_record("t", 1)
    cache.remove("t", 1)
    cache.cancel()

    assert cache.state("t", 1) is None


def test_clear_old_only_leaves_scopes_able_to_take_changes_back(cache: RecordCache) -> None:
    cache.write_dirty("t", 1, "a", 2)
    cache.begin()
    cache.write_dirty("t", 1, "a", 1)  # back to the clean value, which is then dropped
    cache.clear(old_only=True)
    assert cache.state("t", 1) is None
    cache.cancel()

    assert (cache.state("t", 1), dirty(cache)) == ("changed", {"a": 2})
    assert not cache.has("t", 1, "b")


def test_cancel_after_clear_old_only_leaves_no_empty_record(cache: RecordCache) -> None:
    cache.begin()
    cache.write_dirty("t", 1, "a", 2)
    cache.clear(old_only=True)
    cache.cancel()

    assert (cache.state("t", 1), cache.dirty_tables()) == (None, {})


def test_a_change_after_clear_old_only_is_taken_back_to_the_newer_value(cache: RecordCache) -> None:
    cache.begin()
    cache.write_dirty("t", 1, "a", 2)
    cache.clear(old_only=True)
    cache.write_clean("t", 1, {"a": 7})
    cache.cancel()

    assert (cache.state("t", 1), cache.read("t", 1, "a")) == ("clean", 7)
