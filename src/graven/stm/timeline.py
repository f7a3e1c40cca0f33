"""Cells in spaces, commits in one order, and views of any one moment.

A **cell** is a tuple ``(value, version, number)``: the value of a key, its version, and the number
of the commit that wrote it. Cells never change; a commit puts new ones in their place. An absent
key has no cell, and version 0. A key that comes back after a deletion starts above every version
that has ever been deleted, so one version of a key never stands for two values.

A commit links a **record** with what it replaced behind the last record, and then changes the
cells. A **view** is a reference to the record that was last when it was made. A cell that is not
newer than the view belongs to it; of newer ones the view finds the predecessor in the records
behind its own. So readers take no lock and hold nobody up, and what no view and no history needs
is freed by Python itself.

The moment of truth is the linking: one assignment. Should an exception strike between it and the
last cell (one that another thread injects, a ``KeyboardInterrupt``), whoever comes next to the
lock, usually the same call on its way out, finishes the record. Until the record is finished it is
in no new view.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator

from graven.errors import ConcurrentUpdate
from graven.stm import faults
from graven.stm.cells import Cell, Cells, Change, Key, Reads, Record, Space, View, Writes
from graven.stm.ledger import Ledger, replaced_since, wake
from graven.stm.turns import Turn
from graven.stm.waiting import Steps, Waiter, run

__all__ = ["Cell", "Space", "Timeline", "View"]


class Timeline(Ledger):
    """All spaces of one store, its views, and the order of its commits.

    *history* is how many replaced cells are kept for :meth:`view_at` and :meth:`past`; *copy*
    copies the value of a key that an error carries.
    """

    # ── reading ─────────────────────────────────────────────────────────────────────────────

    def space(self, name: Hashable = None) -> Space:
        """Return the space called *name*, made at first need."""
        return self._spaces.get(name) or self._spaces.setdefault(name, Space(name))

    def view(self) -> View:
        """Return the store as it is now.

        :raises UsageError: if it is closed.
        """
        if self.is_closed:
            raise faults.closed()
        return View(self.last)

    def view_at(self, number: int) -> View | None:
        """Return the store as commit *number* left it; ``None`` where no history reaches."""
        kept = (record for record, *_ in self._records())
        return next((View(record) for record in kept if record.number == number), None)

    @property
    def remembers_from(self) -> int:
        """The number of the first commit that :meth:`view_at` can show."""
        return self._first.number

    def past(self, space: Space, key: Key) -> list[tuple[int, Cell | None]]:
        """Return pairs ``(number of the commit, cell that it left)`` of *key*, oldest first.

        The first pair is what the history begins with, under the number it begins at.
        """
        with self.lock:
            self._finish()
            left = space.cells.get(key)
            (first, *_), *records = self._records()
        found: list[tuple[int, Cell | None]] = []
        for record, changes in reversed(records):
            for changed, pairs, _ in changes:
                if changed is not space:
                    continue
                for replaced, cell in pairs:
                    if replaced == key:
                        found.append((record.number, left))
                        left = cell
        return [(left[2] if left is not None else first.number, left), *reversed(found)]

    def _records(self) -> Iterator[tuple[Record, tuple[Change, ...]]]:
        """Yield the records that are kept, oldest first, each with what it did."""
        record, last = self._first, self.last
        yield record, ()
        while record is not last and record.next is not None:
            yield record.next, record.changes
            record = record.next

    # ── writing ─────────────────────────────────────────────────────────────────────────────

    def commit(
        self,
        writes: Writes,
        *,
        reads: Reads | None = None,
        scanned: Iterable[Space] = (),
        since: View | None = None,
        turn: Turn | None = None,
        timeout_s: float | None = None,
    ) -> int:
        """Write all of *writes* or nothing; return the number of the commit.

        ``ABSENT`` as a value deletes. Each cell of *reads* must still be the one in place, and the
        spaces *scanned* unwritten since the view *since*. Values are not copied. While somebody
        else holds the turn this waits, at most *timeout_s* seconds (``None``: without end).

        :raises ConcurrentUpdate: if one of the checks fails. Nothing was written.
        :raises BusyRetry: if the wait takes too long. Nothing was written.
        """
        return run(
            self.committing(
                writes, reads=reads, scanned=scanned, since=since, turn=turn, timeout_s=timeout_s
            )
        )

    def committing(
        self,
        writes: Writes,
        *,
        reads: Reads | None = None,
        scanned: Iterable[Space] = (),
        since: View | None = None,
        turn: Turn | None = None,
        timeout_s: float | None = None,
    ) -> Steps[int]:
        """Return the flow of :meth:`commit`, for any colour."""
        number = self.try_commit(writes, reads, scanned, since, turn)
        if number is None:
            number = yield from self.turns.committing(
                lambda turn: self.try_commit(writes, reads, scanned, since, turn), timeout_s
            )
        return number

    def turn(self, timeout_s: float | None = None) -> Turn:
        """Wait for the right to be the only one who commits; to be left with ``with``.

        :raises BusyRetry: if it has not come after *timeout_s* seconds.
        """
        return run(self.turns.taking(timeout_s))

    # ── checking ────────────────────────────────────────────────────────────────────────────

    def race_lost(self, reads: Reads) -> ConcurrentUpdate:
        """Return the error that says which of *reads* have been overwritten."""
        with self.lock:
            self._finish()
            lost = replaced_since(reads)
        return faults.lost_race(lost, self._copy)

    def move(self, space: Space, reads: Cells, key: Key) -> tuple[Record, Cell | None] | None:
        """Return the last record and the cell of *key*, if all *reads* still hold."""
        with self.lock:
            self._finish()
            if replaced_since({space: reads}):
                return None
            return self.last, space.cells.get(key)

    def read(self, space: Space, keys: Iterable[Key]) -> dict[Key, Cell | None]:
        """Return the cells of *keys*, as they are at one moment."""
        with self.lock:
            self._finish()
            self.check_open()
            return {key: space.cells.get(key) for key in keys}

    # ── waiting ─────────────────────────────────────────────────────────────────────────────

    def watch(self, reads: Reads, waiter: Waiter) -> bool:
        """Have *waiter* woken by a commit to one of the keys; say whether it has to wait at all.

        It has not if one of the cells is not in place any more. :meth:`unwatch` ends it.
        """
        with self.lock:
            self._finish()
            self.check_open()
            if replaced_since(reads):
                return False
            for space, cells in reads.items():
                for key in cells:
                    space.watchers.setdefault(key, set()).add(waiter)
        return True

    def unwatch(self, reads: Reads, waiter: Waiter) -> None:
        """Forget *waiter*."""
        with self.lock:
            for space, cells in reads.items():
                for key in cells:
                    waiters = space.watchers.get(key, set())
                    waiters.discard(waiter)
                    if not waiters:
                        space.watchers.pop(key, None)

    # ── the end ─────────────────────────────────────────────────────────────────────────────

    def close(self) -> None:
        """Refuse everything from now on, and wake all who wait, to tell them."""
        with self.lock:
            self._finish()
            self.is_closed = True
            self.turns.wake_all()
            for space in self._spaces.values():
                wake(space.watchers, space.watchers)
