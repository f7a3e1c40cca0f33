"""A session that lets go of its connection in the middle, while its operation waits for a step."""

from __future__ import annotations

from collections.abc import Generator

from graven._async.session import AsyncSession
from graven._common.restoring import Level
from graven._hints import TYPE_CHECKING, TypeVar
from graven.core.conflicts import LostRace
from graven.core.plan import Plan
from graven.errors import UsageError
from graven.flows.commit import checked, in_transaction, level_for
from graven.flows.restore import fetch_level

if TYPE_CHECKING:
    from graven.models.documents.graphs import Found, Wanted

__all__ = ["AsyncLettingGo"]

R = TypeVar("R")


class AsyncLettingGo(AsyncSession):
    """A serializable session that reads from one point of the store, or from several in turn.

    What was read from any of them is checked by the commit.
    """

    has_let_go = False
    """Whether what was read belongs to more than one point, so that it may not fit together."""

    async def let_go(self, attempted: str) -> None:
        """End the transaction that was read in, and give the connection back, until the next read.

        :raises UsageError: if the transaction has written, or is the caller's.
        """
        async with self._lock:
            self._take_turn(attempted)
            if self._has_flushed or self._db.current_transaction() is not None:
                raise UsageError(
                    f"cannot {attempted}: the operation works in a transaction that is still open, "
                    "and a step is kept in one of its own. Nothing was run. Run steps before a "
                    "flush, before rows are locked, and not in an operation that is called inside "
                    "db.transaction()."
                )
            if self._pinned is not None:
                self.has_let_go = True
                await self._unpin()

    async def prepare_commit(self) -> None:
        """See that a commit checks all that was read, and not only what was read last."""
        if self.has_let_go and not self._has_flushed:
            await self._unpin()

    async def check_reads(self) -> None:
        """See that all that was read still holds, and so fits together.

        :raises ConcurrentUpdate: if it does not.
        """
        if not self.has_let_go or self._has_flushed:
            return
        await self._unpin()
        checks = self._checks(True)
        try:
            await self._run(in_transaction(checked(Plan(), checks), isolation=level_for(checks)))
        except LostRace as lost:
            raise self._explained(lost) from lost.__cause__

    async def restored(self, steps: Generator[Wanted, Found, R]) -> R:
        """Return what *steps* restore; models that it leads to are loaded."""
        self._check_open("restore a value")
        async with self._lock:
            self._take_turn("restore a value")
            try:
                wanted = next(steps)
                while True:
                    level = Level(self._unit, self._db.binding, wanted)
                    questions = level.questions
                    rows = await self._read(fetch_level(questions)) if questions else []
                    wanted = steps.send(level.answers(rows))
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]
