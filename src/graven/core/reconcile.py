"""Bring memory in step with the store: before a plan is sent, after it was written or failed.

A plan is *sealed* while it is under way: its objects are guarded afresh, so that what is edited
meanwhile is noticed and belongs to the next commit. When the plan was written, versions, keys and
clean values are taken over; when it failed, everything is pending again as it was before the call.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any
from weakref import ref

from graven.core.identity import IdentityMap
from graven.core.lifecycle import CHANGED, DELETED, INSERTED
from graven.core.mapper import Mapper
from graven.core.plan import Entry, Plan
from graven.core.records import ObjectRecord, Stored
from graven.core.scopes import UNDO_CLEAN, UNDO_NONE, Scope, Undo
from graven.core.tracking import SET_ATTRIBUTE, SET_CLASS
from graven.core.unit import UnitOfWork
from graven.core.values import ABSENT

__all__ = ["drop_flush", "fail", "finished_flush", "keep_flush", "revert", "seal", "succeed"]


def seal(unit: UnitOfWork, plan: Plan) -> None:
    """Guard the objects of *plan* afresh: an edit from now on belongs to the next commit."""
    unit.is_sealed = True
    for entry in plan.entries:
        record = entry.record
        record.is_sealed = True
        if entry.action == "delete" or record.state == DELETED:
            continue
        mapper, instance = record.mapper, record.instance
        if entry.action == "insert" or record.stored is not None:
            if type(instance) is mapper.guard:  # or the guard would take this for an edit
                SET_CLASS(instance, mapper.model)
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
        if entry.action == "delete":
            continue
        record.unsettle()
        if record.state == DELETED:
            _deleted_for_nothing(unit, record)
        elif not unit.is_strict:
            SET_CLASS(record.instance, record.mapper.model)
    _settle_late(unit, ())


def _deleted_for_nothing(unit: UnitOfWork, record: ObjectRecord) -> None:
    """Take out what was deleted while its insert was under way, now that this has failed."""
    if record.clean is None:
        unit.take_out(record)
        unit.forget(record)
        record.state = None


def _settle_late(unit: UnitOfWork, written: Iterable[Entry]) -> None:
    """Give the edits that were made while a plan was under way to the scopes they were made in."""
    unit.is_sealed = False
    if not unit.late:
        return
    names = {one.record: (one.action == "insert", one.bits) for one in written}
    late = list(unit.late.items())
    unit.late.clear()
    for (record, field), (made_in, before) in late:
        if unit.records.get(record.instance) is not record or record.state == DELETED:
            continue
        scope = made_in
        while not scope.is_open and scope.parent is not None:
            scope = scope.parent
        is_new, bits = names.get(record, (False, 0))
        unit.touch(scope, record)
        undo = scope.undo[record]
        if undo.before is not None:
            is_clean = is_new or bits & record.bits_of((field,))
            undo.before.setdefault(field, ABSENT if is_clean else before)


def succeed(
    unit: UnitOfWork, plan: Plan, made: Mapping[int, object], scope: Scope, keep: bool
) -> list[Any]:
    """Take over what was written; if *keep*, return what :func:`revert` needs to take it back."""
    memory: list[Any] = []
    if keep:
        memory = [
            (one, one.record.clean, one.record.version, one.record.state) for one in plan.entries
        ]
    if made:
        _take_keys(plan, made)
    for flushed in unit.flushed:
        flushed.stored = None
    unit.flushed.clear()
    if unit.touched or unit.is_strict:
        for entry in plan.entries:
            _take_over(unit, entry)
        _settle_late(unit, plan.entries)
        return memory
    for mapper, group in groupby(plan.entries, key=lambda entry: entry.record.mapper):
        _take_over_quietly(unit, mapper, group, scope)
    unit.is_sealed = False
    return memory


def _take_over(unit: UnitOfWork, entry: Entry) -> None:
    record = entry.record
    record.is_sealed = False
    if entry.action == "delete":
        _gone(unit, record)
    elif record.state == DELETED:
        _deleted_meanwhile(unit, entry)
    else:
        _written(unit, entry)


def _deleted_meanwhile(unit: UnitOfWork, entry: Entry) -> None:
    """Leave to the next commit the deletion of what was deleted while it was written."""
    record, instance = entry.record, entry.record.instance
    touched = unit.touched.pop(instance, None)
    record.clean = entry.image or touched or record.mapper.snapshot(instance)
    record.version = entry.after
    identity = unit.map_of(record.mapper)
    if entry.action == "insert":
        record.key = record.mapper.key_of(instance)
        identity.bury(record.key, instance)
    identity.remember(record.key, entry.after)
    SET_ATTRIBUTE(instance, "_origin", unit.grave_origin(entry.after))
    unit.forget(record)
    unit.root.undo[record] = UNDO_CLEAN


def _take_over_quietly(
    unit: UnitOfWork, mapper: Mapper, entries: Iterable[Entry], scope: Scope
) -> None:
    """Take over what was written of one class, nothing having been edited meanwhile."""
    identity = unit.map_of(mapper)
    records, undo, key_of = unit.records, scope.undo, mapper.key_of
    known, remember = identity.entries, identity.remember
    version, origin = 0, unit.fresh
    for entry in entries:
        record = entry.record
        record.is_sealed = False
        if entry.action == "delete" and not mapper.watched:
            records.pop(record.instance, None)
            undo.pop(record, None)
            identity.forget(record.key)
            identity.absent.add(record.key)
            continue
        if record.state == DELETED:
            _take_over(unit, entry)
            continue
        instance = record.instance
        if entry.after != version:
            version = entry.after
            origin = unit.origin(version)
        SET_ATTRIBUTE(instance, "_origin", origin)
        key = record.key
        if entry.action == "insert":
            key = key_of(instance)
            if key is not record.key or key not in known:
                _leave(identity, record)
                known[key] = ref(instance)
        if version != identity.usual or identity.versions or identity.absent:
            remember(key, version)
        records.pop(instance, None)
        undo.pop(record, None)


def _leave(identity: IdentityMap, record: ObjectRecord) -> None:
    """Free the key that a new object was added with, if it has got another one since."""
    if identity.get(record.key) is record.instance:
        del identity.entries[record.key]


def _take_keys(plan: Plan, made: Mapping[int, object]) -> None:
    for entry in plan.entries:
        if entry.made_key:
            record = entry.record
            record.key = made[entry.ordinal]
            record.mapper.set_key(record.instance, record.key)
    for entry in plan.entries:
        if entry.record.mapper.references and entry.action != "delete":
            for field in entry.record.mapper.references:
                field.settle(entry.record.instance)


def _written(unit: UnitOfWork, entry: Entry) -> None:
    record, version = entry.record, entry.after
    instance = record.instance
    SET_ATTRIBUTE(instance, "_origin", unit.origin(version))
    identity = unit.map_of(record.mapper)
    if entry.action == "insert":
        _leave(identity, record)
        record.key = record.mapper.key_of(instance)
        identity.put(record.key, instance, version)
    else:
        identity.remember(record.key, version)
    touched = unit.touched.pop(instance, None)
    image = entry.image
    if touched is None and image is None:
        unit.records.pop(instance, None)
        unit.forget(record)
        return
    record.clean = image if image is not None else touched
    record.version = version
    if record.bits() == 0:
        unit.records.pop(instance, None)
        unit.forget(record)
        return
    _keep_pending(unit, record, entry)
    if not unit.is_strict:
        SET_CLASS(instance, record.mapper.model)


def _keep_pending(unit: UnitOfWork, record: ObjectRecord, entry: Entry) -> None:
    """Something of the record is still to be written: later edits, or those of outer scopes."""
    record.state = CHANGED
    unit.forget(record, None if entry.action == "insert" else record.names(entry.bits))
    unit.look(record)
    if not any(record in one.undo for one in unit.all_scopes()) and not any(
        late is record for late, _ in unit.late
    ):
        unit.root.undo[record] = UNDO_CLEAN


def _gone(unit: UnitOfWork, record: ObjectRecord) -> None:
    unit.records.pop(record.instance, None)
    unit.watched.pop(record.instance, None)
    unit.forget(record)
    identity = unit.map_of(record.mapper)
    identity.forget(record.key)
    identity.absent.add(record.key)


def revert(unit: UnitOfWork, memory: list[Any]) -> None:
    """Make pending again what was written in a transaction that was rolled back afterwards."""
    unit.settle()
    for entry, clean, version, state in reversed(memory):
        record = entry.record
        newer = unit.records.get(record.instance)
        if newer is not None and newer is not record:
            _replace(unit, newer, record)
        record.clean, record.version, record.state = clean, version, state
        record.stored = None
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
        record.unsettle()
        if state == DELETED:
            SET_ATTRIBUTE(record.instance, "_origin", unit.grave_origin(version))
            identity.bury(record.key, record.instance)
            continue
        origin = unit.fresh if clean is None else unit.origin(version)
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


def keep_flush(unit: UnitOfWork, plan: Plan, made: Mapping[int, object]) -> None:
    """Remember what the open transaction holds; everything stays pending until it is committed."""
    if made:
        _take_keys(plan, made)
    for entry in plan.entries:
        record = entry.record
        record.is_sealed = False
        touched = unit.touched.pop(record.instance, None)
        exists = entry.action != "delete"
        image = touched or record.mapper.snapshot(record.instance) if exists else None
        was_made = entry.made_key or (record.stored is not None and record.stored.made_key)
        record.stored = Stored(exists, entry.after, image)
        record.stored.made_key = was_made
        unit.flushed[record] = None
        if record.state is None:
            unit.map_of(record.mapper).buried.pop(record.key, None)
        if record.key is None:
            record.key = record.mapper.key_of(record.instance)
        if entry.made_key:
            unit.enter(unit.map_of(record.mapper), record.key, record.instance)
        if record.state in (INSERTED, CHANGED) and not unit.is_strict:
            SET_CLASS(record.instance, record.mapper.model)
    _settle_late(unit, ())


def drop_flush(unit: UnitOfWork) -> None:
    """Forget what the transaction held: it was rolled back."""
    for record in unit.flushed:
        stored, record.stored = record.stored, None
        if record.state is None:
            unit.map_of(record.mapper).buried.pop(record.key, None)
        if stored is not None and stored.made_key:
            unit.map_of(record.mapper).forget(record.key)
            record.key = None
            if record.state is not None:
                record.mapper.set_key(record.instance, None)
    unit.flushed.clear()


def finished_flush(unit: UnitOfWork, entries: list[Entry]) -> list[Entry]:
    """Return *entries* with one for every flushed record that needs no more writing.

    So it is taken over too.
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
