"""Fetch rows, and the rows that belong to them, level by level.

One query for each table and level.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import itemgetter

from graven._hints import Any
from graven.core.query import Load
from graven.ops.conditions import Select
from graven.ops.requests import Documents, Execute, Fetch, FetchKeys, Flow, Inspect
from graven.ops.schema import Table

__all__ = [
    "Loaded",
    "fetch",
    "fetch_by_keys",
    "fetch_one_key",
    "fetch_raw",
    "fetch_statement",
    "has_table",
    "include",
    "lists_read",
]

Row = tuple[object, ...]


class Loaded:
    """The rows found for one include: link pairs if any, rows, and those of its includes."""

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


def fetch_one_key(table: Table, columns: tuple[str, ...], keys: tuple[Row, ...]) -> Flow[list[Row]]:
    """Fetch the row with a key of the table, in Python form."""
    return iter(FetchKeys(table, columns, table.key, keys))


def fetch_statement(statement: str, parameters: Any) -> Flow[tuple[list[Row], tuple[str, ...]]]:
    """Execute a statement of the user's own."""
    return (yield from Execute(statement, parameters))


def fetch_raw(request: Execute | Documents) -> Flow[tuple[list[Row], tuple[str, ...]]]:
    """Send what the user has said himself."""
    return (yield from request)


def has_table(name: str) -> Flow[bool]:
    """Say whether the store has a table of that name."""
    shape = yield from Inspect(name)
    return shape is not None


def include(rows: Sequence[Row], loads: Sequence[Load]) -> Flow[list[Loaded]]:
    """Fetch the rows that belong to *rows*."""
    found = []
    for load in loads:
        wanted = _distinct(rows, load.given)
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


def lists_read(
    rows: Sequence[Row], loads: Sequence[Load], loaded: Sequence[Loaded]
) -> Iterator[tuple[str, FetchKeys, list[Row]]]:
    """Yield what :func:`include` asked for the lists of *rows*: table, question and answer.

    Answers hold keys and versions only. References are left out: what they lead to is known by key.
    """
    for load, found in zip(loads, loaded, strict=True):
        table, keys = load.table, _distinct(rows, load.given)
        if load.link is not None:
            pairs, own, members = load.link
            yield table.name, FetchKeys(pairs, (*own, *members), own, keys, True), found.pairs
        elif load.by != table.key:
            columns = (*table.key, *((table.version,) if table.version else ()))
            positions = tuple(map(load.columns.index, columns))
            answer = [tuple(row[at] for at in positions) for row in found.rows]
            yield table.name, FetchKeys(table, columns, load.by, keys, True), answer
        yield from lists_read(found.rows, load.inner, found.inner)


def _distinct(rows: Sequence[Row], positions: Sequence[int]) -> list[Row]:
    """Return the keys that rows have at *positions*, each once, without those that lack a part."""
    values = dict.fromkeys(map(itemgetter(*positions), rows))
    if len(positions) == 1:
        return [(value,) for value in values if value is not None]
    return [key for key in values if None not in key]
