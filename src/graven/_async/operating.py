"""The durable operations of one database: calls, recovery, and what became of each."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from itertools import count

from graven._async import colour
from graven._async.blocks import AsyncBlock
from graven._async.calling import AsyncCalling
from graven._async.deferring import AsyncDeferring
from graven._common import recovery
from graven._common.atomic import AtomicFunction, function_named
from graven._common.clock import dice, now, now_s
from graven._common.current import current
from graven._common.logged import LoggedCall, LostArgumentError, described, worker_name
from graven._common.operating import Running
from graven._hints import TYPE_CHECKING, Any
from graven.core.entries import Entry, abandoned, due_select, path
from graven.core.operating import COMPENSATING, FAILED, PENDING, RUNNING, transition
from graven.core.retry import Backoff
from graven.errors import CommitUnknownError, TransientError, UnknownOperationError
from graven.flows.log import FenceLost, fetch_entries, take
from graven.flows.restore import fetch_level
from graven.ops.conditions import And, Compare
from graven.ops.requests import SnapshotStale

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from graven._common.calling import Call
    from graven._common.recovery import RecoveryReport
    from graven.ops.conditions import Condition
    from graven.ops.requests import FetchKeys, Row, Update

__all__ = ["AsyncOperating"]

BATCH = 10
"""How many entries a recovery claims at a time: all of them have to be done within one lease."""

PARKED_S = 60.0
"""How long an operation that is not known here is left to others."""

TRIES = 20
"""How often something is tried again that the store had no time for."""

_serial = count(1)


class AsyncOperating(AsyncDeferring, AsyncCalling):
    """Runs operations, and takes up those that were left."""

    # -- claiming ----------------------------------------------------------------------------------

    async def claim_due(self, condition: Condition, limit: int) -> list[Entry]:
        """Claim entries that are due and meet *condition*, the oldest first.

        Each is claimed by one caller only, whoever asks at the same time. Where the store does not
        let all be claimed together, because of somebody who may be dead and is at some of them,
        they are claimed one by one, and these are left out.
        """
        try:
            found: list[Entry] = await self.surely(lambda: self._claim(condition, limit))
        except SnapshotStale:
            rows = await self.run(fetch_entries(due_select(now(), condition, limit, None)))
        else:
            return found
        found = []
        for one in self.rows.entries(rows):
            try:
                found += await self._claim(And((Compare("==", path("id"), one.id), condition)), 1)
            except SnapshotStale:
                continue
        return found

    async def _claim(self, condition: Condition, limit: int) -> list[Entry]:
        worker, due, found = f"{worker_name()}/{next(_serial)}", self.lease_end(), list[Entry]()

        def claim(rows: list[Row]) -> Update | None:
            found[:] = self.rows.entries(rows)
            return self.rows.claim(found, worker, due) if found else None

        def mine(_: list[Row]) -> tuple[FetchKeys, Callable[[Row], bool]]:
            at = self.rows.columns.index("worker")
            return self.rows.fetch([one.id for one in found]), lambda row: row[at] == worker

        taken = await self.run(take(due_select(now(), condition, limit), claim, mine))
        ids = {row[0] for row in taken}
        return [
            one.but(
                state=transition("claim", one.state, one.id),
                due=due,
                worker=worker,
                version=one.version + 1,
            )
            for one in found
            if self.rows.value("id", one.id) in ids
        ]

    async def surely(self, call: Any) -> Any:
        """Return the result of *call*, made again while the store has no time for it."""
        ceilings = Backoff().ceilings()
        for number in range(1, TRIES + 1):
            try:
                return await call()
            except TransientError:
                if number == TRIES:
                    raise
            await colour.sleep(Backoff.wait_s(next(ceilings), dice()))
        return None

    async def end(self, entry: Entry, outcome: str, **changes: Any) -> str:
        """Change an entry that was claimed; return *outcome*, or that it was lost."""
        is_mine = await self.surely(lambda: self.change(self.rows.update([entry], **changes)))
        return outcome if is_mine else recovery.LOST

    # -- running what was claimed ------------------------------------------------------------------

    async def run_claimed(self, entry: Entry, is_counted: bool = False) -> str:
        """Run an entry that was claimed, and return what became of it.

        *is_counted* says that the claim was counted as an attempt.

        No error of its body is raised: it is logged, and the entry is put back, or quarantined. The
        outcomes are those of :mod:`graven._common.recovery`.
        """
        if entry.state == COMPENSATING:
            return await self._go_on_undoing(entry)
        try:
            function = self._function_for(entry)
        except UnknownOperationError as error:
            return await self._park(entry, error)
        begun, write = entry, None
        if not is_counted:
            if entry.attempts >= function.settings.attempts:
                return await self._quarantine(entry, _died(entry))
            begun = entry.but(attempts=entry.attempts + 1)
            write = self.rows.touch(entry, attempts=begun.attempts, due=self.lease_end())
        run = Running(self.db, begun, function)
        try:
            await self.run_body(run, write, LoggedCall(begun, function))
        except FenceLost:
            return recovery.LOST
        except CommitUnknownError:
            return recovery.RETRIED  # when its lease has run out
        except LostArgumentError as error:
            return await self._quarantine(begun, described(error))
        except Exception as error:  # noqa: BLE001 - logged with the entry, and others go on
            return await self._put_back(run, error)
        return recovery.DONE

    def _function_for(self, entry: Entry) -> AtomicFunction:
        function = function_named(entry.method)
        if function.is_async is not self.is_async:
            its, mine = ("async", "blocking") if function.is_async else ("blocking", "async")
            raise UnknownOperationError(
                f"{entry.method} is {its}, and this database is {mine}. Recover it with a database "
                "of the other colour.",
                operation_id=entry.id,
            )
        if entry.code_version > function.settings.version:
            raise UnknownOperationError(
                f"{entry.method} was logged by version {entry.code_version} of its code, and this "
                f"program has version {function.settings.version}. A newer one has to run it.",
                operation_id=entry.id,
            )
        return function

    async def _park(self, entry: Entry, error: UnknownOperationError) -> str:
        """Leave an operation that is not known here to others; that is no attempt."""
        return await self.end(
            entry,
            recovery.PARKED,
            state=transition("put_back", entry.state, entry.id),
            due=now() + timedelta(seconds=PARKED_S),
            worker=None,
            error=described(error),
        )

    async def _quarantine(self, entry: Entry, why: str) -> str:
        return await self.end(
            entry,
            recovery.QUARANTINED,
            state=transition("quarantine", entry.state, entry.id),
            due=None,
            error=why,
            finished=now(),
        )

    async def _put_back(self, run: Running, error: Exception) -> str:
        """Let an operation that has failed be tried again later, unless it was tried enough."""
        entry, settings = run.entry, run.function.settings
        if isinstance(error, TransientError) and not run.is_logged:
            entry = entry.but(attempts=max(entry.attempts - 1, 1))  # the store had no time for it
        if entry.attempts >= settings.attempts:
            if await self.has_to_undo(run):
                return await self._undo(entry, described(error))
            return await self._quarantine(entry, described(error))
        return await self.end(
            entry,
            recovery.RETRIED,
            state=transition("put_back", entry.state, entry.id),
            due=self.later(settings.delays, entry.attempts),
            worker=None,
            attempts=entry.attempts,
            error=described(error),
        )

    async def _undo(self, entry: Entry, error: str) -> str:
        """Undo the steps of an operation that was tried enough, and let it fail."""
        try:
            return recovery.of_undoing(await self.undo(entry, error, FAILED))
        except FenceLost:
            return recovery.LOST
        except CommitUnknownError:
            return recovery.RETRIED  # when its lease has run out

    async def _go_on_undoing(self, entry: Entry) -> str:
        """Undo the steps of an operation that somebody else has begun to undo."""
        begun = entry.but(attempts=entry.attempts + 1)
        touch = self.rows.touch(entry, attempts=begun.attempts, due=self.lease_end())
        try:
            if not await self.surely(lambda: self.change(touch)):
                return recovery.LOST
            return recovery.of_undoing(await self.compensate(begun))
        except FenceLost:
            return recovery.LOST
        except CommitUnknownError:
            return recovery.RETRIED  # when its lease has run out

    # -- the log as objects ------------------------------------------------------------------------

    def block(self, call: Call) -> AsyncBlock:
        """Return a call whose body is a block."""
        return AsyncBlock(self, call)

    async def restored(self, entry: Entry, at: int) -> Any:
        """Return the positional arguments of an entry, at 0, or the named ones, at 1.

        Their objects are loaded into the current session, or are as those of one that has ended.
        """
        session = current()
        place = session if session is not None and session._db is self.db else self.db.session()
        source = LoggedCall(entry, None)
        questions = source.questions(place.unit, self.db.binding)
        args, kwargs = source.given(await place._read(fetch_level(questions)) if questions else [])
        return kwargs if at else list(args[source.bound :])

    async def recover_one(self, id: UUID) -> RecoveryReport:
        """Run one operation if it was interrupted; see the report."""
        since_s, outcomes = now_s(), Counter[str]()
        entry = await self.entry(id)
        outcome = None if entry is None else await self.recover_entry(entry)
        if outcome is not None:
            outcomes[outcome] += 1
        return recovery.report(outcomes, now_s() - since_s)

    # -- recovery ----------------------------------------------------------------------------------

    async def recover(self, is_wanted: Callable[[], bool] = lambda: True) -> RecoveryReport:
        """Run what was interrupted, and what has failed before and is due again; see the report.

        Several may do so at once: each operation is finished once. No more are begun when
        *is_wanted* says no.
        """
        since_s, outcomes = now_s(), Counter[str]()
        while is_wanted() and (entries := await self.claim_due(abandoned(), BATCH)):
            for entry in entries:
                outcomes[await self.run_claimed(entry)] += 1
        return recovery.report(outcomes, now_s() - since_s)

    async def recover_entry(self, entry: Entry) -> str | None:
        """Run one entry if nobody is at it; return what became of it, ``None`` if somebody is."""
        is_free = entry.due is not None and entry.due <= now()
        if not is_free or entry.state not in (PENDING, RUNNING, COMPENSATING):
            return None
        worker, due = f"{worker_name()}/{next(_serial)}", self.lease_end()
        claim = self.rows.claim([entry], worker, due)
        if not await self.surely(lambda: self.change(claim)):
            return None
        state = transition("claim", entry.state, entry.id)
        claimed = entry.but(state=state, due=due, worker=worker, version=entry.version + 1)
        return await self.run_claimed(claimed)


def _died(entry: Entry) -> str:
    return (
        f"it was begun {entry.attempts} times, and each time whoever ran it was gone before it was "
        f"committed: it may be what kills them. {entry.error or ''}"
    ).strip()
