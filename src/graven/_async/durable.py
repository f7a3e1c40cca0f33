"""What a database offers for durable operations."""

from __future__ import annotations

from graven._hints import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import timedelta
    from uuid import UUID

    from graven._async.database import AsyncDatabase
    from graven._async.handle import AsyncHandle
    from graven._async.operating import AsyncOperating
    from graven._async.worker import AsyncWorker
    from graven._common.recovery import RecoveryReport
    from graven.core.limits import Queue

__all__ = ["AsyncDurable"]


class AsyncDurable:
    """The durable operations of a database: run, looked at, recovered, worked off, removed."""

    _lease_s: float
    _operating: AsyncOperating | None = None

    @property
    def _itself(self) -> AsyncDatabase:
        return cast("AsyncDatabase", self)

    @property
    def operating(self) -> AsyncOperating:
        """What logs, runs and recovers the durable operations of this database."""
        if self._operating is None:
            from graven._async.operating import AsyncOperating

            self._operating = AsyncOperating(self._itself, self._lease_s)
        return self._operating

    def atomic(self, function: Any = None, /, **options: Any) -> Any:
        """Make a function's calls durable operations on this database: ``@db.atomic``.

        *options* are those of :func:`graven.atomic`. A function that is atomic already is bound to
        this database: ``db.atomic(transfer)(...)``.
        """
        from graven._common.atomic import atomic

        return atomic(function, db=self, **options)

    async def operation(self, id: UUID) -> AsyncHandle:
        """Return what is known of the operation with that id: state, result, error, steps.

        :raises NotFoundError: if there is none.
        """
        from graven._async.handle import AsyncHandle, no_operation
        from graven._async.steps import fetch_steps

        entry = await self.operating.entry(id)
        if entry is None:
            raise no_operation(id)
        return AsyncHandle(self._itself, entry, await fetch_steps(self._itself, id))

    async def recover(self) -> RecoveryReport:
        """Finish the operations that were interrupted, and say what was done.

        Several processes may do so at once: each operation is finished once. One that fails is
        tried again later, and at last left to a person; the others go on. On a stand-alone MongoDB
        server, commits that were interrupted are finished or taken back too.
        """
        found = await self.operating.recover()
        if self._itself.pool.topology != "stand-alone":
            return found
        from graven._common.recovery import with_write_sets
        from graven.ops.writesets import RecoverWriteSets

        tables = dict.fromkeys(mapper.root.table for mapper in self._itself._bindings)
        sets = await self._itself._run(iter(RecoverWriteSets(tuple(tables))))
        return with_write_sets(found, sets.committed, sets.aborted)

    def worker(
        self,
        queues: str | Queue | Iterable[str | Queue] = "default",
        concurrency: int = 4,
        **options: Any,
    ) -> AsyncWorker:
        """Return a worker that runs deferred operations of *queues*, *concurrency* at a time.

        Its ``run()`` works until ``stop()`` is called. *options* are those of
        :class:`~graven.AsyncWorker`.
        """
        from graven._async.worker import AsyncWorker

        return AsyncWorker(self._itself, queues, concurrency, **options)

    async def unschedule(self, name: str) -> bool:
        """End the schedule of that name; say whether there was one."""
        return await self.operating.unschedule(name)

    async def prune_operations(
        self, older_than: timedelta, states: Iterable[str] = ("done", "failed", "cancelled")
    ) -> int:
        """Remove operations that were finished longer ago than *older_than*, with their steps.

        It is done in small pieces, and may be broken off at any time. Returns how many were
        removed. A key that was used with one of them can be used anew.
        """
        from graven._async.retention import prune_operations

        return await prune_operations(self._itself, older_than, states)

    async def prune_commit_records(self, older_than: timedelta) -> int:
        """Remove the records of commits longer ago than *older_than*; return how many.

        :meth:`committed` must not be asked for these any more: it would say no.
        """
        from graven._async.retention import prune_commit_records

        return await prune_commit_records(self._itself, older_than)
