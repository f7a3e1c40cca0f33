"""What is told of a lost race: for every object, the versions; for every field, three values."""

from __future__ import annotations

from collections.abc import Sequence

from graven._hints import Any
from graven.core.lifecycle import CLEAN
from graven.core.mapper import Binding, Mapper
from graven.core.records import ObjectRecord
from graven.core.tracking import Tracking
from graven.core.values import same
from graven.errors import ConcurrentUpdate, Conflict, FieldConflict

__all__ = ["Loser", "LostRace", "concurrent_update", "conflict_of"]


class Loser:
    """One record that is not as expected; *row* is what was found in its place, if anything."""

    __slots__ = ("expected", "found", "key", "mapper", "record", "row")

    def __init__(
        self,
        mapper: Mapper,
        key: Any,
        expected: int | None,
        found: int | None,
        record: ObjectRecord | None = None,
        row: tuple[Any, ...] | None = None,
    ) -> None:
        """Keep what is known."""
        self.mapper, self.key, self.expected, self.found = mapper, key, expected, found
        self.record, self.row = record, row


class LostRace(Exception):
    """Raised inside a commit that must not go on, with those who lost, or with the reason alone."""

    def __init__(self, losers: Sequence[Loser], reason: str = "") -> None:
        """Keep the *losers*."""
        super().__init__(reason)
        self.losers = losers
        self.reason = reason


def conflict_of(loser: Loser, binding: Binding, unit: Tracking) -> Conflict:
    """Describe one loser, field by field where both sides are known.

    That is so unless the object is not in memory any more.
    """
    fields: dict[str, FieldConflict] = {}
    record = loser.record or _record_of(loser, unit)
    if record is not None and record.clean is not None:
        theirs = binding.image(loser.row)[0] if loser.row is not None else None
        base = record.clean
        for index, field in enumerate(record.mapper.fields):
            if not field.columns:
                continue
            mine = field.capture(record.instance)
            their = theirs[index] if theirs is not None else None
            if not (same(base[index], mine) and same(base[index], their)):
                fields[field.name] = FieldConflict(
                    field.shown(base[index]), field.shown(mine), field.shown(their)
                )
    return Conflict(loser.mapper.name, loser.key, loser.expected, loser.found, fields)


def _record_of(loser: Loser, unit: Tracking) -> ObjectRecord | None:
    """Return the record of a loser that was only read, or make one up of the object as it is."""
    instance = unit.find(loser.mapper, loser.key)
    if instance is None or instance in unit.records:
        return unit.records.get(instance)
    mapper = unit.mapper(instance)
    return ObjectRecord(mapper, instance, CLEAN, mapper.snapshot(instance), 0, loser.key)


def concurrent_update(conflicts: Sequence[Conflict], reason: str = "") -> ConcurrentUpdate:
    """Make the error for the *conflicts*, or, where none can be named, for the *reason*."""
    first = conflicts[0] if conflicts else None
    parts = [*map(_sentence, conflicts[:3]), *([reason] if reason else [])]
    if len(conflicts) > 3:
        parts.insert(3, f"and {len(conflicts) - 3} more")
    found = f": {'; '.join(parts)}" if parts else ""
    return ConcurrentUpdate(
        f"cannot commit: what this work was based on has changed meanwhile{found}. Somebody else "
        "committed first, and nothing of this commit was written. Run the work again on fresh "
        "data, as `for attempt in db.attempts()` does.",
        conflicts=tuple(conflicts),
        key=first.key if first else None,
        expected=first.expected if first else None,
        found=first.found if first else None,
    )


def _sentence(conflict: Conflict) -> str:
    found = "it is gone" if not conflict.found else f"found version {conflict.found}"
    if conflict.expected == 0 and not conflict.found:
        found = "its key is taken"
    expected = (
        "was not there" if conflict.expected == 0 else f"was read at version {conflict.expected}"
    )
    fields = ", ".join(
        f"{name}: base {one.base!r:.60} mine {one.mine!r:.60} theirs {one.theirs!r:.60}"
        for name, one in list(conflict.fields.items())[:4]
    )
    return (
        f"{conflict.model} {conflict.key!r} {expected}, {found}{f' ({fields})' if fields else ''}"
    )
