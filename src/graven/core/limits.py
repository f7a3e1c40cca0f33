"""How many operations of a queue may begin: priorities, and limits as values.

The limits of a queue hold for all workers together. What they have to remember of its rate is one
instant, the *debt*: when all that has begun would have been, at an even pace, allowed.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from graven._hints import Any
from graven.errors import UsageError
from graven.ops.value import Value

__all__ = [
    "PRIORITIES",
    "Queue",
    "Rate",
    "allowance",
    "checked_priority",
    "checked_queue",
    "debt_of",
]

PRIORITIES = range(10)
"""From what may wait longest, 0, to what goes first, 9."""


class Rate(Value):
    """*count* operations may begin at once, and *count* in each *per_s* seconds in the long run."""

    count: int
    per_s: float = 1.0

    @property
    def pace(self) -> timedelta:
        """The time from one beginning to the next at an even pace."""
        return timedelta(seconds=self.per_s / self.count)


class Queue(Value):
    """A queue with limits, for all workers together.

    *concurrency* is how many of its operations may run at a time; *rate* is how many may begin.
    """

    name: str
    concurrency: int | None = None
    rate: Rate | None = None


def checked_queue(given: Any) -> Queue:
    """Return *given*, a name or a :class:`Queue`, as a queue.

    :raises UsageError: if it has no name, or a limit that lets nothing through.
    """
    queue: Any = Queue(given) if isinstance(given, str) else given
    if not isinstance(queue, Queue) or not queue.name or type(queue.name) is not str:
        raise UsageError(
            f"cannot use {given!r:.100} as a queue: a queue is a name, or Queue(name, concurrency, "
            "rate)."
        )
    rate = queue.rate
    is_rate = rate is None or (rate.count >= 1 and rate.pace > timedelta())
    if not is_rate or (queue.concurrency is not None and queue.concurrency < 1):
        raise UsageError(
            f"cannot keep to the limits of {queue!r}: concurrency and the count of a rate have to "
            "be 1 or more, and per_s more than 0. To stop a queue, start no worker for it."
        )
    return queue


def checked_priority(given: Any) -> int:
    """Return *given* if it is a priority.

    :raises UsageError: if it is not.
    """
    if type(given) is int and given in PRIORITIES:
        return given
    raise UsageError(
        f"cannot use {given!r:.100} as a priority: it is a whole number from 0, which may wait "
        "longest, to 9, which goes first."
    )


def allowance(rate: Rate, debt: datetime | None, now: datetime) -> int:
    """Return how many operations may begin *now*."""
    if debt is None or debt <= now:
        return rate.count
    return max(0, rate.count + (now - debt) // rate.pace)


def debt_of(rate: Rate, debt: datetime | None, now: datetime, begun: int) -> datetime:
    """Return the debt after *begun* operations have begun *now*."""
    return (now if debt is None else max(debt, now)) + begun * rate.pace
