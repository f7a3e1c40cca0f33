"""``AsyncAttempts``: the same work again, on fresh data, if somebody else was faster."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import TracebackType
from warnings import warn

from graven._async import colour
from graven._common.clock import dice, now_s
from graven._hints import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar
from graven.core.retry import Backoff
from graven.errors import TransientError, UsageError

if TYPE_CHECKING:
    from graven._async.database import AsyncDatabase
    from graven._async.session import AsyncSession

__all__ = ["AsyncAttempt", "AsyncAttempts"]


R = TypeVar("R")
P = ParamSpec("P")


class AsyncAttempt:
    """One try: a block with a session of its own. A transient error in it leads to the next try.

    Afterwards ``error`` is the one that the try was refused with, ``None`` if it was not.
    """

    def __init__(self, attempts: AsyncAttempts, number: int) -> None:
        """Stand for try *number*, counted from 1."""
        self.number = number
        self.error: TransientError | None = None
        self.is_done = False
        self.was_entered = False
        self._attempts: AsyncAttempts | None = attempts
        self._session: AsyncSession | None = None

    async def __aenter__(self) -> AsyncSession:
        """Open the session of this try."""
        if self._attempts is None or self.was_entered:
            raise UsageError(
                f"cannot enter attempt {self.number} again: it stands for one try, which is over. "
                "Let `for attempt in db.attempts()` make the next one."
            )
        self.was_entered = True
        session: AsyncSession = self._attempts.open_session()
        self._session = session
        return await session.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        """Commit, and swallow a transient error if there is another try left."""
        session, self._session = self._session, None
        self.is_done = True
        if session is None:
            return False
        try:
            await session.__aexit__(kind, error, trace)
        except TransientError as refused:
            if self._may_go_on(refused):
                return True
            raise
        return self._may_go_on(error)

    def _may_go_on(self, error: BaseException | None) -> bool:
        """Say whether *error* leads to another try; from now on the loop is not held from here."""
        attempts, self._attempts = self._attempts, None
        if attempts is None or not isinstance(error, TransientError):
            return False
        self.error = error
        return attempts.may_go_on(self.number, error)


class AsyncAttempts:
    """The tries of one piece of work.

    ::

        async for attempt in db.attempts():
            async with attempt as session:
                ...

    Each try has a fresh session. The loop ends with the first one that commits. When the limit of
    tries or the deadline is reached, the last error is raised, with the number of tries in its
    ``attempts``.

    A commit happens where the block ends. Leave the loop with ``break`` or ``return`` after that,
    not in the block: if the commit were refused then, Python would leave the loop all the same, and
    nothing could be tried again. That is reported as a ``RuntimeWarning``; :meth:`run` has no such
    corner.
    """

    def __init__(
        self,
        db: AsyncDatabase,
        limit: int | None,
        deadline_s: float | None,
        backoff: Backoff,
        isolation: str,
    ) -> None:
        """Prepare; use ``db.attempts()``."""
        self._goes_on = False
        if limit is not None and limit < 1:
            raise UsageError(f"cannot make {limit} attempts: at least one is needed.")
        self._db, self._limit, self._isolation = db, limit, isolation
        self._ceilings = backoff.ceilings()
        self._ends_at = None if deadline_s is None else now_s() + deadline_s
        self._last: AsyncAttempt | None = None
        self._wait_s = 0.0
        self._goes_on = True

    def __aiter__(self) -> AsyncAttempts:
        return self

    async def __anext__(self) -> AsyncAttempt:
        """Wait as long as is due, and return the next try."""
        if self._last is not None:
            if not self._goes_on or not self._last.was_entered:
                raise StopAsyncIteration
            await colour.sleep(self._wait_s)
        self._goes_on = False
        self._last = AsyncAttempt(self, 1 if self._last is None else self._last.number + 1)
        return self._last

    def __del__(self) -> None:
        """Say that the loop was left though its work was not done."""
        if self._goes_on and self._last is not None and self._last.is_done:
            warn(
                "a loop over db.attempts() was left by break or return in the block of an attempt "
                "whose commit was refused: nothing was written, and nothing is tried again. Leave "
                "the loop after the block, or use attempts().run(function).",
                RuntimeWarning,
                source=self,
                stacklevel=2,
            )

    async def run(
        self,
        function: Callable[Concatenate[AsyncSession, P], Awaitable[R]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Call *function* with the session of each try and the arguments; return its result."""
        results: list[R] = []
        async for attempt in self:
            async with attempt as session:
                results.append(await function(session, *args, **kwargs))
        return results[-1]

    def open_session(self) -> Any:
        """Open the session of a try."""
        return self._db.session(isolation=self._isolation)

    def may_go_on(self, number: int, error: TransientError) -> bool:
        """Say whether there is another try after *error* of try *number*, and set when."""
        error.attempts = number
        wait_s = Backoff.wait_s(next(self._ceilings), dice())
        is_late = self._ends_at is not None and now_s() + wait_s > self._ends_at
        if is_late or (self._limit is not None and number >= self._limit):
            return False
        self._wait_s = wait_s
        self._goes_on = True
        return True
