"""A versioned store in memory: software transactional memory for threads and for tasks.

:class:`Store` is what one uses: transactions that run again when they lose a race, that can sleep
until what they read has changed, and the handles of optimistic locking. :class:`AsyncStore` is the
same store, awaited. Beneath them lies :class:`Timeline`: cells in spaces, commits in one order,
views of any one moment. A backend that keeps its rows in memory is built on that.
"""

from __future__ import annotations

from graven.stm.async_store import AsyncStore
from graven.stm.cells import Cell, Space, View
from graven.stm.handles import AsyncCollection, AsyncValue, Collection, Value
from graven.stm.snapshot import Past, Snapshot
from graven.stm.store import Store
from graven.stm.timeline import Timeline
from graven.stm.transaction import Transaction
from graven.stm.turns import Turn

__all__ = [
    "AsyncCollection",
    "AsyncStore",
    "AsyncValue",
    "Cell",
    "Collection",
    "Past",
    "Snapshot",
    "Space",
    "Store",
    "Timeline",
    "Transaction",
    "Turn",
    "Value",
    "View",
]
