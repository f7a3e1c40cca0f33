"""The record of an object that is new, changed or deleted: what it is, and what it was."""

from __future__ import annotations

from graven._hints import Any
from graven.core.mapper import Mapper
from graven.core.values import ABSENT, same

__all__ = ["ObjectRecord", "Stored"]


class Stored:
    """What the open transaction holds of a flushed record: presence, version, clean image."""

    __slots__ = ("exists", "image", "made_key", "version")

    def __init__(self, exists: bool, version: int, image: tuple[Any, ...] | None) -> None:
        """Keep the three; *made_key* says that the store made the key in this transaction."""
        self.exists, self.version, self.image = exists, version, image
        self.made_key = False


class ObjectRecord:
    """One object that the unit of work tracks closely.

    The current values are the object's own attributes. ``clean`` is the captured image of when it
    was read, ``None`` for a new one; ``version`` the version it was read at.
    """

    __slots__ = ("clean", "instance", "key", "mapper", "state", "stored", "version")

    def __init__(
        self,
        mapper: Mapper,
        instance: Any,
        state: str | None,
        clean: tuple[Any, ...] | None,
        version: int,
        key: Any,
    ) -> None:
        """Make the record of *instance*; *key* is ``None`` if the store is to make it."""
        self.mapper = mapper
        self.instance = instance
        self.state = state
        self.clean = clean
        self.version = version
        self.key = key
        self.stored: Stored | None = None

    def bits(self) -> int:
        """Return which fields differ from the clean image, bit *i* for field *i*.

        0 for a new record.
        """
        return 0 if self.clean is None else self.mapper.changed(self.instance, self.clean)

    def dirty_value(self, field: str) -> object:
        """Return the captured value of *field*, or ``ABSENT`` if it is the clean one."""
        index = self.mapper.field_index[field]
        value = self.mapper.fields[index].capture(self.instance)
        if self.clean is not None and same(value, self.clean[index]):
            return ABSENT
        return value

    def put_dirty(self, field: str, value: object) -> None:
        """Restore a captured value; ``ABSENT`` restores the clean one."""
        index = self.mapper.field_index[field]
        if value is ABSENT:
            if self.clean is None:
                return
            value = self.clean[index]
        self.mapper.fields[index].restore(self.instance, value)

    def unsettle(self) -> None:
        """Make the clean values the raw ones again; a new record has none."""
        if self.mapper.references or self.mapper.watched:
            clean = self.clean or (None,) * len(self.mapper.fields)
            for field, raw in zip(self.mapper.fields, clean, strict=True):
                if field.form != "scalar":
                    field.raw.__set__(self.instance, raw)

    def dirty_fields(self) -> tuple[str, ...]:
        """Return the names of the fields that differ from the clean image; all of a new record."""
        if self.clean is None:
            return tuple(self.mapper.field_index)
        return self.names(self.bits())

    def names(self, bits: int) -> tuple[str, ...]:
        """Return the names of the fields whose bits are set."""
        return tuple(
            field.name for index, field in enumerate(self.mapper.fields) if bits >> index & 1
        )

    def bits_of(self, names: tuple[str, ...]) -> int:
        """Return the bits of the fields named."""
        return sum(1 << self.mapper.field_index[name] for name in names)
