"""Bring memory in step with the store: before a plan is sent, after it was written.

And after it failed.

A plan is *sealed* while it is under way: its objects are guarded afresh, so that what is edited
meanwhile is noticed and belongs to the next commit. When the plan was written, versions, keys and
clean values are taken over; when it failed, everything is pending again as it was before the call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graven.core.identity import Origin
from graven.core.lifecycle import CHANGED, DELETED, INSERTED
from graven.core.planner import Entry, Plan
from graven.core.records import ObjectRecord, Stored
from graven.core.scopes import UNDO_CLEAN, UNDO_NONE, Scope
from graven.core.tracking import SET_ATTRIBUTE, SET_CLASS
from graven.core.unit import UnitOfWork

__all__ = ["drop_flush", "fail", "finished_flush", "keep_flush", "revert", "seal", "succeed"]


def seal(unit: UnitOfWork, plan: Plan) -> None:
    """Guard the objects of *plan* afresh: an edit from now on belongs to the next commit."""
    for entry in plan.entries:
        record = entry.record
        record.is_sealed = True
        if entry.action == "delete" or record.state == DELETED:
            continue
        mapper, instance = record.mapper, record.instance
        if entry.action == "insert":
            mapper.adopt(instance)
        else:
            is_partial = unit.is_strict and record.clean is not None
            if mapper.references or mapper.watched:
                _settle_fields(record, entry.bits)
            if is_partial:
                entry.image = _merged(record, entry.bits)
        SET_CLASS(instance, mapper.guard)


def _settle_fields(record: ObjectRecord, bits: int) -> None:
    for index, field in enumerate(record.mapper.fields):
        if bits >> index & 1 and field.form != "scalar":
            field.settle(record.instance)


def _unsettle_fields(record: ObjectRecord) -> None:
    if record.clean is not None and (record.mapper.references or record.mapper.watched):
        for field, raw in zip(record.mapper.fields, record.clean, strict=True):
            if field.form != "scalar":
                field.raw.__set__(record.instance, raw)


def _merged(record: ObjectRecord, bits: int) -> tuple[Any, ...]:
    """Return the clean image as it will be when the fields in *bits* have been written."""
    current = record.mapper.snapshot(record.instance)
    clean = record.clean or current
    return tuple(
        current[index] if bits >> index & 1 else clean[index] for index in range(len(clean))
    )


def fail(unit: UnitOfWork, plan: Plan) -> None:
    """Make everything pending again as it was before the plan was sealed."""
    for entry in plan.entries:
        record = entry.record
        record.is_sealed = False
        unit.touched.pop(record.instance, None)
        if record.state == DELETED or entry.action == "delete":
            continue
        _unsettle_fields(record)
        if not unit.is_strict:
            SET_CLASS(record.instance, record.mapper.model)


def succeed(unit: UnitOfWork, plan: Plan, made: Mapping[int, object], scope: Scope) -> list[Any]:
    """Take over what was written; return what :func:`revert` needs to take it back."""
    memory = []
    if made:
        _take_keys(unit, plan, made)
    for record in list(unit.flushed):
        record.stored = None
    unit.flushed.clear()
    for entry in plan.entries:
        record = entry.record
        memory.append((entry, record.clean, record.version, record.state))
        record.is_sealed = False
        if entry.action == "delete" or record.state == DELETED:
            _gone(unit, record, scope)
        else:
            _written(unit, entry, scope)
    return memory


def _take_keys(unit: UnitOfWork, plan: Plan, made: Mapping[int, object]) -> None:
    for entry in plan.entries:
        if entry.made_key:
            record = entry.record
            record.key = made[entry.ordinal]
            record.mapper.set_key(record.instance, record.key)
    for entry in plan.entries:
        if entry.record.mapper.references and entry.action != "delete":
            for field in entry.record.mapper.references:
                field.settle(entry.record.instance)


def _written(unit: UnitOfWork, entry: Entry, scope: Scope) -> None:
    record, version = entry.record, entry.after
    instance = record.instance
    SET_ATTRIBUTE(instance, "_origin", unit.origin(version))
    identity = unit.map_of(record.mapper)
    if entry.action == "insert":
        record.key = record.mapper.key_of(instance)
        identity.put(record.key, instance, version)
    else:
        identity.remember(record.key, version)
    touched = unit.touched.pop(instance, None)
    image = entry.image
    if touched is None and image is None:
        unit.records.pop(instance, None)
        scope.forget(record)
        return
    record.clean = touched if touched is not None else image
    record.version = version
    if record.bits() == 0:
        unit.records.pop(instance, None)
        scope.forget(record)
        return
    _keep_pending(unit, record, scope, entry)
    if not unit.is_strict:
        SET_CLASS(instance, record.mapper.model)


def _keep_pending(unit: UnitOfWork, record: ObjectRecord, scope: Scope, entry: Entry) -> None:
    """Something of the record is still to be written: later edits.

    Or changes of scopes around this one.
    """
    record.state = CHANGED
    if entry.action == "insert":
        scope.forget(record)
    else:
        scope.forget(record, record.names(entry.bits))
        scope.undo.pop(record, None)
    if not any(record in one.undo for one in unit.all_scopes()):
        unit.root.undo[record] = UNDO_CLEAN


def _gone(unit: UnitOfWork, record: ObjectRecord, scope: Scope) -> None:
    unit.records.pop(record.instance, None)
    unit.watched.pop(record.instance, None)
    scope.forget(record)
    identity = unit.map_of(record.mapper)
    identity.forget(record.key)
    identity.absent.add(record.key)


def revert(unit: UnitOfWork, memory: list[Any]) -> None:
    """Make pending again what was written in a transaction that was rolled back afterwards."""
    for entry, clean, version, state in reversed(memory):
        record = entry.record
        record.clean, record.version, record.state = clean, version, state
        unit.records[record.instance] = record
        unit.touched.pop(record.instance, None)
        identity = unit.map_of(record.mapper)
        identity.forget(record.key)
        if entry.made_key:
            record.mapper.set_key(record.instance, None)
            record.key = None
        unit.root.undo[record] = UNDO_NONE if clean is None else UNDO_CLEAN
        if clean is not None:
            identity.remember(record.key, version)
        _unsettle_fields(record)
        if state == DELETED:
            SET_ATTRIBUTE(record.instance, "_origin", Origin(unit.grave, version))
            continue
        origin = unit.fresh if clean is None else unit.origin(version)
        SET_ATTRIBUTE(record.instance, "_origin", origin)
        if record.key is not None:
            unit.enter(identity, record.key, record.instance)
        if not unit.is_strict:
            SET_CLASS(record.instance, record.mapper.model)


def keep_flush(unit: UnitOfWork, plan: Plan, made: Mapping[int, object]) -> None:
    """Remember what the open transaction holds; everything stays pending until it is committed."""
    if made:
        _take_keys(unit, plan, made)
    for entry in plan.entries:
        record = entry.record
        record.is_sealed = False
        unit.touched.pop(record.instance, None)
        exists = entry.action != "delete"
        image = record.mapper.snapshot(record.instance) if exists else None
        was_made = entry.made_key or (record.stored is not None and record.stored.made_key)
        record.stored = Stored(exists, entry.after, image)
        record.stored.made_key = was_made
        unit.flushed[record] = None
        if record.key is None:
            record.key = record.mapper.key_of(record.instance)
        if entry.made_key:
            unit.enter(unit.map_of(record.mapper), record.key, record.instance)
        if record.state in (INSERTED, CHANGED):
            _unsettle_fields(record)
            if not unit.is_strict:
                SET_CLASS(record.instance, record.mapper.model)


def drop_flush(unit: UnitOfWork) -> None:
    """Forget what the transaction held: it was rolled back."""
    for record in unit.flushed:
        stored, record.stored = record.stored, None
        if stored is not None and stored.made_key:
            unit.map_of(record.mapper).forget(record.key)
            record.mapper.set_key(record.instance, None)
            record.key = None
    unit.flushed.clear()


def finished_flush(unit: UnitOfWork, entries: list[Entry]) -> list[Entry]:
    """Return *entries* with one for every flushed record that needs no more writing.

    So that it is taken over too.
    """
    planned = {entry.record for entry in entries}
    kept = []
    for record in unit.flushed:
        stored = record.stored
        if record not in planned and stored is not None:
            entry = Entry(record, "keep" if stored.exists else "delete", 0, stored.version)
            entry.after = stored.version
            kept.append(entry)
    return [*entries, *kept]
