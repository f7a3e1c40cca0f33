"""Commits that leave a record, and finding out what became of one whose answer was lost."""

from __future__ import annotations

from graven._hints import TypeVar
from graven.errors import UniqueError
from graven.flows.schema import create
from graven.ops.recording import COMMITS
from graven.ops.requests import FetchKeys, Flow, Insert, Row

__all__ = ["find_out", "record_of", "recorded", "with_table"]

R = TypeVar("R")


def record_of(row: Row) -> Insert:
    """Return what writes a record; *row* is one of the table of records, in store form."""
    return Insert(COMMITS, tuple(column.name for column in COMMITS.columns), [row])


def with_table(body: Flow[R], is_within: bool) -> Flow[R]:
    """Make the table of records if it is not there, and run *body*.

    *is_within* says that a transaction is open, of which this becomes a part.
    """
    yield from create([COMMITS], is_within)
    return (yield from body)


def recorded(row: Row, body: Flow[R]) -> Flow[R]:
    """Write a record into the open transaction, and run *body*, which commits it."""
    yield from create([COMMITS], is_within=True)
    yield from record_of(row)
    return (yield from body)


def find_out(row: Row) -> Flow[bool]:
    """Reply whether the commit has happened that the key of *row* stands for.

    If no record of it is there, *row* is written in its place, which says that it has not happened.
    A commit still under way is waited for by that, and one that has not begun yet is refused by it
    later: so the answer never changes.

    :raises BusyRetry: if the commit is still under way.
    """
    yield from create([COMMITS])
    asked = FetchKeys(COMMITS, ("happened",), COMMITS.key, [row[:1]], encoded=True)
    found = yield from asked
    if not found:
        try:
            yield from record_of(row)
        except UniqueError:
            found = yield from asked
    return bool(found) and bool(found[0][0])
