"""Writes of one row and of many do what they say, on a real server."""

from __future__ import annotations

from typing import Any

import pytest

from graven.flows.schema import create
from graven.ops.conditions import Select
from graven.ops.requests import Delete, Fetch, FetchKeys, Insert, Sweep, Update
from graven.ops.schema import Column, Table
from tests.postgres.raw import Raw

NOTE = Table(
    "note",
    (
        Column("id", "int"),
        Column("text", "str", nullable=True),
        Column("doc", "json", nullable=True),
        Column("version", "int"),
    ),
    ("id",),
    version="version",
    store_made=True,
)
PAIR = Table("pair", (Column("left", "int"), Column("right", "str")), ("left", "right"))
BARE = Table("bare", (Column("id", "int"),), ("id",), store_made=True)
COLUMNS = ("text", "doc", "version")


@pytest.fixture
def store(raw: Raw) -> Raw:
    raw.run(create([NOTE, PAIR, BARE]))
    return raw


def rows(store: Raw, table: Table = NOTE) -> list[tuple[object, ...]]:
    names = tuple(column.name for column in table.columns)
    return list(store.perform(Fetch(Select(table, names))))


@pytest.mark.parametrize("count", [1, 2, 5000])
def test_keys_that_the_store_makes_come_back_in_the_order_of_the_rows(
    store: Raw, count: int
) -> None:
    sent = [(f"text {n}", None, 1) for n in range(count)]

    keys = store.perform(Insert(NOTE, COLUMNS, sent))

    assert [(key, *row) for key, row in zip(keys, sent, strict=True)] == rows(store)


def test_rows_of_nothing_but_keys_are_made(store: Raw) -> None:
    first = store.perform(Insert(BARE, (), [()]))
    more = store.perform(Insert(BARE, (), [(), (), ()]))

    assert [*first, *more] == [key for (key,) in rows(store, BARE)] == [1, 2, 3, 4]


def test_a_key_that_is_given_is_kept(store: Raw) -> None:
    assert store.perform(Insert(NOTE, ("id", "version"), [(70, 1)])) == []
    assert store.perform(Insert(NOTE, ("id", "version"), [(80, 1), (90, 1)])) == []

    assert [row[0] for row in rows(store)] == [70, 80, 90]


@pytest.mark.parametrize("count", [1, 3])
def test_an_update_touches_only_rows_whose_guards_hold_and_counts_them(
    store: Raw, count: int
) -> None:
    store.perform(Insert(NOTE, COLUMNS, [("a", None, 1), ("b", "[]", 5), (None, '{"a":1}', 1)]))
    guards = ("version", "text", "doc")

    good = [("new", 1, 1, "a", None), ("new", 2, 5, "b", "[]"), (None, 3, 1, None, '{"a":1}')]
    stale = [("x", 1, 1, "a", None), ("x", 2, 6, "b", "[1]"), ("x", 4, 1, None, None)]

    assert store.perform(Update(NOTE, ("text",), guards, good[:count])) == count
    assert store.perform(Update(NOTE, ("text",), guards, stale[:count])) == 0
    assert (
        rows(store)[:count]
        == [
            (1, "new", None, 2),
            (2, "new", "[]", 6),
            (3, None, '{"a":1}', 2),
        ][:count]
    )


def test_of_many_updates_those_that_hold_are_written(store: Raw) -> None:
    store.perform(Insert(NOTE, COLUMNS, [(None, None, 1)] * 4))

    count = store.perform(
        Update(NOTE, ("text",), ("version",), [("x", n, n % 2) for n in range(6)])
    )

    assert count == 2
    assert [(text, version) for _, text, _, version in rows(store)] == [
        ("x", 2),
        (None, 1),
        ("x", 2),
        (None, 1),
    ]


def test_a_version_that_is_set_is_not_counted_up_besides(store: Raw) -> None:
    store.perform(Insert(NOTE, COLUMNS, [(None, None, 1)] * 2))

    store.perform(Update(NOTE, ("version",), ("version",), [(70, 1, 1), (80, 2, 1)]))
    store.perform(Update(NOTE, ("version",), ("version",), [(90, 2, 80)]))

    assert [row[-1] for row in rows(store)] == [70, 90]


@pytest.mark.parametrize("count", [1, 2])
def test_a_delete_takes_only_rows_whose_guards_hold(store: Raw, count: int) -> None:
    store.perform(Insert(NOTE, COLUMNS, [(None, "1", 1), ("a", None, 1)]))

    stale = Delete(NOTE, ("text", "doc"), [(1, None, "2"), (2, "b", None)][:count])
    good = Delete(NOTE, ("text", "doc"), [(1, None, "1"), (2, "a", None)][:count])

    assert store.perform(stale) == 0
    assert store.perform(good) == count
    assert len(rows(store)) == 2 - count


def test_a_delete_without_guards_takes_what_is_there(store: Raw) -> None:
    store.perform(Insert(NOTE, COLUMNS, [(None, None, 1)] * 3))

    assert store.perform(Delete(NOTE, (), [(1,), (3,), (99,)])) == 2


def test_a_sweep_takes_every_row_that_holds_one_of_the_values(store: Raw) -> None:
    store.perform(Insert(PAIR, ("left", "right"), [(n, t) for n in range(4) for t in "abc"]))

    assert store.perform(Sweep(PAIR, ("left",), [(0,)])) == 3
    assert store.perform(Sweep(PAIR, ("left",), [(1,), (2,), (77,)])) == 6
    assert store.perform(Sweep(PAIR, ("left", "right"), [(3, "a"), (3, "c"), (2, "b")])) == 2
    assert rows(store, PAIR) == [(3, "b")]


def test_many_keys_are_fetched_at_once_each_row_once(store: Raw) -> None:
    store.perform(Insert(PAIR, ("left", "right"), [(n, str(n)) for n in range(3000)]))
    keys = [(n, str(n)) for n in range(0, 6000, 2)]

    both = store.perform(FetchKeys(PAIR, ("right",), ("left", "right"), [*keys, keys[0]]))
    left = store.perform(FetchKeys(PAIR, ("right",), ("left",), [(n,) for n, _ in keys * 2]))

    expected = {(str(n),) for n in range(0, 3000, 2)}
    assert len(both) == len(left) == 1500
    assert set(both) == set(left) == expected


@pytest.mark.parametrize(
    "request_",
    [
        Insert(NOTE, COLUMNS, []),
        Insert(NOTE, ("id", "version"), []),
        Insert(BARE, (), []),
        Update(NOTE, ("text",), ("version",), []),
        Delete(NOTE, ("doc",), []),
        Sweep(PAIR, ("left", "right"), []),
    ],
)
def test_a_write_of_no_rows_writes_none(store: Raw, request_: Any) -> None:
    store.perform(Insert(NOTE, COLUMNS, [(None, None, 1)] * 2))

    assert not store.perform(request_)
    assert [row[-1] for row in rows(store)] == [1, 1]
