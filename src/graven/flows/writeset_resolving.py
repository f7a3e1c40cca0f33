"""What to do about a mark: find out what became of its set, and finish what nobody else will."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from graven._hints import Any
from graven.flows.writeset_world import World
from graven.ops.conditions import Select
from graven.ops.requests import Delete, Fetch, FetchKeys, Flow, Update
from graven.ops.schema import Table
from graven.ops.writesets import (
    ABORTED,
    CHECK,
    COMMITTED,
    DELETE,
    HOLD,
    INSERT,
    MARK,
    NEXT,
    PREPARED,
    UPDATE,
    WRITE_SETS,
    Recovered,
    action_of,
    mark,
    marked,
    marks_of,
    plain,
    set_of,
)

__all__ = [
    "Outcome",
    "finish",
    "finish_found",
    "recover_write_sets",
    "resolve",
]

Row = tuple[Any, ...]

CHANGES = (INSERT, UPDATE, HOLD, DELETE)


class Outcome:
    """An entry of the log: its state, when it may be aborted, and the tables it marks."""

    __slots__ = ("due", "set_id", "state", "tables")

    def __init__(
        self, set_id: str, state: str, tables: Iterable[Sequence[Any]], due: int = 0
    ) -> None:
        """Keep what the entry says; *tables* are pairs of a name and the key's columns."""
        self.set_id, self.state, self.due = set_id, state, due
        self.tables = [(name, tuple(key)) for name, key in tables]


def resolve(table: Table, marks: Iterable[str], world: World) -> Flow[set[str]]:
    """Finish the sets that left *marks* on documents of *table*, if they are for anybody to finish.

    Replies with the ids of those that are under way. Of these the old values are the truth; all
    others had ended before, or have now: what they marked has to be read again.
    """
    ids = {set_of(one) for one in marks}
    known = {one.set_id: one for one in (yield from _look_up(sorted(ids)))}
    for set_id in sorted(ids - known.keys()):
        # Nothing can decide over a set that has no entry, and every member of one that was
        # committed was applied before its entry went: this one never came to its decision.
        yield from _undo(table.name, table.key, set_id)
    for outcome in known.values():
        yield from finish(outcome, world)
    return {set_id for set_id, one in known.items() if one.state == PREPARED}


def recover_write_sets(world: World, tables: Iterable[Table] = ()) -> Flow[Recovered]:
    """Finish every set that was decided, take back every one that nobody will decide any more.

    Those that are under way are left alone until they are due. Marks that a process left on
    documents of *tables* after its set was aborted are taken away too. Any number may recover at
    once: together they do everything once.
    """
    columns = tuple(column.name for column in WRITE_SETS.columns)
    rows = yield from Fetch(Select(WRITE_SETS, columns))
    counts = Counter[str]()
    for outcome in map(_outcome, rows):
        yield from finish(outcome, world)
        counts[outcome.state] += 1
    for table in tables:
        yield from _resolve_left(table, world)
    return Recovered(counts[COMMITTED], counts[ABORTED], counts[PREPARED])


def _resolve_left(table: Table, world: World) -> Flow[None]:
    from graven.flows.writeset_reading import is_marked

    rows = yield from Fetch(Select(marked(table), (MARK,), is_marked()))
    if rows:
        yield from resolve(table, marks_of(row[0] for row in rows), world)


def finish(outcome: Outcome, world: World) -> Flow[None]:
    """Finish a set, if it is for anybody to finish; *outcome* then says how it has ended."""
    if outcome.state == PREPARED:
        if outcome.due > world.now_ms():
            return
        row = (ABORTED, outcome.set_id, PREPARED)
        if (yield from Update(marked(WRITE_SETS), ("state",), ("state",), [row])):
            outcome.state = ABORTED
        else:
            found = yield from _look_up([outcome.set_id])
            outcome.state = found[0].state if found else ABORTED
    yield from finish_found(outcome)


def finish_found(outcome: Outcome) -> Flow[None]:
    """Apply, or take back, what a set has marked, and delete its entry."""
    if outcome.state == COMMITTED:
        # What was only to stay, because others refer to it now, stays until they do.
        for actions in (CHANGES, (CHECK,)):
            for name, key in outcome.tables:
                yield from _redo(name, key, outcome.set_id, actions)
    else:
        for name, key in outcome.tables:
            yield from _undo(name, key, outcome.set_id)
    yield from Delete(marked(WRITE_SETS), (), [(outcome.set_id,)])


def _look_up(ids: Sequence[str]) -> Flow[list[Outcome]]:
    columns = tuple(column.name for column in WRITE_SETS.columns)
    keys = [(one,) for one in ids]
    rows = yield from FetchKeys(WRITE_SETS, columns, WRITE_SETS.key, keys, True)
    return [_outcome(row) for row in rows]


def _outcome(row: Row) -> Outcome:
    set_id, state, _, due, tables = row
    return Outcome(set_id, state, tables, due)


def _redo(name: str, key: tuple[str, ...], set_id: str, actions: Sequence[str]) -> Flow[None]:
    rows = yield from _found(name, key, set_id, actions)
    gone = [row[:-1] for row in rows if action_of(row[-2]) == DELETE]
    others = [row for row in rows if action_of(row[-2]) != DELETE]
    yield from _remove(name, key, gone)
    yield from _set(name, key, [(row[:-1], row[-1][0] if row[-1] else ()) for row in others])


def _undo(name: str, key: tuple[str, ...], set_id: str) -> Flow[None]:
    rows = yield from _found(name, key, set_id, (*CHANGES, CHECK))
    gone = [row[:-1] for row in rows if action_of(row[-2]) == INSERT]
    others = [row for row in rows if action_of(row[-2]) != INSERT]
    yield from _remove(name, key, gone)
    yield from _set(name, key, [(row[:-1], row[-1][1] if row[-1] else ()) for row in others])


def _found(name: str, key: tuple[str, ...], set_id: str, actions: Sequence[str]) -> Flow[list[Row]]:
    """Reply with the key, mark and new values of every document that a set has marked."""
    marks = [(mark(set_id, action),) for action in actions]
    table = plain(name, key)
    return (yield from FetchKeys(table, (*key, MARK, NEXT), (MARK,), marks, True))


def _remove(name: str, key: tuple[str, ...], rows: Sequence[Row]) -> Flow[None]:
    if rows:
        yield from Delete(plain(name, key), (MARK,), rows)


def _set(name: str, key: tuple[str, ...], rows: Sequence[tuple[Row, Sequence[Any]]]) -> Flow[None]:
    """Take marks away, and set columns: to triples of column, kind and value, for each row."""
    alike: dict[tuple[tuple[str, str], ...], list[Row]] = {}
    for row, sets in rows:
        values = (value for _, _, value in sets)
        columns = tuple((column, kind) for column, kind, _ in sets)
        alike.setdefault(columns, []).append((*values, None, None, *row))
    for columns, changed in alike.items():
        names = (*(column for column, _ in columns), MARK, NEXT)
        yield from Update(plain(name, key, columns), names, (MARK,), changed)
