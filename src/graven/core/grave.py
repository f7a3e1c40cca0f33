"""What stands in for the unit of work of an object that was deleted."""

from __future__ import annotations

from graven._hints import Any
from graven.core.lifecycle import DELETED, transition
from graven.core.mapper import Mapper

__all__ = ["Grave"]


class Grave:
    """Stands in for the unit of work in the origin of a deleted object: reading goes on.

    A write is refused.
    """

    __slots__ = ("unit",)
    is_strict = True

    def __init__(self, unit: Any) -> None:
        """Stand in for *unit*."""
        self.unit = unit

    @property
    def is_open(self) -> bool:
        """Whether the session of the unit has not ended."""
        return bool(self.unit.is_open)

    @property
    def loader(self) -> Any:
        """The loader of the unit."""
        return self.unit.loader

    def find(self, mapper: Mapper, key: Any) -> Any:
        """Find an object of the unit."""
        return self.unit.find(mapper, key)

    def watch(self, instance: Any) -> None:
        """Do not watch: a deleted object is not written."""

    def write(self, instance: Any, name: str, value: object) -> None:
        """Refuse the write."""
        mapper = self.unit.mapper(instance)
        transition("write_dirty", DELETED, mapper.table.name, mapper.key_of(instance))
