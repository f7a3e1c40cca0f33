"""Live views of a unit of work: ``session.new``, ``dirty`` and ``deleted``."""

from __future__ import annotations

from collections.abc import Iterator

from graven._hints import Any
from graven.core.records import ObjectRecord
from graven.core.unit import UnitOfWork

__all__ = ["Deleted", "Dirty", "New"]


class _View:
    """Objects of one kind in the innermost scope, looked up anew at every use.

    Objects count by identity.
    """

    __slots__ = ("_unit",)

    def __init__(self, unit: UnitOfWork) -> None:
        """Look at *unit*."""
        self._unit = unit

    def _records(self) -> Iterator[ObjectRecord]:
        raise NotImplementedError

    def __iter__(self) -> Iterator[Any]:
        self._unit.settle()
        return iter([record.instance for record in self._records()])

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, instance: object) -> bool:
        return any(one is instance for one in self)

    def __repr__(self) -> str:
        return f"{type(self).__name__.lower()} {list(self)!r}"


class New(_View):
    """The objects that are new."""

    __slots__ = ()

    def _records(self) -> Iterator[ObjectRecord]:
        return self._unit.new_in(self._unit.scope())


class Dirty(_View):
    """The objects that were changed, by value: one that was set back is not among them."""

    __slots__ = ()

    def _records(self) -> Iterator[ObjectRecord]:
        return self._unit.dirty_in(self._unit.scope())


class Deleted(_View):
    """The objects that were deleted."""

    __slots__ = ()

    def _records(self) -> Iterator[ObjectRecord]:
        return self._unit.deleted_in(self._unit.scope())
