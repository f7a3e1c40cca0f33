"""The part of a session that talks to the store: connections, commits, and what they check."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from graven._async.loading import AsyncLoading
from graven._common.clock import first_version
from graven._common.errors import name_culprit
from graven._hints import TYPE_CHECKING, Any, TypeVar
from graven.core.alone import plan_alone
from graven.core.collect import choose, collect, gather, writes_all_known
from graven.core.conflicts import LostRace, concurrent_update, conflict_of
from graven.core.pausing import pausing_collector
from graven.core.plan import Group, Groups, Plan, Step
from graven.core.planner import make_plan
from graven.core.reconcile import (
    drop_flush,
    fail,
    finished_flush,
    keep_flush,
    seal,
    succeed,
)
from graven.core.reverting import revert
from graven.errors import CommitUnknownError, GravenError, ScopeError
from graven.flows.commit import (
    Checks,
    ReadKeys,
    checked,
    commit,
    commit_after_reading,
    commit_flushed,
    level_for,
    write,
    write_after_reading,
)
from graven.flows.load import fetch_raw
from graven.flows.transaction import begin_first, in_savepoint, rollback_first
from graven.ops.requests import Documents, Execute, Flow, SnapshotStale
from graven.ops.statements import only_reads

if TYPE_CHECKING:
    from uuid import UUID

    from graven._async.database import AsyncDatabase
    from graven._async.transaction import AsyncTransaction
    from graven.core.plan import Group, Wanted
    from graven.core.records import ObjectRecord
    from graven.core.scopes import Scope
    from graven.core.unit import UnitOfWork

__all__ = ["AsyncTransacting"]

R = TypeVar("R")

Settle = Callable[[Any, BaseException | None], None]

NO_CHECKS = Checks()


class AsyncTransacting(AsyncLoading):
    """Commits, flushes, locks and rollbacks."""

    commit_record = False
    """Whether each commit that writes leaves a record; see ``db.committed()``."""

    def __init__(self, db: AsyncDatabase, unit: UnitOfWork, isolation: str) -> None:
        """Work on *db* for *unit*."""
        super().__init__(db, unit, isolation)
        self._guarded: dict[Any, None] = {}
        self._flushed_into: AsyncTransaction | None = None
        self._has_statements = False
        self.last_commit: str | None = None
        """What became of the last commit, however its call ended: ``"committed"`` or
        ``"rolled back"``; ``None`` before the first."""

    def _make_plan(self, scope: Scope, only: Sequence[Any] | None) -> Plan:
        unit = self._unit
        if only is None:
            alone = Plan() if unit.is_idle else plan_alone(unit, self._db.binding)
            if alone is not None:
                return alone
        with pausing_collector(unit.size):
            groups = collect(unit, scope, only)
            if not groups and not unit.flushed:
                return Plan()
            plan = self._planned(groups)
            if unit.flushed:
                plan.groups += finished_flush(unit, plan)
            return plan

    def _planned(self, groups: Iterable[Group]) -> Plan:
        plan = make_plan(groups, self._db.binding, first_version)
        if self._absent:
            plan.steps = [one for one in plan.steps if one.write.table.name not in self._absent]
        return plan

    async def _commit(self, scope: Scope, only: Sequence[Any] | None) -> None:
        if self._flushed_into is not None:
            self._check_flushed_here(self._flushed_into)
        plan = self._make_plan(scope, only)
        seal(self._unit, plan)
        writes = bool(plan.groups or plan.steps)
        checks = self._checks(writes, plan)
        if not writes and not checks.reads and not self._has_statements:
            await self._unpin()
            self.last_commit = "committed"
            return
        transaction = self._db.current_transaction()
        settle = self._settler(plan, scope, transaction)
        commit_id = self._record(plan, transaction) if self.commit_record else None
        flow = self._commit_flow(plan, checks, transaction)
        try:
            if transaction is None:
                await self._run(flow, settle)
                self._db.has_records = self._db.has_records or commit_id is not None
            else:
                await transaction.run(flow, settle)
        except LostRace as lost:
            raise self._explained(lost) from lost.__cause__
        except CommitUnknownError as error:
            error.commit_id = commit_id
            raise
        except GravenError as error:
            raise name_culprit(error, plan) from error.__cause__
        finally:
            if transaction is not None and self.last_commit == "rolled back":
                await transaction.rollback()
            await self._unpin()

    def _commit_flow(
        self, plan: Plan, checks: Checks, transaction: AsyncTransaction | None
    ) -> Flow[dict[int, object]]:
        if transaction is not None:
            return checked(plan, checks)
        if self.commit_record and not self._db.has_records:
            return self._first_record_flow(plan, checks)
        if self._has_flushed:
            return commit_flushed(plan, checks)
        if self._pinned is None:
            return commit(plan, checks, self._db.pool.dialect.applies)
        if self._isolation == "snapshot" or not plan.steps:
            return rollback_first(commit(plan, checks, self._db.pool.dialect.applies))
        return commit_after_reading(plan, checks, self._db.pool.dialect.applies)

    def _check_flushed_here(self, flushed: AsyncTransaction) -> None:
        """Refuse to go on in a savepoint with what was flushed outside of it."""
        transaction = self._db.current_transaction()
        if transaction is not None and self._unit.flushed:
            transaction.check_contains(flushed)

    def _record(self, plan: Plan, transaction: AsyncTransaction | None) -> UUID | None:
        """Let the commit leave a record, if it writes anything; return its id.

        In a transaction of the store it is that one's commit which does.
        """
        if transaction is not None:
            transaction.record()
            return None
        if not plan.steps and not self._has_flushed:
            return None
        from graven._common.recording import commit_row
        from graven.flows.recording import record_of

        commit_id, row = commit_row(self._db.pool.dialect)
        plan.steps.append(Step(record_of(row)))
        plan.is_single = False
        return commit_id

    def _first_record_flow(self, plan: Plan, checks: Checks) -> Flow[dict[int, object]]:
        """Return the flow of a commit that may have to make the table of records first."""
        from graven.flows.recording import with_table

        if self._has_flushed:
            return with_table(commit_flushed(plan, checks), True)
        flow = with_table(commit(plan, checks, self._db.pool.dialect.applies), False)
        return flow if self._pinned is None else rollback_first(flow)

    def _settler(
        self, plan: Plan, scope: Scope, transaction: AsyncTransaction | None
    ) -> Callable[[Any, BaseException | None], None]:
        """Return what brings memory in step with the outcome, however the call ends."""

        def settle(made: Any, error: BaseException | None) -> None:
            if error is None:
                memory = succeed(self._unit, plan, made, scope, transaction is not None)
                self.last_commit = "committed"
                self._forget_reads()
                self._guarded.clear()
                if transaction is not None:
                    transaction.on_rollback(partial(self._revert, memory))
                return
            fail(self._unit, plan)
            if self._has_flushed:
                drop_flush(self._unit)

        return settle

    def _revert(self, memory: list[Any]) -> None:
        """Take back what became part of a transaction that was rolled back."""
        revert(self._unit, memory)
        self.last_commit = "rolled back"

    def _explained(self, lost: LostRace) -> GravenError:
        conflicts = [
            conflict_of(loser, self._db.binding(loser.mapper.root), self._unit)
            for loser in lost.losers
        ]
        return concurrent_update(conflicts, lost.reason)

    def _checks(self, writes: bool, plan: Plan | None = None) -> Checks:
        """Return what the commit has to check besides what it writes.

        What was read before a flush was checked by it, and nobody else could write since.
        """
        unit = self._unit
        if self._isolation != "serializable" and not self._guarded:
            return NO_CHECKS
        if plan and not self._guarded and not self._queries and writes_all_known(unit, plan):
            return NO_CHECKS
        expected: dict[Any, dict[Any, int]] = {}
        is_serializable = self._isolation == "serializable" and writes and not self._has_flushed
        if is_serializable:
            new = {id(record.instance) for record in unit.records.values() if record.clean is None}
            for mapper, identity in unit.maps.items():
                known = identity.known()
                for key, entry in identity.entries.items():
                    if id(entry()) in new:
                        known.pop(key, None)
                expected[mapper] = known
        for instance in self._guarded:
            mapper, origin = unit.mapper(instance), instance._origin
            if origin is not None and origin.unit is unit and origin is not unit.fresh:
                expected.setdefault(mapper.root, {})[mapper.key_of(instance)] = origin.version
        for record in unit.flushed:
            expected.get(record.mapper.root, {}).pop(record.key, None)
        reads = [
            ReadKeys(mapper, versions, self._db.binding(mapper).key_row)
            for mapper, versions in expected.items()
            if versions
        ]
        return Checks(reads, list(self._queries) if is_serializable else ())

    async def _execute(
        self, request: Execute | Documents, name: str
    ) -> tuple[list[tuple[Any, ...]], tuple[str, ...]]:
        """Send what the user has said himself where the session reads; return rows and columns.

        What it writes into the transaction that the session keeps is committed with the rest.
        """
        flow = fetch_raw(request)
        writes = isinstance(request, Execute) and not only_reads(request.statement)
        is_within = self._db.current_transaction() is not None
        try:
            if self._pinned is not None or is_within or self._isolation == "optimistic":
                rows, columns = await self._run(flow)
            else:
                rows, columns = await self._run_and_keep(begin_first(writes, flow, self._isolation))
        except GravenError:
            writes = False  # what failed has written nothing
            raise
        finally:
            if writes and self._pinned is not None:
                self._has_flushed = self._has_statements = True
        if not writes and not is_within:
            self._note(name, request, rows)
        return rows, columns

    async def _read_and_lock(self, flow: Flow[R], lock: str) -> R:
        """Run a flow that locks rows, in a transaction that stays open until the next commit.

        That is the one of the store, if there is one. After a refusal it goes on as before.
        """
        if self._pinned is None and self._db.current_transaction() is None:
            begun = begin_first(True, flow, self._isolation, lock == "nowait")
            found = await self._run_and_keep(begun)
        else:
            try:
                savepoints = self._db.pool.dialect.savepoints
                found = await self._run(in_savepoint(flow) if savepoints else flow)
            except SnapshotStale as stale:
                reason = "a row was changed since the point that this session reads from"
                raise self._explained(LostRace([], reason)) from stale
        if self._pinned is not None:
            self._has_flushed = self._has_statements = True
        return found

    async def _flush(self) -> None:
        unit = self._unit
        if self._flushed_into is not None:
            self._check_flushed_here(self._flushed_into)
        for scope in list(unit.all_scopes()):
            await self._cascade(scope)
        groups = collect(unit, unit.root, None) if unit.flushed else self._everything()
        plan = self._planned(groups)
        if not plan.groups:
            return
        transaction = self._db.current_transaction()
        checks = self._checks(True)
        seal(unit, plan)

        def settle(made: Any, error: BaseException | None) -> None:
            if error is None:
                keep_flush(unit, plan, made)
                return
            fail(unit, plan)
            drop_flush(unit)

        try:
            if transaction is not None:
                await self._flush_into(transaction, plan, checks, settle)
            else:
                await self._flush_alone(plan, checks, settle)
        except LostRace as lost:
            raise self._explained(lost) from lost.__cause__
        except GravenError as error:
            raise name_culprit(error, plan) from error.__cause__

    async def _flush_into(
        self, transaction: AsyncTransaction, plan: Plan, checks: Checks, settle: Settle
    ) -> None:
        """Write into the transaction of the store; a failure rolls that back as a whole."""
        flushed = self._flushed_into
        is_checked = flushed is not None and flushed.standing is transaction
        flow = write(plan) if is_checked else checked(plan, checks)
        try:
            await transaction.run(flow, settle)
        except BaseException:
            await transaction.rollback()
            raise
        await self._unpin()
        if not is_checked:
            self._flushed_into = transaction
            transaction.on_rollback(partial(drop_flush, self._unit))

    async def _flush_alone(self, plan: Plan, checks: Checks, settle: Settle) -> None:
        """Write into a transaction of the session's own, and keep its connection."""
        if self._has_flushed:
            flow = write(plan)
        elif self._pinned is None:
            flow = begin_first(True, checked(plan, checks), level_for(checks, self._isolation))
        elif self._isolation == "snapshot":
            flow = write_after_reading(plan)
        else:
            level = level_for(checks, self._isolation)
            flow = rollback_first(begin_first(True, checked(plan, checks), level))
        try:
            await self._run_and_keep(flow, settle)
        except BaseException:
            drop_flush(self._unit)
            await self._unpin()
            raise
        self._has_flushed = True

    def _everything(self) -> list[Group]:
        """Return what has to be written for the changes of all scopes."""
        gather(self._unit)
        found: dict[ObjectRecord, Wanted] = {}
        for scope in self._unit.all_scopes():
            for record, (action, bits, version) in choose(self._unit, scope).items():
                known = found.get(record, (action, 0, version))
                found[record] = known[0], known[1] | bits, known[2]
        groups = Groups()
        for record, wanted in found.items():
            groups.put(record, wanted)
        return groups.whole()

    async def _unflush(self, scope: Scope) -> None:
        """Undo a flush, so that a part of what it has written can be committed without the rest."""
        if self._has_statements or not self._has_flushed:
            raise ScopeError(
                "cannot commit only a part of what is pending: all of it was flushed, and "
                "statements of your own were sent, or rows locked, in the same transaction, so the "
                "rest "
                "cannot be taken out of it. Commit the outermost scope, or roll back.",
                scope=scope,
            )
        await self._roll_back_transaction()

    async def _roll_back_transaction(self) -> None:
        """Undo what was flushed, and end the transaction that was read in."""
        transaction, self._flushed_into = self._flushed_into, None
        has_flushed = bool(self._unit.flushed)
        drop_flush(self._unit)
        standing = None if transaction is None else transaction.standing
        if standing is not None and has_flushed:
            await standing.rollback()
        await self._unpin()

    async def _unpin(self) -> None:
        """Give a kept connection back; a transaction still open on it is undone."""
        connection, self._pinned = self._pinned, None
        self._has_flushed = self._has_statements = False
        if connection is not None:
            self._db.pool.release(connection)
