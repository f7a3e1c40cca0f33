"""The leases of the operations that this process runs, renewed in the background."""

from __future__ import annotations

from weakref import ref

from graven._async import colour
from graven._hints import TYPE_CHECKING, Any
from graven.errors import GravenError

if TYPE_CHECKING:
    from graven._async.log import AsyncLog
    from graven._common.operating import Running

__all__ = ["AsyncLeases"]

RENEWALS = 3
"""How often a lease is renewed before it would have run out."""


class AsyncLeases:
    """What is run here now, and the task that renews its leases.

    The task ends by itself when there has been nothing to renew for a while.
    """

    def __init__(self, log: AsyncLog, lease_s: float) -> None:
        """Renew entries of *log*, whose leases are *lease_s* seconds long."""
        self._log = ref(log)
        self._pause_s = lease_s / RENEWALS
        self._held: dict[Running, bool] = {}
        self._keeper: Any = None
        self._alarm: Any = None

    def hold(self, run: Running) -> None:
        """Renew the lease of *run* from now on."""
        self._held[run] = False
        if not colour.is_at_work(self._keeper):
            self._alarm = colour.Alarm()
            self._keeper = colour.spawn(self._keep)

    def release(self, run: Running) -> None:
        """Renew it no more."""
        self._held.pop(run, None)

    async def close(self) -> None:
        """Renew no lease any more."""
        self._held.clear()
        keeper = self._keeper  # which forgets itself when it ends
        if colour.is_at_work(keeper):
            self._alarm.go_off()
            await colour.ended(keeper)

    async def _keep(self) -> None:
        while True:
            while self._held:
                await self._alarm.wait(self._pause_s)
                await self._renew_all()
            self._keeper = None
            if not self._held:  # or somebody has just relied on it
                return

    async def _renew_all(self) -> None:
        log = self._log()
        for run, is_old in list(self._held.items()):
            if log is not None and is_old and run.is_logged:
                await self._renew(log, run)
            elif run in self._held:
                self._held[run] = True

    @staticmethod
    async def _renew(log: AsyncLog, run: Running) -> None:
        """Renew one lease; what cannot be renewed now is tried again next time."""
        try:
            run.is_lost = not await log.change(log.rows.touch(run.entry, due=log.lease_end()))
        except GravenError:
            return
