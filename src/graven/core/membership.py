"""How objects join a unit of work and leave it: added, adopted, deleted, expunged, renewed."""

from __future__ import annotations

from typing import Any

from graven.core.identity import Origin
from graven.core.lifecycle import CHANGED, CLEAN, DELETED, INITIALIZED, INSERTED, transition
from graven.core.mapper import Mapper
from graven.core.records import ObjectRecord
from graven.core.tracking import SET_ATTRIBUTE, SET_CLASS, Grave, Tracking, clean_key
from graven.core.values import ABSENT
from graven.errors import DuplicateRecordError, SessionError, StateChangeError

__all__ = ["Membership"]


class Membership(Tracking):
    """Joining and leaving."""

    def add(self, instance: Any, draft: bool = False) -> None:
        """Make an object part of the unit, and what it refers to.

        :raises DuplicateRecordError: if another object of the unit has its key.
        :raises SessionError: if it belongs to another session that is still open.
        """
        stack = [instance]
        while stack:
            one = stack.pop()
            mapper = self.mapper(one)
            if self._add_one(one, mapper, draft) and (mapper.references or mapper.watched):
                stack.extend(reversed(self.strangers(one, mapper)))

    def strangers(self, instance: Any, mapper: Mapper) -> list[Any]:
        """Return the objects that an object refers to, or has in a list.

        That are of no unit yet.
        """
        found = []
        for field in mapper.references:
            value = field.loaded(instance)
            if value is not ABSENT and value is not None and self._is_stranger(value):
                found.append(value)
        for field in mapper.watched:
            if field.form != "document":
                members = field.loaded(instance)
                if members is not ABSENT:
                    found.extend(one for one in members if self._is_stranger(one))
        return found

    @staticmethod
    def _is_stranger(value: Any) -> bool:
        return getattr(value, "_origin", ABSENT) is None

    def _add_one(self, instance: Any, mapper: Mapper, draft: bool) -> bool:
        origin = instance._origin
        if origin is None:
            self._register(instance, mapper, draft)
            return True
        unit = origin.unit
        if unit is self:
            return False
        record = self.records.get(instance)
        if unit is self.grave and record is not None:
            self._undelete(record)
        elif type(unit) is Grave:
            self._register(instance, mapper, draft)
        else:
            self.adopt(instance, mapper)
        return True

    def _register(self, instance: Any, mapper: Mapper, draft: bool) -> None:
        key = mapper.key_of(instance)
        identity = self.map_of(mapper)
        if key is not None and (other := identity.get(key)) is not None and other is not instance:
            raise self._duplicate(mapper, key, other)
        instance._origin = self.fresh
        record = ObjectRecord(mapper, instance, None, None, 0)
        record.key = key
        self.records[instance] = record
        self.scope().touch(record)
        record.state = INITIALIZED if draft else INSERTED
        if key is not None:
            self.enter(identity, key, instance)
        if mapper.watched:
            self.watched[instance] = None
        if self.is_strict:
            SET_CLASS(instance, mapper.guard)

    def _duplicate(self, mapper: Mapper, key: Any, other: Any) -> DuplicateRecordError:
        return DuplicateRecordError(
            f"cannot add {mapper.name} {key!r}: this session has another object with that key, "
            f"{other!r:.200}. "
            "There is one object per key; change the one that is there, which session.get "
            "returns, or use another key.",
            table=mapper.table.name,
            row=key,
            state=self.state(other),
        )

    def _undelete(self, record: ObjectRecord) -> None:
        self.scope().touch_all(record)
        record.state = CHANGED if record.bits() else CLEAN
        record.instance._origin = self.origin(record.version)
        self.map_of(record.mapper).put(record.key, record.instance, record.version)

    def delete(self, instance: Any) -> None:
        """Mark an object as deleted; one that was never written is taken out instead.

        :raises StateChangeError: if the object is not of this unit.
        """
        mapper = self.mapper(instance)
        origin = instance._origin
        if origin is None or (origin.unit is not self and origin.unit is not self.grave):
            raise StateChangeError(
                f"cannot delete {instance!r:.200}: it is not part of this session. Load it with "
                "this session, or bring it in with "
                "session.add first.",
                table=mapper.table.name,
                row=mapper.key_of(instance),
                attempted="delete_record",
            )
        self.settle_one(instance)
        record = self.records.get(instance)
        if record is None:
            record = self._track(instance, mapper, CLEAN, mapper.snapshot(instance))
        following = transition("delete_record", record.state, mapper.table.name, record.key)
        if record.state == following:
            return
        self.scope().touch_all(record)
        record.state = following
        if following is None:
            self._take_out(record)
        else:
            SET_CLASS(instance, mapper.guard)
            SET_ATTRIBUTE(instance, "_origin", Origin(self.grave, record.version))
            self.map_of(mapper).entries.pop(record.key, None)

    def _take_out(self, record: ObjectRecord) -> None:
        """Make a new object a stranger again."""
        instance = record.instance
        SET_CLASS(instance, record.mapper.model)
        instance._origin = None
        self.records.pop(instance, None)
        self.watched.pop(instance, None)
        identity = self.maps.get(record.mapper.root)
        if identity is not None and identity.get(record.key) is instance:
            del identity.entries[record.key]
        if record.stored is None:
            self._forget_if_unknown_above(record)

    def _forget_if_unknown_above(self, record: ObjectRecord) -> None:
        scope = self.scope()
        if scope.parent is None:
            scope.undo.pop(record, None)

    def expunge(self, instance: Any) -> None:
        """Take an object out of the unit with its changes; it is a stranger, or a snapshot.

        Afterwards.
        """
        self.settle_one(instance)
        record = self.records.pop(instance, None)
        mapper = self.mapper(instance)
        key = mapper.key_of(instance)
        if record is not None:
            for scope in self.all_scopes():
                scope.undo.pop(record, None)
        self.watched.pop(instance, None)
        identity = self.map_of(mapper)
        if identity.get(key) is instance:
            identity.forget(key)
        origin = instance._origin
        if record is not None and record.clean is None:
            SET_CLASS(instance, mapper.model)
            instance._origin = None
        elif origin is not None and origin.unit is self:
            shelf = type(self)(self.owner)
            shelf.is_open = False
            if record is not None and record.clean is not None:
                shelf.touched[instance] = record.clean
            SET_ATTRIBUTE(instance, "_origin", shelf.origin(origin.version))

    def release(self, instance: Any) -> tuple[str | None, tuple[Any, ...] | None]:
        """Give an object up to another unit; return its state and clean image."""
        self.settle_one(instance)
        record = self.records.pop(instance, None)
        if record is None:
            mapper = self.mapper(instance)
            clean = mapper.snapshot(instance)
            is_changed = instance in self.watched and mapper.changed(instance, clean)
            return (CHANGED if is_changed else CLEAN), clean
        for scope in self.all_scopes():
            scope.undo.pop(record, None)
        return record.state, record.clean

    def adopt(self, instance: Any, mapper: Mapper) -> None:
        """Take over an object of another unit.

        With the changes made to it and the version they were made on.
        """
        origin = instance._origin
        if origin.unit.is_open:
            raise SessionError(
                f"cannot add {instance!r:.200}: it belongs to another session that is still open, "
                "and an object belongs to one session at a "
                "time. Take it out of that one with expunge, or close it, or load the object here.",
                session=origin.unit,
            )
        key = mapper.key_of(instance)
        other = self.find(mapper, key) if key is not None else None
        if other is not None and other is not instance:
            raise self._duplicate(mapper, key, other)
        state, clean = origin.unit.release(instance)
        if clean is None:
            SET_CLASS(instance, mapper.model)
            instance._origin = None
            self._register(instance, mapper, state == INITIALIZED)
            return
        SET_ATTRIBUTE(instance, "_origin", self.origin(origin.version))
        identity = self.map_of(mapper)
        if identity.version(key) is None:
            identity.remember(key, origin.version)
        self.enter(identity, clean_key(mapper, clean), instance)
        if mapper.watched:
            self.watched[instance] = None
        if state == CHANGED:
            record = self._track(instance, mapper, CLEAN, clean)
            self.scope().touch(record)
            record.state = CHANGED
        else:
            SET_CLASS(instance, mapper.guard)

    def hand_over(self, instance: Any) -> None:
        """Let another unit take an object over."""
        self.expunge(instance)

    def renew(
        self, instance: Any, image: tuple[Any, ...], version: int, keep_changes: bool
    ) -> None:
        """Take what was read anew; own changes are dropped, or kept on top of it."""
        self.settle()
        mapper = self.mapper(instance)
        record = self.records.get(instance)
        kept: dict[str, object] = {}
        if record is not None and keep_changes:
            kept = {name: record.dirty_value(name) for name in record.dirty_fields()}
        for field, raw in zip(mapper.fields, image, strict=True):
            field.renew(instance, raw)
        for name, value in kept.items():
            mapper.field(name).restore(instance, value)
        identity = self.map_of(mapper)
        identity.remember(mapper.key_of(instance), version)
        if record is None or record.state != DELETED:
            SET_ATTRIBUTE(instance, "_origin", self.origin(version))
        if record is not None:
            record.clean, record.version = image, version
            if record.state == CHANGED and not kept:
                for scope in self.all_scopes():
                    scope.undo.pop(record, None)
                self.drop_record(record)
