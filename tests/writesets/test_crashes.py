"""A commit of several documents that dies before any of its requests leaves all of it, or nothing.

The store is as naive as can be: it changes one document at a time.
"""

from __future__ import annotations

import random
from collections.abc import Generator
from typing import Any

import pytest

from graven.errors import BusyRetry, CommitUnknownError, UnavailableError
from graven.ops.conditions import Compare, Order, Path, Select
from graven.ops.requests import Apply, Delete, Fetch, FetchKeys, Insert, Update
from graven.ops.schema import Column, Reference, Table
from graven.ops.writesets import RecoverWriteSets
from tests.writesets.naive import NaiveStore, Process

USERS = Table(
    "user",
    (
        Column("id", "int"),
        Column("email", "str", nullable=True, unique=True),
        Column("money", "int"),
        Column("version", "int"),
    ),
    key=("id",),
    version="version",
)
NOTES = Table(
    "note",
    (
        Column("id", "int"),
        Column("user_id", "int"),
        Column("text", "str"),
        Column("version", "int"),
    ),
    key=("id",),
    version="version",
    references=(Reference(("user_id",), "user", ("id",)),),
)
NAMES = {table: tuple(one.name for one in table.columns) for table in (USERS, NOTES)}

MOST_MONEY = (Order(Path((), "money", "int"), descending=True),)
BEFORE = {"user": [(1, "ada", 100, 1), (2, None, 0, 1)], "note": [(7, 1, "old", 1)]}
AFTER = {"user": [(1, "bob", 70, 2), (2, "cy", 30, 2)], "note": [(8, 2, "new", 1)]}


def filled() -> NaiveStore:
    store = NaiveStore(USERS, NOTES)
    Process(store, inserting(USERS, BEFORE["user"])).run()
    Process(store, inserting(NOTES, BEFORE["note"])).run()
    return store


def inserting(table: Table, rows: list[Any]) -> Generator[Any, Any, Any]:
    for row in rows:
        yield Insert(table, NAMES[table], [row])


def committing() -> Generator[Any, Any, Any]:
    """Change two users, a unique value each, insert a note and delete another."""
    columns, guards = ("email", "money"), ("version",)
    writes = [
        Insert(NOTES, NAMES[NOTES], [(8, 2, "new", 1)]),
        Update(USERS, columns, guards, [("bob", 70, 1, 1), ("cy", 30, 2, 1)]),
        Delete(NOTES, guards, [(7, 1)]),
    ]
    return (yield from Apply(writes, [False, True, True]))


def reading() -> Generator[Any, Any, dict[str, Any]]:
    found = {}
    for table in (USERS, NOTES):
        found[table.name] = yield from Fetch(Select(table, NAMES[table]))
    return found


def recovering(store: NaiveStore) -> Generator[Any, Any, Any]:
    return (yield from RecoverWriteSets((USERS, NOTES)))


def is_clean(store: NaiveStore) -> bool:
    """Whether no entry is left, and no mark."""
    hidden = [
        value
        for documents in store.documents.values()
        for document in documents.values()
        for name, value in document.items()
        if name.startswith("_graven")
    ]
    return not store.documents.get("graven_writeset") and not any(hidden)


def left_alone() -> tuple[int, int]:
    """How many requests a commit makes, and how many of them until it is decided."""
    store = filled()
    process = Process(store, committing())
    decided = 0
    while not process.is_done:
        process.step()
        entries = store.documents.get("graven_writeset", {}).values()
        if not decided and [one["state"] for one in entries] == ["committed"]:
            decided = process.requests
    assert process.result is not None
    assert Process(store, reading()).run() == AFTER
    assert is_clean(store)
    return process.requests, decided


LAST, DECIDED = left_alone()
MOMENTS = range(LAST + 1)


def crashed(moment: int) -> tuple[NaiveStore, bool]:
    """A store in which a commit died, and whether it had been decided."""
    store = filled()
    Process(store, committing()).run(before=moment)
    return store, moment >= DECIDED


@pytest.mark.parametrize("moment", MOMENTS)
def test_recovery_leaves_all_of_a_commit_that_died_or_nothing(moment: int) -> None:
    store, is_over = crashed(moment)
    store.now_ms += 60_000
    report = Process(store, recovering(store)).run()
    assert Process(store, reading()).run() == (AFTER if is_over else BEFORE)
    assert is_clean(store)
    assert report.under_way == 0
    assert not Process(store, recovering(store)).run()


@pytest.mark.parametrize("moment", MOMENTS)
def test_readers_see_all_or_nothing_without_any_recovery(moment: int) -> None:
    store, is_over = crashed(moment)
    there = AFTER if is_over else BEFORE
    assert Process(store, reading()).run() == there
    store.now_ms += 60_000
    assert Process(store, reading()).run() == there


QUERIES = {
    "by key": FetchKeys(USERS, NAMES[USERS], ("id",), [(1,), (2,)], True),
    "by a unique value": FetchKeys(USERS, ("id",), ("email",), [("bob",), ("cy",)], True),
    "by a reference": FetchKeys(NOTES, ("id",), ("user_id",), [(1,)], True),
    "by a condition": Fetch(Select(USERS, ("id",), Compare(">=", Path((), "money", "int"), 30))),
    "in part": Fetch(Select(USERS, ("money",), order=MOST_MONEY, limit=1, offset=1)),
    "counted": Fetch(Select(USERS, (), Compare("==", Path((), "email", "str"), None), count=True)),
}
ANSWERS = {
    "by key": (BEFORE["user"], AFTER["user"]),
    "by a unique value": ([], [(1,), (2,)]),
    "by a reference": ([(7,)], []),
    "by a condition": ([(1,)], [(1,), (2,)]),
    "in part": ([(0,)], [(30,)]),
    "counted": ([(1,)], [(0,)]),
}


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("moment", MOMENTS)
def test_every_kind_of_query_sees_all_or_nothing(moment: int, query: str) -> None:
    store, is_over = crashed(moment)
    assert Process(store, iter(QUERIES[query])).run() == ANSWERS[query][is_over]


@pytest.mark.parametrize("moment", MOMENTS)
def test_readers_by_key_and_of_whole_tables_never_wait(moment: int) -> None:
    store, is_over = crashed(moment)
    before = store.now_ms
    assert Process(store, reading()).run() == (AFTER if is_over else BEFORE)
    by_key = Process(store, iter(QUERIES["by key"])).run()
    assert by_key == (AFTER if is_over else BEFORE)["user"]
    assert store.now_ms == before


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("moment", MOMENTS)
def test_two_recoverers_at_once_do_everything_once(moment: int, seed: int) -> None:
    store, is_over = crashed(moment)
    store.now_ms += 60_000
    both = [Process(store, recovering(store)) for _ in range(2)]
    dice = random.Random(seed)
    while running := [one for one in both if not one.is_done]:
        dice.choice(running).step()
    assert [one.failure for one in both] == [None, None]
    assert Process(store, reading()).run() == (AFTER if is_over else BEFORE)
    assert is_clean(store)


@pytest.mark.parametrize("second", range(0, 12, 2))
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_recovery_that_dies_too_is_finished_by_the_next(moment: int, second: int) -> None:
    store, is_over = crashed(moment)
    store.now_ms += 60_000
    Process(store, recovering(store)).run(before=second)
    Process(store, recovering(store)).run()
    assert Process(store, reading()).run() == (AFTER if is_over else BEFORE)
    assert is_clean(store)


@pytest.mark.parametrize("moment", MOMENTS)
def test_who_wants_to_write_what_a_dead_commit_has_marked_waits_only_for_its_lease(
    moment: int,
) -> None:
    store, is_over = crashed(moment)
    started = store.now_ms
    version = 2 if is_over else 1
    update = Update(USERS, ("money",), ("version",), [(5, 1, version)])
    assert Process(store, iter(update)).run() == 1
    assert store.now_ms - started < 5000
    found = Process(store, reading()).run()
    assert found["user"][0][2:] == (5, version + 1)
    assert found["note"] == (AFTER if is_over else BEFORE)["note"]


def test_a_set_whose_lease_ran_out_while_it_worked_is_taken_back_whole() -> None:
    for moment in MOMENTS[:-1]:
        store = filled()
        slow = Process(store, committing())
        while slow.requests < moment and not slow.is_done:
            slow.step()
        store.now_ms += 60_000
        Process(store, recovering(store)).run()
        seen = Process(store, reading()).run()
        while not slow.is_done:
            slow.step()
        final = Process(store, reading()).run()
        assert final in (BEFORE, AFTER)
        if seen == AFTER:
            assert final == AFTER
        if slow.failure is not None:
            assert isinstance(slow.failure, BusyRetry)
            assert final == BEFORE
        else:
            assert final == AFTER
        Process(store, recovering(store)).run()
        assert is_clean(store), moment


LOST = CommitUnknownError("the answer was lost")
UNSENT = UnavailableError("the server cannot be reached")


@pytest.mark.parametrize("fault", ["unsent", "lost", "refused for good"])
@pytest.mark.parametrize("moment", MOMENTS[:-1])
def test_whatever_answer_is_lost_what_the_caller_hears_is_true(moment: int, fault: str) -> None:
    store = filled()
    process = Process(store, committing())
    while process.requests < moment:
        process.step()
    is_read = isinstance(process.request, Fetch | FetchKeys)
    error = UNSENT if is_read or fault == "unsent" else LOST
    process.step(error, is_done=fault == "lost")
    while not process.is_done:
        process.step(UNSENT if fault == "refused for good" else None, is_done=False)
    store.now_ms += 60_000
    Process(store, recovering(store)).run()
    found = Process(store, reading()).run()
    assert is_clean(store)
    if process.failure is None:
        assert process.result is not None
        assert found == AFTER
    elif isinstance(process.failure, CommitUnknownError):
        assert found in (BEFORE, AFTER)
        assert moment == DECIDED - 1
        assert fault == "refused for good"
    else:
        assert isinstance(process.failure, UnavailableError)
        assert found == BEFORE


def test_a_commit_says_that_it_is_unknown_if_nobody_can_tell_of_its_decision() -> None:
    store = filled()
    process = Process(store, committing())
    while process.requests < DECIDED - 1:
        process.step()
    process.step(LOST)
    while not process.is_done:
        process.step(UNSENT, is_done=False)
    assert isinstance(process.failure, CommitUnknownError)
    assert Process(store, reading()).run() == AFTER


def renaming(name: str) -> Generator[Any, Any, Any]:
    note = Insert(NOTES, NAMES[NOTES], [(9, 1, name, 1)])
    update = Update(USERS, ("email",), ("version",), [(name, 1, 1)])
    return (yield from Apply([update, note], [True, False]))


def test_a_unique_value_is_held_though_another_set_held_it_when_it_was_looked_at() -> None:
    store = filled()
    user = store.documents["user"]
    first = Process(store, renaming("zed"))
    while user[(1,)].get("_graven_mark") is None:
        first.step()
        user = store.documents["user"]
    assert user[(1,)]["email"] == ["ada", "zed"]
    second = Process(store, renaming("kim"))
    second.step()
    first.kill()
    store.now_ms += 60_000
    Process(store, recovering(store)).run()
    while store.documents["user"][(1,)].get("_graven_mark") is None and not second.is_done:
        second.step()
    assert store.documents["user"][(1,)]["email"] == ["ada", "kim"]
    assert second.run() is not None
    assert store.documents["user"][(1,)]["email"] == "kim"
