"""The small values of the core: waiting times, identity, origins, the words of a lost race."""

from __future__ import annotations

import gc
from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graven.core.conflicts import concurrent_update
from graven.core.identity import IdentityMap, Origin
from graven.core.retry import Backoff
from graven.errors import Conflict, FieldConflict, UsageError


class Thing:
    pass


# ── waiting times ───────────────────────────────────────────────────────────────────────────


def test_waiting_times_grow_by_the_factor_up_to_the_longest() -> None:
    backoff = Backoff(first_s=1.0, factor=3.0, longest_s=20.0)

    assert list(islice(backoff.ceilings(), 5)) == [1.0, 3.0, 9.0, 20.0, 20.0]
    assert list(islice(Backoff(5.0, 2.0, 1.0).ceilings(), 3)) == [1.0, 1.0, 1.0]
    assert list(islice(Backoff(first_s=0.0).ceilings(), 3)) == [0.0, 0.0, 0.0]


def test_each_piece_of_work_has_waiting_times_of_its_own() -> None:
    backoff = Backoff()
    first = backoff.ceilings()
    next(first)
    next(first)

    assert next(backoff.ceilings()) == backoff.first_s


@given(st.floats(0, 1e6), st.floats(0, 1))
def test_a_wait_is_a_random_part_of_the_ceiling_and_at_least_a_quarter(
    ceiling_s: float, dice: float
) -> None:
    assert ceiling_s / 4 <= Backoff.wait_s(ceiling_s, dice) <= ceiling_s


def test_the_dice_decide_how_much_of_the_ceiling() -> None:
    assert [Backoff.wait_s(8.0, dice) for dice in (0.0, 0.5, 1.0)] == [2.0, 5.0, 8.0]


@pytest.mark.parametrize(
    "wrong",
    [
        {"first_s": -1.0},
        {"longest_s": -0.1},
        {"factor": 0.5},
        {"first_s": float("nan")},
        {"factor": float("nan")},
    ],
)
def test_waiting_times_that_make_no_sense_are_refused_at_once(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="Backoff\\(first_s=") as caught:
        Backoff(**wrong).ceilings()

    assert "0 or more seconds" in str(caught.value)


# ── identity ────────────────────────────────────────────────────────────────────────────────


def test_a_key_finds_its_object_as_long_as_that_lives() -> None:
    identity, thing = IdentityMap(), Thing()
    identity.put(1, thing, 5)
    assert identity.get(1) is thing
    assert identity.get(2) is None

    del thing
    gc.collect()
    assert identity.get(1) is None


def test_the_version_first_read_stays_known_when_the_object_is_gone() -> None:
    identity = IdentityMap()
    for key, version in ((1, 5), (2, 5), (3, 9)):
        identity.put(key, Thing(), version)
    gc.collect()

    assert [identity.version(key) for key in (1, 2, 3, 4)] == [5, 5, 9, None]
    assert identity.known() == {1: 5, 2: 5, 3: 9}


def test_only_unusual_versions_take_room() -> None:
    identity = IdentityMap()
    things = [Thing() for _ in range(100)]
    for key, thing in enumerate(things):
        identity.put(key, thing, 3 if key == 50 else 1)

    assert identity.versions == {50: 3}
    identity.remember(50, 1)
    assert identity.versions == {}
    assert identity.version(50) == 1


def test_a_key_that_was_not_there_has_version_0_until_it_is() -> None:
    identity, thing = IdentityMap(), Thing()
    identity.absent.add(7)
    assert identity.version(7) == 0
    assert identity.known() == {7: 0}

    identity.put(7, thing, 2)
    assert identity.version(7) == 2
    assert identity.known() == {7: 2}


def test_a_forgotten_key_is_as_if_it_had_never_been_looked_for() -> None:
    identity, thing = IdentityMap(), Thing()
    identity.put(1, thing, 1)
    identity.put(2, thing, 4)
    identity.absent.add(3)
    for key in (1, 2, 3, 9):
        identity.forget(key)

    assert [identity.version(key) for key in (1, 2, 3)] == [None, None, None]
    assert identity.get(2) is None
    assert identity.known() == {}


def test_an_object_that_is_to_be_deleted_is_not_found_but_kept_until_it_comes_back() -> None:
    identity, thing = IdentityMap(), Thing()
    identity.put(1, thing, 4)
    identity.bury(1, thing)
    assert identity.get(1) is None
    assert identity.buried == {1: thing}

    identity.enter(1, thing)
    assert identity.get(1) is thing
    assert identity.buried == {}


def test_an_origin_is_a_unit_a_version_and_peers() -> None:
    unit = object()

    assert Origin(unit, 3).peers is None
    assert (Origin(unit, 3).unit, Origin(unit, 3).version) == (unit, 3)


# ── the words of a lost race ────────────────────────────────────────────────────────────────


def lost(key: Any = 1, expected: int | None = 3, found: int | None = 4, **fields: Any) -> Conflict:
    return Conflict("Account", key, expected, found, fields)


def test_a_lost_race_says_what_was_tried_what_was_found_why_and_what_to_do() -> None:
    error = concurrent_update([lost(balance=FieldConflict(100, 70, 50))])

    assert str(error) == (
        "cannot commit: what this work was based on has changed meanwhile: Account 1 was read at "
        "version 3, found version 4 (balance: base 100 mine 70 theirs 50). Somebody else committed "
        "first, and nothing of this commit was written. Run the work again on fresh data, as `for "
        "attempt in db.attempts()` does."
    )
    assert (error.key, error.expected, error.found) == (1, 3, 4)
    assert error.conflicts == (lost(balance=FieldConflict(100, 70, 50)),)


@pytest.mark.parametrize(
    ("expected", "found", "words"),
    [
        (3, 0, "Account 1 was read at version 3, it is gone"),
        (3, None, "Account 1 was read at version 3, it is gone"),
        (0, 2, "Account 1 was not there, found version 2"),
        (0, None, "Account 1 was not there, its key is taken"),
    ],
)
def test_what_is_gone_and_what_was_not_there_is_told_apart(
    expected: int | None, found: int | None, words: str
) -> None:
    assert f": {words}. Somebody" in str(concurrent_update([lost(1, expected, found)]))


def test_many_losers_are_counted_and_all_of_them_attached() -> None:
    conflicts = [lost(number) for number in range(5)]
    error = concurrent_update(conflicts)

    assert str(error).count("was read at version 3") == 3
    assert "; and 2 more. Somebody" in str(error)
    assert error.conflicts == tuple(conflicts)


def test_long_values_are_cut_and_many_fields_too() -> None:
    fields = {f"f{n}": FieldConflict("x" * 500, n, n) for n in range(9)}
    error = concurrent_update([lost(1, 3, 4, **fields)])

    assert len(str(error)) < 1000
    assert "f3: base" in str(error)
    assert "f4: base" not in str(error)
    assert error.conflicts is not None
    assert len(error.conflicts[0].fields) == 9


def test_a_reason_stands_where_no_object_can_be_named() -> None:
    error = concurrent_update([], "a query that was answered before has another answer now")

    assert "meanwhile: a query that was answered before has another answer now. S" in str(error)
    assert (error.key, error.expected, error.found, error.conflicts) == (None, None, None, ())
    assert "has changed meanwhile. Somebody" in str(concurrent_update([]))
