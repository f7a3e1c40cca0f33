"""What must be right before a write set is decided: its values, and its references.

What is referred to must be there, and must not go meanwhile.

Who refers and who deletes each show first what they are about to do, and then look at the other:
a new document that refers is there, marked, before its target is looked up, and a document to be
deleted is marked before those that refer to it are looked for. So at least one of them sees the
other. A document that changes its reference does not show that; it marks its new target instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from graven._hints import Any
from graven.core.values import ABSENT
from graven.errors import CheckError, ForeignKeyError, NotNullError
from graven.flows.diagnose import blame
from graven.flows.writeset_members import InTheWay, Member, Members
from graven.ops.requests import FetchKeys, Flow, Orphan, Referrers
from graven.ops.schema import Reference, Table
from graven.ops.writesets import (
    DELETE,
    INSERT,
    MARK,
    UPDATE,
    action_of,
    marked,
    marks_of,
    plain,
    set_of,
)

__all__ = ["check_references", "check_values", "keep_targets"]

Row = tuple[Any, ...]
Wanted = dict[Row, tuple[Member, Reference]]
"""Keys that are referred to, each with one who refers."""


def keep_targets(members: Members) -> None:
    """Let the new targets of changed references be marked too, so that nobody deletes them."""
    own = members.by_name()
    for member in list(members):
        if member.action == UPDATE:
            for reference, value in _referred(member):
                if (reference.table, value) not in own:
                    target = plain(reference.table, reference.target)
                    members.keep(target, value)


def check_values(members: Members) -> None:
    """See that new values are such as their columns may have, for once decided they must be.

    A store may not look at what is only to be set later. New documents it does look at.

    :raises NotNullError: if one is missing.
    :raises CheckError: if one is no choice of its enumeration.
    """
    for member in members:
        for column in member.table.columns if member.action == UPDATE else ():
            value = member.values.get(column.name, ABSENT)
            if value is None and not column.nullable:
                raise _unfit(NotNullError, member, column.name, "must not be null")
            if column.choices and value not in (ABSENT, None, *column.choices):
                what = f"must be one of {', '.join(map(repr, column.choices))}, not {value!r:.100}"
                raise _unfit(CheckError, member, column.name, what)


def _unfit(
    kind: type[NotNullError | CheckError], member: Member, column: str, what: str
) -> NotNullError | CheckError:
    return kind(
        f"a commit was to write {member.table.name} {member.key!r:.100}: {column} {what}; usually "
        "the value was never set, or came from somewhere unchecked; nothing was written; give the "
        "field a value that its declaration allows",
        statement=f"write {member.table.name}",
        table=member.table.name,
        columns=(column,),
    )


def check_references(set_id: str, members: Members) -> Flow[None]:
    """See that nothing refers to what is not there, or would not be any more.

    :raises ForeignKeyError: if something does.
    :raises InTheWay: if that depends on the outcome of another set.
    """
    own = members.by_name()
    wanted: dict[tuple[str, tuple[str, ...]], Wanted] = {}
    deleted: dict[Table, list[Row]] = {}
    for member in members:
        if member.action == DELETE:
            deleted.setdefault(member.table, []).append(member.key)
        for reference, value in _referred(member):
            known = own.get((reference.table, value))
            if known is None or known.action != INSERT:
                target = reference.table, reference.target
                wanted.setdefault(target, {})[value] = member, reference
    for (name, key), values in wanted.items():
        yield from _check_targets(set_id, plain(name, key), values)
    for table, keys in deleted.items():
        for child in (yield from Referrers(table.name)):
            for reference in child.references:
                if reference.table == table.name:
                    yield from _check_referrers(set_id, own, child, reference, keys)


def _referred(member: Member) -> Iterator[tuple[Reference, Row]]:
    """Yield the references that a member sets, with the key that each leads to."""
    values = member.values if member.action else {}
    for reference in member.table.references:
        if any(name in values for name in reference.columns):
            value = tuple(values.get(name) for name in reference.columns)
            if None not in value:
                yield reference, value


def _check_targets(set_id: str, table: Table, values: Wanted) -> Flow[None]:
    columns = (*table.key, MARK)
    rows = yield from FetchKeys(table, columns, table.key, list(values), True)
    found = {row[:-1]: row[-1] for row in rows}
    doubtful = {
        left
        for left in marks_of(found.values())
        if set_of(left) != set_id and action_of(left) in (INSERT, DELETE)
    }
    if doubtful:
        raise InTheWay(table, doubtful)
    for value, (member, reference) in values.items():
        left: Any = found.get(value)
        is_going = left is not None and action_of(left) == DELETE
        if value not in found or is_going:
            raise _leads_nowhere(member.table, member.key, reference, value)


def _check_referrers(
    set_id: str,
    own: dict[tuple[str, Row], Member],
    child: Table,
    reference: Reference,
    keys: Sequence[Row],
) -> Flow[None]:
    columns = (*child.key, *reference.columns, MARK)
    rows = yield from FetchKeys(marked(child), columns, reference.columns, keys, True)
    others = {one for one in marks_of(row[-1] for row in rows) if set_of(one) != set_id}
    if others:
        raise InTheWay(child, others)
    size = len(child.key)
    for row in rows:
        member = own.get((child.name, row[:size]))
        changes = member is not None and (
            member.action == DELETE
            or (member.action == UPDATE and not set(reference.columns).isdisjoint(member.values))
        )
        if not changes:
            raise _leads_nowhere(child, row[:size], reference, row[size:-1])


def _leads_nowhere(child: Table, key: Row, reference: Reference, value: Row) -> ForeignKeyError:
    orphan = Orphan(child.name, key, reference.columns, reference.table, value)
    return blame((orphan,), ForeignKeyError("", statement="commit"))
