"""What a worker does besides its work: schedules, and removing what was kept long enough."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from logging import getLogger
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from graven._async import retention
from graven._common.clock import now, now_s
from graven._hints import TYPE_CHECKING
from graven.core.rows import Rows
from graven.core.scheduling import ScheduleRow, due_entries
from graven.errors import UsageError
from graven.flows.scheduling import due_schedules, make_due
from graven.ops.working import SCHEDULES

if TYPE_CHECKING:
    from graven._async.database import AsyncDatabase

__all__ = ["AsyncChores"]

logger = getLogger("graven")

EVERY_S = 1.0
"""How often it is looked which schedules are due."""

PRUNE_EVERY_S = 60.0
"""How often it is looked what was kept long enough."""


class AsyncChores:
    """The chores of one worker."""

    def __init__(self, db: AsyncDatabase, older_than: timedelta | None) -> None:
        """Do them on *db*; what was finished longer ago than *older_than* is removed."""
        self._db, self._older_than = db, older_than
        self._rows: Rows[ScheduleRow] = Rows(SCHEDULES, ScheduleRow, db.pool.dialect)
        self._next_s = self._next_pruning_s = 0.0

    @property
    def is_time(self) -> bool:
        """Whether it is time to do them."""
        return now_s() >= self._next_s

    async def do(self, *, everything: bool = False) -> int:
        """Do what has to be done now, or *everything*; return how many entries were made."""
        self._next_s = now_s() + EVERY_S
        if self._older_than is not None and (everything or now_s() >= self._next_pruning_s):
            self._next_pruning_s = now_s() + PRUNE_EVERY_S
            await retention.prune_operations(self._db, self._older_than)
        return await self._make_scheduled()

    async def _make_scheduled(self) -> int:
        """Write the entries of the schedules that are due."""
        operating, made = self._db.operating, 0
        if not await self._db.has_table(SCHEDULES.name):
            return 0
        for row in await operating.run(due_schedules(self._rows, now())):
            try:
                entries = partial(due_entries, zone=ZoneInfo(row.zone), now=now())
                flow = make_due(self._rows, operating.rows, row, entries)
                made += await operating.run(flow)
            except (UsageError, ZoneInfoNotFoundError):  # it cannot be judged on this machine
                logger.exception("graven: the schedule %r is due, and was left to others", row.name)
        return made
