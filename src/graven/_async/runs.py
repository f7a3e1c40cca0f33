"""The runs of operations: the body in a session of its own, committed with the end of its entry."""

from __future__ import annotations

from graven._async import colour
from graven._async.log import AsyncLog
from graven._async.operation_session import AsyncOperationSession
from graven._common.clock import dice, now
from graven._common.current import enter_session, leave_session
from graven._common.logged import FreshCall, LoggedCall, check_storable
from graven._common.operating import Running, enter_operation, leave_operation
from graven._hints import Any
from graven.core.operating import DONE, RUNNING, transition
from graven.core.plan import Step
from graven.core.retry import Backoff
from graven.errors import (
    BusyRetry,
    CommitUnknownError,
    GravenError,
    OperationError,
    TransientError,
    UniqueError,
)
from graven.flows.log import FenceLost, insert_entries, make_log
from graven.models.documents.calls import result_text
from graven.ops.requests import Insert, Update

__all__ = ["AsyncRuns", "taken_over"]

Source = FreshCall | LoggedCall
Write = Insert | Update

LOST = "the operation was taken over by somebody else"

LOOKS_AFTER_S = (0.0, 0.05, 0.25, 1.0)
"""When it is looked what became of a commit whose answer was lost."""


class AsyncRuns(AsyncLog):
    """Runs bodies until one is committed."""

    async def run_body(self, run: Running, write: Write | None, source: Source) -> Any:
        """Run the body of an operation until it is committed, and return what it returned.

        *write* is what logs that it runs, if that is not logged yet. After a lost race all of it is
        done again, on fresh data.

        :raises TransientError: if it was not committed in as many runs as it may have.
        :raises FenceLost: if somebody else has taken the entry over; nothing was written then.
        :raises CommitUnknownError: if it could not be found out whether it was committed.
        """
        ceilings = Backoff().ceilings()
        self.leases.hold(run)
        try:
            while True:
                try:
                    return await self._run_once(run, write, source)
                except TransientError:
                    if not run.is_logged or run.retries < 1:
                        raise
                    run.retries -= 1
                    wait_s = Backoff.wait_s(next(ceilings), dice())
                    await colour.sleep(wait_s)
                write = self.rows.touch(run.entry, due=self.lease_end())
        finally:
            self.leases.release(run)

    async def _run_once(self, run: Running, write: Write | None, source: Source) -> Any:
        session = run.session = await self.open_session()
        try:
            args, kwargs = await self._begin(run, session, write, source)
            try:
                result = await self._call_body(run, session, args, kwargs)
            except Exception:
                await session.check_reads()
                raise
            await self._finish(run, session, result)
        finally:
            await session.close()
        return result

    async def open_session(self) -> AsyncOperationSession:
        """Open the session of a body: a serializable one, where the store has transactions."""
        if not self.has_tables and self.db.current_transaction() is None:
            await self.run(make_log())  # and learn what kind of store it is
        is_alone = self.db.topology == "stand-alone"
        return AsyncOperationSession(self.db, "optimistic" if is_alone else "serializable")

    async def _begin(
        self, run: Running, session: AsyncOperationSession, write: Write | None, source: Source
    ) -> Any:
        """Log that the operation runs, and load its arguments."""
        questions = source.questions(session.unit, self.db.binding)
        try:
            rows = await session.begin_call(write, questions, run.note_logged)
        except CommitUnknownError as error:
            if not run.is_logged:
                await self._log_again(run, write, error)
            raise BusyRetry(f"the connection was lost while {run.name} was begun") from error
        return source.given(rows)

    async def _log_again(
        self, run: Running, write: Write | None, error: CommitUnknownError
    ) -> None:
        """See that the entry is in the log, though nobody knows whether it was written.

        :raises UniqueError: if the entry that is there is another call's.
        """
        if isinstance(write, Insert):
            try:
                await self._patiently(lambda: self.run(insert_entries(write)), error)
            except UniqueError:
                found = await self._patiently(lambda: self.entry(run.id), error)
                mine = run.entry
                if (found.worker, found.timestamp) != (mine.worker, mine.timestamp):
                    raise
        run.note_logged()

    async def _call_body(
        self, run: Running, session: AsyncOperationSession, args: Any, kwargs: Any
    ) -> Any:
        tokens = enter_session(session), enter_operation(run)
        try:
            return await run.function.function(*args, **kwargs)
        finally:
            leave_operation(run, tokens[1])
            leave_session(session, tokens[0])

    async def _finish(self, run: Running, session: AsyncOperationSession, result: Any) -> None:
        """Commit what the body has changed, with its result and the end of its entry.

        :raises NotSerializableError: if the result cannot be stored.
        """
        run.met = {}
        await session.make_keys()
        run.result = None if result is None else result_text(result, run.name, run.met)
        if run.met:
            check_storable(run.met, session.unit, run.name)
        end = self.rows.finish(run.entry, transition("finish", RUNNING), run.result, now())
        try:
            await session.finish(Step(end, lost=LOST))
        except CommitUnknownError as error:
            await self._find_out(run, error)
            run.is_settled_late = True

    async def _find_out(self, run: Running, error: CommitUnknownError) -> None:
        """Find out by the log whether the operation was committed; return if it was.

        A commit that is still under way cannot do harm: the next one waits for it, and is refused
        by the fence that it leaves.

        :raises BusyRetry: if it was not.
        :raises FenceLost: if somebody else has taken it over.
        :raises CommitUnknownError: if the store cannot be reached.
        """
        found = await self._patiently(lambda: self.entry(run.id), error)
        if found is not None and found.version == run.fence:
            raise BusyRetry(f"the connection was lost before {run.name} was committed") from error
        ours = (DONE, run.fence + 1, run.entry.worker)
        if found is None or (found.state, found.version, found.worker) != ours:
            raise FenceLost

    async def _patiently(self, ask: Any, error: CommitUnknownError) -> Any:
        """Return the answer to a question, which is repeated while the store is not reached.

        :raises CommitUnknownError: if it is not reached at all.
        """
        for wait_s in LOOKS_AFTER_S:
            await colour.sleep(wait_s)
            try:
                return await ask()
            except UniqueError:
                raise
            except GravenError:
                continue
        raise error


def taken_over(run: Running) -> OperationError:
    """Make the error for a run whose entry is somebody else's now."""
    return OperationError(
        f"cannot commit {run.name}, operation {run.id}: somebody else has taken it over, cancelled "
        "or paused it meanwhile, and nothing of this run was written. Usually the process was held "
        "up for longer than its lease, so that another one has finished the work. What became of "
        "it, db.operation(id) tells.",
        operation_id=run.id,
    )
