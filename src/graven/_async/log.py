"""The log of operations of one database: entries written, changed and read."""

from __future__ import annotations

from datetime import datetime, timedelta
from weakref import WeakSet, ref

from graven._async import colour
from graven._async.leases import AsyncLeases
from graven._common.clock import now
from graven._hints import TYPE_CHECKING, Any, TypeVar
from graven.core.entries import Entry, EntryRows
from graven.errors import InvariantError
from graven.flows.log import change, fetch_entries, with_log

if TYPE_CHECKING:
    from uuid import UUID

    from graven._async.database import AsyncDatabase
    from graven.ops.requests import Flow, Update

__all__ = ["AsyncLog"]

R = TypeVar("R")


class AsyncLog:
    """Reads and writes the log; every change is guarded by the fence of its entry."""

    is_async = colour.IS_ASYNC

    def __init__(self, db: AsyncDatabase, lease_s: float) -> None:
        """Use the log of *db*; leases are *lease_s* seconds long."""
        self._db = ref(db)
        self.lease_s = lease_s
        self.rows = EntryRows(db.pool.dialect)
        self.has_tables = False
        """Whether the tables of the log are known to be there."""
        self.leases = AsyncLeases(self, lease_s)
        self.workers: WeakSet[Any] = WeakSet()
        """Those that work on the database in this process, to be woken when there is work."""

    @property
    def db(self) -> AsyncDatabase:
        """The database."""
        db = self._db()
        if db is None:
            raise InvariantError("the log of operations outlived its database")
        return db

    def lease_end(self) -> datetime:
        """Return when a lease ends that begins now."""
        return now() + timedelta(seconds=self.lease_s)

    async def run(self, flow: Flow[R]) -> R:
        """Run a flow on a connection taken for it, or in the transaction that the task is in.

        Tables that are not there are made first.
        """
        transaction = self.db.current_transaction()
        if transaction is not None:
            return await transaction.run(flow if self.has_tables else with_log(flow, True))
        found: R = await self.db._run(flow if self.has_tables else with_log(flow))
        self.has_tables = True
        return found

    async def change(self, update: Update) -> bool:
        """Change one entry; say whether its fence was still the one expected."""
        return await self.run(change(update))

    async def entry(self, id: UUID) -> Entry | None:
        """Return the entry of that id, ``None`` if there is none."""
        found = self.rows.entries(await self.run(fetch_entries(self.rows.fetch([id]))))
        return found[0] if found else None
