"""Write a plan: one transaction, every row guarded, all or nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from graven.core.conflicts import Loser, LostRace
from graven.core.mapper import Mapper
from graven.core.planner import Plan, Step
from graven.errors import BusyRetry
from graven.ops.conditions import Select
from graven.ops.requests import (
    Begin,
    Commit,
    Delete,
    Fetch,
    FetchKeys,
    Flow,
    Insert,
    Later,
    Rollback,
    Sweep,
    Update,
)
from graven.ops.value import Value

__all__ = ["Checks", "ReadKeys", "commit", "commit_after_reading", "in_transaction", "write"]

R = TypeVar("R")
Row = tuple[Any, ...]


class ReadKeys(Value):
    """Records that were read: their keys, and the version each was read at.

    0 if it was not there.
    """

    mapper: Mapper
    expected: dict[Any, int]
    key_row: Callable[[Any], Row]


class Checks(Value):
    """What must still be as it was read, besides what is written: records.

    And answers of queries.
    """

    reads: Sequence[ReadKeys] = ()
    queries: Sequence[tuple[Mapper, Select, list[Row]]] = ()


def in_transaction(body: Flow[R]) -> Flow[R]:
    """Run *body* inside a transaction that may write; commit it, or roll it back."""
    yield from Begin(True)
    try:
        result = yield from body
        yield from Commit()
    except GeneratorExit:
        raise  # dropped, not failed: a crash never cleans up
    except BaseException:
        yield from Rollback()
        raise
    return result


def commit(plan: Plan, checks: Checks) -> Flow[dict[int, object]]:
    """Check and write in one transaction.

    A plan of one plain row needs no transaction of its own.
    """
    if plan.is_single and not checks.reads and not checks.queries:
        return (yield from write(plan))
    return (yield from in_transaction(_checked(plan, checks)))


def commit_after_reading(plan: Plan, checks: Checks) -> Flow[dict[int, object]]:
    """Write in the transaction in which was read; if others have written since.

    Check what was read in a new one.

    The store lets a reading transaction go on to write only if nobody has written since it began:
    then all that was read still holds.
    """
    try:
        made = yield from write(plan)
        yield from Commit()
    except GeneratorExit:
        raise
    except BusyRetry:
        yield from Rollback()
        return (yield from in_transaction(_checked(plan, checks)))
    except BaseException:
        yield from Rollback()
        raise
    return made


def _checked(plan: Plan, checks: Checks) -> Flow[dict[int, object]]:
    yield from _check_reads(checks)
    return (yield from write(plan))


def _check_reads(checks: Checks) -> Flow[None]:
    losers: list[Loser] = []
    for read in checks.reads:
        table = read.mapper.table
        expected = {read.key_row(key): (key, version) for key, version in read.expected.items()}
        columns = (*table.key, table.version or table.key[0])
        rows = yield from FetchKeys(table, columns, table.key, list(expected), True)
        found = {row[:-1]: row[-1] for row in rows}
        for row, (key, version) in expected.items():
            if found.get(row, 0) != version:
                losers.append(Loser(read.mapper, key, version, found.get(row, 0)))
    if losers:
        raise LostRace(losers)
    for mapper, select, answer in checks.queries:
        if (yield from Fetch(select)) != answer:
            reason = (
                f"a query of {mapper.name} that this work has read would now give another answer"
            )
            raise LostRace([], reason)


def write(plan: Plan) -> Flow[dict[int, object]]:
    """Write the steps of a plan in order; reply with the keys that the store made, by ordinal.

    :raises LostRace: if a row is not as expected any more.
    """
    made: dict[int, object] = {}
    for step in plan.steps:
        operation = _with_keys(step.write, made) if plan.has_later else step.write
        if isinstance(operation, Insert):
            keys = yield from operation
            made.update(zip(operation.ordinals, keys, strict=False))
        elif isinstance(operation, Sweep):
            yield from operation
        else:
            matched = yield from operation
            if matched != len(operation.rows):
                yield from _find_losers(step, operation)
    return made


def _with_keys(operation: Any, made: dict[int, object]) -> Any:
    """Put the keys that the store has made in the places that waited for them."""
    rows = [
        tuple(made[value.ordinal] if type(value) is Later else value for value in row)
        for row in operation.rows
    ]
    fields = {name: getattr(operation, name) for name in operation._fields}
    return type(operation)(**{**fields, "rows": rows})


def _find_losers(step: Step, operation: Update | Delete) -> Flow[None]:
    """See which of the rows were not as expected, and what is there instead."""
    table = operation.table
    if not step.entries:
        reason = f"a pair of {table.name} that this work would remove is gone already"
        raise LostRace([], reason)
    columns = tuple(column.name for column in table.columns)
    start = len(operation.columns) if isinstance(operation, Update) else 0
    width = len(table.key)
    keys = [row[start : start + width] for row in operation.rows]
    rows = yield from FetchKeys(table, columns, table.key, keys, True)
    positions = [columns.index(name) for name in table.key]
    found = {tuple(row[at] for at in positions): row for row in rows}
    losers = []
    for entry, key in zip(step.entries, keys, strict=True):
        row = found.get(key)
        version = 0 if row is None else row[-1]
        if row is None or version != entry.version:
            mapper = entry.record.mapper
            losers.append(Loser(mapper, entry.record.key, entry.version, version, entry, row))
    raise LostRace(losers)
