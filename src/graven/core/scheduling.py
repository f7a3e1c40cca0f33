"""Schedules as values, and the entries that are due by them."""

from __future__ import annotations

from datetime import datetime, tzinfo

from graven.core.cron import due_between
from graven.core.entries import Entry, derived_id
from graven.core.operating import PENDING
from graven.ops.value import Value

__all__ = ["ScheduleRow", "due_entries"]


class ScheduleRow(Value):
    """A schedule; see :data:`~graven.ops.working.SCHEDULES`."""

    name: str
    method: str
    arguments: str
    cron: str
    zone: str
    missed: str
    queue: str
    priority: int
    code_version: int
    options: str | None
    due: datetime
    version: int = 1


def due_entries(row: ScheduleRow, zone: tzinfo, now: datetime) -> tuple[list[Entry], datetime]:
    """Return an entry for each time that is due by *now*, and the next time of the schedule.

    The id of an entry is made of the schedule and the time, so that there is one for each.
    """
    times, following = due_between(row.cron, zone, row.due, now, row.missed)
    return [_entry(row, at, now) for at in times], following


def _entry(row: ScheduleRow, at: datetime, now: datetime) -> Entry:
    return Entry(
        id=derived_id("schedule", row.name, at.isoformat()),
        method=row.method,
        arguments=row.arguments,
        timestamp=now,
        state=PENDING,
        due=at,
        queue=row.queue,
        priority=row.priority,
        schedule=row.name,
        code_version=row.code_version,
        options=row.options,
    )
