"""``AsyncWorker``: takes deferred operations out of queues, and runs them."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from datetime import timedelta
from logging import getLogger

from graven._async.chores import AsyncChores
from graven._common import recovery
from graven._common.atomic import names_of
from graven._common.clock import now, now_s
from graven._common.crew import AsyncCrew
from graven._common.logged import worker_name
from graven._common.signals import Stopping
from graven._hints import TYPE_CHECKING, Any
from graven.core.entries import Entry, abandoned
from graven.core.limits import Queue, checked_queue
from graven.core.operating import transition
from graven.core.retry import Backoff
from graven.errors import CommitUnknownError, GravenError, TransientError, UniqueError, UsageError
from graven.flows.queues import Claim, make_queues, take_queued

if TYPE_CHECKING:
    from graven._async.database import AsyncDatabase
    from graven._common.recovery import RecoveryReport

__all__ = ["DEFAULT_QUEUE", "AsyncWorker"]

DEFAULT_QUEUE = "default"

CLAIM_MAX = 200
"""How many operations are claimed at once."""

AHEAD_S = 0.25
"""For how long there is to be work in hand, so that others may have what would only wait here."""

LET_GO_S = 2.0
"""How long what was claimed waits to be begun before others may have it."""

LOOKS_PER_LEASE = 6
LEFT_S_MAX = 5.0
"""How often it is looked what others have left: that goes through all that waits."""

LEAST_PAUSE_S = 0.01

logger = getLogger("graven")


class AsyncWorker:
    """Takes operations that are due out of *queues*, and runs up to *concurrency* at a time.

    Any number of workers, in any number of processes, share the work; each operation is finished
    once. A worker also runs what others have left when they died, makes the entries of schedules
    that are due, and, with *retention*, removes what was finished longer ago than that.
    """

    def __init__(
        self,
        db: AsyncDatabase,
        queues: str | Queue | Iterable[str | Queue] = DEFAULT_QUEUE,
        concurrency: int = 4,
        *,
        poll_s: float = 0.5,
        grace_s: float = 10.0,
        retention: timedelta | None = None,
    ) -> None:
        """Prepare; use ``db.worker()``.

        *poll_s* is how long the worker waits at most before it looks again, *grace_s* how long it
        lets operations go on when it is stopped.

        :raises UsageError: if a queue or a number makes no sense.
        """
        given = (queues,) if isinstance(queues, str | Queue) else tuple(queues)
        self.queues: Sequence[Queue] = tuple(map(checked_queue, given))
        if concurrency < 1 or not poll_s > 0 or not grace_s >= 0 or not self.queues:
            raise UsageError(
                f"cannot work on {len(self.queues)} queues with concurrency={concurrency!r}, "
                f"poll_s={poll_s!r}, grace_s={grace_s!r}: there has to be a queue, concurrency is "
                "1 or more, poll_s more than 0, grace_s 0 or more."
            )
        self._db, self.concurrency = db, concurrency
        self._poll_s, self._grace_s = poll_s, grace_s
        self._operating = db.operating
        self._chores = AsyncChores(db, retention)
        self._name = f"{worker_name()}/worker{id(self):x}"
        self._crew: AsyncCrew | None = None
        self._in_hand: deque[tuple[Entry, Entry]] = deque()
        """What was claimed and not begun, and how each of it was before."""
        self._claimed_at_s, self._was_full, self._count = 0.0, False, concurrency
        self._pauses = iter(Backoff(LEAST_PAUSE_S, 2.0, poll_s).ceilings())
        self._next_left_s = 0.0
        self._has_limits = any(one.concurrency or one.rate for one in self.queues)
        self._is_stopped = False
        self._outcomes: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"<worker of {', '.join(one.name for one in self.queues)} on {self._db!r}>"

    @property
    def progress(self) -> int:
        """How many operations it has run since it was started last."""
        return sum(self._outcomes.values())

    # -- from outside ------------------------------------------------------------------------------

    async def run(self, *, until_idle: bool = False) -> RecoveryReport:
        """Work until :meth:`stop` is called, or, *until_idle*, until nothing is due any more.

        In the main thread Ctrl-C and SIGTERM stop it, unless the program listens to them itself.
        Then it takes nothing more, gives back what it has not begun, and waits for what runs, up to
        its grace time; what is still running then is left to the end of its lease. Returns a report
        of what was done.

        :raises UsageError: if it is running already.
        """
        if self._crew is not None:
            raise UsageError(f"cannot run {self!r}: it is running. Make another one.")
        since_s = now_s()
        self._crew, self._is_stopped = AsyncCrew(), False
        self._outcomes.clear()
        self._db.pool.widen(self.concurrency + 1)
        self._operating.workers.add(self)
        try:
            with Stopping(self.stop):
                await self._work(until_idle)
        finally:
            self._operating.workers.discard(self)
            await self._wind_up()
            self._db.pool.widen(-self.concurrency - 1)
            self._crew = None
        return recovery.report(self._outcomes, now_s() - since_s)

    def stop(self) -> None:
        """Let :meth:`run` come to its end; from any thread or task, and from a signal handler."""
        self._is_stopped = True
        self.wake()

    def wake(self) -> None:
        """Let the worker look for work now."""
        crew = self._crew
        if crew is not None:
            crew.wake()

    # -- the loop ----------------------------------------------------------------------------------

    async def _work(self, until_idle: bool) -> None:
        crew: Any = self._crew
        if self._has_limits:
            await self._operating.run(make_queues())
        while not self._is_stopped:
            found = await self._look()
            await self._let_go()
            for _ in range(crew.busy, min(self.concurrency, crew.busy + len(self._in_hand))):
                crew.begin(self._run_in_hand)
            is_busy = bool(crew.busy or self._in_hand)
            if until_idle and not (is_busy or found or await self._look(everything=True)):
                return
            await crew.wait(self._pause_s(found, is_busy))

    def _pause_s(self, found: bool, is_busy: bool) -> float:
        """Return how long to wait for something to happen: less after there was work."""
        if found:
            self._pauses = Backoff(LEAST_PAUSE_S, 2.0, self._poll_s).ceilings()
            return self._poll_s if is_busy else 0.0
        return next(self._pauses)

    async def _look(self, *, everything: bool = False) -> bool:
        """Take what is due, if there is a place for it; say whether there was any."""
        found = 0
        try:
            if everything or self._chores.is_time:
                found += await self._chores.do(everything=everything)
            if everything or now_s() >= self._next_left_s:
                found += await self._take_left()
            found += await self._take_queued()
        except (TransientError, CommitUnknownError, UniqueError):
            pass  # the store is busy, or away, or somebody was faster; the next look may do better
        return found > 0

    async def _take_queued(self) -> int:
        """Claim entries of the queues, as many as will be begun soon."""
        claim = Claim(
            queues=self.queues,
            count=self._room(),
            unknown=names_of(not self._operating.is_async),
            counted=frozenset(names_of(self._operating.is_async, attempts=2)),
            worker=f"{self._name}/{now_s()}",
            now=now(),
            until=self._operating.lease_end(),
        )
        if claim.count <= 0:
            return 0
        dialect = self._db.pool.dialect
        found = await self._operating.run(take_queued(dialect, claim))
        self.queues = (*self.queues[1:], self.queues[0])  # each in turn is asked first
        self._in_hand += ((claim.of(one), one) for one in found)
        self._measure(len(found))
        return len(found)

    def _room(self) -> int:
        """Return how many may be claimed now: more than can be begun only if they are quick."""
        crew: Any = self._crew
        if len(self._in_hand) >= self.concurrency:
            return 0
        if self._count > self.concurrency:
            return self._count - len(self._in_hand)
        return self.concurrency - int(crew.busy) - len(self._in_hand)

    def _measure(self, found: int) -> None:
        """Set how many are claimed next by how long the last ones have lasted."""
        lasted_s = now_s() - self._claimed_at_s
        if self._was_full and lasted_s < AHEAD_S:
            self._count = min(self._count * 2, CLAIM_MAX)
        elif lasted_s > 2 * AHEAD_S:
            self._count = max(self._count // 2, self.concurrency)
        self._claimed_at_s, self._was_full = now_s(), found == self._count

    async def _take_left(self) -> int:
        """Claim what others have left when they died, and what is in no queue."""
        self._next_left_s = now_s() + min(self._operating.lease_s / LOOKS_PER_LEASE, LEFT_S_MAX)
        found = await self._operating.claim_due(abandoned(), self.concurrency)
        self._in_hand += ((one, one.but(due=now())) for one in found)
        return len(found)

    async def _let_go(self) -> None:
        """Give back what is in hand and will not be begun soon, because what runs takes long."""
        crew: Any = self._crew
        is_stuck = crew.busy >= self.concurrency and now_s() - self._claimed_at_s > LET_GO_S
        if self._in_hand and is_stuck:
            self._count = self.concurrency
            await self._give_back()

    async def _run_in_hand(self) -> None:
        """Run what is in hand, one after the other, until there is nothing more."""
        while not self._is_stopped:
            try:
                entry, before = self._in_hand.popleft()
            except IndexError:
                return
            if len(self._in_hand) == self.concurrency - 1:
                self.wake()  # more can be taken while this one runs
            try:
                is_counted = entry.attempts > before.attempts
                self._outcomes[await self._operating.run_claimed(entry, is_counted)] += 1
            except Exception:
                self._outcomes[recovery.RETRIED] += 1  # when its lease has run out
                logger.exception("graven: operation %s was not brought to an end", entry.id)

    # -- the end -----------------------------------------------------------------------------------

    async def _wind_up(self) -> None:
        """Give back what was not begun, and wait for what runs, for a while."""
        crew: Any = self._crew
        ends_at_s = now_s() + self._grace_s
        await self._give_back()
        while crew.busy and now_s() < ends_at_s:
            await crew.wait(min(ends_at_s - now_s(), self._poll_s))
        await crew.close()

    async def _give_back(self) -> None:
        """Let others have what was claimed and not begun; what cannot be given back, they will."""
        while self._in_hand:
            try:
                entry, before = self._in_hand.popleft()
            except IndexError:
                return
            state = transition("put_back", entry.state, entry.id)
            changes = {"state": state, "due": before.due, "attempts": before.attempts}
            try:
                await self._operating.change(self._operating.rows.update([entry], **changes))
            except GravenError:
                return
