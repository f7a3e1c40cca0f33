"""Which records a commit has to write: those of its scope, and what they cannot do without."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from graven.core.lifecycle import CHANGED, DELETED, INITIALIZED, INSERTED
from graven.core.planner import Entry, actions_for
from graven.core.records import ObjectRecord
from graven.core.scopes import Scope
from graven.core.unit import UnitOfWork
from graven.core.values import ABSENT

__all__ = ["collect", "gather_lists"]


def gather_lists(unit: UnitOfWork) -> None:
    """Bring what was put into lists into the unit.

    And delete the children that were taken out of owned ones.
    """
    unit.settle()
    for instance in list(unit.watched):
        if unit.records.get(instance) is None or unit.records[instance].state == DELETED:
            continue
        mapper = unit.mapper(instance)
        for field in mapper.watched:
            if field.form != "document":
                _gather_list(unit, instance, field)


def _gather_list(unit: UnitOfWork, owner: Any, field: Any) -> None:
    members = field.loaded(owner)
    if members is ABSENT:
        return
    for member in members:
        if getattr(member, "_origin", ABSENT) is None:
            if field.form == "owned":
                setattr(member, field.inverse.name, owner)
            unit.add(member)
        elif field.form == "owned" and _owner_of(field, member) is not owner:
            if not _was_member(unit, field, owner, member):
                setattr(member, field.inverse.name, owner)
    if field.form == "owned":
        kept = {id(member) for member in members}
        for orphan in field.raw.__get__(owner) or ():
            if id(orphan) not in kept and _owner_of(field, orphan) is owner:
                if unit.state(orphan) not in (None, DELETED):
                    unit.delete(orphan)


def _owner_of(field: Any, member: Any) -> Any:
    return getattr(member, field.inverse.name, None)


def _was_member(unit: UnitOfWork, field: Any, owner: Any, member: Any) -> bool:
    """Say whether a child was in the list when it was loaded.

    Then its own reference is the newer word.
    """
    return any(one is member for one in field.raw.__get__(owner) or ())


def collect(unit: UnitOfWork, scope: Scope, only: Sequence[Any] | None = None) -> list[Entry]:
    """Return what has to be written for a commit of *scope*.

    Or only of the objects *only* in it.
    """
    gather_lists(unit)
    _add_strangers(unit)
    unit.settle()
    chosen: dict[ObjectRecord, Entry] = {}
    for record in _candidates(unit, scope, only):
        entry = _entry_in(scope, record, bool(unit.flushed))
        if entry is not None:
            chosen[record] = entry
    _take_along(unit, chosen)
    return list(chosen.values())


def _add_strangers(unit: UnitOfWork) -> None:
    for record in list(unit.records.values()):
        mapper = record.mapper
        if record.state in (INSERTED, CHANGED) and mapper.references:
            for stranger in unit.strangers(record.instance, mapper):
                unit.add(stranger)


def _candidates(
    unit: UnitOfWork, scope: Scope, only: Sequence[Any] | None
) -> Iterable[ObjectRecord]:
    if unit.flushed:
        return list({**dict.fromkeys(unit.records.values()), **unit.flushed})
    if only is None:
        return list(scope.undo)  # type: ignore[arg-type]
    return _named(unit, scope, only)


def _named(unit: UnitOfWork, scope: Scope, only: Sequence[Any]) -> Iterator[ObjectRecord]:
    """Yield the records of the objects named, and of their pending children."""
    stack = list(reversed(only))
    seen: set[int] = set()
    while stack:
        instance = stack.pop()
        if id(instance) in seen:
            continue
        seen.add(id(instance))
        record = unit.records.get(instance)
        if record is not None and record in scope.undo:
            yield record
        for field in unit.mapper(instance).watched:
            if field.form == "owned":
                members = field.loaded(instance)
                before = field.raw.__get__(instance) or ()
                stack.extend(() if members is ABSENT else members)
                stack.extend(before)


def _entry_in(scope: Scope, record: ObjectRecord, is_whole: bool) -> Entry | None:
    """Say what *record* needs for the changes of *scope*; *is_whole* for all of its changes."""
    if record.state == INITIALIZED:
        return None
    if is_whole:
        return actions_for(record, record.bits())
    undo = scope.undo[record]
    if record.state == DELETED and undo.state == DELETED:
        return None
    if record.state is None:
        return None
    if record.state != CHANGED or undo.before is None:
        return actions_for(record, record.bits())
    bits = record.bits() & record.bits_of(scope.changed_fields(record))
    return actions_for(record, bits)


def _take_along(unit: UnitOfWork, chosen: dict[ObjectRecord, Entry]) -> None:
    """Add the pending objects that the chosen ones refer to: they are inserted whole."""
    stack = [record for record, entry in chosen.items() if entry.action != "delete"]
    while stack:
        record = stack.pop()
        for needed in _needs(unit, record):
            if needed not in chosen and needed.state == INSERTED:
                entry = actions_for(needed, 0)
                if entry is not None:
                    chosen[needed] = entry
                    stack.append(needed)


def _needs(unit: UnitOfWork, record: ObjectRecord) -> Iterator[ObjectRecord]:
    instance = record.instance
    for field in record.mapper.references:
        value = field.loaded(instance)
        if value is not ABSENT and value is not None and value in unit.records:
            yield unit.records[value]
    for field in record.mapper.watched:
        if field.form == "links":
            members = field.loaded(instance)
            for member in () if members is ABSENT else members:
                if member in unit.records:
                    yield unit.records[member]
