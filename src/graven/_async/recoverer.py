"""``AsyncRecoverer``: recovery in the background of a service."""

from __future__ import annotations

from types import TracebackType

from graven._async import colour
from graven._common.crew import AsyncCrew
from graven._hints import TYPE_CHECKING, Any
from graven.errors import GravenError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from graven._async.database import AsyncDatabase
    from graven._common.recovery import RecoveryReport

__all__ = ["AsyncRecoverer"]


class AsyncRecoverer:
    """Finishes interrupted operations again and again, in the background of a service.

    ::

        async with AsyncRecoverer(db):
            ...

    Any number of services may do so on one store: each operation is finished once. What is running
    when it is stopped is brought to its end first.
    """

    def __init__(
        self,
        db: AsyncDatabase,
        *,
        every_s: float = 10.0,
        on_report: Callable[[RecoveryReport], object] | None = None,
    ) -> None:
        """Recover *db* every *every_s* seconds; *on_report* is told what was done, if anything."""
        if not every_s > 0:
            raise UsageError(f"cannot recover every {every_s!r} s: give a time, in seconds.")
        self._db, self._every_s, self._on_report = db, every_s, on_report
        self._crew: AsyncCrew | None = None
        self._background: Any = None
        self._is_stopping = False
        self.last_error: GravenError | None = None
        """Why the last recovery could not be made, ``None`` if it was."""

    async def __aenter__(self) -> AsyncRecoverer:
        """Begin."""
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop."""
        await self.stop()

    async def start(self) -> None:
        """Begin, at once, and go on until :meth:`stop` is called; nothing if it is at it."""
        if not colour.is_at_work(self._background):
            self._is_stopping, self._crew = False, AsyncCrew()
            self._background = colour.spawn(self._work)

    async def stop(self) -> None:
        """Stop, when what is running now has come to its end."""
        background, self._background = self._background, None
        if background is not None and self._crew is not None:
            self._is_stopping = True
            self._crew.wake()
            await colour.ended(background)

    async def _work(self) -> None:
        crew = self._crew
        while crew is not None and not self._is_stopping:
            try:
                report = await self._db.operating.recover(lambda: not self._is_stopping)
                self.last_error = None
            except GravenError as error:
                self.last_error = error
            else:
                if report.total and self._on_report is not None:
                    self._on_report(report)
            if not self._is_stopping:
                await crew.wait(self._every_s)
