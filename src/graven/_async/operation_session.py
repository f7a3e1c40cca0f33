"""The session that the body of an operation works in."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from graven._async.letting_go import AsyncLettingGo
from graven._hints import TYPE_CHECKING, Any
from graven.core.alone import plan_alone
from graven.core.plan import Plan
from graven.core.reconcile import fail, seal, succeed
from graven.flows.log import begin_call, end_at_once

if TYPE_CHECKING:
    from graven._async.database import AsyncDatabase
    from graven.core.plan import Step
    from graven.core.scopes import Scope
    from graven.ops.requests import FetchKeys, Insert, Update

__all__ = ["AsyncOperationSession"]


class AsyncOperationSession(AsyncLettingGo):
    """A session that takes new objects by itself, and is committed by its operation.

    A commit in the body becomes part of the operation: it checks what it would write, and all of it
    is written at the operation's end, together with the end of its entry.
    """

    def __init__(self, db: AsyncDatabase, isolation: str = "serializable") -> None:
        """Open the session on *db*."""
        super().__init__(db, isolation, True)
        self.written = Plan()
        """What the commit has written."""
        self._closing: tuple[Step, ...] = ()

    async def begin_call(
        self,
        write: Insert | Update | None,
        questions: Sequence[FetchKeys],
        logged: Callable[[], object],
    ) -> Any:
        """Begin the operation; if something is read, the session goes on in that transaction."""
        flow = begin_call(write, questions, self._isolation, logged)
        if questions and self._isolation != "optimistic":
            return await self._run_and_keep(flow)
        return await self._run(flow)

    async def commit_scope(self, scope: Scope, only: Sequence[Any] | None = None) -> None:
        """Let what was changed in *scope* be written at the end of the operation."""
        async with self._lock:
            self._take_turn("commit")
            self._unit.check_end(scope)
            super()._make_plan(scope, only)
            if only is None:
                self._unit.confirm(scope)

    async def finish(self, *closing: Step) -> None:
        """Commit what the body has changed, together with the end of its entry.

        :raises ConcurrentUpdate: if what it was based on has changed, or the entry has.
        """
        if await self._finish_at_once(closing):
            return
        self._closing = closing
        await self.prepare_commit()
        await super().commit_scope(self._unit.root)

    async def _finish_at_once(self, closing: Sequence[Step]) -> bool:
        """Commit the short way, if one object has changed in the transaction that was read in.

        Most operations are such. The long way comes to the same writes.
        """
        if self._pinned is None or self._has_flushed or self._db.pool.dialect.applies:
            return False
        async with self._lock:
            self._take_turn("commit")
            unit = self._unit
            plan = plan_alone(unit, self._db.binding)
            if plan is None:
                return False
            seal(unit, plan)
            writes: list[Any] = [step.write for step in (*plan.steps, *closing)]
            self.written, is_done = plan, False
            try:
                is_done = await self._run(end_at_once(writes))
            finally:
                await self._unpin()
                if not is_done:
                    fail(unit, plan)
            if is_done:
                succeed(unit, plan, {}, unit.root, False)
                self.last_commit = "committed"
            return is_done

    async def make_keys(self) -> None:
        """Write what is pending, if the store makes keys of it, so that they are known."""
        for record in self._unit.records.values():
            if record.key is None and record.clean is None:
                await self.flush()
                return

    def _make_plan(self, scope: Scope, only: Sequence[Any] | None) -> Plan:
        plan = self.written = super()._make_plan(scope, only)
        if self._closing:
            plan.is_single = not plan.steps and len(self._closing) == 1
            plan.steps += self._closing
        return plan
