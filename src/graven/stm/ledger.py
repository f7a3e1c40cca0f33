"""How a commit happens: one record, linked behind the last one.

Readers take no lock: see :mod:`graven.stm.timeline`, which tells the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from threading import Lock
from typing import Any

from graven.core.values import ABSENT
from graven.stm import faults
from graven.stm.cells import Cell, Cells, Change, Key, Reads, Record, Replaced, Space, View, Writes
from graven.stm.turns import Turn, Turns
from graven.stm.waiting import Waiter

__all__ = ["Ledger"]

_NOTHING: Cells = {}


class Ledger:
    """The records of one store, in order, and the lock of those who add to them.

    *history* is how many replaced cells are kept for :meth:`view_at` and :meth:`past`; *copy*
    copies the value of a key that an error carries.
    """

    def __init__(self, history: int = 0, copy: Callable[[Any, Any], Any] | None = None) -> None:
        self.lock = Lock()
        self._copy = copy or _as_it_is
        self.history = history
        self._total_max = history
        self.is_closed = False
        self.last = self._first = first = Record()
        first.next, first.number, first.total = None, 0, 0
        self.turns = Turns(self.lock, self.check_open)
        self._spaces: dict[Hashable, Space] = {}
        self._version_deleted = 0

    # ── committing ──────────────────────────────────────────────────────────────────────────

    def try_commit(
        self,
        writes: Writes,
        reads: Reads | None = None,
        scanned: Iterable[Space] = (),
        since: View | None = None,
        turn: Turn | None = None,
    ) -> int | None:
        """Commit as :meth:`commit` does, but return ``None`` where that would wait."""
        if scanned and since is None:
            raise TypeError("scanned spaces are checked against a view: give it as since")
        with self.lock:
            if not self._is_ready(turn):
                return None
            lost = replaced_since(reads) if reads else []
            if scanned and since is not None:
                lost += [(s, None, None, None) for s in scanned if s.changed_at > since.number]
            if not lost:
                return self._write(writes)
        raise faults.lost_race(lost, self._copy)

    def try_commit_in(
        self,
        space: Space,
        values: Mapping[Key, Any],
        reads: Mapping[Key, Cell | None],
        turn: Turn | None = None,
    ) -> Cells | None:
        """Commit to one space as :meth:`try_commit` does; return the new cells.

        The short way for small transactions: several times as fast for a single key.
        """
        with self.lock:
            last = self.last
            if last.next is not None or self.turns.held is not None or self.is_closed:
                if not self._is_ready(turn):
                    return None
                last = self.last
            get = space.cells.get
            for key, cell in reads.items():
                if get(key) is not cell:
                    lost = replaced_since({space: reads})
                    break
            else:
                number, first = last.number + 1, self._version_deleted + 1
                old: Cells = {}
                new: Cells = {}
                for key, value in values.items():
                    old[key] = before = get(key)
                    if before is not None and value is not ABSENT:
                        new[key] = value, before[1] + 1, number
                    else:
                        new[key] = self._cell(value, before, first, number)
                if new:
                    self._link(last, len(new), ((space, old.items(), new),))
                return new
        raise faults.lost_race(lost, self._copy)

    def try_replace(self, space: Space, key: Key, value: Any, cell: Cell) -> Cell | None:
        """Put *value*, not ``ABSENT``, in the place of *cell*, if that is there; return the new.

        ``None`` says that it could not be done this way; nothing was written then, and
        :meth:`try_commit_in` will do it, or say why not. This is what it does for the most common
        of all commits, one key, without the detours.
        """
        with self.lock:
            last, cells = self.last, space.cells
            if (
                cells.get(key) is not cell
                or last.next is not None
                or self.turns.held is not None
                or self.is_closed
            ):
                return None
            record = Record()
            record.next = None
            record.number = number = last.number + 1
            record.total = last.total + 1
            new = value, cell[1] + 1, number
            last.changes = ((space, ((key, cell),), _NOTHING),)
            last.next = record
            try:
                cells[key] = new  # before this the record is one that changes nothing
                space.changed_at = number
                if space.watchers:
                    wake(space.watchers, (key,))
                self.last = record
                if record.total > self._total_max:
                    self._forget()
            except BaseException:
                self._finish()
                raise
            return new

    def try_put(self, space: Space, old: Replaced, new: Cells, last: Record) -> bool:
        """Put the cells *new* in the place of *old*, if *last* is still the last record.

        The caller has found all of *old* in place after it had taken *last*, and so need not hold
        the lock while it makes the new ones. ``False`` says that nothing was written, and that
        :meth:`try_commit_in` will do it, or say why not.
        """
        with self.lock:
            if (
                self.last is not last
                or last.next is not None
                or self.turns.held is not None
                or self.is_closed
            ):
                return False
            record = Record()
            record.next = None
            record.number = number = last.number + 1
            record.total = last.total + len(new)
            last.changes = ((space, old, new),)
            last.next = record
            try:
                space.cells.update(new)  # type: ignore[arg-type]
                space.changed_at = number
                if space.watchers:
                    wake(space.watchers, new)
                self.last = record
                if record.total > self._total_max:
                    self._forget()
            except BaseException:
                self._finish()
                raise
            return True

    def _is_ready(self, turn: Turn | None) -> bool:
        """Say whether who has *turn*, or none, may commit; finish what is left over.

        The lock is held.
        """
        if self.is_closed:
            raise faults.closed()
        if self.turns.bars(turn):
            return False
        self._finish()
        return True

    def _write(self, writes: Writes) -> int:
        """Commit *writes*, which have been checked. The lock is held."""
        last = self.last
        changes: list[Change] = []
        for space, values in writes.items():
            if values:
                get = space.cells.get
                old = {key: get(key) for key in values}
                new = self._cells(values, old, last.number + 1)
                changes.append((space, old.items(), new))
        if changes:
            self._link(last, sum(len(old) for _, old, _ in changes), tuple(changes))
        return self.last.number

    def _cells(self, values: Mapping[Key, Any], replaced: Cells, number: int) -> Cells:
        """Make the new cells for *values*; ``None`` for what is to go."""
        first = self._version_deleted + 1
        return {
            key: (value, first if before is None else before[1] + 1, number)
            if value is not ABSENT
            else self._cell(value, before, first, number)
            for (key, value), before in zip(values.items(), replaced.values(), strict=True)
        }

    def _cell(self, value: Any, before: Cell | None, first: int, number: int) -> Cell | None:
        """Make the new cell in the place of *before*."""
        if value is ABSENT:
            if before is not None and before[1] > self._version_deleted:
                self._version_deleted = before[1]
            return None
        return value, first if before is None else before[1] + 1, number

    def _link(self, last: Record, count: int, changes: tuple[Change, ...]) -> None:
        """Commit: link a record behind the *last* one, and finish it. The lock is held."""
        record = Record()
        record.next, record.number, record.total = None, last.number + 1, last.total + count
        last.changes = changes
        last.next = record  # from here on it is committed
        try:
            self._apply(record, changes)
        except BaseException:
            self._finish()
            raise

    def _finish(self) -> None:
        """Bring a linked record into the cells, if one is left over. The lock is held."""
        if self.last.next is not None:
            self._apply(self.last.next, self.last.changes)

    def _apply(self, record: Record, changes: tuple[Change, ...]) -> None:
        """Put the new cells in place, wake who waits for them, and make *record* the last one.

        Doing it again, after an interruption anywhere, does no harm.
        """
        for space, replaced, new in changes:
            cells = space.cells
            if all(new.values()):
                cells.update(new)  # type: ignore[arg-type]
            else:
                for key, cell in new.items():
                    if cell is not None:
                        cells[key] = cell
                    else:
                        cells.pop(key, None)
            space.changed_at = record.number
            if space.watchers:
                wake(space.watchers, [key for key, _ in replaced])
        self.last = record
        if record.total > self._total_max:
            self._forget()

    def _forget(self) -> None:
        """Let go of the records that the history has no room for, now and then."""
        first, total = self._first, self.last.total - self.history
        while first.total < total and first.next is not None:
            first = first.next
        self._first = first
        self._total_max = first.total + self.history + self.history // 8

    def check_open(self) -> None:
        """Refuse to go on if the store is closed.

        :raises UsageError: if it is.
        """
        if self.is_closed:
            raise faults.closed()


def _as_it_is(_key: Key, value: Any) -> Any:
    return value


def replaced_since(
    reads: Reads,
) -> list[faults.Lost]:
    """Return ``(space, key, cell expected, cell found)`` of the cells that are not in place."""
    return [
        (space, key, cell, found)
        for space, cells in reads.items()
        for key, cell in cells.items()
        if (found := space.cells.get(key)) is not cell
    ]


def wake(watchers: Mapping[Key, Iterable[Waiter]], keys: Iterable[Key]) -> None:
    for key in keys:
        for waiter in watchers.get(key, ()):
            waiter.wake()
