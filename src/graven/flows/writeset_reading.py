"""Reading where write sets leave marks: the answer has all of a set in it, or nothing of it.

A document that bears a mark is as it was until the set is decided, and has its new values from
then on, whether they have been written into it or not. Queries return marked documents even where
these do not match, for once they have their new values they may. An answer without marks is taken
as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from graven._hints import Any
from graven.flows.writeset_resolving import resolve
from graven.flows.writeset_world import Patience, World
from graven.ops.conditions import And, Compare, Condition, In, Or, Path, Select
from graven.ops.indexes import unique_columns
from graven.ops.requests import Fetch, FetchKeys, Flow
from graven.ops.schema import Table
from graven.ops.writesets import HOLD, INSERT, MARK, action_of, marked, marks_of, set_of

__all__ = ["fetch", "fetch_keys", "is_marked", "settled", "with_mark"]

Row = tuple[Any, ...]

MARK_PATH = Path((), MARK, "str")


def is_marked() -> Condition:
    """Return the condition that a document bears a mark."""
    return Compare(">", MARK_PATH, "")


def fetch_keys(request: FetchKeys, world: World) -> Flow[list[Row]]:
    """Reply as a :class:`~graven.ops.requests.FetchKeys` does."""
    table, columns, by = marked(request.table), request.columns, request.by
    is_by_key = set(by) == set(table.key)
    also = MARK if not is_by_key and _can_join(request.table) else None
    keys, encoded = request.keys, request.encoded
    rows = yield from FetchKeys(table, (*columns, MARK), by, keys, encoded, also)
    if all(row[-1] is None for row in rows):
        return [row[:-1] for row in rows]
    wide = FetchKeys(table, (*columns, *table.key, MARK), by, keys, encoded, also)
    narrow = None if also is None else FetchKeys(table, table.key, by, keys, encoded)
    return (yield from _with_care(table, columns, wide, lambda _: narrow, world))


def _can_join(table: Table) -> bool:
    """Say whether a document can come to hold a value that it did not hold: not if it is a pair."""
    return len(table.key) < len(table.columns)


def fetch(select: Select, world: World) -> Flow[list[Row]]:
    """Reply as a :class:`~graven.ops.requests.Fetch` does."""
    if select.count:
        return (yield from _count(select, world))
    rows = yield from Fetch(with_mark(select))
    at = len(select.columns)
    if all(row[at] is None for row in rows):
        return [row[:at] + row[at + 1 :] for row in rows]
    return (yield from _fetch_with_care(select, world))


def _count(select: Select, world: World) -> Flow[list[Row]]:
    rows = yield from Fetch(select)
    if not (yield from Fetch(Select(marked(select.table), (MARK,), is_marked(), limit=1))):
        return rows
    found = yield from _fetch_with_care(_changed(select, columns=(), count=False), world)
    return [(len(found),)]


def _fetch_with_care(select: Select, world: World) -> Flow[list[Row]]:
    table, key, where = marked(select.table), select.table.key, select.where
    wide = _changed(with_mark(select, key), limit=None, offset=0)

    def narrow(marks: set[str]) -> Fetch | None:
        if where is None:
            return None
        return Fetch(Select(table, key, And((In(MARK_PATH, tuple(marks)), where))))

    found = yield from _with_care(table, select.columns, Fetch(wide), narrow, world)
    last = None if select.limit is None else select.offset + select.limit
    return found[select.offset : last]


def with_mark(select: Select, columns: Sequence[str] = (), widened: bool = True) -> Select:
    """Return the select that returns *columns* and the mark too; *widened*, all that bear one."""
    where = select.where
    if widened and where is not None:
        where = Or((where, is_marked()))
    shown = (*select.columns, *columns, MARK)
    return _changed(select, table=marked(select.table), columns=shown, where=where)


def _with_care(
    table: Table,
    columns: tuple[str, ...],
    wide: Fetch | FetchKeys,
    narrow: Callable[[set[str]], Fetch | FetchKeys | None],
    world: World,
) -> Flow[list[Row]]:
    """Answer where there are marks: see which sets they are of, and which documents match.

    *wide* finds all that may match, with *columns*, key and mark. *narrow* finds the keys of what
    matches as it is stored; there is none if all that is found does. That cannot be told while a
    document holds two values of a column.
    """
    at, end = len(columns), len(columns) + len(table.key)
    patience = Patience(world, "read")
    while True:
        rows = yield from wide
        marks = marks_of(row[end] for row in rows)
        judge = narrow(marks) if marks else None
        is_told = judge is None or all(action_of(one) != HOLD for one in marks)
        fits = set((yield from judge)) if judge is not None and is_told else None
        live = yield from resolve(table, marks, world)
        if is_told and live == {set_of(one) for one in marks}:
            kept = [row for row in rows if row[end] is None or fits is None or row[at:end] in fits]
            return [row[:at] + row[end:] for row in visible(table, columns, kept, end)]
        yield from patience.wait(bool(live))


def visible(table: Table, columns: Sequence[str], rows: Iterable[Row], at: int) -> Iterable[Row]:
    """Yield *rows*, marked by sets that are under way, as they were before; *at* is their mark.

    The mark is left out. Documents that are only to be inserted are not there yet.
    """
    unique = unique_columns(table)
    for row in rows:
        left = row[at]
        shown = row[:at] + row[at + 1 :]
        if left is None:
            yield shown
        elif action_of(left) == HOLD:
            old = [
                _old(value) if name in unique else value
                for name, value in zip(columns, row, strict=False)
            ]
            yield (*old, *shown[len(old) :])
        elif action_of(left) != INSERT:
            yield shown


def _old(value: Any) -> Any:
    """Return the old one of what a column holds: none, if only a new one is held."""
    if not isinstance(value, list):
        return value
    return value[0] if len(value) > 1 else None


def settled(
    table: Table, columns: tuple[str, ...], rows: Sequence[Row], world: World
) -> Flow[list[Row]]:
    """Reply with what rows of *columns*, the key and the mark stand for, without these."""
    at, end = len(columns), len(columns) + len(table.key)
    marks = marks_of(row[-1] for row in rows)
    if not marks:
        return [row[:at] for row in rows]
    live = yield from resolve(table, marks, world)
    found: list[Row] = []
    for row in rows:
        if row[-1] is None:
            found.append(row[:at])
        elif set_of(row[-1]) in live:
            found += [one[:at] for one in visible(table, columns, [row], end)]
        else:
            found += yield from fetch_keys(
                FetchKeys(table, columns, table.key, [row[at:end]], True), world
            )
    return found


def _changed(select: Select, **changes: Any) -> Select:
    fields = {name: getattr(select, name) for name in Select._fields}
    return Select(**{**fields, **changes})
