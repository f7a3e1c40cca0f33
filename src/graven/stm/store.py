"""The store: a dictionary for several threads, with versions and transactions."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from functools import partial, wraps
from threading import get_ident
from types import CoroutineType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, overload

from graven.core.values import same
from graven.errors import BusyRetry, ConcurrentUpdate, UsageError
from graven.stm import faults
from graven.stm.attempts import Limits, attempting, current_task, effects, waiting
from graven.stm.cells import Cell
from graven.stm.copying import ATOMS, Copier
from graven.stm.handles import BaseValue, Collection, Value, note, put
from graven.stm.snapshot import Past, Snapshot
from graven.stm.timeline import Timeline
from graven.stm.transaction import ENDED, Retry, Transaction
from graven.stm.waiting import Deadline, Steps, run

__all__ = ["Store"]

P = ParamSpec("P")
T = TypeVar("T")

_new = object.__new__


class Store:
    """A dictionary for several threads, with versions and transactions; in memory.

    Transactions are serializable, and never see a torn state, not even one that will be run again.
    Every key has a version, which each commit that writes it counts up; an absent key has version
    0. What goes in and out is copied, unless it cannot change.

    *history* is how many replaced values are kept for :meth:`history` and :meth:`as_of`. *copier*
    takes a value and returns a copy; ``copy.deepcopy`` if not given. *limit* is how often
    :meth:`atomically` tries, *deadline_s* how many seconds altogether; both without end, if not
    given. *busy_timeout_s* is how many seconds a commit waits for a transaction that has its turn
    exclusively.
    """

    ConcurrentUpdate = ConcurrentUpdate
    BusyRetry = BusyRetry

    def __init__(
        self,
        *,
        history: int = 1_000,
        copier: Callable[[Any], Any] | None = None,
        limit: int | None = None,
        deadline_s: float | None = None,
        busy_timeout_s: float = 5.0,
    ) -> None:
        self._limits = Limits(limit, deadline_s).checked()
        if not history >= 0:
            raise UsageError(f"cannot keep {history} replaced values: history has to be 0 or more.")
        self._copy = Copier(copier)
        self.busy_timeout_s = busy_timeout_s
        self.timeline = Timeline(history, self._copy)
        self.space = self.timeline.space()
        self._cells: Any = self.space.cells
        self._in_threads: dict[int, Transaction] = {}  # the transactions that are being run
        self._in_tasks: dict[Any, Transaction] = {}

    # ── transactions ────────────────────────────────────────────────────────────────────────

    def atomically(
        self, function: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run ``function(tx, *args, **kwargs)`` as one transaction, and return what it gives.

        All it writes is written, or nothing: nothing if it raises. If somebody else overwrites
        what it has read it is run again; after a few times while nobody else may commit, so that
        it comes to an end. Inside another transaction of this store it nests: an exception undoes
        the inner one, and all is written with the outer one.

        :raises ConcurrentUpdate: past the limit or the deadline, with the ``attempts``.
        :raises BusyRetry: if a wait, for a turn or a change, takes too long.
        :raises DataError: if a value cannot be copied.
        """
        owner, running, limits = get_ident(), self._in_threads, self._limits
        if owner in running or self._in_tasks or limits.deadline_s is not None:
            return self._attempting(limits, function, args, kwargs)
        tx = _new(Transaction)  # Transaction(self), without the way through its type
        Transaction.__init__(tx, self)
        result: Any = None
        try:
            running[owner] = tx
            work: Callable[..., Any] = function
            result = work(tx, *args, **kwargs) if args or kwargs else work(tx)
            if type(result) is CoroutineType:
                raise faults.coroutine(function, result)
            is_done = tx.try_commit() is not None
        except (Exception, Retry):
            if tx.reason is None:  # it may have lost a race, even if its function has hidden that
                raise
            is_done = False
        finally:
            tx.cells = tx.writes = ENDED
            del running[owner]  # no call: no interruption can come between, and leave it there
        if is_done:
            if tx.effects:
                run(effects(tx))
            return result  # type: ignore[no-any-return]
        failed = None if tx.reason is None else tx
        return self._attempting(limits, function, args, kwargs, failed)

    def _attempting(
        self,
        limits: Limits,
        function: Callable[..., T],
        args: Any,
        kwargs: Any,
        failed: Transaction | None = None,
    ) -> T:
        """Run a function in the transaction around it, or in attempts after the *failed* one."""

        def body(tx: Transaction) -> T:
            result: Any = function(tx, *args, **kwargs)
            if type(result) is CoroutineType:
                raise faults.coroutine(function, result)
            return result  # type: ignore[no-any-return]

        owner = get_ident()
        around = self._in_threads.get(owner)
        if around is None and self._in_tasks:
            around = self._in_tasks.get(current_task())
        if around is not None:
            with around.level():
                return body(around)
        deadline = Deadline(limits.deadline_s)
        attempts = attempting(self, body, self._in_threads, owner, limits, deadline, failed)
        return run(attempts)  # type: ignore[no-any-return]

    @overload
    def transactional(
        self, function: Callable[Concatenate[Transaction, P], T], /
    ) -> Callable[P, T]: ...

    @overload
    def transactional(
        self, /, *, limit: int | None = None, deadline_s: float | None = None
    ) -> Callable[[Callable[Concatenate[Transaction, P], T]], Callable[P, T]]: ...

    def transactional(
        self,
        function: Callable[..., Any] | None = None,
        /,
        *,
        limit: int | None = None,
        deadline_s: float | None = None,
    ) -> Any:
        """Make a function of ``tx`` one that is called without it, and runs as a transaction.

        *limit* and *deadline_s* take the place of the store's.
        """
        if function is None:
            return partial(self.transactional, limit=limit, deadline_s=deadline_s)
        if limit is None and deadline_s is None:

            @wraps(function)
            def call(*args: Any, **kwargs: Any) -> Any:
                return self.atomically(function, *args, **kwargs)

            return call
        limits = self._limits_with(limit, deadline_s)

        @wraps(function)
        def call_within(*args: Any, **kwargs: Any) -> Any:
            return self._attempting(limits, function, args, kwargs)

        return call_within

    def _limits_with(self, limit: int | None, deadline_s: float | None) -> Limits:
        own = self._limits
        return Limits(
            own.limit if limit is None else limit,
            own.deadline_s if deadline_s is None else deadline_s,
        ).checked()

    # ── handles ─────────────────────────────────────────────────────────────────────────────

    def usevar(self, key: Hashable, islocked: bool = False) -> Value:
        """Return a handle of *key*: a copy of its value, and the version.

        An absent key is not made; its handle has the value ``None`` and version 0. Reading takes
        no lock, so *islocked* makes no difference.
        """
        try:
            cell = self._cells.get(key)
        except TypeError as error:
            faults.refuse_bad(error, key)
            raise
        if cell is None:
            return Value(self, key, None, None)
        value = cell[0]
        if type(value) not in ATOMS:
            value = self._copy(key, value)
        return Value(self, key, value, cell)

    def using(self, *keys: Hashable) -> Collection:
        """Return handles of all *keys*, read at one moment."""
        handles = Collection(self)
        self._read(handles, Value, keys)
        return handles

    def dump(self) -> Collection:
        """Return handles of all keys that there are, read at one moment."""
        view = self.timeline.view()
        cells = view.scan(self.space).items()
        return Collection(self, {k: Value(self, k, self._copy(k, c[0]), c) for k, c in cells})

    def set(
        self,
        key: Hashable,
        value: BaseValue,
        *,
        nowait: bool = False,
        timeout_s: float | None = None,
    ) -> None:
        """Commit the handle *value* of *key*, as :meth:`Value.commit` does."""
        self._commit_handles({key: value}, 0.0 if nowait else timeout_s)

    def set_values(
        self,
        values: Mapping[Any, BaseValue],
        *,
        nowait: bool = False,
        timeout_s: float | None = None,
    ) -> None:
        """Commit all the handles *values*, or none, as :meth:`Collection.commit` does."""
        self._commit_handles(values, 0.0 if nowait else timeout_s)

    def _read(
        self, handles: dict[Any, Any], kind: type[BaseValue], keys: Iterable[Hashable]
    ) -> None:
        """Put handles of *keys* into *handles*, all read at one moment. Usually takes no lock."""
        last, get, new = self.timeline.last, self._cells.get, _new
        try:
            for key in keys:
                cell = get(key)
                value = None if cell is None else cell[0]
                if type(value) not in ATOMS:
                    value = self._copy(key, value)
                handles[key] = handle = new(kind)  # kind(…), in two thirds of the time
                handle._store, handle.key, handle.value = self, key, value
                handle._cell, handle._is_set = cell, False
        except TypeError as error:
            faults.refuse_bad(error, *keys)
            raise
        if last.next is not None:  # somebody has committed meanwhile
            for key, cell in self.timeline.read(self.space, handles).items():
                value = None if cell is None else self._copy(key, cell[0])
                handles[key] = kind(self, key, value, cell)

    def _commit_handles(self, handles: Mapping[Any, BaseValue], timeout_s: float | None) -> None:
        if put(self, handles):
            return
        writes, reads = self._prepared(handles)
        new = self.timeline.try_commit_in(self.space, writes, reads)
        if new is None:
            new = run(self._committing_in_turn(writes, reads, timeout_s))
        note(handles, new)

    def _committing_handles(
        self, handles: Mapping[Any, BaseValue], timeout_s: float | None
    ) -> Steps[None]:
        writes, reads = self._prepared(handles)
        new = self.timeline.try_commit_in(self.space, writes, reads)
        if new is None:
            new = yield from self._committing_in_turn(writes, reads, timeout_s)
        note(handles, new)

    def _committing_in_turn(
        self, writes: dict[Any, Any], reads: dict[Any, Any], timeout_s: float | None
    ) -> Steps[dict[Any, Cell | None]]:
        return self.timeline.turns.committing(
            lambda turn: self.timeline.try_commit_in(self.space, writes, reads, turn),
            self.busy_timeout_s if timeout_s is None else timeout_s,
        )

    def _prepared(
        self, handles: Mapping[Any, BaseValue]
    ) -> tuple[dict[Any, Any], dict[Any, Cell | None]]:
        """Return copies of the values that have changed, and the cells that all must still have."""
        writes: dict[Any, Any] = {}
        reads: dict[Any, Cell | None] = {}
        for key, handle in handles.items():
            if type(handle) is not Value or handle._store is not self or handle.key is not key:
                self._check_own(key, handle)
            cell, value = handle._cell, handle.value
            reads[key] = cell
            before = None if cell is None else cell[0]
            if type(value) in ATOMS:
                if handle._is_set or value is not before:
                    writes[key] = value
            elif handle._is_set or not same(value, before):
                writes[key] = self._copy(key, value)
        return writes, reads

    def _check_own(self, key: Hashable, handle: object) -> None:
        """Refuse what is no handle of *key* in this store.

        :raises UsageError: if it is not.
        """
        if not isinstance(handle, BaseValue):
            raise faults.foreign(handle, "it is no handle")
        if handle._store is not self:
            raise faults.foreign(handle, "it is a handle of another store")
        if handle.key != key:
            raise faults.foreign(handle, f"it is a handle of another key, not of {key!r}")

    # ── times ───────────────────────────────────────────────────────────────────────────────

    @property
    def version(self) -> int:
        """How many commits have written something."""
        return self.timeline.last.number

    def as_of(self, store_version: int | None = None) -> Snapshot:
        """Return a read-only mapping of what the store held at *store_version*; by default now.

        It stays as it is, however the store goes on. How far one can go back says *history*.

        :raises UsageError: if that moment is no longer remembered, or yet to come.
        """
        self.timeline.check_open()
        if store_version is None:
            return Snapshot(self.timeline.view(), self.space, self._copy)
        view = self.timeline.view_at(store_version)
        if view is None:
            raise faults.no_history(store_version, self.timeline.remembers_from, self.version)
        return Snapshot(view, self.space, self._copy)

    def history(self, key: Hashable) -> tuple[Past, ...]:
        """Return what *key* has been, as far as the history reaches, oldest first, up to now."""
        self.timeline.check_open()
        try:
            past = self.timeline.past(self.space, key)
        except TypeError as error:
            faults.refuse_bad(error, key)
            raise
        return tuple(Past.of(number, cell, self._copy, key) for number, cell in past)

    def changed(
        self, key: Hashable, since: int | None = None, *, timeout_s: float | None = None
    ) -> int:
        """Wait until *key* has another version than *since*; return that, 0 if it was deleted.

        *since* is the version of a handle; by default what the key has now.

        :raises BusyRetry: if there is no change for *timeout_s* seconds (``None``: wait on).
        """
        return run(self._changing(key, since, timeout_s))

    def _changing(self, key: Hashable, since: int | None, timeout_s: float | None) -> Steps[int]:
        deadline = Deadline(timeout_s)
        while True:
            cell = self.usevar(key)._cell
            version = 0 if cell is None else cell[1]
            if since is not None and version != since:
                return version
            since = version
            yield from waiting(self.timeline, {self.space: {key: cell}}, deadline)

    # ── the end ─────────────────────────────────────────────────────────────────────────────

    def close(self) -> None:
        """Refuse everything from now on; who waits is told. More than once does no harm."""
        self.timeline.close()
        self._cells = faults.CLOSED

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self.timeline.is_closed else f"{len(self.space.cells)} keys"
        return f"<Store at version {self.version}, {state}>"
