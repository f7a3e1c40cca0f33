"""A transaction of the store: what it has read, and what it is going to write.

It reads the store as it was at one moment. When it meets a key that is newer, it moves that moment
to now, if all that it has read still holds; so it never sees two states mixed. If it does not hold,
a transaction that has written is lost and runs again at once; one that has only read goes on with
the old state, and need never run again.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias, TypeVar

from graven.core.values import ABSENT
from graven.errors import ConcurrentUpdate
from graven.stm import faults
from graven.stm.cells import Cell, View
from graven.stm.copying import ATOMS, PLAIN

if TYPE_CHECKING:
    from graven.stm.store import Store
    from graven.stm.turns import Turn

__all__ = ["ENDED", "Retry", "Transaction"]

T = TypeVar("T")
Effect: TypeAlias = tuple[Callable[..., object], tuple[Any, ...]]


class Retry(BaseException):
    """Raised by ``tx.retry()``, caught by the store; no error, so that ``except`` lets it pass."""


class _Ended:
    """Stands in for the dictionaries of a transaction that is over."""

    def get(self, key: object) -> NoReturn:
        raise faults.ended()

    def __contains__(self, key: object) -> NoReturn:
        raise faults.ended()

    def __setitem__(self, key: object, value: object) -> NoReturn:
        raise faults.ended()


ENDED: Final[Any] = _Ended()
"""What is in ``cells`` and ``writes`` of a transaction that is over."""


class Transaction:
    """What the function of ``store.atomically()`` works with, by the name of ``tx``.

    ``tx[key]`` and ``tx.get(key)`` read, ``tx[key] = value`` writes, ``tx.delete(key)`` deletes.
    What is read is a copy, the same one at every read; assign it to have a change of it written.
    Nothing is written before the function returns. It may be run several times: what it does
    besides reading and writing belongs into :meth:`on_commit`. A transaction is used by the thread
    or task that runs the function, and by no other.
    """

    # ``effects`` is what is to be called after the commit, ``reason`` why it must be run again:
    # the error of a lost race, or a ``Retry``.
    __slots__ = (
        "_copies", "_last", "_levels", "_view",
        "cells", "effects", "reads", "reason", "store", "writes",
    )  # fmt: skip

    def __init__(self, store: Store) -> None:
        self.store = store
        self._copies: dict[Hashable, Any] | None = None
        self._view: View | None = None
        self._levels: tuple[tuple[Any, Any, Any], ...] = ()
        self.effects: tuple[Effect, ...] = ()
        self.reason: ConcurrentUpdate | Retry | None = None
        self.cells: Any = store._cells
        self._last = store.timeline.last
        self.reads: dict[Hashable, Cell | None] = {}
        self.writes: dict[Hashable, Any] = {}

    # ── reading and writing ─────────────────────────────────────────────────────────────────

    def __getitem__(self, key: Hashable) -> Any:
        try:
            cell = self.cells.get(key)
            if (
                cell is not None
                and cell[2] <= self._last.number
                and type(value := cell[0]) in ATOMS
                and not self._levels
                and key not in self.writes
            ):  # most reads by far; the rest is for _find()
                self.reads[key] = cell
                return value
        except TypeError as error:
            faults.refuse_bad(error, key)
            raise
        found = self._find(key)
        if found is ABSENT:
            raise KeyError(key)
        return found

    def get(self, key: Hashable, default: Any = None) -> Any:
        """Return the value of *key*, or *default* if it is absent."""
        found = self._find(key)
        return default if found is ABSENT else found

    def __contains__(self, key: Hashable) -> bool:
        return self._find(key) is not ABSENT

    def __setitem__(self, key: Hashable, value: Any) -> None:
        if self._view is not None:
            raise self._lose()
        try:
            self.writes[key] = value
        except TypeError as error:
            faults.refuse_bad(error, key)
            raise

    def delete(self, key: Hashable) -> None:
        """Delete *key*.

        :raises KeyError: if it is absent.
        """
        if self._find(key) is ABSENT:
            raise KeyError(key)
        self[key] = ABSENT

    __delitem__ = delete

    def _find(self, key: Hashable) -> Any:
        """Return the value that *key* has in this transaction, or ``ABSENT``."""
        try:
            if key in self.writes:
                return self.writes[key]
            if self._levels and (outer := self._pending(key)) is not None:
                return outer[0]
            if key in self.reads:
                cell = self.reads[key]
            else:
                cell = self.cells.get(key)
                if cell is None or cell[2] > self._last.number or self._view is not None:
                    cell = self._cell(key)
                self.reads[key] = cell
        except TypeError as error:
            faults.refuse_bad(error, key)
            raise
        if cell is None:
            return ABSENT
        value = cell[0]
        return value if type(value) in ATOMS else self._copied(key, value)

    def _copied(self, key: Hashable, value: Any) -> Any:
        """Return the one copy of *value* that this level of the transaction works with."""
        if self._copies is None:
            self._copies = {}
        if key not in self._copies:
            self._copies[key] = self.store._copy(key, value)
        return self._copies[key]

    def _pending(self, key: Hashable) -> tuple[Any] | None:
        """Return what the transactions around this level are going to write, copied."""
        for writes, _, _ in reversed(self._levels):
            if key in writes:
                return (self._copied(key, writes[key]),)
        return None

    def _cell(self, key: Hashable) -> Cell | None:
        """Return the cell of *key* at this transaction's moment, or at a later one, if that can be.

        :raises ConcurrentUpdate: if it has written and can never commit any more.
        """
        found: Cell | None = self.cells.get(key)
        if self._view is None:
            if found is not None and found[2] <= self._last.number:
                return found
            if found is None and self._last.next is None:
                return None
            moved = self.store.timeline.move(self.store.space, self.reads, key)
            if moved is not None:
                self._last, found = moved
                return found
            if self.writes or any(writes for writes, _, _ in self._levels):
                raise self._lose()
            self._view = View(self._last)
        return self._view.cell(self.store.space, key)

    def _lose(self) -> ConcurrentUpdate:
        """Return the error for having read what has been overwritten."""
        self.reason = lost = self.store.timeline.race_lost({self.store.space: self.reads})
        return lost

    # ── choosing and waiting ────────────────────────────────────────────────────────────────

    def retry(self) -> NoReturn:
        """Give up for now: take back what was done, wait for a change of what was read, run again.

        Inside the first function of :meth:`or_else` the second is tried before any waiting. If
        nothing was read at all, ``atomically`` raises :class:`UsageError`, for nothing could end
        the wait.
        """
        if self.reason is None:
            self.reason = Retry()
        raise Retry

    def or_else(self, first: Callable[[Transaction], T], second: Callable[[Transaction], T]) -> T:
        """Run *first*; if it calls :meth:`retry`, undo it and run *second* instead.

        If that retries too, the whole waits for a change of anything that either has read.
        """
        try:
            with self.level():
                return first(self)
        except Retry:
            if isinstance(self.reason, Retry):
                self.reason = None
        with self.level():
            return second(self)

    def on_commit(self, effect: Callable[..., object], *arguments: Any) -> None:
        """Call ``effect(*arguments)`` once, after this transaction has been committed.

        It is forgotten if the transaction, or the nested one it was asked for in, comes to
        nothing. An error of an effect reaches the caller after all effects were called, several of
        them, and transient ones, in an ``ExceptionGroup``; the commit stands.
        """
        if self.writes is ENDED:
            raise faults.ended()
        self.effects = (*self.effects, (effect, arguments))

    @contextmanager
    def level(self) -> Iterator[None]:
        """Nest: what is done inside is undone if the block is left by an exception."""
        if self.writes is ENDED:
            raise faults.ended()
        outer = self.writes, self._copies, self.effects
        levels = self._levels
        self._levels = (*levels, outer)
        self.writes, self._copies = {}, None
        try:
            yield
        except BaseException:
            self.writes, self._copies, self.effects = outer
            raise
        else:
            inner = self.writes
            self.writes, self._copies = outer[:2]
            self.writes.update(inner)
        finally:
            self._levels = levels

    # ── the end, called by the store ────────────────────────────────────────────────────────

    def try_commit(self, turn: Turn | None = None) -> int | None:
        """Write all, or nothing; return how many keys, ``None`` where somebody else has the turn.

        :raises ConcurrentUpdate: if something that was read has been overwritten.
        :raises Retry: if the function has hidden a retry.
        """
        if self.reason is not None:
            raise self.reason
        writes, reads, store = self.writes, self.reads, self.store
        if not writes:
            return 0
        if len(writes) == 1 == len(reads):  # most commits by far
            ((key, value),) = writes.items()
            if (
                (cell := reads.get(key)) is not None
                and type(value) in PLAIN
                and store.timeline.try_replace(store.space, key, value, cell) is not None
            ):
                return 1
        if not ATOMS.issuperset(map(type, writes.values())):
            writes = {key: store._copy(key, value) for key, value in writes.items()}
        try:
            new = store.timeline.try_commit_in(store.space, writes, reads, turn)
            return None if new is None else len(new)
        except ConcurrentUpdate as error:
            self.reason = error
            raise
