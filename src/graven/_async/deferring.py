"""Operations that are left to a worker, and schedules of them."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from graven._async.handle import AsyncHandle
from graven._async.log import AsyncLog
from graven._common.clock import now
from graven._common.logged import new_entry, same_call
from graven._hints import TYPE_CHECKING, Any
from graven.core.cron import MISSED, next_due
from graven.core.entries import Entry
from graven.core.operating import FAILED, PENDING
from graven.core.rows import Rows
from graven.core.scheduling import ScheduleRow
from graven.errors import UniqueError, UsageError
from graven.flows.commit import in_transaction
from graven.flows.log import insert_entries, make_log
from graven.flows.scheduling import drop_schedule, keep_schedule, make_schedules
from graven.ops.operating import OPERATIONS
from graven.ops.working import SCHEDULES

if TYPE_CHECKING:
    from graven._common.calling import Call
    from graven._common.deferral import DeferredCall

__all__ = ["AsyncDeferring"]


class AsyncDeferring(AsyncLog):
    """Logs operations for workers."""

    async def defer(self, call: DeferredCall, when: datetime) -> AsyncHandle:
        """Log a call that is due at *when*, with the next commit of the caller's session.

        :raises OperationError: if there is one of its key, with other arguments.
        """
        entry = self._deferred(call, when)
        if entry.key is not None:
            found = await self._of_same_key(call, entry)
            if found is not None:
                return found
        if call.session is not None:
            await self._add(call.session, entry)
            return AsyncHandle(self.db, entry)
        try:
            await self.run(insert_entries(self.rows.insert([entry])))
        except UniqueError:
            found = await self._of_same_key(call, entry)
            if found is None:
                raise
            return found
        self.wake_workers()
        return AsyncHandle(self.db, entry)

    def wake_workers(self) -> None:
        """Let the workers of this process that work on the database look for work now."""
        for one in tuple(self.workers):
            one.wake()

    def _deferred(self, call: Call, when: datetime) -> Entry:
        options, settings = call.function.call_options, call.function.settings
        return new_entry(
            call,
            self.lease_s,
            state=PENDING,
            due=when.astimezone(UTC),
            worker=None,
            attempts=0,
            queue=options.queue or settings.queue,
            priority=settings.priority if options.priority is None else options.priority,
        )

    async def _of_same_key(self, call: DeferredCall, entry: Entry) -> AsyncHandle | None:
        """Return the operation that has the same key, which is tried again if it has failed."""
        found = await self.entry(entry.id)
        if found is None:
            return None
        same_call(entry, found, call.function)
        handle = AsyncHandle(self.db, found)
        if found.state == FAILED:
            await handle.retry()
        return handle

    async def _add(self, session: Any, entry: Entry) -> None:
        """Let the next commit of *session* write the entry."""
        from graven._common.operation_log import OperationLog

        if not self.has_tables and not await self.db.has_table(OPERATIONS.name, session._run):
            if session._has_flushed:
                await session._run(make_log(is_within=True))
            else:
                await self.run(make_log(self.db.current_transaction() is not None))
        session.add(OperationLog.of_entry(entry))
        session.on_commit(self.wake_workers)

    # -- schedules ---------------------------------------------------------------------------------

    async def schedule(self, call: Call, cron: str, zone: str, missed: str, name: str) -> str:
        """Keep a schedule, and return its name; it is a part of the caller's transaction.

        :raises UsageError: if it is not understood, or an argument is not committed yet.
        """
        row = self._schedule_row(call, cron, zone, missed, name)
        is_within = self.db.current_transaction() is not None
        if not await self.db.has_table(SCHEDULES.name):
            await self.run(make_schedules(is_within))
        while not await self._keep_schedule(row, is_within):
            pass  # somebody else has written it just now
        self.wake_workers()
        return name

    async def _keep_schedule(self, row: ScheduleRow, is_within: bool) -> bool:
        flow = keep_schedule(self._schedules, row)
        try:
            return await self.run(flow if is_within else in_transaction(flow))
        except UniqueError:
            if is_within:
                raise
            return False

    async def unschedule(self, name: str) -> bool:
        """Drop a schedule; say whether there was one."""
        if not await self.db.has_table(SCHEDULES.name):
            return False
        return await self.run(drop_schedule(self._schedules, name))

    @property
    def _schedules(self) -> Rows[ScheduleRow]:
        return Rows(SCHEDULES, ScheduleRow, self.db.pool.dialect)

    def _schedule_row(
        self, call: Call, cron: str, zone: str, missed: str, name: str
    ) -> ScheduleRow:
        if missed not in MISSED:
            raise UsageError(
                f"cannot make up for {missed!r:.100} of the times that are missed: it is 'last' or "
                "'all'. Nothing was scheduled."
            )
        try:
            clocks = ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise UsageError(
                f"cannot schedule by the clocks of {zone!r:.100}: there is no such time zone here. "
                "Nothing was scheduled. Give a name such as 'Europe/Paris'; where the system has "
                "none, install the package tzdata."
            ) from error
        entry = self._deferred(call, now())
        return ScheduleRow(
            name=name,
            method=entry.method,
            arguments=entry.arguments,
            cron=cron,
            zone=zone,
            missed=missed,
            queue=str(entry.queue),
            priority=entry.priority,
            code_version=entry.code_version,
            options=None,
            due=next_due(cron, clocks, now()),
        )
