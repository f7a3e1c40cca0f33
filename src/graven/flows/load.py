"""Fetch rows, and the rows that belong to them, level by level.

One query for each table and level.
"""

from __future__ import annotations

from collections.abc import Sequence

from graven.core.query import Load
from graven.ops.conditions import Select
from graven.ops.requests import Execute, Fetch, FetchKeys, Flow, Inspect
from graven.ops.schema import Table

__all__ = ["Loaded", "fetch", "fetch_by_keys", "fetch_statement", "has_table", "include"]

Row = tuple[object, ...]


class Loaded:
    """The rows found for one include: the pairs of a link table if there is one, the rows.

    And those of its own includes.
    """

    __slots__ = ("inner", "pairs", "rows")

    def __init__(self, rows: list[Row], pairs: list[Row], inner: list[Loaded]) -> None:
        """Keep what was found."""
        self.rows, self.pairs, self.inner = rows, pairs, inner


def fetch(select: Select, loads: Sequence[Load]) -> Flow[tuple[list[Row], list[Loaded]]]:
    """Fetch the rows of a select and those of its includes."""
    rows = yield from Fetch(select)
    loaded = yield from include(rows, loads)
    return rows, loaded


def fetch_by_keys(
    table: Table,
    columns: tuple[str, ...],
    by: tuple[str, ...],
    keys: Sequence[Row],
    loads: Sequence[Load],
) -> Flow[tuple[list[Row], list[Loaded]]]:
    """Fetch the rows with certain keys, in Python form, and those of its includes."""
    rows = yield from FetchKeys(table, columns, by, keys)
    loaded = yield from include(rows, loads)
    return rows, loaded


def fetch_statement(statement: str, parameters: object) -> Flow[tuple[list[Row], tuple[str, ...]]]:
    """Execute a statement of the user's own."""
    reply = yield from Execute(statement, parameters)  # type: ignore[arg-type]
    return reply


def has_table(name: str) -> Flow[bool]:
    """Say whether the store has a table of that name."""
    shape = yield from Inspect(name)
    return shape is not None


def include(rows: Sequence[Row], loads: Sequence[Load]) -> Flow[list[Loaded]]:
    """Fetch the rows that belong to *rows*."""
    found = []
    for load in loads:
        positions = load.given
        keys = list(dict.fromkeys(tuple(row[at] for at in positions) for row in rows))
        wanted: Sequence[Row] = [key for key in keys if None not in key]
        pairs: list[Row] = []
        if load.link is not None:
            table, own, members = load.link
            pairs = yield from _look_up(table, (*own, *members), own, wanted)
            wanted = list(dict.fromkeys(pair[len(own) :] for pair in pairs))
        found_rows = yield from _look_up(load.table, load.columns, load.by, wanted)
        inner = yield from include(found_rows, load.inner)
        found.append(Loaded(found_rows, pairs, inner))
    return found


def _look_up(
    table: Table, columns: tuple[str, ...], by: tuple[str, ...], keys: Sequence[Row]
) -> Flow[list[Row]]:
    if not keys:
        return []
    return (yield from FetchKeys(table, columns, by, keys, True))
