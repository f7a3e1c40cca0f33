"""The part of a session that talks to the store: connections, commits, and what they check."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from graven._async.loading import AsyncLoading
from graven._common.clock import first_version
from graven._common.errors import name_culprit
from graven.core.collect import collect
from graven.core.conflicts import LostRace, concurrent_update, conflict_of
from graven.core.planner import Plan, make_plan
from graven.core.reconcile import drop_flush, fail, finished_flush, keep_flush, seal, succeed
from graven.errors import GravenError
from graven.flows.commit import Checks, ReadKeys, commit, commit_after_reading, write
from graven.flows.transaction import begin, rollback, rollback_first, then_commit
from graven.ops.requests import Flow

if TYPE_CHECKING:
    from graven._async.database import AsyncDatabase
    from graven.core.scopes import Scope
    from graven.core.unit import UnitOfWork

__all__ = ["AsyncTransacting"]

R = TypeVar("R")


class AsyncTransacting(AsyncLoading):
    """Commits, flushes and rollbacks."""

    def __init__(self, db: AsyncDatabase, unit: UnitOfWork, isolation: str) -> None:
        """Work on *db* for *unit*."""
        super().__init__(db, unit, isolation)
        self._guarded: dict[Any, None] = {}
        self.last_commit: str | None = None
        """What became of the last commit: ``"committed"``, ``"rolled back"``.

        Or ``None`` before the first.
        """

    def _make_plan(self, scope: Scope, only: Sequence[Any] | None) -> Plan:
        entries = collect(self._unit, scope, only)
        if not entries and not self._unit.flushed:
            return Plan()
        plan = make_plan(entries, self._db.binding, first_version)
        plan.entries = finished_flush(self._unit, entries)
        return plan

    async def _commit(self, scope: Scope, only: Sequence[Any] | None) -> None:
        await self._cascade(scope)
        plan = self._make_plan(scope, only)
        checks = self._checks(bool(plan.entries))
        if not plan.entries and not checks.reads:
            await self._unpin()
            return
        seal(self._unit, plan)
        transaction = self._db.current_transaction()
        settle = self._settler(plan, scope, transaction)
        try:
            if transaction is None:
                await self._run(self._commit_flow(plan, checks), settle)
            else:
                await transaction.run(write(plan), settle)
        except LostRace as lost:
            raise self._explained(lost) from None
        except GravenError as error:
            raise name_culprit(error, plan, self._db.binding) from error.__cause__
        finally:
            if transaction is not None and self.last_commit == "rolled back":
                await transaction.rollback()
            await self._unpin()
        self._guarded.clear()

    def _commit_flow(self, plan: Plan, checks: Checks) -> Flow[dict[int, object]]:
        if self._has_flushed:
            return then_commit(write(plan))
        if self._pinned is None:
            return commit(plan, checks)
        if self._isolation == "snapshot":
            return rollback_first(commit(plan, checks))
        return commit_after_reading(plan, checks)

    def _settler(
        self, plan: Plan, scope: Scope, transaction: Any
    ) -> Callable[[Any, BaseException | None], None]:
        """Return what brings memory in step with the outcome, however the call ends."""

        def settle(made: Any, error: BaseException | None) -> None:
            if error is None:
                memory = succeed(self._unit, plan, made, scope)
                self.last_commit = "committed"
                self._forget_reads()
                if transaction is not None:
                    transaction.on_rollback(self._unit, memory)
                return
            fail(self._unit, plan)
            if self._has_flushed:
                drop_flush(self._unit)
            self.last_commit = "rolled back"

        return settle

    def _explained(self, lost: LostRace) -> GravenError:
        conflicts = [
            conflict_of(loser, self._db.binding(loser.mapper.root)) for loser in lost.losers
        ]
        reason = f"({lost.reason})" if lost.reason else ""
        return concurrent_update(conflicts, reason)

    def _checks(self, writes: bool) -> Checks:
        """Return what the commit has to check besides what it writes."""
        unit = self._unit
        expected: dict[Any, dict[Any, int]] = {}
        if self._isolation == "serializable" and writes:
            new = {id(record.instance) for record in unit.records.values() if record.clean is None}
            for mapper, identity in unit.maps.items():
                known = identity.known()
                for key, entry in identity.entries.items():
                    if id(entry()) in new:
                        known.pop(key, None)
                expected[mapper] = known
        for instance in self._guarded:
            mapper = unit.mapper(instance)
            expected.setdefault(mapper.root, {})[mapper.key_of(instance)] = instance._origin.version
        reads = [
            ReadKeys(mapper, versions, self._db.binding(mapper).key_row)
            for mapper, versions in expected.items()
            if versions
        ]
        return Checks(reads, self._queries if writes else ())

    async def _flush(self) -> None:
        unit = self._unit
        for scope in list(unit.all_scopes()):
            await self._cascade(scope)
        entries = collect(unit, unit.root, None) if unit.flushed else self._everything()
        plan = make_plan(entries, self._db.binding, first_version)
        if not plan.entries:
            return
        seal(unit, plan)

        def settle(made: Any, error: BaseException | None) -> None:
            if error is None:
                keep_flush(unit, plan, made)
                return
            fail(unit, plan)
            drop_flush(unit)

        try:
            await self._begin_writing()
            await self._run(write(plan), settle)
        except LostRace as lost:
            await self._end_flush()
            raise self._explained(lost) from None
        except GravenError as error:
            await self._end_flush()
            raise name_culprit(error, plan, self._db.binding) from error.__cause__

    def _everything(self) -> list[Any]:
        entries = {}
        for scope in self._unit.all_scopes():
            for entry in collect(self._unit, scope, None):
                known = entries.setdefault(entry.record, entry)
                known.bits |= entry.bits
        return list(entries.values())

    async def _begin_writing(self) -> None:
        """Open the transaction of a flush, unless it is open."""
        if self._has_flushed or self._db.current_transaction() is not None:
            return
        if self._pinned is not None:
            await self._run(rollback())
        else:
            self._pinned = await self._db.pool.acquire()
        await self._run(begin(True))
        self._has_flushed = True

    async def _end_flush(self) -> None:
        """Undo the transaction of a flush."""
        drop_flush(self._unit)
        await self._unpin()

    async def _roll_back_transaction(self) -> None:
        """Undo what was flushed, and end the transaction that was read in."""
        drop_flush(self._unit)
        await self._unpin()

    async def _unpin(self) -> None:
        """Give a kept connection back; a transaction still open on it is undone."""
        connection, self._pinned = self._pinned, None
        self._has_flushed = False
        if connection is not None:
            try:
                if connection.in_transaction:
                    await connection.run(rollback())
            finally:
                self._db.pool.release(connection)
