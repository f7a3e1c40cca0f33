"""The store, awaited: the same data for tasks, next to threads."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Mapping
from functools import partial, wraps
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, overload

from graven.errors import BusyRetry, ConcurrentUpdate
from graven.stm.attempts import Limits, attempting, current_task
from graven.stm.handles import AsyncCollection, AsyncValue, BaseValue
from graven.stm.snapshot import Past, Snapshot
from graven.stm.store import Store
from graven.stm.transaction import Transaction
from graven.stm.waiting import Deadline, arun

__all__ = ["AsyncStore"]

P = ParamSpec("P")
T = TypeVar("T")


class AsyncStore:
    """The awaited twin of a :class:`Store`: waiting holds up the task, never the event loop.

    ``AsyncStore(store)`` works on the data of *store*, together with the threads that use it;
    ``AsyncStore()`` makes a store of its own, with the same options. What never waits is an
    ordinary method here too.
    """

    ConcurrentUpdate = ConcurrentUpdate
    BusyRetry = BusyRetry

    def __init__(self, store: Store | None = None, **options: Any) -> None:
        self.store = Store(**options) if store is None else store

    # ── transactions ────────────────────────────────────────────────────────────────────────

    async def atomically(
        self,
        function: Callable[Concatenate[Transaction, P], Any],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Any:
        """Run ``function(tx, *args, **kwargs)`` as one transaction, and return what it gives.

        The function is an ordinary one or a coroutine function; otherwise all is as for
        :meth:`Store.atomically`.
        """
        return await self._run(self.store._limits, function, args, kwargs)

    async def _run(
        self, limits: Limits, function: Callable[..., Any], args: Any, kwargs: Any
    ) -> Any:
        async def body(tx: Transaction) -> Any:
            found = function(tx, *args, **kwargs)
            return await found if isinstance(found, Awaitable) else found

        task, running = current_task(), self.store._in_tasks
        around = running.get(task)
        if around is not None:
            with around.level():
                return await body(around)
        deadline = Deadline(limits.deadline_s)
        return await arun(attempting(self.store, body, running, task, limits, deadline))

    @overload
    def transactional(
        self, function: Callable[Concatenate[Transaction, P], Awaitable[T]], /
    ) -> Callable[P, Awaitable[T]]: ...

    @overload
    def transactional(
        self, function: Callable[Concatenate[Transaction, P], T], /
    ) -> Callable[P, Awaitable[T]]: ...

    @overload
    def transactional(
        self, /, *, limit: int | None = None, deadline_s: float | None = None
    ) -> Callable[[Callable[Concatenate[Transaction, P], Any]], Callable[P, Awaitable[Any]]]: ...

    def transactional(
        self,
        function: Callable[..., Any] | None = None,
        /,
        *,
        limit: int | None = None,
        deadline_s: float | None = None,
    ) -> Any:
        """Make a function of ``tx`` one that is awaited without it, and runs as a transaction."""
        if function is None:
            return partial(self.transactional, limit=limit, deadline_s=deadline_s)
        limits = self.store._limits_with(limit, deadline_s)

        @wraps(function)
        async def call(*args: Any, **kwargs: Any) -> Any:
            return await self._run(limits, function, args, kwargs)

        return call

    # ── handles ─────────────────────────────────────────────────────────────────────────────

    def usevar(self, key: Hashable, islocked: bool = False) -> AsyncValue:
        """Return a handle of *key*, as :meth:`Store.usevar` does; its ``commit`` is awaited."""
        found = self.store.usevar(key)
        return AsyncValue(self.store, key, found.value, found._cell)

    def using(self, *keys: Hashable) -> AsyncCollection:
        """Return handles of all *keys*, read at one moment; its ``commit`` is awaited."""
        handles = AsyncCollection(self.store)
        self.store._read(handles, AsyncValue, keys)
        return handles

    def dump(self) -> AsyncCollection:
        """Return handles of all keys that there are, read at one moment."""
        found = self.store.dump().values()
        handles = {v.key: AsyncValue(self.store, v.key, v.value, v._cell) for v in found}
        return AsyncCollection(self.store, handles)

    async def set(
        self,
        key: Hashable,
        value: BaseValue,
        *,
        nowait: bool = False,
        timeout_s: float | None = None,
    ) -> None:
        """Commit the handle *value* of *key*."""
        await self.set_values({key: value}, nowait=nowait, timeout_s=timeout_s)

    async def set_values(
        self,
        values: Mapping[Any, BaseValue],
        *,
        nowait: bool = False,
        timeout_s: float | None = None,
    ) -> None:
        """Commit all the handles *values*, or none."""
        await arun(self.store._committing_handles(values, 0.0 if nowait else timeout_s))

    # ── times ───────────────────────────────────────────────────────────────────────────────

    @property
    def version(self) -> int:
        """How many commits have written something."""
        return self.store.version

    def as_of(self, store_version: int | None = None) -> Snapshot:
        """Return what the store held at *store_version*, as :meth:`Store.as_of` does."""
        return self.store.as_of(store_version)

    def history(self, key: Hashable) -> tuple[Past, ...]:
        """Return what *key* has been, as :meth:`Store.history` does."""
        return self.store.history(key)

    async def changed(
        self, key: Hashable, since: int | None = None, *, timeout_s: float | None = None
    ) -> int:
        """Wait until *key* has another version than *since*, as :meth:`Store.changed` does."""
        return await arun(self.store._changing(key, since, timeout_s))

    # ── the end ─────────────────────────────────────────────────────────────────────────────

    def close(self) -> None:
        """Close the store, for threads too."""
        self.store.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<AsyncStore of {self.store!r}>"
