"""The clock and the dice of the shells.

Whoever wants to know the time asks here, and whoever waits for one does it by ``colour.sleep``,
so that a test can put another clock in the place of the machine's, for the whole process:
:class:`graven.testing.clock.VirtualClock`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from os import urandom
from time import monotonic, sleep

__all__ = ["Clock", "dice", "first_version", "now", "now_s", "replace", "running"]


class Clock:
    """The clock of the machine."""

    __slots__ = ()

    def now_s(self) -> float:
        """Return seconds that only ever grow, to measure durations and deadlines in a process."""
        return monotonic()

    def now(self) -> datetime:
        """Return the time of day, in UTC, which other machines know too, and which may jump."""
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        """Hold up the calling thread for that long."""
        sleep(seconds)

    async def sleep_awaited(self, seconds: float) -> None:
        """Hold up the calling task for that long."""
        from asyncio import sleep

        await sleep(seconds)


_running = Clock()


def running() -> Clock:
    """Return the clock by which the process runs."""
    return _running


def replace(clock: Clock) -> Clock:
    """Let the process run by *clock* from now on; return the one before."""
    global _running
    before, _running = _running, clock
    return before


def now_s() -> float:
    """Return seconds that only ever grow, by the running clock."""
    return _running.now_s()


def now() -> datetime:
    """Return the time of day in UTC, by the running clock, in milliseconds, as all stores have."""
    at = _running.now()
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def dice() -> float:
    """Return a random number from 0 up to 1."""
    return int.from_bytes(urandom(4), "big") / 2**32


def first_version() -> int:
    """Return a random first version for new records whose keys can come back.

    So none of them passes for an older one.
    """
    return int.from_bytes(urandom(4), "big") % (2**30 - 2) + 2
