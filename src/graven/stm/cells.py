"""Cells, the spaces they are in, the records of commits, and views of one moment."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from threading import Lock
from typing import Any, TypeAlias

from graven.stm.waiting import Waiter

__all__ = ["Cell", "Cells", "Change", "Reads", "Record", "Replaced", "Space", "View", "Writes"]

Key: TypeAlias = Hashable
"""What a value is kept under."""

Cell: TypeAlias = tuple[Any, int, int]
"""``(value, version, number)``: a value, its key's version, and the commit that wrote it."""

Cells: TypeAlias = dict[Key, Cell | None]
"""Cells by key; ``None`` for what is absent."""

Reads: TypeAlias = "Mapping[Space, Mapping[Key, Cell | None]]"
"""The cells that somebody has read, or not found."""

Writes: TypeAlias = "Mapping[Space, Mapping[Key, Any]]"
"""New values; ``ABSENT`` deletes."""


class Space:
    """Keys apart from those of other spaces; a scan of one looks at no other.

    ``changed_at`` is the number of the last commit that wrote to it.
    """

    __slots__ = ("cells", "changed_at", "name", "watchers")

    def __init__(self, name: Hashable) -> None:
        self.name = name
        self.cells: dict[Key, Cell] = {}
        self.changed_at = 0
        self.watchers: dict[Key, set[Waiter]] = {}

    def __repr__(self) -> str:
        return f"Space({self.name!r}, {len(self.cells)} keys)"


class Record:
    """One commit. A record without successor keeps nothing alive.

    ``number`` counts commits, ``total`` the cells that were replaced up to here; ``next`` is the
    record after it, and ``changes`` what that one did, once there is one.
    """

    __slots__ = ("changes", "next", "number", "total")
    changes: tuple[Change, ...]
    next: Record | None
    number: int
    total: int


Replaced: TypeAlias = "Collection[tuple[Key, Cell | None]]"
"""Keys, and the cells that they had."""

Change: TypeAlias = tuple[Space, Replaced, Cells]
"""What one commit did to one space: the cells that it replaced, those that it put in place."""


class View:
    """The store at one moment. It costs others nothing and needs no release: let go of it.

    As long as it lives it keeps what was replaced since. Several threads may share one.
    """

    __slots__ = ("_last", "_lock", "_old", "number")

    def __init__(self, record: Record) -> None:
        self.number = record.number
        self._last = record
        self._old: dict[Space, Cells] = {}
        self._lock = Lock()

    @property
    def is_current(self) -> bool:
        """Whether nobody has committed since."""
        return self._last.next is None and self._last.number == self.number

    def is_unchanged(self, space: Space) -> bool:
        """Say whether nobody has committed to *space* since."""
        return self.is_current or not self.replaced(space)

    def cell(self, space: Space, key: Key) -> Cell | None:
        """Return the cell that *key* had; ``None`` if it was absent. Takes no lock of the store."""
        found = space.cells.get(key)
        if found is not None and found[2] <= self.number:
            return found
        if self.is_current:
            return None
        return self.replaced(space).get(key)

    def scan(self, space: Space) -> dict[Key, Cell]:
        """Return all cells that *space* had, in a dictionary of the caller's own."""
        cells = space.cells.copy()
        if not self.is_current:
            for key, cell in self.replaced(space).copy().items():  # others may add to it
                if cell is None:
                    cells.pop(key, None)
                else:
                    cells[key] = cell
        return cells

    def replaced(self, space: Space) -> Cells:
        """Return the cells of *space* that were replaced since, as they were at this moment."""
        with self._lock:
            while (record := self._last.next) is not None:
                for changed, pairs, _ in self._last.changes:
                    known = self._old.setdefault(changed, {})
                    for key, cell in pairs:
                        known.setdefault(key, cell)
                self._last = record
            return self._old.get(space, {})
