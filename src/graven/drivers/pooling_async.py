"""What the pools of async code share: taking a connection, waiting for one in a task."""

from __future__ import annotations

from asyncio import Future, get_running_loop, timeout

from graven._hints import TypeVar
from graven.drivers.pooling import PoolBase, Pooled, Waiter

__all__ = ["AsyncPool"]

C = TypeVar("C", bound=Pooled)


class _AsyncWaiter(Waiter[C]):
    """Waits on a future of its event loop."""

    def __init__(self) -> None:
        super().__init__()
        self._loop = get_running_loop()
        self.future: Future[None] = self._loop.create_future()

    def wake(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._arrived)
        except RuntimeError:  # the loop is closed, and with it whoever waited
            pass

    def _arrived(self) -> None:
        if not self.future.done():
            self.future.set_result(None)


class AsyncPool(PoolBase[C]):
    """Connections for tasks of any event loop, opened when first needed."""

    async def acquire(self) -> C:
        """Return a connection that nobody else uses.

        Waits up to ``timeout_s`` seconds if all are out, then raises ``UnavailableError``; the wait
        can be cancelled. Raises ``UsageError`` once the pool is closed, ``StoreError`` if the
        database cannot be opened.
        """
        return self._rack.take() or await self._acquire_slowly()

    async def _acquire_slowly(self) -> C:
        waiter: _AsyncWaiter[C] = _AsyncWaiter()
        if not self._rack.reserve(waiter):
            try:
                async with timeout(self.timeout_s):
                    await waiter.future
            except TimeoutError:
                self._rack.leave(waiter)
            except BaseException:
                self._rack.give_up(waiter)
                raise
        if waiter.connection is not None:
            return waiter.connection
        if waiter.may_open:
            try:
                return await self._open()
            except BaseException:
                self._rack.drop()
                raise
        raise self._refused()

    async def _open(self) -> C:
        """Open a connection."""
        raise NotImplementedError
