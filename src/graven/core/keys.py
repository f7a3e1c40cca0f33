"""One object per key: what happens when an object is to have a key that another one has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from graven.core.mapper import Mapper
from graven.errors import DataError, DuplicateRecordError

if TYPE_CHECKING:
    from graven.core.tracking import Tracking

__all__ = ["duplicate", "unusable", "vacate"]


def vacate(unit: Tracking, mapper: Mapper, key: Any, other: Any) -> None:
    """Let go of a key that *other*, a new object, was added with and has no more.

    :raises DuplicateRecordError: if it still has the key.
    """
    record = unit.records.get(other)
    now = mapper.key_of(other)
    if record is None or record.clean is not None or now == key:
        raise duplicate(unit, mapper, key, other)
    identity = unit.map_of(mapper)
    holder = None if now is None else identity.get(now)
    if holder is not None and holder is not other:
        raise duplicate(unit, mapper, now, holder)
    del identity.entries[key]
    record.key = now
    if now is not None:
        unit.enter(identity, now, other)


def duplicate(unit: Tracking, mapper: Mapper, key: Any, other: Any) -> DuplicateRecordError:
    """Make the error for a key that another object of the unit has."""
    return DuplicateRecordError(
        f"cannot add {mapper.name} {key!r}: this session has another object with that key, "
        f"{other!r:.200}. There is one object per key; change the one that is there, which "
        "session.get returns, or use another key. If it was deleted, commit that first.",
        table=mapper.table.name,
        row=key,
        state=unit.state(other),
    )


def unusable(mapper: Mapper, key: Any) -> DataError:
    """Make the error for a key that cannot be looked up, because it can change."""
    parts: Any = key if len(mapper.key_fields) > 1 else (key,)
    named = list(zip(mapper.key_fields, parts, strict=True))
    name, part = next((one for one in named if type(one[1]).__hash__ is None), named[0])
    expected = getattr(mapper.field(name).type.python, "__name__", "a plain value")
    return DataError(
        f"cannot add {mapper.name} {key!r:.100}: found a {type(part).__name__} in {name}, expected "
        f"{expected}; a key is never a container. Nothing was written; correct the key.",
        model=mapper.name,
        key=key,
        field=name,
        value=part,
        expected=expected,
    )
