"""Bring memory in step with the store: before a plan is sent, after it was written or failed.

A plan is *sealed* while it is under way: its objects are guarded afresh, so that what is edited
meanwhile is noticed and belongs to the next commit. When the plan was written, versions, keys and
clean values are taken over; when it failed, everything is pending again as it was before the call.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from operator import attrgetter
from weakref import ref

from graven._hints import Any
from graven.core.identity import IdentityMap
from graven.core.lifecycle import CHANGED, DELETED, INSERTED
from graven.core.plan import Group, Groups, Plan
from graven.core.records import ObjectRecord, Stored
from graven.core.reverting import Memory, memory_of
from graven.core.scopes import UNDO_CLEAN, Scope
from graven.core.tracking import SET_ATTRIBUTE, SET_CLASS
from graven.core.unit import UnitOfWork
from graven.core.values import ABSENT

_STATE = attrgetter("state")

__all__ = ["drop_flush", "fail", "finished_flush", "keep_flush", "seal", "succeed"]


def seal(unit: UnitOfWork, plan: Plan) -> None:
    """Guard the objects of *plan* afresh: an edit from now on belongs to the next commit."""
    for group in plan.groups:
        unit.sealed.update(group.records)
        if group.action == "delete":
            continue
        if unit.flushed:
            for record in group.records:
                if record.state != DELETED:
                    _seal_whole(record)
        elif group.action == "insert":
            _seal_new(group)
        else:
            _seal_changed(unit, group)


def _seal_new(group: Group) -> None:
    mapper, guard = group.mapper, group.mapper.guard
    if mapper.references or mapper.watched:
        for record in group.records:
            _seal_whole(record)
        return
    for record in group.records:
        SET_CLASS(record.instance, guard)


def _seal_whole(record: ObjectRecord) -> None:
    """Make all current values of an object the raw ones."""
    mapper, instance = record.mapper, record.instance
    if type(instance) is mapper.guard:  # or the guard would take this for an edit
        SET_CLASS(instance, mapper.model)
    mapper.adopt(instance)
    SET_CLASS(instance, mapper.guard)


def _seal_changed(unit: UnitOfWork, group: Group) -> None:
    mapper, guard = group.mapper, group.mapper.guard
    settles = bool(mapper.references or mapper.watched)
    for record in group.records:
        if settles:
            _settle_fields(record, group.bits)
    if unit.is_strict:
        group.images = [_merged(record, group.bits) for record in group.records]
    for record in group.records:
        SET_CLASS(record.instance, guard)


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
    unit.sealed.clear()
    for group in plan.groups:
        for record in group.records:
            unit.touched.pop(record.instance, None)
            if group.action == "delete":
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


def _settle_late(unit: UnitOfWork, written: Iterable[Group]) -> None:
    """Give the edits that were made while a plan was under way to the scopes they were made in."""
    if not unit.late:
        return
    names = {
        record: (group.action == "insert", group.bits)
        for group in written
        for record in group.records
    }
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
) -> list[Memory]:
    """Take over what was written; if *keep*, return what :func:`revert` needs to take it back."""
    memory = memory_of(plan) if keep else []
    unit.sealed.clear()
    if made:
        _take_keys(plan, made)
    for flushed in unit.flushed:
        flushed.stored = None
    unit.flushed.clear()
    if unit.touched or unit.is_strict or plan.is_single:
        for group in plan.groups:
            for at in range(len(group.records)):
                _take_over(unit, group, at)
        _settle_late(unit, plan.groups)
        return memory
    for group in plan.groups:
        if group.action == "delete" and not group.mapper.watched:
            _gone_quietly(unit, group, scope)
        elif group.action == "delete" or DELETED in map(_STATE, group.records):
            for at in range(len(group.records)):
                _take_over(unit, group, at)
        else:
            _written_quietly(unit, group, scope)
    return memory


def _take_over(unit: UnitOfWork, group: Group, at: int) -> None:
    if group.action == "delete":
        _gone(unit, group.records[at])
    elif group.records[at].state == DELETED:
        _deleted_meanwhile(unit, group, at)
    else:
        _written(unit, group, at)


def _deleted_meanwhile(unit: UnitOfWork, group: Group, at: int) -> None:
    """Leave to the next commit the deletion of what was deleted while it was written."""
    record, after = group.records[at], group.after[at]
    instance = record.instance
    touched = unit.touched.pop(instance, None)
    image = group.images[at] if group.images else None
    record.clean = image or touched or record.mapper.snapshot(instance)
    record.version = after
    identity = unit.map_of(record.mapper)
    if group.action == "insert":
        record.key = record.mapper.key_of(instance)
        identity.bury(record.key, instance)
    identity.remember(record.key, after)
    SET_ATTRIBUTE(instance, "_origin", unit.grave_origin(after))
    unit.forget(record)
    unit.root.undo[record] = UNDO_CLEAN


def _gone_quietly(unit: UnitOfWork, group: Group, scope: Scope) -> None:
    """Forget what was deleted of one class."""
    unit.map_of(group.mapper).lose([record.key for record in group.records])
    _drop_all(unit, scope, group)


def _written_quietly(unit: UnitOfWork, group: Group, scope: Scope) -> None:
    """Take over what was written of one class, nothing having been edited meanwhile."""
    identity = unit.map_of(group.mapper)
    objects, set_origin = group.objects, group.mapper.set_origin
    origins = {version: unit.origin(version) for version in set(group.after)}
    for instance, version in zip(objects, group.after, strict=True):
        set_origin(instance, origins[version])
    keys = [record.key for record in group.records]
    if group.action == "insert":
        known, given, keys = identity.entries, keys, list(map(group.mapper.key_of, objects))
        for at, key in enumerate(keys):
            if key is not given[at] or key not in known:
                _leave(identity, group.records[at])
                known[key] = ref(objects[at])
    identity.remember_all(keys, group.after)
    _drop_all(unit, scope, group)


def _drop_all(unit: UnitOfWork, scope: Scope, group: Group) -> None:
    """Let the records of a group go, in which nothing is pending any more."""
    records, undo = unit.records, scope.undo
    if len(records) == len(undo) == len(group.records):  # all there are
        records.clear()
        undo.clear()
        return
    for record in group.records:
        records.pop(record.instance, None)
        undo.pop(record, None)


def _leave(identity: IdentityMap, record: ObjectRecord) -> None:
    """Free the key that a new object was added with, if it has got another one since."""
    if identity.get(record.key) is record.instance:
        del identity.entries[record.key]


def _take_keys(plan: Plan, made: Mapping[int, object]) -> None:
    for group in plan.groups:
        for record, ordinal in zip(group.records, group.ordinals, strict=False):
            record.key = made[ordinal]
            group.mapper.set_key(record.instance, record.key)
    for group in plan.groups:
        if group.action != "delete":
            for field in group.mapper.references:
                for record in group.records:
                    field.settle(record.instance)


def _written(unit: UnitOfWork, group: Group, at: int) -> None:
    record, version = group.records[at], group.after[at]
    instance = record.instance
    SET_ATTRIBUTE(instance, "_origin", unit.origin(version))
    identity = unit.map_of(record.mapper)
    if group.action == "insert":
        _leave(identity, record)
        record.key = record.mapper.key_of(instance)
        identity.put(record.key, instance, version)
    else:
        identity.remember(record.key, version)
    touched = unit.touched.pop(instance, None)
    image = group.images[at] if group.images else None
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
    _keep_pending(unit, record, group)
    if not unit.is_strict:
        SET_CLASS(instance, record.mapper.model)


def _keep_pending(unit: UnitOfWork, record: ObjectRecord, group: Group) -> None:
    """Something of the record is still to be written: later edits, or those of outer scopes."""
    record.state = CHANGED
    unit.forget(record, None if group.action == "insert" else record.names(group.bits))
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


def keep_flush(unit: UnitOfWork, plan: Plan, made: Mapping[int, object]) -> None:
    """Remember what the open transaction holds; everything stays pending until it is committed."""
    unit.sealed.clear()
    if made:
        _take_keys(plan, made)
    for group in plan.groups:
        for record, after in zip(group.records, group.after or group.versions, strict=True):
            _keep_stored(unit, group, record, after)
    _settle_late(unit, ())


def _keep_stored(unit: UnitOfWork, group: Group, record: ObjectRecord, after: int) -> None:
    touched = unit.touched.pop(record.instance, None)
    exists, makes_key = group.action != "delete", bool(group.ordinals)
    image = touched or record.mapper.snapshot(record.instance) if exists else None
    was_made = makes_key or (record.stored is not None and record.stored.made_key)
    record.stored = Stored(exists, after, image)
    record.stored.made_key = was_made
    unit.flushed[record] = None
    if record.state is None:
        unit.map_of(record.mapper).buried.pop(record.key, None)
    if record.key is None:
        record.key = record.mapper.key_of(record.instance)
    if makes_key:
        unit.enter(unit.map_of(record.mapper), record.key, record.instance)
    if record.state in (INSERTED, CHANGED) and not unit.is_strict:
        SET_CLASS(record.instance, record.mapper.model)


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


def finished_flush(unit: UnitOfWork, plan: Plan) -> list[Group]:
    """Return groups of the flushed records that *plan* need not write any more.

    So they are taken over too.
    """
    planned = set(plan.records())
    groups = Groups()
    for record in unit.flushed:
        stored = record.stored
        if record not in planned and stored is not None:
            groups.put(record, ("keep" if stored.exists else "delete", 0, stored.version))
    for group in groups.whole():
        group.after = group.versions
    return groups.whole()
