"""A clock that a test moves: leases run out, back-off passes, schedules come due, at once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from heapq import heapify, heappop, heappush
from itertools import count
from threading import Event, Lock
from types import TracebackType

from graven._common import clock as place
from graven.errors import UsageError

__all__ = ["VirtualClock"]

_Sleeper = tuple[float, int, Callable[[], object]]
"""When somebody wakes up, by the seconds passed, who came first, and what wakes him."""


class VirtualClock(place.Clock):
    """A block in which graven goes by a time that only the test moves.

    It is the time of the whole process: of every database, session and worker, in every thread and
    task. It begins as *start*, the machine's time unless given, and stands still; :meth:`advance`
    lets time pass, :meth:`jump` puts the time of day wrong. Other processes, the stores' own
    time-outs and the rest of the program go on by the machine's clock.

    Whoever sleeps in the block, to back off or until something is due, does so for no time at all:
    the clock advances by as much as he wanted to sleep. With *autojump* off he sleeps until the
    test has advanced the clock that far; ``sleepers`` says how many do.

    >>> from datetime import UTC, datetime
    >>> with VirtualClock(datetime(2030, 1, 1, tzinfo=UTC)) as clock:
    ...     clock.advance(90)
    ...     print(clock.now())
    2030-01-01 00:01:30+00:00

    :raises UsageError: for a *start* without a time zone; and at an advance into the past.
    """

    __slots__ = ("_autojump", "_before", "_lock", "_now", "_order", "_passed_s", "_waiting")

    def __init__(self, start: datetime | None = None, *, autojump: bool = True) -> None:
        """Set the clock; nothing goes by it before the block is entered."""
        if start is not None and start.tzinfo is None:
            raise UsageError(
                f"a clock cannot start at {start!r}, which has no time zone, so it could be any "
                "of a whole day; usually datetime() was called without one; give it tzinfo=UTC."
            )
        self._now = datetime.now(UTC) if start is None else start.astimezone(UTC)
        self._passed_s = 0.0
        self._autojump = autojump
        self._before: place.Clock | None = None
        self._lock = Lock()
        self._order = count()
        self._waiting: list[_Sleeper] = []

    def __enter__(self) -> VirtualClock:
        """Let the process go by this clock."""
        if self._before is not None:
            raise UsageError(
                "a virtual clock was entered twice; usually two fixtures share one; make another."
            )
        self._before = place.replace(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let the process go by the clock before, and wake up all who still sleep."""
        if self._before is not None:
            place.replace(self._before)
            self._before = None
        self._wake_up_to(float("inf"))

    def advance(self, seconds: float) -> None:
        """Let *seconds* pass; who has slept long enough by then wakes up."""
        if not seconds >= 0:
            raise UsageError(
                f"a clock cannot advance by {seconds!r} seconds: time does not run backwards; to "
                "put the time of day wrong, as a bad time server does, use jump()."
            )
        with self._lock:
            self._passed_s += seconds
            self._now += timedelta(seconds=seconds)
        self._wake_up_to(self._passed_s)

    def jump(self, seconds: float) -> None:
        """Put the time of day forward, or back, without any time passing."""
        with self._lock:
            self._now += timedelta(seconds=seconds)

    @property
    def sleepers(self) -> int:
        """How many threads and tasks sleep until the clock is advanced."""
        return len(self._waiting)

    def now_s(self) -> float:
        """Return the seconds that have passed."""
        return self._passed_s

    def now(self) -> datetime:
        """Return the time of day, in UTC."""
        return self._now

    def sleep(self, seconds: float) -> None:
        """Hold up the calling thread until that much time has passed, or let it pass."""
        if self._autojump:
            self.advance(max(seconds, 0.0))
            return
        has_passed = Event()
        self._sleep(seconds, has_passed.set)
        has_passed.wait()

    async def sleep_awaited(self, seconds: float) -> None:
        """Hold up the calling task until that much time has passed, or let it pass."""
        import asyncio

        if self._autojump:
            self.advance(max(seconds, 0.0))
            await asyncio.sleep(0)
            return
        loop = asyncio.get_running_loop()
        has_passed = asyncio.Event()
        sleeper = self._sleep(seconds, lambda: loop.call_soon_threadsafe(has_passed.set))
        try:
            await has_passed.wait()
        except asyncio.CancelledError:
            self._forget(sleeper)
            raise

    def _sleep(self, seconds: float, wake: Callable[[], object]) -> _Sleeper:
        with self._lock:
            sleeper = (self._passed_s + seconds, next(self._order), wake)
            heappush(self._waiting, sleeper)
        self._wake_up_to(self._passed_s)
        return sleeper

    def _forget(self, sleeper: _Sleeper) -> None:
        with self._lock:
            if sleeper in self._waiting:
                self._waiting.remove(sleeper)
                heapify(self._waiting)

    def _wake_up_to(self, passed_s: float) -> None:
        while True:
            with self._lock:
                if not self._waiting or self._waiting[0][0] > passed_s:
                    return
                _, _, wake = heappop(self._waiting)
            wake()
