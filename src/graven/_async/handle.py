"""``AsyncHandle``: one operation, seen from outside."""

from __future__ import annotations

from datetime import datetime
from operator import itemgetter

from graven._async import colour
from graven._async.control import AsyncControl
from graven._async.steps import fetch_steps
from graven._common.clock import dice, now_s
from graven._hints import TYPE_CHECKING, Any
from graven.core.operating import DONE, FINISHED, QUARANTINED
from graven.core.retry import Backoff
from graven.errors import NotFoundError, OperationError, QuarantinedError

if TYPE_CHECKING:
    from uuid import UUID

    from graven._async.database import AsyncDatabase
    from graven.core.entries import Entry
    from graven.core.steps import StepRow

__all__ = ["AsyncHandle"]

POLL = Backoff(0.02, 1.5, 1.0)
"""How long is waited before it is looked again what became of an operation."""


class AsyncHandle(AsyncControl):
    """An operation as it was when it was looked at last; :meth:`refresh` looks again.

    ``state`` is one of :mod:`graven.core.operating`; ``attempts`` is how often it was begun,
    ``error`` what happened last, ``steps`` what is kept of its steps.
    """

    def __init__(self, db: AsyncDatabase, entry: Entry, steps: list[StepRow] | None = None) -> None:
        """Show *entry* of *db*; use ``db.operation(id)``."""
        self._db, self.entry = db, entry
        self.steps = steps or []

    def __repr__(self) -> str:
        return f"<operation {self.name} {self.id}, {self.state}>"

    @property
    def id(self) -> UUID:
        """The id of the operation."""
        return self.entry.id

    @property
    def name(self) -> str:
        """The name of its function in the log."""
        return self.entry.method

    @property
    def state(self) -> str:
        """Its state when it was looked at last."""
        return self.entry.state

    @property
    def attempts(self) -> int:
        """How often it was begun."""
        return self.entry.attempts

    @property
    def error(self) -> str | None:
        """The last error, or the reason why it is parked."""
        return self.entry.error

    @property
    def is_finished(self) -> bool:
        """Whether it has come to an end, however that was."""
        return self.entry.state in FINISHED

    @property
    def history(self) -> list[tuple[datetime, str]]:
        """What is known to have happened, and when, in that order."""
        entry = self.entry
        happened = [(entry.timestamp, "logged")]
        happened += [(row.at, f"step {row.name} {row.state}") for row in self.steps]
        if entry.finished is not None:
            happened.append((entry.finished, entry.state))
        return sorted(happened, key=itemgetter(0))

    async def refresh(self) -> AsyncHandle:
        """Look again, and return the handle.

        :raises NotFoundError: if the entry was removed meanwhile.
        """
        found = await self._db.operating.entry(self.id)
        if found is None:
            raise no_operation(self.id)
        self.entry = found
        self.steps = await fetch_steps(self._db, self.id)
        return self

    async def arguments(self) -> tuple[list[Any], dict[str, Any]]:
        """Return the positional and the named arguments, their objects loaded.

        :raises NotFoundError: if an object is not there any more.
        """
        operating = self._db.operating
        args: list[Any] = await operating.restored(self.entry, 0)
        kwargs: dict[str, Any] = await operating.restored(self.entry, 1)
        return args, kwargs

    async def result(self) -> Any:
        """Return what it has returned, with objects of the current session; look again if need be.

        :raises QuarantinedError: if it waits for a person.
        :raises OperationError: if it is not done.
        """
        if self.entry.state != DONE:
            await self.refresh()
        if self.entry.state != DONE:
            raise not_done(self.entry)
        return await self._db.operating.result_here(self.entry)

    async def wait(self, timeout_s: float | None = None) -> Any:
        """Wait until it has come to an end, at most *timeout_s* seconds; return its result.

        :raises QuarantinedError: if it waits for a person.
        :raises OperationError: if it has failed, was cancelled, or takes longer.
        """
        ends_at = None if timeout_s is None else now_s() + timeout_s
        ceilings = POLL.ceilings()
        while not self.is_finished:
            wait_s = Backoff.wait_s(next(ceilings), dice())
            if ends_at is not None:
                left_s = ends_at - now_s()
                if left_s <= 0:
                    raise not_done(self.entry)
                wait_s = min(wait_s, left_s)
            await colour.sleep(wait_s)
            self.entry = await self._db.operating.entry(self.id) or self._gone()
        return await self.result()

    def _gone(self) -> Entry:
        raise no_operation(self.id)


def no_operation(id: Any) -> NotFoundError:
    """Make the error for an entry that is not in the log."""
    return NotFoundError(
        f"cannot find the operation {id}: the log has no entry of that id. It was never committed, "
        "or it was removed after the time that finished entries are kept.",
        model="OperationLog",
        key=id,
    )


def not_done(entry: Entry) -> OperationError:
    """Make the error for the result of an operation that has none."""
    kind = QuarantinedError if entry.state == QUARANTINED else OperationError
    why = f": {entry.error}" if entry.error else ""
    return kind(
        f"cannot return the result of {entry.method}, operation {entry.id}: it is {entry.state}"
        f"{why}. A result is there when it is done; wait for that, with wait(), or retry it if it "
        "has failed.",
        operation_id=entry.id,
    )
