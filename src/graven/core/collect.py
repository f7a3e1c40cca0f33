"""Which records a commit has to write: those of its scope, and what they cannot do without."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import attrgetter

from graven._hints import Any
from graven.core.lifecycle import CHANGED, DELETED, INITIALIZED, INSERTED
from graven.core.lists import gather_lists
from graven.core.plan import Group, Groups, Plan, Wanted, wanted
from graven.core.records import ObjectRecord
from graven.core.scopes import Scope
from graven.core.unit import UnitOfWork
from graven.core.values import ABSENT

__all__ = ["choose", "collect", "gather", "writes_all_known"]

_MAPPER, _STATE = attrgetter("mapper"), attrgetter("state")


def collect(unit: UnitOfWork, scope: Scope, only: Sequence[Any] | None = None) -> list[Group]:
    """Return what has to be written for a commit of *scope*, or only of *only* in it."""
    gather(unit)
    if only is None and not unit.flushed and not unit.heads:
        return _all_of(scope)
    groups = Groups()
    for record, write in choose(unit, scope, only).items():
        groups.put(record, write)
    return groups.whole()


def gather(unit: UnitOfWork) -> None:
    """Bring what objects, lists and references say into the records of the unit."""
    unit.settle()
    if unit.watched:
        gather_lists(unit)
        unit.settle()
    _add_strangers(unit)


def choose(
    unit: UnitOfWork, scope: Scope, only: Sequence[Any] | None = None
) -> dict[ObjectRecord, Wanted]:
    """Return what has to be written of each record for a commit of *scope*, or of *only* in it."""
    chosen: dict[ObjectRecord, Wanted] = {}
    for record in _candidates(unit, scope, only):
        write = _wanted_in(scope, record, bool(unit.flushed))
        if write is not None:
            chosen[record] = write
    _take_along(unit, chosen)
    return chosen


def _all_of(scope: Scope) -> list[Group]:
    """Return what has to be written of the outermost scope where it is the only one."""
    groups = Groups()
    for mapper, records in groupby(scope.undo, key=_MAPPER):
        for state, alike in groupby(records, key=_STATE):
            if state == INSERTED:
                groups.group(mapper, "insert").records += alike
            elif state == DELETED:
                groups.group(mapper, "delete").records += alike
            elif state == CHANGED:
                changed, last, same = mapper.changed, 0, Group(mapper, "update", 0)
                for record in alike:
                    if bits := changed(record.instance, record.clean):
                        if bits != last:
                            last, same = bits, groups.group(mapper, "update", bits)
                        same.records.append(record)
    found = groups.whole()
    for group in found:
        group.versions = [record.version for record in group.records]
    return found


def _add_strangers(unit: UnitOfWork) -> None:
    for record in list(unit.records.values()):
        mapper = record.mapper
        if not mapper.references:
            continue
        is_new = record.state == INSERTED
        if (is_new and mapper.has_strangers(record.instance)) or record.state == CHANGED:
            for stranger in unit.strangers(record.instance, mapper):
                unit.add(stranger)


def _candidates(
    unit: UnitOfWork, scope: Scope, only: Sequence[Any] | None
) -> Iterable[ObjectRecord]:
    if unit.flushed:
        return list({**dict.fromkeys(unit.records.values()), **unit.flushed})
    if only is None:
        return list(scope.undo)
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


def _wanted_in(scope: Scope, record: ObjectRecord, is_whole: bool) -> Wanted | None:
    """Say what *record* needs for the changes of *scope*; *is_whole* for all of its changes."""
    if record.state == INITIALIZED:
        return None
    if is_whole:
        return wanted(record, record.bits())
    if scope.parent is None:
        return wanted(record, record.bits())
    undo = scope.undo[record]
    if record.state == DELETED and undo.state == DELETED:
        return None
    if record.state is None:
        return None
    if record.state == undo.state == INSERTED and not scope.changed_fields(record):
        return None
    if record.state != CHANGED or undo.before is None:
        return wanted(record, record.bits())
    bits = record.bits() & record.bits_of(scope.changed_fields(record))
    return wanted(record, bits)


def _take_along(unit: UnitOfWork, chosen: dict[ObjectRecord, Wanted]) -> None:
    """Add the pending objects that the chosen ones refer to: they are inserted whole."""
    stack = [record for record, write in chosen.items() if write[0] != "delete"]
    while stack:
        record = stack.pop()
        for needed in _needs(unit, record):
            if needed not in chosen and needed.state == INSERTED:
                write = wanted(needed, 0)
                if write is not None:
                    chosen[needed] = write
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


def writes_all_known(unit: UnitOfWork, plan: Plan) -> bool:
    """Say whether *plan* writes, guarded by its version, every record that *unit* has looked for.

    Then the writes themselves check all that was read.
    """
    written = 0
    for group in plan.groups:
        if group.action == "update" and group.mapper.guard_mode != "version":
            return False
        if group.action in ("insert", "update"):
            written += len(group.records)
    known = sum(len(one.entries) + len(one.absent) for one in unit.maps.values())
    return known == written
