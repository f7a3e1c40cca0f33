"""What a person may ask of an operation: cancel, pause, resume, retry, rerun."""

from __future__ import annotations

from collections.abc import Sequence

from graven._async.steps import fetch_steps
from graven._common.clock import now
from graven._hints import TYPE_CHECKING, Any
from graven.core import steps
from graven.core.operating import CANCELLED, QUARANTINED, transition
from graven.core.rows import Rows
from graven.core.steps import StepRow
from graven.errors import NotFoundError, OperationError
from graven.flows.log import FenceLost, guarded
from graven.ops.operating import STEPS
from graven.ops.requests import Flow, Sweep

if TYPE_CHECKING:
    from uuid import UUID

    from graven._async.database import AsyncDatabase
    from graven.core.entries import Entry

__all__ = ["AsyncControl"]

TRIES = 20
"""How often a change is tried again that somebody else's was faster than."""

AGAIN: dict[str, Any] = {
    "attempts": 0,
    "outcome": None,
    "result": None,
    "finished": None,
    "worker": None,
}


Decision = tuple[dict[str, Any], Sequence[StepRow] | None, Sequence[StepRow]]
"""The changes, the steps that were looked at for it, if any, and those to be forgotten."""


class AsyncControl:
    """Changes the state of one operation, guarded by its fence.

    Whoever runs it at that moment is not interrupted, but cannot commit any more: his run writes
    nothing, and its next step is refused.
    """

    _db: AsyncDatabase

    @property
    def id(self) -> UUID:
        """The id of the operation."""
        raise NotImplementedError

    async def refresh(self) -> Any:
        """Look at the operation again."""
        raise NotImplementedError

    async def cancel(self) -> None:
        """Let the operation not be done; undo the steps that it has done, if they can be undone.

        That is done by a worker, or by the next recovery; until then the state is
        ``compensating``.

        :raises OperationError: if it has ended already.
        """
        await self._change(self._cancelling)

    async def pause(self) -> None:
        """Let nobody begin the operation, or go on with it, until :meth:`resume`.

        A run that is interrupted by that begins again then, without repeating its steps.

        :raises OperationError: if it has ended, or its steps are being undone.
        """
        await self._change(lambda entry: self._plainly(entry, "pause", due=None))

    async def resume(self) -> None:
        """Let a paused operation be done now.

        :raises OperationError: if it is not paused.
        """
        await self._change(lambda entry: self._plainly(entry, "resume", due=now()))

    async def retry(self) -> None:
        """Let a failed or quarantined operation be tried again now, with all its attempts.

        One that is quarantined because its steps could not be undone goes on with that.

        :raises OperationError: if it is in another state.
        """
        await self._change(self._retrying)

    async def rerun(self, step: str | None = None) -> None:
        """Do an ended or paused operation once more, from *step* on, or from its beginning.

        What that step and later ones have returned is forgotten; nothing is undone. A done
        operation writes what it has written once more.

        :raises OperationError: if it has not ended, or has no such step.
        """

        async def change(entry: Entry) -> Decision:
            found = await fetch_steps(self._db, entry.id)
            names = [row.name for row in found]
            if step is not None and step not in names:
                raise OperationError(
                    f"cannot rerun operation {entry.id} from the step {step!r}: it has no such "
                    f"step. Its steps are {', '.join(names) or 'none'}. Nothing was changed.",
                    operation_id=entry.id,
                )
            first = 0 if step is None else names.index(step)
            changes = _changes(entry, "rerun", due=now(), **AGAIN, error=None)
            return changes, found, found[first:]

        await self._change(change)

    # -- inside ------------------------------------------------------------------------------------

    async def _plainly(self, entry: Entry, event: str, **changes: Any) -> Decision:
        return _changes(entry, event, **changes), None, ()

    async def _cancelling(self, entry: Entry) -> Decision:
        transition("cancel", entry.state, entry.id)
        found = await fetch_steps(self._db, entry.id)
        if any(row.state == steps.DONE and row.compensation is not None for row in found):
            changes = {**AGAIN, "due": now(), "outcome": CANCELLED, "error": "cancelled"}
            return _changes(entry, "undo", **changes), found, ()
        return _changes(entry, "cancel", due=None, finished=now()), found, ()

    async def _retrying(self, entry: Entry) -> Decision:
        if entry.state == QUARANTINED and entry.outcome is not None:
            changes = {**AGAIN, "outcome": entry.outcome}
            return await self._plainly(entry, "undo", due=now(), **changes)
        return await self._plainly(entry, "retry", due=now(), **AGAIN)

    async def _change(self, decide: Any) -> None:
        """Change the entry as *decide* says, which is asked again if somebody else was faster.

        A step that is kept meanwhile leaves the fence as it is, so the steps that it has looked at
        are compared once more, when the fence has been moved and no step can come any more.
        """
        operating = self._db.operating
        for _ in range(TRIES):
            entry = await operating.entry(self.id)
            if entry is None:
                raise NotFoundError(
                    f"cannot find operation {self.id}: the log does not have it. Usually it was "
                    "removed by prune_operations, or what it was deferred with was rolled back.",
                    model="operation",
                    key=self.id,
                )
            changes, seen, forgotten = await decide(entry)
            update = operating.rows.update([entry], **changes)
            try:
                await operating.run(guarded(update, self._finally(seen, forgotten)))
            except FenceLost:
                continue
            operating.wake_workers()
            await self.refresh()
            return
        raise OperationError(
            f"cannot change operation {self.id}: somebody else has changed it each of {TRIES} "
            "times in between. Try again later.",
            operation_id=self.id,
        )

    def _finally(self, seen: Sequence[StepRow] | None, forgotten: Sequence[StepRow]) -> Flow[None]:
        """See that the steps are those *seen*, and forget some.

        :raises FenceLost: if they are not.
        """
        rows: Rows[StepRow] = Rows(STEPS, StepRow, self._db.pool.dialect)
        if seen is not None:
            found = rows.values((yield from rows.fetch(("operation",), [(self.id,)])))
            if {(row.name, row.state) for row in found} != {(row.name, row.state) for row in seen}:
                raise FenceLost
        if forgotten:
            key = rows.value("operation", self.id)
            yield from Sweep(STEPS, STEPS.key, [(key, row.name) for row in forgotten])


def _changes(entry: Entry, event: str, **changes: Any) -> dict[str, Any]:
    """Return the changes of an event.

    :raises OperationError: if the state does not allow it.
    """
    return {"state": transition(event, entry.state, entry.id), **changes}
