"""Schedules: kept, changed, and turned into entries of the log when they are due."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from graven.core.entries import Entry, EntryRows
from graven.core.rows import Rows
from graven.core.scheduling import ScheduleRow
from graven.flows.commit import in_transaction
from graven.flows.schema import create
from graven.ops.conditions import Compare, Order, Path, Select
from graven.ops.requests import Delete, Fetch, Flow, Row
from graven.ops.working import SCHEDULES

__all__ = ["drop_schedule", "due_schedules", "keep_schedule", "make_due", "make_schedules"]

DUE = Path((), "due", "datetime")
AT_A_TIME = 100
"""How many schedules are looked at in one round."""

Schedules = Rows[ScheduleRow]


def make_schedules(is_within: bool) -> Flow[None]:
    """Make the table of schedules, if it is not there."""
    yield from create([SCHEDULES], is_within)


def keep_schedule(rows: Schedules, row: ScheduleRow) -> Flow[bool]:
    """Write a schedule, in the place of one of the same name; reply whether nobody came between.

    One that says when in the same way keeps its next time, so that what is due is still made.

    :raises UniqueError: if somebody else has made it just now.
    """
    found = rows.values((yield from rows.fetch(("name",), [(row.name,)])))
    if not found:
        yield from rows.insert([row])
        return True
    before = found[0]
    is_same = (before.cron, before.zone) == (row.cron, row.zone)
    changes = {name: getattr(row, name) for name in rows.columns[1:-1]}
    if is_same:
        changes["due"] = before.due
    return (yield from rows.update(before, **changes)) == 1


def drop_schedule(rows: Schedules, name: str) -> Flow[bool]:
    """Remove a schedule; reply whether there was one."""
    return (yield from Delete(SCHEDULES, (), [(rows.value("name", name),)])) == 1


def due_schedules(rows: Schedules, now: datetime) -> Flow[list[ScheduleRow]]:
    """Reply with schedules that are due, those that wait longest first."""
    select = Select(SCHEDULES, rows.columns, Compare("<=", DUE, now), (Order(DUE),), AT_A_TIME)
    return rows.values((yield from Fetch(select)))


def make_due(
    rows: Schedules,
    entries: EntryRows,
    row: ScheduleRow,
    made: Callable[[ScheduleRow], tuple[list[Entry], datetime]],
) -> Flow[int]:
    """Write the entries that are due by a schedule, and move it on, in one transaction.

    Replies with how many were written: none if somebody else has done it.
    """
    return (yield from in_transaction(_make_due(rows, entries, row, made)))


def _make_due(
    rows: Schedules,
    entries: EntryRows,
    row: ScheduleRow,
    made: Callable[[ScheduleRow], tuple[list[Entry], datetime]],
) -> Flow[int]:
    wanted, following = made(row)
    if (yield from rows.update(row, due=following)) != 1:
        return 0
    there: list[Row] = yield from entries.fetch([one.id for one in wanted])
    known = {one.id for one in entries.entries(there)}
    new = [one for one in wanted if one.id not in known]
    if new:
        yield from entries.insert(new)
    return len(new)
