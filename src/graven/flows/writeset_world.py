"""What a write set has to know that is no request, and how it waits for others."""

from __future__ import annotations

from collections.abc import Callable

from graven.core.retry import Backoff
from graven.errors import BusyRetry
from graven.ops.requests import Flow, Sleep
from graven.ops.value import Value

__all__ = ["Patience", "World"]

QUICK_LOOKS = 3
"""So often what was in the way is looked at again at once, because it was just finished."""


class World(Value):
    """Clock, dice, ids, and how long to wait.

    ``now_ms`` gives milliseconds since 1970, ``new_id`` a text that nothing else is called, and
    ``dice`` a number from 0 to 1. Whoever waits for others gives up after *busy_timeout_s* seconds.
    A set has a lease of *lease_ms* and as much more as its number of documents demands: then it may
    be aborted by anybody.
    """

    now_ms: Callable[[], int]
    new_id: Callable[[], str]
    dice: Callable[[], float]
    busy_timeout_s: float = 5.0
    lease_ms: int = 3000
    lease_per_document_ms: int = 2


class Patience:
    """Waits between looks at what is in the way, longer each time, but not for ever."""

    def __init__(self, world: World, attempted: str) -> None:
        """Begin with all of the time that *world* allows; *attempted* is for the error."""
        self._world, self._attempted = world, attempted
        self._ceilings = Backoff(longest_s=0.1).ceilings()
        self._waited_s = 0.0
        self._looks = 0

    def wait(self, is_live: bool) -> Flow[None]:
        """Wait before the next look; the first looks after what was finished come at once.

        :raises BusyRetry: if all of the time has been waited.
        """
        self._looks += 1
        if not is_live and self._looks <= QUICK_LOOKS:
            return
        if self._waited_s >= self._world.busy_timeout_s:
            raise BusyRetry(
                f"cannot {self._attempted}: a commit of others that has not ended is in the way; "
                "usually it is large, or the process that made it was held up; nothing was "
                f"written; try again (waited {self._waited_s:.1f} s)",
                waited_s=self._waited_s,
            )
        pause_s = Backoff.wait_s(next(self._ceilings), self._world.dice())
        yield from Sleep(pause_s)
        self._waited_s += pause_s
