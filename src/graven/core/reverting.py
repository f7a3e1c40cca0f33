"""Make pending again what was written in a transaction that was rolled back afterwards."""

from __future__ import annotations

from graven._hints import Any
from graven.core.lifecycle import CHANGED, DELETED
from graven.core.plan import Plan
from graven.core.records import ObjectRecord
from graven.core.scopes import UNDO_CLEAN, UNDO_NONE, Undo
from graven.core.tracking import SET_ATTRIBUTE, SET_CLASS
from graven.core.unit import UnitOfWork
from graven.core.values import ABSENT

__all__ = ["Memory", "memory_of", "revert"]

Memory = tuple[ObjectRecord, bool, "tuple[Any, ...] | None", int, "str | None"]
"""How a record was before it was written: whether the store made its key, clean image, version,
state."""


def memory_of(plan: Plan) -> list[Memory]:
    """Return what :func:`revert` needs to take back what is written by *plan*."""
    return [
        (record, bool(group.ordinals), record.clean, record.version, record.state)
        for group in plan.groups
        for record in group.records
    ]


def revert(unit: UnitOfWork, memory: list[Memory]) -> None:
    """Make pending again what was written in a transaction that was rolled back afterwards."""
    unit.settle()
    for record, was_made, clean, version, state in reversed(memory):
        newer = unit.records.get(record.instance)
        if newer is not None and newer is not record:
            _replace(unit, newer, record)
        record.clean, record.version, record.state = clean, version, state
        record.stored = None
        unit.records[record.instance] = record
        unit.touched.pop(record.instance, None)
        identity = unit.map_of(record.mapper)
        identity.forget(record.key)
        if was_made:
            record.mapper.set_key(record.instance, None)
            record.key = None
        unit.root.undo[record] = UNDO_NONE if clean is None else UNDO_CLEAN
        if clean is not None:
            identity.remember(record.key, version)
        record.unsettle()
        if state == DELETED:
            SET_ATTRIBUTE(record.instance, "_origin", unit.grave_origin(version))
            identity.bury(record.key, record.instance)
            continue
        origin = unit.fresh_origin() if clean is None else unit.origin(version)
        SET_ATTRIBUTE(record.instance, "_origin", origin)
        if record.key is not None:
            unit.enter(identity, record.key, record.instance)
        if not unit.is_strict:
            SET_CLASS(record.instance, record.mapper.model)


def _replace(unit: UnitOfWork, newer: ObjectRecord, record: ObjectRecord) -> None:
    """Let scopes know *record* in place of the *newer* one of the same object."""
    for scope in unit.all_scopes():
        undo = scope.undo.pop(newer, None)
        if undo is None or scope.parent is None or newer.clean is None:
            continue
        names = newer.dirty_fields() if undo.before is None else undo.before
        before = {name: (undo.before or {}).get(name, ABSENT) for name in names}
        for name, value in before.items():
            if value is ABSENT:
                before[name] = newer.clean[newer.mapper.field_index[name]]
        scope.undo[record] = Undo(CHANGED, before)
