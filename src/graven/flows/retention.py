"""Remove what was kept long enough, in small pieces, each in a transaction of its own."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from graven.core.operating import CANCELLED, DONE, FAILED
from graven.flows.commit import in_transaction
from graven.ops.conditions import And, Compare, Condition, In, Order, Path, Select
from graven.ops.operating import OPERATIONS, STEPS
from graven.ops.recording import COMMITS
from graven.ops.requests import Fetch, Flow, Row, Sweep
from graven.ops.schema import Table

__all__ = ["PIECE", "PRUNED_STATES", "prune_commit_records", "prune_operations"]

PIECE = 500
"""How many rows are removed in one transaction."""

PRUNED_STATES = (DONE, FAILED, CANCELLED)
"""The states in which an entry waits for nobody any more."""


def prune_operations(
    before: datetime, states: Iterable[str], after_id: UUID, until_id: UUID
) -> Flow[list[Row]]:
    """Remove a piece of the entries that were finished *before*, with their steps.

    It is looked for between two ids: those of operations without a key tell the time at which they
    were made, so that what is old is found without looking at the rest. Replies with the keys that
    were removed, in order; if they are fewer than a piece, there are no more.
    """
    where = And(
        (
            Compare(">", _path(OPERATIONS, "id"), after_id),
            Compare("<", _path(OPERATIONS, "id"), until_id),
            Compare("<", _path(OPERATIONS, "finished"), before),
            In(_path(OPERATIONS, "state"), tuple(states)),
        )
    )
    return (yield from in_transaction(_prune(OPERATIONS, where, "id", ((STEPS, "operation"),))))


def prune_commit_records(before: datetime) -> Flow[int]:
    """Remove a piece of the records of commits *before*; reply with how many were removed."""
    where = Compare("<", _path(COMMITS, "at"), before)
    return len((yield from in_transaction(_prune(COMMITS, where, "at"))))


def _prune(
    table: Table, where: Condition, order: str, dependent: Iterable[tuple[Table, str]] = ()
) -> Flow[list[Row]]:
    """Remove rows that nobody else has locked, and those of *dependent* tables with their key."""
    terms = (Order(_path(table, order)),)
    keys = yield from Fetch(Select(table, table.key, where, terms, PIECE, lock="skip_or_check"))
    if keys:
        for other, column in dependent:
            yield from Sweep(other, (column,), keys)
        yield from Sweep(table, table.key, keys)
    return keys


def _path(table: Table, column: str) -> Path:
    return Path((), column, table.column(column).kind)
