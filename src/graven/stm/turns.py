"""The turn: who holds it is the only one who may commit."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Lock
from typing import TypeVar
from weakref import ref

from graven.errors import BusyRetry
from graven.stm.waiting import Deadline, Pause, Steps, Waiter

__all__ = ["Turn", "Turns"]

T = TypeVar("T")

_LOOK_AGAIN_S = 0.2
_LOOK_ON_S = 0.1


class Turn(Waiter):
    """The right to commit while nobody else can. Readers never notice.

    Use it as a context manager, or call :meth:`release`. A turn that is dropped ends by itself.
    """

    __slots__ = ("_turns",)

    def __init__(self, turns: Turns) -> None:
        super().__init__()
        self._turns = turns

    @property
    def is_held(self) -> bool:
        """Whether others have to wait."""
        return self._turns.holder is self

    def release(self) -> None:
        """Let the next one in; more than once does no harm."""
        self._turns.leave(self)

    def __enter__(self) -> Turn:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class Turns:
    """The one who holds the turn, and those who wait for it, first come, first served.

    Turns are held weakly: a thread that was killed between getting its turn and using it leaves
    none behind. ``held`` is ``None`` if nobody holds the turn.
    """

    __slots__ = ("_check_open", "_lock", "_onlookers", "_queue", "held")

    def __init__(self, lock: Lock, check_open: Callable[[], None]) -> None:
        self._lock, self._check_open = lock, check_open
        self.held: ref[Turn] | None = None
        self._queue: deque[ref[Turn]] = deque()
        self._onlookers: set[Waiter] = set()

    @property
    def holder(self) -> Turn | None:
        """The turn that is held, if one is."""
        held = self.held
        return held() if held is not None else None

    def bars(self, turn: Turn | None) -> bool:
        """Say whether who has *turn*, or none, must wait. The lock is held."""
        if self.held is not None:
            self._pass_on_from_the_dead()
        return self.holder not in (None, turn)

    def taking(self, timeout_s: float | None, waited_s: float = 0.0) -> Steps[Turn]:
        """Return the flow that waits for a turn, at most *timeout_s* seconds.

        Who has waited already says how long, for the error to tell.

        :raises BusyRetry: if the time is over before the turn has come.
        """
        turn, deadline = Turn(self), Deadline(timeout_s)
        own = ref(turn)
        with self._lock:
            self._check_open()
            self._queue.append(own)
            self._pass_on_from_the_dead()
        try:
            while not turn.is_held and not deadline.is_past:
                left_s = deadline.left_s
                yield Pause(turn, _LOOK_AGAIN_S if left_s is None else min(left_s, _LOOK_AGAIN_S))
                with self._lock:
                    self._check_open()
                    self._pass_on_from_the_dead()
            if not turn.is_held:
                raise _too_busy(waited_s + deadline.waited_s)
        except BaseException:
            turn.release()
            raise
        return turn

    def passing(self, timeout_s: float) -> Steps[None]:
        """Return the flow that waits until nobody holds the turn, or *timeout_s* seconds.

        Who only commits looks on like this for a moment before it queues for a turn of its own:
        handing the turn from thread to thread is slow, and would never end under load.
        """
        waiter = Waiter()
        with self._lock:
            self._check_open()
            self._pass_on_from_the_dead()
            if self.held is None:
                return
            self._onlookers.add(waiter)
        try:
            yield Pause(waiter, timeout_s)
        finally:
            with self._lock:
                self._onlookers.discard(waiter)

    def committing(
        self, commit: Callable[[Turn | None], T | None], timeout_s: float | None
    ) -> Steps[T]:
        """Return the flow of a commit while another holds the turn: after it, or in one's own turn.

        *commit* returns ``None`` where it must not.

        :raises BusyRetry: if it must not for *timeout_s* seconds.
        """
        deadline = Deadline(timeout_s)
        left_s = deadline.left_s
        yield from self.passing(_LOOK_ON_S if left_s is None else min(left_s, _LOOK_ON_S))
        done = commit(None)
        if done is None:
            with (yield from self.taking(deadline.left_s, deadline.waited_s)) as turn:
                done = commit(turn)
        assert done is not None
        return done

    def leave(self, turn: Turn) -> None:
        """End a turn that is held, or waited for."""
        with self._lock:
            if self.holder is turn:
                self.held = None
            else:
                self._queue = deque(one for one in self._queue if one() is not turn)
            self._pass_on_from_the_dead()

    def wake_all(self) -> None:
        """Wake all who wait, because there will be no more turns. The lock is held."""
        for one in self._queue:
            if (turn := one()) is not None:
                turn.wake()
        for waiter in self._onlookers:
            waiter.wake()

    def _pass_on_from_the_dead(self) -> None:
        """If nobody holds the turn, give it to the first in the queue who still wants it."""
        while (turn := self.holder) is None:
            self.held = None
            if not self._queue:
                for waiter in self._onlookers:
                    waiter.wake()
                return
            self.held = self._queue.popleft()
        if not turn.is_woken:
            turn.wake()


def _too_busy(waited_s: float) -> BusyRetry:
    return BusyRetry(
        f"cannot commit to the store: after {waited_s:.3g} s it is still held by another "
        "transaction, which has its turn exclusively. Nothing was written. Usual causes: a "
        "transaction that waits for something slow, or for this one. Try again, wait longer "
        "(timeout_s), or make that transaction shorter.",
        waited_s=waited_s,
    )
