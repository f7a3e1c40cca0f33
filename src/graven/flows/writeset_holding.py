"""Unique values that documents of a set exchange for others: both are held until the set ends.

A document that will have another unique value must be sure of it before the decision, and must be
able to keep the old one should the decision be against it. So while it is marked the column holds
a list of both: an index that is unique over the elements of lists gives neither to anybody else.
"""

from __future__ import annotations

from collections.abc import Iterator

from graven._hints import Any
from graven.errors import UsageError
from graven.flows.writeset_members import InTheWay, Member, Members, Refused
from graven.ops.indexes import unique_columns
from graven.ops.requests import FetchKeys, Flow
from graven.ops.schema import Table
from graven.ops.writesets import MARK, UPDATE, marked, marks_of

__all__ = ["hold_unique_values"]

Row = tuple[Any, ...]


def hold_unique_values(members: Members) -> Flow[None]:
    """Read the unique values that members will exchange, and let these hold, and check, them.

    :raises InTheWay: if one of the documents is marked: what it holds is not yet known.
    :raises Refused: if one is not there.
    :raises UsageError: if two columns of one unique index change in one document, or one that is a
        list itself: no list can hold both.
    """
    for table, changing in _changing(members).items():
        unique = unique_columns(table)
        columns = (*table.key, *unique, *([table.version] if table.version else []), MARK)
        keys = [one.key for one in changing]
        rows = yield from FetchKeys(marked(table), columns, table.key, keys, True)
        found = {row[: len(table.key)]: dict(zip(columns, row, strict=True)) for row in rows}
        marks = marks_of(row[-1] for row in rows)
        if marks:
            raise InTheWay(table, marks)
        for member in changing:
            if member.key in found:
                _hold(member, found[member.key], unique)
            elif member.is_exact:
                raise Refused
            else:
                member.action = ""


def _changing(members: Members) -> dict[Table, list[Member]]:
    """Return the members that may change a unique value, or do not know their version, by table."""
    found: dict[Table, list[Member]] = {}
    for member in members:
        if member.action == UPDATE and (
            member.is_blind or not member.values.keys().isdisjoint(unique_columns(member.table))
        ):
            found.setdefault(member.table, []).append(member)
    return found


def _hold(member: Member, row: dict[str, Any], unique: dict[str, tuple[str, ...]]) -> None:
    member.held = dict(_differing(member, row, unique))
    member.seen = {name: row[name] for name in unique if name in member.values}
    for name, columns in unique.items():
        is_list = name in member.held and member.table.column(name).kind == "json"
        if is_list or len(member.held.keys() & set(columns)) > 1:
            raise _cannot_hold(member, columns)
    version = member.table.version
    if version is not None and member.is_blind:
        member.seen[version] = row[version]
        member.values[version] = row[version] + 1


def _differing(
    member: Member, row: dict[str, Any], unique: dict[str, tuple[str, ...]]
) -> Iterator[tuple[str, Any]]:
    for name in unique:
        new = member.values.get(name)
        if new is not None and new != row[name]:
            yield name, row[name]


def _cannot_hold(member: Member, columns: tuple[str, ...]) -> UsageError:
    return UsageError(
        f"cannot change {', '.join(columns)} of {member.table.name} {member.key!r:.100} together "
        "with other documents: it must be unique, and this server has no transactions, so that the "
        "old value and the new one would have to be kept for it until the commit is decided, which "
        "cannot be done for a container, nor for several columns at once. Nothing was written. "
        "Commit this object alone, with session.commit(object), or use a replica set, which may "
        "have one member."
    )
