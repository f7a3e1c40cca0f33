"""How long to wait before the next attempt: exponential, jittered, fair and bounded."""

from __future__ import annotations

from collections.abc import Iterator

from graven.errors import UsageError
from graven.ops.value import Value

__all__ = ["Backoff"]


class Backoff(Value):
    """The waiting times between attempts.

    The first is up to *first_s* seconds, each next one up to *factor* times as much, none above
    *longest_s*. The real time is a random part of it (at least a quarter), so that those who
    collided once do not meet again. Later attempts wait no longer than *longest_s*, so that an old
    attempt is never slower to come back than a new one for long.
    """

    first_s: float = 0.002
    factor: float = 2.0
    longest_s: float = 0.25

    def ceilings(self) -> Iterator[float]:
        """Return an iterator of the longest waits before the second, third, … attempt, in seconds.

        :raises UsageError: if a time is negative or no number, or the factor is less than 1.
        """
        if not (self.first_s >= 0 and self.longest_s >= 0 and self.factor >= 1):
            raise UsageError(
                f"cannot wait as {self!r} says: first_s and longest_s have to be 0 or more "
                "seconds, and factor 1 or more, so that waiting times never shrink. Nothing was "
                "attempted."
            )
        return self._ceilings()

    def _ceilings(self) -> Iterator[float]:
        ceiling = self.first_s
        while True:
            yield min(ceiling, self.longest_s)
            ceiling = min(ceiling * self.factor, self.longest_s)

    @staticmethod
    def wait_s(ceiling_s: float, dice: float) -> float:
        """Return the time to wait, *dice* being a random number from 0 to 1."""
        return ceiling_s * (0.25 + 0.75 * dice)
