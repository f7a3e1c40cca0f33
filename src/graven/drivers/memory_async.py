"""The store in memory for async code: flows run in the task itself, for they wait for nothing.

But for another writer, which is awaited. Each call lets the event loop have one turn first, so that
tasks take turns as they do where the store is somewhere else.
"""

from __future__ import annotations

from asyncio import sleep

from graven._hints import TYPE_CHECKING, TypeVar
from graven.dialects.memory import MemoryDialect
from graven.drivers.memory import MemoryConnection, give_back, open_connection
from graven.drivers.memory_store import MemoryStore, open_store
from graven.drivers.pooling import BUSY_TIMEOUT_S, POOL_SIZE, POOL_TIMEOUT_S
from graven.drivers.pooling_async import AsyncPool
from graven.stm.waiting import arun

if TYPE_CHECKING:
    from graven.drivers.memory import Settle
    from graven.ops.requests import Flow

__all__ = ["AsyncMemoryConnection", "AsyncMemoryPool"]

R = TypeVar("R")


class AsyncMemoryConnection:
    """A connection that is used by one task at a time."""

    __slots__ = ("blocking", "requests")

    def __init__(self, blocking: MemoryConnection) -> None:
        """Run flows on *blocking*."""
        self.blocking = blocking
        self.requests = blocking.requests

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self.blocking.in_transaction

    @property
    def is_inherited(self) -> bool:
        """Whether it was opened by a parent of this process, and must not be touched."""
        return self.blocking.is_inherited

    async def run(self, flow: Flow[R], settle: Settle | None = None) -> R:
        """Drive *flow* to its end and return its result, or raise its error.

        *settle* is called with result and error, exactly once. A cancellation ends a flow that has
        not started, or waits for another writer; nothing else can be cancelled. See
        :meth:`MemoryConnection.run` for transactions.
        """
        try:
            await sleep(0)
        except BaseException as error:
            flow.close()
            if settle is not None:
                settle(None, error)
            raise
        return await arun(self.blocking.driving(flow, settle))


class AsyncMemoryPool(AsyncPool[AsyncMemoryConnection]):
    """Connections to one store in memory, for tasks of any event loop."""

    def __init__(
        self,
        url: str,
        size: int = POOL_SIZE,
        timeout_s: float = POOL_TIMEOUT_S,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
    ) -> None:
        """Open the store that *url* means; ``UsageError`` if it means none."""
        super().__init__(MemoryDialect(), size, timeout_s)
        self._store: MemoryStore | None = open_store(url)
        self._busy_timeout_s = busy_timeout_s

    async def _open(self) -> AsyncMemoryConnection:
        return AsyncMemoryConnection(
            open_connection(self._store, self.dialect, self._observer, self._busy_timeout_s)
        )

    def release(self, connection: AsyncMemoryConnection) -> None:
        """Give a connection back, without waiting; what its user left open is rolled back first."""
        if give_back(self._rack, connection):
            self._close()

    async def close(self) -> None:
        """Let go of the store, which ends with the last to do so; refuse every further use."""
        self._close()

    def _close(self) -> None:
        self._rack.close()
        self._store = None
