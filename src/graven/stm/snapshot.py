"""The store as it was at one moment, to be read."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import Any

from graven.ops.value import Value as FrozenValue
from graven.stm import faults
from graven.stm.cells import Cell, Space, View
from graven.stm.copying import Copier

__all__ = ["Past", "Snapshot"]


class Past(FrozenValue):
    """A value that a key had: from commit *store_version* on, at *version*.

    Version 0 says that the key was absent; the value is ``None`` then.
    """

    store_version: int
    version: int
    value: Any

    @classmethod
    def of(cls, number: int, cell: Cell | None, copy: Copier, key: Hashable) -> Past:
        """Return what *cell* says, its value copied."""
        if cell is None:
            return cls(number, 0, None)
        return cls(number, cell[1], copy(key, cell[0]))


class Snapshot(Mapping[Any, Any]):
    """A read-only mapping of what the store held after one commit, however it goes on.

    Values are copies. It costs nobody anything, and needs no closing; as long as it lives it keeps
    the values that were replaced since.
    """

    __slots__ = ("_copy", "_space", "_view")

    def __init__(self, view: View, space: Space, copy: Copier) -> None:
        self._view, self._space, self._copy = view, space, copy

    @property
    def store_version(self) -> int:
        """The number of the commit it shows."""
        return self._view.number

    def version(self, key: Hashable) -> int:
        """Return the version that *key* had; 0 if it was absent."""
        cell = self._cell(key)
        return 0 if cell is None else cell[1]

    def __getitem__(self, key: Hashable) -> Any:
        cell = self._cell(key)
        if cell is None:
            raise KeyError(key)
        return self._copy(key, cell[0])

    def __contains__(self, key: object) -> bool:
        return self._cell(key) is not None

    def __iter__(self) -> Iterator[Any]:
        return iter(self._view.scan(self._space))

    def __len__(self) -> int:
        return len(self._view.scan(self._space))

    def __repr__(self) -> str:
        return f"Snapshot(store_version={self.store_version}, {len(self)} keys)"

    def _cell(self, key: Any) -> Cell | None:
        try:
            return self._view.cell(self._space, key)
        except TypeError as error:
            faults.refuse_bad(error, key)
            raise
