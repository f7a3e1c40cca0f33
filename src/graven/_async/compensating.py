"""Undoing the steps of operations that fail or are cancelled: the last first, each once."""

from __future__ import annotations

from datetime import datetime, timedelta

from graven._async import colour
from graven._async.runs import LOST, AsyncRuns
from graven._async.steps import AsyncSteps, fetch_steps
from graven._common.atomic import Settings, function_named
from graven._common.clock import dice, now
from graven._common.logged import described, value_of
from graven._common.operating import Running
from graven._hints import TYPE_CHECKING
from graven.core import steps
from graven.core.operating import CANCELLED, transition
from graven.core.plan import Step
from graven.core.retry import Backoff
from graven.core.rows import Rows
from graven.core.steps import StepRow
from graven.errors import BusyRetry, CommitUnknownError, TransientError, UnknownOperationError
from graven.flows.log import FenceLost
from graven.ops.operating import STEPS
from graven.ops.requests import Update

if TYPE_CHECKING:
    from graven.core.entries import Entry

__all__ = ["AsyncCompensating"]


class AsyncCompensating(AsyncRuns):
    """Undoes what operations have done outside of the store."""

    def steps(self, run: Running, earlier: AsyncSteps | None) -> AsyncSteps:
        """Return the steps of a run, which had those *earlier* when its body was run before."""
        return AsyncSteps(run, earlier)

    async def has_to_undo(self, run: Running) -> bool:
        """Say whether a step of the operation is done that can be undone."""
        if run.is_first and run.steps is None:
            return False
        return any(map(_is_to_be_undone, await fetch_steps(self.db, run.id)))

    async def undo(self, entry: Entry, error: str, outcome: str) -> str:
        """Undo the steps of an operation that *error* ends, and let it end as *outcome*.

        Returns the state that it is in then.

        :raises FenceLost: if somebody else has taken it over; nothing was changed then.
        """
        changes = {
            "state": transition("undo", entry.state, entry.id),
            "outcome": outcome,
            "error": error,
            "due": self.lease_end(),
            "attempts": 1,
        }
        if not await self.change(self.rows.update([entry], **changes)):
            raise FenceLost
        return await self.compensate(entry.but(**changes, version=entry.version + 1))

    async def compensate(self, entry: Entry) -> str:
        """Undo the steps of an operation that is compensating, and was claimed; end it.

        What cannot be undone now is left to a later recovery, and at last to a person. Returns the
        state that the operation is in then.

        :raises FenceLost: if somebody else has taken it over.
        """
        try:
            for row in reversed(await fetch_steps(self.db, entry.id)):
                if _is_to_be_undone(row):
                    await self._undo_step(entry, row)
        except (FenceLost, CommitUnknownError):
            raise
        except UnknownOperationError as error:
            return await self._put_off(entry, error, attempts=entry.attempts - 1)
        except Exception as error:  # noqa: BLE001 - logged with the entry, and tried again
            return await self._put_off(entry, error, attempts=entry.attempts)
        event = "drop" if entry.outcome == CANCELLED else "fail"
        return await self._change(entry, event, due=None, finished=now())

    async def _put_off(self, entry: Entry, error: Exception, attempts: int) -> str:
        """Leave an operation to whoever comes later, or, after the last attempt, to a person."""
        reason = f"{entry.error}; then, while its steps were undone: {described(error)}"
        settings = _settings_of(entry)
        if attempts >= settings.attempts:
            return await self._change(entry, "quarantine", due=None, error=reason, finished=now())
        due = self.later(settings.delays, attempts)
        return await self._change(entry, "put_back", due=due, attempts=attempts, error=reason)

    async def _change(self, entry: Entry, event: str, **changes: object) -> str:
        state = str(transition(event, entry.state, entry.id))
        if not await self.change(self.rows.update([entry], state=state, **changes)):
            raise FenceLost
        return state

    async def _undo_step(self, entry: Entry, row: StepRow) -> None:
        """Call what undoes a step with its result, until that is committed with a mark on the row.

        :raises UnknownOperationError: if this program does not define it.
        """
        run = Running(self.db, entry, function_named(str(row.compensation)))
        run.undoes = row.name
        run.note_logged()
        ceilings = Backoff().ceilings()
        self.leases.hold(run)
        try:
            while True:
                try:
                    return await self._undo_once(run, row)
                except TransientError:
                    if run.retries < 1:
                        raise
                run.retries -= 1
                await colour.sleep(Backoff.wait_s(next(ceilings), dice()))
        finally:
            self.leases.release(run)

    async def _undo_once(self, run: Running, row: StepRow) -> None:
        session = run.session = await self.open_session()
        try:
            result = await session.restored(value_of(row.result))
            await self._call_body(run, session, (result,), {})
            await session.make_keys()
            touch = self.rows.touch(run.entry, due=self.lease_end())
            await session.finish(Step(touch, lost=LOST), Step(self._marking(row), lost=LOST))
        except CommitUnknownError as error:
            found = await self._patiently(lambda: fetch_steps(self.db, row.operation), error)
            if not any(one.name == row.name and one.state == steps.COMPENSATED for one in found):
                raise BusyRetry(f"the connection was lost before {run!r} was committed") from error
        finally:
            await session.close()

    def _marking(self, row: StepRow) -> Update:
        """Return what marks a step as undone, if it is not yet."""
        rows = Rows(STEPS, StepRow, self.db.pool.dialect)
        key = tuple(rows.value(name, getattr(row, name)) for name in STEPS.key)
        return Update(STEPS, ("state",), ("state",), [(steps.COMPENSATED, *key, steps.DONE)])

    @staticmethod
    def later(delays: Backoff, attempts: int) -> datetime:
        """Return when to try again what was tried *attempts* times."""
        ceilings = delays.ceilings()
        ceiling_s = [next(ceilings) for _ in range(max(attempts, 1))][-1]
        return now() + timedelta(seconds=Backoff.wait_s(ceiling_s, dice()))


def _is_to_be_undone(row: StepRow) -> bool:
    return row.state == steps.DONE and row.compensation is not None


def _settings_of(entry: Entry) -> Settings:
    """Return what was said of the function of an operation, as far as it is known here."""
    try:
        return function_named(entry.method).settings
    except UnknownOperationError:
        return Settings()
