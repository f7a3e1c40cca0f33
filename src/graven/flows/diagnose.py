"""Finding out who is to blame for a commit that was refused: for references, or for values taken.

SQLite checks references at the commit, says only that one failed, and keeps the transaction open:
so it can be asked, before the rollback, which rows refer to nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from graven._hints import Any
from graven.core.plan import Group, Plan
from graven.errors import ForeignKeyError, UniqueError
from graven.ops.requests import Delete, FetchKeys, Flow, Insert, Inspect, Orphan, Orphans, Update
from graven.ops.schema import Table

__all__ = ["blame", "suspects", "take_blame", "who_has", "who_refers"]

Row = tuple[Any, ...]


def suspects(plan: Plan) -> tuple[list[Table], set[str]]:
    """Return the tables that a plan may leave with references to nothing, and those it writes."""
    tables: dict[Table, None] = {}
    for step in plan.steps:
        tables[step.write.table] = None
    for group in plan.groups:
        root = group.mapper.root
        tables.update((child.table, None) for child, _ in root.referrers)
        tables.update((table, None) for table, _ in root.link_ends)
    return list(tables), {step.write.table.name for step in plan.steps}


def who_refers(tables: Iterable[Table], written: Collection[str]) -> Flow[tuple[Orphan, ...]]:
    """Return rows of *tables* that refer to rows that are not there, at most 20.

    To be run after a failed commit, while its transaction is still open. *written* names the tables
    that it wrote to: only these, and those that refer to them, are looked through.
    """
    doubtful = [
        table
        for table in tables
        if table.references
        and (table.name in written or any(r.table in written for r in table.references))
    ]
    there: dict[Table, None] = {}
    for table in doubtful:
        if (yield from Inspect(table.name)) is not None:
            there[table] = None
    return tuple((yield from Orphans(tuple(there)))) if there else ()


def blame(orphans: tuple[Orphan, ...], error: ForeignKeyError) -> ForeignKeyError:
    """Return *error* with the first of *orphans* named, or as it is if there are none.

    ``table`` and ``key`` are what is referred to and missing, ``columns`` hold the reference,
    ``referrer`` is the row that refers.
    """
    if not orphans:
        return error
    first = orphans[0]
    others = f", and {len(orphans) - 1} more rows like it" if len(orphans) > 1 else ""
    referrer = f"{first.table} {_key(first.key)}"
    return ForeignKeyError(
        f"a commit was refused: {referrer} refers by {', '.join(first.columns)} to {first.target} "
        f"{_key(first.missing)}, which is not there{others}; usually what is still referred to "
        f"was deleted, "
        f"or a reference was set to something that was never stored; delete or change what refers "
        f"too, or declare the reference on_delete='cascade' or 'set_null'",
        statement=error.statement,
        model=error.model,
        table=first.target,
        key=_alone(first.missing),
        columns=first.columns,
        referrer=referrer,
    )


def _alone(key: tuple[object, ...]) -> object:
    return key[0] if len(key) == 1 else key


def _key(key: tuple[object, ...]) -> str:
    return repr(_alone(key))


def who_has(operation: Insert | Update, error: UniqueError) -> Flow[list[tuple[int, Row | None]]]:
    """Return which rows of *operation* want a value that is taken, each with the row that has it.

    ``None`` stands for an earlier row of the same operation. Nothing is returned where the store
    did not say which columns it is about.
    """
    table, columns = operation.table, error.columns or ()
    names = operation.columns
    if isinstance(operation, Update):
        names = (*names, *table.key)
    if error.table != table.name or not columns or not set(columns) <= set(names):
        return []
    wanted = [tuple(row[names.index(name)] for name in columns) for row in operation.rows]
    whole = [(at, value) for at, value in enumerate(wanted) if None not in value]
    first: dict[Row, int] = {}
    twice = [at for at, value in whole if first.setdefault(value, at) != at]
    if twice:
        return [(at, None) for at in twice]
    every = tuple(column.name for column in table.columns)
    rows = yield from FetchKeys(table, every, columns, list(first), True)
    positions = [every.index(name) for name in columns]
    holders = {tuple(row[at] for at in positions): row for row in rows}
    return [
        (at, holders[value])
        for at, value in whole
        if value in holders and not _is_that(operation.rows[at], names, holders[value], every)
    ]


def _is_that(mine: Row, names: tuple[str, ...], found: Row, every: tuple[str, ...]) -> bool:
    """Say whether the row found is the one that the operation itself has just written."""
    return all(found[every.index(name)] == mine[at] for at, name in enumerate(names))


def _gives_up(plan: Plan, table: Table, columns: tuple[str, ...], holder: Row | None) -> bool:
    """Say whether *plan* itself changes the *columns* of the row *holder*, or deletes it."""
    if holder is None:
        return False
    key = _key_in(table, holder)
    for step in plan.steps:
        write = step.write
        if write.table is table and isinstance(write, Update | Delete):
            first = len(write.columns) if isinstance(write, Update) else 0
            changes = first == 0 or not set(columns).isdisjoint(getattr(write, "columns", ()))
            if changes and any(row[first : first + len(key)] == key for row in write.rows):
                return True
    return False


def _key_in(table: Table, row: Row) -> Row:
    every = [column.name for column in table.columns]
    return tuple(row[every.index(name)] for name in table.key)


def take_blame(
    plan: Plan, group: Group, taken: list[tuple[int, Row | None]], error: UniqueError
) -> UniqueError:
    """Return *error* with an object of *group* named, and who has what it wants.

    *taken* is what :func:`who_has` has found, not empty.
    """
    mapper, columns = group.mapper, error.columns or ()
    table = mapper.table
    given_up = [_gives_up(plan, table, columns, holder) for _, holder in taken]
    first = given_up.index(False) if False in given_up else 0
    at, holder = taken[first]
    key = mapper.key_of(group.records[at].instance)
    who = "another object of the same commit"
    usually = "usually it was stored before, or somebody else was first"
    remedy = "choose another value, or load that one with session.get and change it"
    if holder is not None:
        who = f"{table.name} {_key(_key_in(table, holder))}"
    if given_up[first]:
        usually = "that one gives it up only in this same commit, and nothing can stand in for it"
        remedy = "give that one another value and call session.flush(), then change this one"
    return UniqueError(
        f"cannot write {mapper.name} {key!r}: its {', '.join(columns)} must be unique, and {who} "
        f"has the same; {usually}; nothing was written; {remedy}",
        statement=error.statement,
        model=mapper.name,
        key=key,
        table=table.name,
        columns=columns,
        constraint=error.constraint,
    )
