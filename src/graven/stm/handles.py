"""Handles: optimistic locking by hand, one key or several at a time."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any, Self

from graven.stm.copying import PLAIN
from graven.stm.waiting import arun

if TYPE_CHECKING:
    from graven.stm.cells import Cell
    from graven.stm.store import Store

__all__ = ["AsyncCollection", "AsyncValue", "BaseValue", "Collection", "Value", "note", "put"]


class BaseValue:
    """What the handles of both colours have in common: all but the commit."""

    __slots__ = ("_cell", "_is_set", "_store", "key", "value")

    def __init__(self, store: Store, key: Hashable, value: Any, cell: Cell | None) -> None:
        self._store = store
        self.key = key
        self.value = value
        self._cell = cell
        self._is_set = False

    @property
    def store(self) -> Store:
        """The store that it came from."""
        return self._store

    @property
    def version(self) -> int:
        """The version that this copy has; 0 if the key was absent."""
        return 0 if self._cell is None else self._cell[1]

    def set(self, value: Any) -> None:
        """Give the copy a new value. The store learns of it when you commit."""
        self.value = value
        self._is_set = True

    def clone(self) -> Self:
        """Return another handle of the same key and version, with a copy of the value."""
        twin = type(self)(
            self._store, self.key, self._store._copy(self.key, self.value), self._cell
        )
        twin._is_set = self._is_set
        return twin

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.key!r}, {self.value!r}, version={self.version})"


class Value(BaseValue):
    """A copy of the value of one key, and the version that it had.

    Change it with :meth:`set`, or in place, and :meth:`commit` it: if somebody else has changed
    the key meanwhile that is refused, and nothing is written. An absent key has the value ``None``
    and version 0, and committing a value makes it, if it is still absent. A handle may be
    committed again and again. It belongs to one caller at a time: if two threads commit one handle
    at once, at most one of them succeeds.
    """

    __slots__ = ()

    def commit(self, *, nowait: bool = False, timeout_s: float | None = None) -> None:
        """Write the value, if nobody has changed the key since it was read.

        Nothing is written, and the version stays, if nothing has changed here either. While
        another transaction has its turn exclusively this waits, at most *timeout_s* seconds (as
        the store says, if not given), or not at all with *nowait*.

        :raises ConcurrentUpdate: if somebody else was faster. Use the store again for a new handle.
        :raises BusyRetry: if the wait is over.
        :raises DataError: if the value cannot be copied.
        """
        store, cell, value = self._store, self._cell, self.value
        if cell is not None and value is not cell[0] and type(value) in PLAIN:
            new = store.timeline.try_replace(store.space, self.key, value, cell)
            if new is not None:
                self._cell = new
                self._is_set = False
                return
        store._commit_handles({self.key: self}, 0.0 if nowait else timeout_s)


class AsyncValue(BaseValue):
    """A :class:`Value` whose commit is awaited."""

    __slots__ = ()

    async def commit(self, *, nowait: bool = False, timeout_s: float | None = None) -> None:
        """Commit as :meth:`Value.commit` does."""
        await arun(self._store._committing_handles({self.key: self}, 0.0 if nowait else timeout_s))


class Collection(dict[Any, Value]):
    """Handles of several keys, all read at one moment; by key.

    :meth:`commit` writes all that have changed, or nothing.
    """

    __slots__ = ("_store",)

    def __init__(self, store: Store, handles: Mapping[Any, Value] | None = None) -> None:
        if handles:
            super().__init__(handles)
        self._store = store

    def commit(self, *, nowait: bool = False, timeout_s: float | None = None) -> None:
        """Check every member, then write those that have changed; all or none.

        Times are as for :meth:`Value.commit`.

        :raises ConcurrentUpdate: if one of them was changed by somebody else, also if it was only
            read here. Its ``conflicts`` name all that were.
        :raises BusyRetry: if the wait is over.
        :raises DataError: if one of the values cannot be copied.
        """
        self._store._commit_handles(self, 0.0 if nowait else timeout_s)


class AsyncCollection(dict[Any, AsyncValue]):
    """A :class:`Collection` whose commit is awaited."""

    __slots__ = ("_store",)

    def __init__(self, store: Store, handles: Mapping[Any, AsyncValue] | None = None) -> None:
        if handles:
            super().__init__(handles)
        self._store = store

    async def commit(self, *, nowait: bool = False, timeout_s: float | None = None) -> None:
        """Commit as :meth:`Collection.commit` does."""
        await arun(self._store._committing_handles(self, 0.0 if nowait else timeout_s))


def put(store: Store, handles: Mapping[Any, BaseValue]) -> bool:
    """Commit handles that are all set to plain values, if nobody else commits meanwhile.

    This is the short way, with one look at each: a cell is of one store and key, so the one that
    is in place says whose the handle is. ``False`` says that it was not possible.
    """
    last, get = store.timeline.last, store._cells.get
    number = last.number + 1
    old: dict[Any, Any] = dict(handles)  # they need not grow
    new: dict[Any, Any] = dict(handles)
    members = list(new.values())
    for key, handle in new.items():
        if type(handle) is not Value or not handle._is_set:
            return False
        cell = handle._cell
        if cell is None or get(key) is not cell or type(value := handle.value) not in PLAIN:
            return False
        old[key] = cell
        new[key] = value, cell[1] + 1, number
    if not new or not store.timeline.try_put(store.space, old.items(), new, last):
        return False
    for handle, made in zip(members, new.values(), strict=True):
        handle._cell = made
        handle._is_set = False
    return True


def note(handles: Mapping[Any, BaseValue], new: Mapping[Any, Cell | None]) -> None:
    """Bring handles up to the cells that they have written."""
    for key, cell in new.items():
        handle = handles[key]
        handle._cell = cell
        handle._is_set = False
