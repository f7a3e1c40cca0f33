"""Running a transaction until it has committed: attempts, waits, and at last a turn of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Mapping
from typing import TYPE_CHECKING, Any

from graven.errors import ConcurrentUpdate, TransientError, UsageError
from graven.ops.value import Value as FrozenValue
from graven.stm import faults
from graven.stm.cells import Cell, Space
from graven.stm.timeline import Timeline
from graven.stm.transaction import ENDED, Retry, Transaction
from graven.stm.waiting import Call, Deadline, Pause, Steps, Waiter

if TYPE_CHECKING:
    from graven.stm.store import Store
    from graven.stm.turns import Turn

__all__ = ["Limits", "attempting", "current_task", "effects", "waiting"]

_PATIENCE = 8
"""After so many lost races a transaction is run while nobody else may commit."""


class Limits(FrozenValue):
    """How often, and how long, a transaction is tried; ``None`` is for ever."""

    limit: int | None = None
    deadline_s: float | None = None

    def checked(self) -> Limits:
        """Return the limits themselves, if they make sense.

        :raises UsageError: if not.
        """
        if self.limit is not None and (self.limit < 1 or self.limit % 1):
            raise UsageError(f"cannot try {self.limit} times: limit has to be 1 or more, or None.")
        if self.deadline_s is not None and not self.deadline_s >= 0:
            raise UsageError(
                f"cannot stop after {self.deadline_s} s: deadline_s has to be 0 or more, or None."
            )
        return self


def current_task() -> object:
    """Return the task that this runs in; ``None`` outside of any."""
    asyncio = sys.modules.get("asyncio")
    try:
        return asyncio and asyncio.current_task()
    except RuntimeError:  # no event loop runs in this thread
        return None


def attempting(
    store: Store,
    body: Callable[[Transaction], Any],
    running: dict[Any, Transaction],
    owner: object,
    limits: Limits,
    deadline: Deadline,
    failed: Transaction | None = None,
) -> Steps[Any]:
    """Run *body* in transactions until one has committed; return what it gave.

    *failed* is an attempt that was made already. While the function runs, its transaction is in
    *running*, under *owner*.

    :raises TransientError: the last one, with its ``attempts``, past the limit or the deadline.
    """
    attempts = conflicts = 0
    turn = None
    tx, result = failed, None
    try:
        while True:
            if tx is None:
                tx = Transaction(store)
                done, result = yield from _attempt(tx, body, running, owner, deadline, turn)
                if done:
                    break
            attempts += 1
            if not isinstance(tx.reason, ConcurrentUpdate):
                if turn is not None:
                    turn.release()
                    turn = None
                yield from waiting(store.timeline, {store.space: tx.reads}, deadline)
            else:
                conflicts += 1
                if conflicts == limits.limit or deadline.is_past:
                    raise tx.reason
                if conflicts >= _PATIENCE and turn is None:
                    turn = yield from store.timeline.turns.taking(_patience(store, deadline))
            tx = None
    except TransientError as error:
        error.attempts = error.attempts or attempts
        raise
    finally:
        if turn is not None:
            turn.release()
    yield from effects(tx)
    return result


def _attempt(
    tx: Transaction,
    body: Callable[[Transaction], Any],
    running: dict[Any, Transaction],
    owner: object,
    deadline: Deadline,
    turn: Turn | None,
) -> Steps[tuple[bool, Any]]:
    """Run *body* once, and commit; return whether that has succeeded, and what *body* gave."""
    try:
        running[owner] = tx
        result = yield Call(body, (tx,))
        if tx.try_commit(turn) is None:
            patience_s = _patience(tx.store, deadline)
            yield from tx.store.timeline.turns.committing(tx.try_commit, patience_s)
    except (Exception, Retry):
        if tx.reason is None:
            raise
        return False, None
    finally:
        tx.cells = tx.writes = ENDED
        running.pop(owner, None)
    return True, result


def _patience(store: Store, deadline: Deadline) -> float:
    """Return how long to wait for a turn, in seconds."""
    left_s = deadline.left_s
    return store.busy_timeout_s if left_s is None else min(left_s, store.busy_timeout_s)


def effects(tx: Transaction) -> Steps[None]:
    """Call what the transaction asked for with ``on_commit``; all of it, whatever fails."""
    errors: list[Exception] = []
    for effect, arguments in tx.effects:
        try:
            yield Call(effect, arguments)
        except Exception as error:  # noqa: BLE001 - raised when all have been called
            errors.append(error)
    if len(errors) == 1 and not isinstance(errors[0], TransientError):
        raise errors[0]
    if errors:  # a transient one too: nobody shall think that the transaction may run again
        raise ExceptionGroup("effects of a transaction that is committed have failed", errors)


def waiting(
    timeline: Timeline, reads: Mapping[Space, Mapping[Hashable, Cell | None]], deadline: Deadline
) -> Steps[None]:
    """Wait until one of *reads* is overwritten.

    :raises UsageError: if nothing was read, or the store is closed.
    :raises BusyRetry: if the deadline comes first.
    """
    keys = [key for cells in reads.values() for key in cells]
    if not keys:
        raise faults.nothing_read()
    waiter = Waiter()
    try:
        if timeline.watch(reads, waiter):
            woken = yield Pause(waiter, deadline.left_s)
            timeline.check_open()
            if not woken:
                raise faults.unchanged(deadline.waited_s, keys)
    finally:
        timeline.unwatch(reads, waiter)
