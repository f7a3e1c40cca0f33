"""A write transaction on a store that has none: its writes are compared, collected, then written.

A commit asks for one where it has to know what becomes of each write: because it was refused and
wants to say why, because keys that the store makes are parts of other rows, or because what it has
read must still hold. Nothing is written before its end, and then all of it as one set, guarded by
what was seen here.
"""

from __future__ import annotations

from collections.abc import Sequence

from graven._hints import Any
from graven.errors import UniqueError
from graven.flows.writeset import write_whole
from graven.flows.writeset_members import Member, Members, Refused, keys_of, twice
from graven.flows.writeset_reading import fetch, fetch_keys
from graven.flows.writeset_world import World
from graven.ops.conditions import Select
from graven.ops.indexes import wanted_indexes
from graven.ops.requests import (
    Delete,
    FetchKeys,
    Flow,
    Insert,
    MakeKeys,
    SnapshotStale,
    Sweep,
    Update,
    Write,
)
from graven.ops.schema import Table
from graven.ops.writesets import DELETE, INSERT

__all__ = ["Rehearsal", "with_keys"]

Row = tuple[Any, ...]


class Rehearsal:
    """The writes of one transaction so far; what it reads must still hold if it *keeps* that."""

    def __init__(self, world: World, keeps: bool) -> None:
        """Begin with no writes."""
        self._world, self._keeps = world, keeps
        self._members = Members()
        self._has_written = False

    @property
    def keeps(self) -> bool:
        """Whether what is read now must still be so when it is written."""
        return self._keeps and not self._has_written

    def fetch_keys(self, request: FetchKeys) -> Flow[list[Row]]:
        """Reply with rows as they would be if what was written so far had been."""
        table, columns, by = request.table, request.columns, request.by
        own, at = self._members.of(table), len(columns)
        shown = (*columns, *table.key)
        asked = FetchKeys(table, shown, by, request.keys, request.encoded)
        rows = yield from fetch_keys(asked, self._world)
        if self.keeps:
            self._keep(table, shown, rows)
        wanted, there = set(request.keys), {row[at:] for row in rows}
        joining = [key for key, one in own.items() if key not in there and _has(one, by, wanted)]
        old = [key for key in joining if own[key].action != INSERT]
        if old:
            asked = FetchKeys(table, shown, table.key, old, True)
            rows += yield from fetch_keys(asked, self._world)
        found = [
            _with_values(columns, row, own.get(row[at:]))
            for row in rows
            if row[at:] not in own or not _leaves(own[row[at:]], by, wanted)
        ]
        empty = (None,) * at
        new = (own[key] for key in joining if own[key].action == INSERT)
        return found + [_with_values(columns, empty, member) for member in new]

    def _keep(self, table: Table, columns: tuple[str, ...], rows: Sequence[Row]) -> None:
        """Let rows that were read, and end with their keys, be as they are until the end."""
        version = table.version
        for row in rows:
            values = dict(zip(columns, row, strict=True))
            guards = {version: values[version]} if version in values else {}
            self._members.check(table, row[-len(table.key) :], guards)

    def fetch_locked(self, select: Select) -> Flow[list[Row]]:
        """Reply with rows that must still be as they are when it is written: others may be faster.

        Nobody is kept from anything, so nobody is waited for, and nobody's rows are left out.
        """
        table, at = select.table, len(select.columns)
        version = (table.version,) if table.version else ()
        fields = {name: getattr(select, name) for name in Select._fields}
        columns = (*select.columns, *version, *table.key)
        whole = Select(**{**fields, "columns": columns, "lock": None})
        rows = yield from fetch(whole, self._world)
        self._keep(table, columns, [row[: len(columns)] for row in rows])
        return [row[:at] + row[len(columns) :] for row in rows]

    def write(self, write: Write | Sweep) -> Flow[Any]:
        """Reply as the store would, and keep the write for the end.

        :raises UniqueError: if a value is taken.
        """
        self._has_written = True
        if isinstance(write, Insert):
            drawn, keys = yield from with_keys(write)
            yield from self._check_free(drawn, drawn.columns, drawn.rows)
            self._members.add(drawn, True)
            return keys
        if isinstance(write, Sweep):
            table = write.table
            asked = FetchKeys(table, table.key, write.by, write.rows, True)
            swept = yield from fetch_keys(asked, self._world)
            self._members.sweep(write, swept)
            return len(swept)
        return (yield from self._change(write))

    def _change(self, write: Update | Delete) -> Flow[int]:
        table, size = write.table, len(write.table.key)
        version = (table.version,) if table.version else ()
        columns = tuple(dict.fromkeys((*table.key, *write.guards, *version)))
        asked = FetchKeys(table, columns, table.key, keys_of(write), True)
        rows = yield from fetch_keys(asked, self._world)
        found = {row[:size]: dict(zip(columns, row, strict=True)) for row in rows}
        matching = [row for row in write.rows if self._fits(write, row, found)]
        is_exact = isinstance(write, Update) or bool(write.guards)
        if isinstance(write, Update):
            yield from self._check_free(write, (*write.columns, *table.key), matching)
            fitting: Update | Delete = Update(table, write.columns, write.guards, matching)
        else:
            fitting = Delete(table, write.guards, matching)
        matched = self._members.add(fitting, is_exact)
        for key in keys_of(fitting):
            member = self._members.of(table).get(key)
            if member is not None and member.is_blind and version:
                member.guards[version[0]] = found[key][version[0]]
                member.values[version[0]] = found[key][version[0]] + 1
                member.is_blind = False
        return matched

    def _fits(self, write: Update | Delete, row: Row, found: dict[Row, dict[str, Any]]) -> bool:
        """Say whether the document is there, and its guards hold; those set here are joined."""
        first = len(write.columns) if isinstance(write, Update) else 0
        last = first + len(write.table.key)
        member = self._members.of(write.table).get(row[first:last])
        own: dict[str, Any] = {} if member is None else member.values
        there = found.get(row[first:last])
        if there is None:
            return bool(own)
        guards = zip(write.guards, row[last:], strict=True)
        return all(own.get(name, there[name]) == value for name, value in guards)

    def _check_free(
        self, write: Insert | Update, columns: tuple[str, ...], rows: Sequence[Row]
    ) -> Flow[None]:
        """See that no other document has the key, or a unique value, of one of *rows*."""
        table = write.table
        uniques = [names for names, is_unique in wanted_indexes(table) if is_unique]
        if isinstance(write, Insert):
            uniques.insert(0, table.key)
        elif all(set(names).isdisjoint(write.columns) for names in uniques):
            return
        for names in uniques:
            if set(names) <= set(columns):
                wanted = _values(names, columns, rows)
                own = {} if names == table.key else _values(table.key, columns, rows)
                yield from self._refuse_taken(table, names, wanted, own)

    def _refuse_taken(
        self, table: Table, names: tuple[str, ...], wanted: dict[int, Row], own: dict[int, Row]
    ) -> Flow[None]:
        values = {value: at for at, value in wanted.items() if None not in value}
        if len(values) < sum(None not in value for value in wanted.values()):
            raise twice(table, names)
        if not values:
            return
        asked = FetchKeys(table, (*names, *table.key), names, list(values), True)
        size = len(names)
        members = self._members.of(table)
        rows = yield from fetch_keys(asked, self._world)
        for key, member in members.items():
            if _has(member, names, set(values)):
                rows.append((*(member.values[name] for name in names), *key))
        for row in rows:
            holder = members.get(row[size:])
            is_replaced = names == table.key and holder is not None and holder.action == DELETE
            if own.get(values[row[:size]]) != row[size:] and not is_replaced:
                raise _taken(table, names)

    def commit(self) -> Flow[None]:
        """Write what was collected, or nothing.

        :raises SnapshotStale: if something is not as it was seen any more.
        """
        if not len(self._members):
            return
        try:
            yield from write_whole(self._members, self._world)
        except Refused as refused:
            raise SnapshotStale(
                "a commit of several documents was refused, because one of them has changed "
                "between the first look at it and the commit; usually many change the same; "
                "nothing was written; try again"
            ) from refused.cause


def with_keys(write: Any) -> Flow[tuple[Any, list[object]]]:
    """Reply with the write with keys in it, and with those, where the store is to make them."""
    table = write.table
    if not isinstance(write, Insert) or not table.store_made or table.key[0] in write.columns:
        return write, []
    keys = list((yield from MakeKeys(table, len(write.rows))))
    rows = [(key, *row) for key, row in zip(keys, write.rows, strict=True)]
    return Insert(table, (*table.key, *write.columns), rows, write.ordinals), keys


def _has(member: Member, names: tuple[str, ...], wanted: set[Row]) -> bool:
    """Say whether a member will have one of the values *wanted* in columns that it sets."""
    if not all(name in member.values for name in names):
        return False
    return tuple(member.values[name] for name in names) in wanted


def _leaves(member: Member, names: tuple[str, ...], wanted: set[Row]) -> bool:
    """Say whether a member goes, or will have none of the values *wanted* any more."""
    is_set = all(name in member.values for name in names)
    return member.action == DELETE or (is_set and not _has(member, names, wanted))


def _with_values(columns: tuple[str, ...], row: Row, member: Member | None) -> Row:
    """Return a row of *columns*, at least, with what a member sets in its place."""
    if member is None:
        return row[: len(columns)]
    pairs = zip(columns, row, strict=False)
    return tuple(member.values.get(name, value) for name, value in pairs)


def _values(
    names: tuple[str, ...], columns: tuple[str, ...], rows: Sequence[Row]
) -> dict[int, Row]:
    places = [columns.index(name) for name in names]
    return {number: tuple(row[at] for at in places) for number, row in enumerate(rows)}


def _taken(table: Table, names: tuple[str, ...]) -> UniqueError:
    return UniqueError(
        f"a commit was to write to {table.name}: {', '.join(names)} must be unique, and another "
        "document has the same; usually that document, or another session, was first; nothing was "
        "written; choose another value, or change that document",
        statement=f"write {table.name}",
        table=table.name,
        columns=names,
    )
