"""The record cache: cells, drafts, what is dirty, and what leaves the cache."""

import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from graven.core.cache import RecordCache
from graven.errors import DuplicateRecordError, StateChangeError, UsageError

ADA = {"owner": "Ada", "balance": 100}


@pytest.fixture
def cache() -> RecordCache:
    cache = RecordCache()
    cache.write_clean("account", 1, ADA)
    return cache


def draft(cache: RecordCache, row: object = 2) -> None:
    cache.insert_record("account", row)
    cache.write_dirty("account", row, "owner", "nobody")
    cache.initialized("account", row)


# ── reading ─────────────────────────────────────────────────────────────────────────────────


def test_a_dirty_value_hides_the_clean_one_which_stays_known(cache: RecordCache) -> None:
    cache.write_dirty("account", 1, "balance", 70)

    assert cache.read("account", 1, "balance") == 70
    assert cache.read("account", 1, "balance", dirty=False) == 100


def test_reading_a_dirty_value_falls_back_on_the_clean_one(cache: RecordCache) -> None:
    assert cache.read("account", 1, "owner") == cache.read("account", 1, "owner", dirty=True)
    assert cache.read("account", 1, "owner") == "Ada"


@pytest.mark.parametrize(
    ("table", "row", "field"), [("bank", 1, "owner"), ("account", 9, "owner"), ("account", 1, "x")]
)
@pytest.mark.parametrize("dirty", [True, False])
def test_reading_what_is_absent_is_a_key_error_that_names_the_cell(
    cache: RecordCache, table: str, row: int, field: str, dirty: bool
) -> None:
    with pytest.raises(KeyError) as caught:
        cache.read(table, row, field, dirty)

    assert caught.value.args == ((table, row, field),)


def test_reading_the_clean_value_of_a_field_that_was_only_written_is_a_key_error() -> None:
    cache = RecordCache()
    cache.write_dirty("account", 1, "owner", "Ada")

    with pytest.raises(KeyError):
        cache.read("account", 1, "owner", dirty=False)


def test_none_is_a_value_and_not_absence() -> None:
    cache = RecordCache()
    cache.write_clean("account", 1, {"owner": None})
    cache.write_dirty("account", 1, "bank", None)

    assert cache.read("account", 1, "owner") is None
    assert cache.read("account", 1, "bank") is None
    assert cache.has("account", 1, "owner", dirty=False)
    assert cache.has("account", 1, "bank", dirty=True)
    assert cache.dirty_tables() == {"account": {1: {"bank": None}}}


@pytest.mark.parametrize(
    ("field", "either", "dirty", "clean"),
    [
        ("owner", True, False, True),
        ("balance", True, True, True),
        ("bank", True, True, False),
        ("street", False, False, False),
    ],
)
def test_has_tells_dirty_clean_and_absent_apart(
    cache: RecordCache, field: str, either: bool, dirty: bool, clean: bool
) -> None:
    cache.write_dirty("account", 1, "balance", 70)
    cache.write_dirty("account", 1, "bank", "B")

    assert cache.has("account", 1, field) is either
    assert cache.has("account", 1, field, dirty=None) is either
    assert cache.has("account", 1, field, dirty=True) is dirty
    assert cache.has("account", 1, field, dirty=False) is clean


def test_nothing_is_had_of_a_table_or_row_that_is_not_known(cache: RecordCache) -> None:
    assert not cache.has("bank", 1, "owner")
    assert not cache.has("account", 2, "owner")
    assert cache.state("bank", 1) is None
    assert cache.uncached_fields("bank", 1, ("b", "a")) == ["b", "a"]


def test_uncached_fields_are_those_without_any_value_in_the_order_asked(cache: RecordCache) -> None:
    cache.write_dirty("account", 1, "bank", "B")

    asked = iter(["street", "owner", "bank", "balance", "city"])
    assert cache.uncached_fields("account", 1, asked) == ["street", "city"]
    assert cache.uncached_fields("account", 1, []) == []


# ── writing ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("data", [ADA, ADA.items(), list(ADA.items()), iter(ADA.items())])
def test_clean_data_are_a_mapping_or_pairs(data: Any) -> None:
    cache = RecordCache()
    cache.write_clean("account", 1, data)

    assert [cache.read("account", 1, field) for field in ADA] == list(ADA.values())
    assert cache.state("account", 1) == "clean"


@pytest.mark.parametrize("data", [5, "ab", [1, 2], [("a", 1, 2)], None, [("a", 1), "b"]])
def test_clean_data_of_another_shape_are_refused_and_nothing_is_written(data: Any) -> None:
    cache = RecordCache()

    with pytest.raises(UsageError, match=r"record 1 of table 'account'.*Nothing was written"):
        cache.write_clean("account", 1, data)

    assert cache.state("account", 1) is None
    assert not cache.has("account", 1, "a")


def test_a_clean_write_of_no_data_is_no_write() -> None:
    cache = RecordCache()
    cache.write_clean("account", 1, {})

    assert cache.state("account", 1) is None


def test_the_first_clean_write_of_a_field_wins(cache: RecordCache) -> None:
    cache.write_clean("account", 1, {"balance": 999, "bank": "B"})

    assert cache.read("account", 1, "balance") == 100
    assert cache.read("account", 1, "bank") == "B"


def test_a_clean_write_leaves_own_changes_on_top(cache: RecordCache) -> None:
    cache.write_dirty("account", 1, "bank", "mine")
    cache.write_clean("account", 1, {"bank": "theirs"})

    assert cache.read("account", 1, "bank") == "mine"
    assert cache.read("account", 1, "bank", dirty=False) == "theirs"
    assert cache.dirty_tables() == {"account": {1: {"bank": "mine"}}}


def test_a_change_stays_a_change_though_the_store_turns_out_to_hold_the_same() -> None:
    cache = RecordCache()
    cache.write_dirty("account", 1, "balance", 5)
    cache.write_clean("account", 1, {"balance": 5})

    assert cache.state("account", 1) == "changed"
    assert cache.dirty_tables() == {"account": {1: {"balance": 5}}}
    cache.clear(old_only=True)
    assert cache.read("account", 1, "balance") == 5


def test_an_equal_value_is_no_change_and_opens_no_scope(cache: RecordCache) -> None:
    cache.write_dirty("account", 1, "balance", 100)
    assert (cache.state("account", 1), cache.dirty_tables()) == ("clean", {})

    cache.begin()
    cache.write_dirty("account", 1, "balance", 70)
    cache.confirm()
    cache.write_dirty("account", 1, "balance", 70)
    cache.cancel()  # nothing is open

    assert cache.dirty_tables() == {"account": {1: {"balance": 70}}}


def test_setting_every_field_back_makes_the_record_clean(cache: RecordCache) -> None:
    cache.write_dirty("account", 1, "balance", 70)
    cache.write_dirty("account", 1, "owner", "Bob")
    cache.write_dirty("account", 1, "balance", 100)
    assert (cache.state("account", 1), cache.has("account", 1, "balance", True)) == (
        "changed",
        False,
    )
    cache.write_dirty("account", 1, "owner", "Ada")

    assert (cache.state("account", 1), cache.dirty_tables()) == ("clean", {})


@pytest.mark.parametrize(
    ("old", "new"),
    [(1, True), (True, 1), (1, 1.0), (0, False), ([1], [True]), ({"a": 1}, {"a": 1.0}), (None, 0)],
)
def test_a_value_of_another_type_is_a_change(old: object, new: object) -> None:
    cache = RecordCache()
    cache.write_clean("t", 1, {"a": old})
    cache.write_dirty("t", 1, "a", new)

    assert cache.state("t", 1) == "changed"
    assert type(cache.read("t", 1, "a")) is type(new)


@pytest.mark.parametrize("nan", [float, Decimal])
def test_a_nan_over_a_nan_is_no_change(nan: Callable[[str], object]) -> None:
    cache = RecordCache()
    cache.write_clean("t", 1, {"a": nan("nan")})
    cache.write_dirty("t", 1, "a", nan("nan"))

    assert cache.state("t", 1) == "clean"
    cache.write_dirty("t", 1, "a", nan("0"))
    assert cache.state("t", 1) == "changed"
    cache.write_dirty("t", 1, "a", nan("nan"))
    assert cache.state("t", 1) == "clean"
    assert math.isnan(cache.read("t", 1, "a"))  # type: ignore[arg-type]


@pytest.mark.parametrize("call", ["read", "has", "state", "write_clean", "write_dirty", "remove"])
def test_a_row_that_cannot_be_a_key_is_a_type_error_and_leaves_nothing(
    cache: RecordCache, call: str
) -> None:
    more: dict[str, tuple[object, ...]] = {
        "read": ("a",),
        "has": ("a",),
        "write_clean": ({"a": 1},),
        "write_dirty": ("a", 1),
    }

    with pytest.raises(TypeError, match="unhashable"):
        getattr(cache, call)("account", [], *more.get(call, ()))

    assert cache.dirty_tables() == {}
    cache.write_dirty("account", 1, "balance", 1)
    cache.cancel()
    assert cache.state("account", 1) == "clean"


def test_rows_may_be_any_hashable_key() -> None:
    cache = RecordCache()
    for row in ("a", 1, None, (1, "x"), frozenset({2})):
        cache.write_dirty("t", row, "f", row)

    assert cache.dirty_tables() == {
        "t": {row: {"f": row} for row in ("a", 1, None, (1, "x"), frozenset({2}))}
    }


# ── new records ─────────────────────────────────────────────────────────────────────────────


def test_a_draft_is_neither_dirty_nor_inserted() -> None:
    cache = RecordCache()
    draft(cache)

    assert cache.state("account", 2) == "initialized"
    assert cache.read("account", 2, "owner") == "nobody"
    assert cache.dirty_tables() == {}


def test_a_record_that_is_still_initializing_is_not_dirty() -> None:
    cache = RecordCache()
    cache.insert_record("account", 2)
    cache.write_dirty("account", 2, "owner", "nobody")

    assert cache.dirty_tables() == {}


def test_an_equal_value_leaves_a_draft_a_draft_and_another_inserts_it() -> None:
    cache = RecordCache()
    draft(cache)
    cache.write_dirty("account", 2, "owner", "nobody")
    assert cache.state("account", 2) == "initialized"

    cache.write_dirty("account", 2, "balance", 5)
    assert cache.state("account", 2) == "inserted"
    assert cache.dirty_tables() == {"account": {2: {"owner": "nobody", "balance": 5}}}


def test_setting_a_field_of_an_inserted_record_back_leaves_it_inserted() -> None:
    cache = RecordCache()
    draft(cache)
    cache.write_dirty("account", 2, "owner", "Eve")
    cache.write_dirty("account", 2, "owner", "nobody")

    assert cache.state("account", 2) == "inserted"


def test_a_record_cannot_be_initialized_twice_and_stays_a_draft() -> None:
    cache = RecordCache()
    draft(cache)

    with pytest.raises(StateChangeError):
        cache.initialized("account", 2)

    assert cache.state("account", 2) == "initialized"


def test_inserting_a_known_record_is_refused_and_changes_nothing(cache: RecordCache) -> None:
    cache.write_dirty("account", 1, "balance", 70)

    with pytest.raises(DuplicateRecordError):
        cache.insert_record("account", 1)

    assert cache.state("account", 1) == "changed"
    assert cache.read("account", 1, "balance") == 70


def test_a_new_record_that_is_deleted_leaves_nothing_to_write(cache: RecordCache) -> None:
    draft(cache)
    cache.write_dirty("account", 2, "balance", 5)
    cache.delete_record("account", 2)

    assert cache.state("account", 2) is None
    assert cache.dirty_tables() == {}
    assert not cache.has("account", 2, "owner")
    cache.insert_record("account", 2)
    assert cache.uncached_fields("account", 2, ["owner", "balance"]) == ["owner", "balance"]


# ── deleting ────────────────────────────────────────────────────────────────────────────────


def test_a_deleted_record_is_dirty_and_still_readable(cache: RecordCache) -> None:
    cache.write_dirty("account", 1, "balance", 70)
    cache.delete_record("account", 1)

    assert cache.dirty_tables() == {"account": {1: {"balance": 70}}}
    assert cache.read("account", 1, "owner") == "Ada"


def test_a_record_can_be_deleted_that_was_never_read() -> None:
    cache = RecordCache()
    cache.delete_record("account", 1)

    assert (cache.state("account", 1), cache.dirty_tables()) == ("deleted", {"account": {1: {}}})


def test_writing_to_a_deleted_record_is_refused_and_it_stays_deleted(cache: RecordCache) -> None:
    cache.delete_record("account", 1)

    with pytest.raises(StateChangeError):
        cache.write_dirty("account", 1, "balance", 100)

    assert cache.state("account", 1) == "deleted"
    assert not cache.has("account", 1, "balance", dirty=True)


def test_a_record_inserted_over_a_deleted_one_replaces_it(cache: RecordCache) -> None:
    cache.write_dirty("account", 1, "balance", 70)
    cache.delete_record("account", 1)
    cache.insert_record("account", 1)

    assert cache.state("account", 1) == "changed"
    assert cache.dirty_tables() == {"account": {1: {}}}
    cache.write_dirty("account", 1, "owner", "Eve")
    assert cache.dirty_tables() == {"account": {1: {"owner": "Eve"}}}


def test_taking_a_replacement_back_gives_the_deleted_record_with_its_changes(
    cache: RecordCache,
) -> None:
    cache.write_dirty("account", 1, "balance", 70)
    cache.delete_record("account", 1)
    cache.begin()
    cache.insert_record("account", 1)
    cache.write_dirty("account", 1, "owner", "Eve")
    cache.cancel()

    assert cache.state("account", 1) == "deleted"
    assert cache.dirty_tables() == {"account": {1: {"balance": 70}}}


# ── leaving the cache ───────────────────────────────────────────────────────────────────────


def test_dirty_tables_are_a_copy(cache: RecordCache) -> None:
    cache.write_dirty("account", 1, "balance", 70)
    cache.dirty_tables()["account"][1]["balance"] = 0

    assert cache.read("account", 1, "balance") == 70


def test_make_clean_turns_dirty_values_into_clean_ones(cache: RecordCache) -> None:
    cache.write_dirty("account", 1, "balance", 70)
    cache.make_clean("account", 1)

    assert cache.read("account", 1, "balance", dirty=False) == 70
    assert (cache.state("account", 1), cache.dirty_tables()) == ("clean", {})


def test_make_clean_of_a_deleted_record_forgets_it(cache: RecordCache) -> None:
    cache.delete_record("account", 1)
    cache.make_clean("account", 1)

    assert cache.state("account", 1) is None
    assert not cache.has("account", 1, "owner")


def test_remove_forgets_one_record_and_no_other(cache: RecordCache) -> None:
    cache.write_clean("account", 2, {"owner": "Bob"})
    cache.write_dirty("account", 1, "balance", 70)
    cache.remove("account", 1)

    assert (cache.state("account", 1), cache.state("account", 2)) == (None, "clean")
    assert cache.dirty_tables() == {}
    cache.remove("account", 1)
    cache.remove("bank", 1)
    cache.write_clean("account", 1, {"balance": 999})
    assert cache.read("account", 1, "balance") == 999


def test_clear_forgets_everything_and_ends_every_scope(cache: RecordCache) -> None:
    cache.begin()
    cache.write_dirty("account", 1, "balance", 70)
    cache.begin()
    draft(cache)
    cache.clear()
    cache.cancel()
    cache.cancel()

    assert cache.dirty_tables() == {}
    assert (cache.state("account", 1), cache.state("account", 2)) == (None, None)


def test_clear_old_only_drops_clean_values_and_keeps_own_changes_on_top(cache: RecordCache) -> None:
    cache.write_clean("account", 3, {"owner": "Bob"})
    cache.write_dirty("account", 1, "balance", 70)
    draft(cache)
    cache.clear(old_only=True)

    assert cache.state("account", 3) is None
    assert (cache.state("account", 1), cache.state("account", 2)) == ("changed", "initialized")
    assert not cache.has("account", 1, "owner")
    cache.write_clean("account", 1, {"owner": "Ann", "balance": 55})
    assert cache.read("account", 1, "owner") == "Ann"
    assert cache.read("account", 1, "balance") == 70
    assert cache.read("account", 1, "balance", dirty=False) == 55


def test_clear_old_only_keeps_a_deletion(cache: RecordCache) -> None:
    cache.delete_record("account", 1)
    cache.clear(old_only=True)

    assert cache.state("account", 1) == "deleted"
    assert not cache.has("account", 1, "owner")
