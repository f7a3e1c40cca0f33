"""How objects join a unit of work and leave it: added, adopted, deleted, expunged, renewed."""

from __future__ import annotations

from graven._hints import Any
from graven.core.conflicts import concurrent_update
from graven.core.grave import Grave
from graven.core.keys import duplicate, put_back, unusable, vacate
from graven.core.lifecycle import CHANGED, CLEAN, DELETED, INITIALIZED, INSERTED, transition
from graven.core.mapper import Mapper
from graven.core.records import ObjectRecord
from graven.core.tracking import SET_ATTRIBUTE, SET_CLASS, Tracking, clean_key
from graven.core.values import ABSENT
from graven.errors import Conflict, SessionError, StateChangeError

__all__ = ["Membership", "is_gone"]


def is_gone(instance: Any) -> bool:
    """Say whether the store does not have an object: it was never written, or it was deleted."""
    origin = instance._origin
    if origin is None:
        return True
    return type(origin.unit) is Grave and instance not in origin.unit.unit.records


def _is_stranger(value: Any) -> bool:
    """Say whether an object has to be added before it can be referred to."""
    origin = value._origin
    if origin is None:
        return True
    unit = origin.unit
    if unit.is_open or type(unit) is Grave:
        return False
    record = unit.records.get(value)
    return record is not None and record.clean is None


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
        """Return the objects that an object refers to, or has in a list, and that are of no unit.

        Those that an ended session left new are among them: they were never written.
        """
        found = []
        for field in mapper.references:
            value = field.loaded(instance)
            if isinstance(value, field.target.model) and _is_stranger(value):
                found.append(value)
        for field in mapper.watched:
            if field.form != "document":
                members = field.loaded(instance)
                if isinstance(members, list):
                    model = field.target.model
                    found.extend(
                        one for one in members if isinstance(one, model) and _is_stranger(one)
                    )
        return found

    def _add_one(self, instance: Any, mapper: Mapper, draft: bool) -> bool:
        origin = instance._origin
        if origin is None:
            self._register(instance, mapper, draft)
            return True
        unit = origin.unit
        if unit is self:
            if not draft:
                self._insert_draft(instance)
            return False
        if type(unit) is Grave:
            unit = unit.unit
            if instance not in unit.records:
                put_back(mapper, instance)
                self._register(instance, mapper, draft)
                return True
        if unit is self:
            self._undelete(self.records[instance])
        else:
            self.adopt(instance, mapper)
        return True

    def _insert_draft(self, instance: Any) -> None:
        """Let a draft that is added again be inserted."""
        record = self.records.get(instance)
        if record is not None and record.state == INITIALIZED:
            self.touch(self.scope(), record)
            record.state = INSERTED

    def _register(self, instance: Any, mapper: Mapper, draft: bool) -> None:
        key = mapper.key_of(instance)
        identity = self.map_of(mapper)
        try:
            other = identity.get(key) if key is not None else None
        except TypeError as error:
            raise unusable(mapper, key) from error
        if other is not None and other is not instance:
            vacate(self, mapper, key, other)
        ghost = self._ghost(mapper, key) if self.flushed else None
        if ghost is None and key in identity.buried and identity.buried[key] is not instance:
            raise duplicate(self, mapper, key, identity.buried[key])
        SET_ATTRIBUTE(instance, "_origin", self.fresh_origin())
        record = ObjectRecord(mapper, instance, None, None, 0, key)
        self.records[instance] = record
        if ghost is not None:
            record.stored, ghost.stored = ghost.stored, None
            del self.flushed[ghost]
            self.flushed[record] = None
        self.touch(self.scope(), record)
        record.state = INITIALIZED if draft else INSERTED
        if key is not None:
            self.enter(identity, key, instance)
        if mapper.watched:
            self.watched[instance] = None
            self.look(record)
        SET_CLASS(instance, mapper.guard if draft or self.is_strict else mapper.model)

    def _ghost(self, mapper: Mapper, key: Any) -> ObjectRecord | None:
        """Return the record of an object with that key that was flushed and then taken out."""
        for record in self.flushed:
            if record.state is None and record.key == key and record.mapper is mapper:
                return record
        return None

    def _undelete(self, record: ObjectRecord) -> None:
        self.refuse_sealed("take a deletion back", (record,))
        self.touch_all(self.scope(), record)
        record.state = CHANGED if record.bits() else CLEAN
        self.unbury(record)

    def unbury(self, record: ObjectRecord) -> None:
        """Let an object that was deleted be found and written again."""
        SET_ATTRIBUTE(record.instance, "_origin", self.origin(record.version))
        self.map_of(record.mapper).enter(record.key, record.instance)

    def delete(self, instance: Any) -> None:
        """Mark an object as deleted; one that was never written is taken out instead.

        :raises StateChangeError: if the object is not of this unit.
        """
        mapper = self.mapper(instance)
        self._check_mine(instance, mapper, "delete")
        self.settle_one(instance)
        record = self.records.get(instance)
        if record is None:
            record = self._track(instance, mapper, CLEAN, mapper.snapshot(instance))
        following = transition("delete_record", record.state, mapper.table.name, record.key)
        if record.state == following:
            return
        if following is None:
            self.refuse_sealed("take out a new object", (record,))
        self.touch_all(self.scope(), record)
        record.state = following
        if following is None:
            self.take_out(record)
        else:
            SET_CLASS(instance, mapper.guard)
            SET_ATTRIBUTE(instance, "_origin", self.grave_origin(record.version))
            self.map_of(mapper).bury(record.key, instance)

    def _check_mine(self, instance: Any, mapper: Mapper, attempted: str) -> None:
        origin = instance._origin
        if origin is None or (origin.unit is not self and origin.unit is not self.grave):
            raise StateChangeError(
                f"cannot {attempted} {instance!r:.200}: it is not part of this session. Load it "
                "with this session, or bring it in with "
                "session.add first.",
                table=mapper.table.name,
                row=mapper.key_of(instance),
                attempted=attempted,
            )

    def take_out(self, record: ObjectRecord) -> None:
        """Make a new object a stranger again."""
        instance = record.instance
        SET_CLASS(instance, record.mapper.model)
        instance._origin = None
        self.records.pop(instance, None)
        self.watched.pop(instance, None)
        identity = self.maps.get(record.mapper.root)
        if identity is not None and identity.get(record.key) is instance:
            del identity.entries[record.key]
        if record.stored is not None:
            if record.stored.exists:
                self.map_of(record.mapper).bury(record.key, instance)
            if record.stored.made_key:
                record.mapper.set_key(instance, None)
        scope = self.scope()
        if scope.parent is None:
            scope.undo.pop(record, None)

    def expunge(self, instance: Any) -> None:
        """Take an object out of the unit with its changes.

        A new one is a stranger afterwards, another one a snapshot that keeps its changes.

        :raises StateChangeError: if the object is not of this unit.
        :raises SessionError: while another task's commit writes it.
        """
        mapper = self.mapper(instance)
        self._check_mine(instance, mapper, "expunge")
        self.settle_one(instance)
        record = self.records.get(instance)
        if record is None:
            self.map_of(mapper).forget(mapper.key_of(instance))
            shelf = self._shelf()
            SET_ATTRIBUTE(instance, "_origin", shelf.origin(instance._origin.version))
        else:
            self.refuse_sealed("expunge an object", (record,))
            self.refuse_flushed("expunge an object", record.stored is not None)
            del self.records[instance]
            self.forget(record)
            self.map_of(mapper).forget(record.key)
            self._let_loose(record, self._shelf())
        self.touched.pop(instance, None)
        self.watched.pop(instance, None)

    def refuse_flushed(self, attempted: str, is_flushed: bool) -> None:
        """See that nothing is forgotten that the open transaction holds.

        :raises SessionError: if something would be.
        """
        if is_flushed:
            raise SessionError(
                f"cannot {attempted}: it was flushed, so the open transaction holds changes that "
                "nobody would know of any more. Commit or roll back first.",
                session=self,
            )

    def _shelf(self) -> Membership:
        """Return the ended unit that an object belongs to which was taken out."""
        shelf = type(self)(self.owner)
        shelf.is_open, shelf.home = False, self.home
        return shelf

    @staticmethod
    def _let_loose(record: ObjectRecord, shelf: Membership) -> None:
        """Put an object on the shelf with its changes, or make it a stranger if it is new."""
        instance, mapper = record.instance, record.mapper
        if record.clean is None:
            SET_CLASS(instance, mapper.model)
            SET_ATTRIBUTE(instance, "_origin", None)
            return
        SET_ATTRIBUTE(instance, "_origin", shelf.origin(record.version))
        if record.bits():
            SET_CLASS(instance, mapper.model)
            shelf.touched[instance] = record.clean
        else:
            SET_CLASS(instance, mapper.guard)

    def release(self, instance: Any) -> tuple[str | None, tuple[Any, ...] | None]:
        """Give an object up to another unit; return its state and clean image."""
        self.settle_one(instance)
        self.touched.pop(instance, None)
        record = self.records.pop(instance, None)
        if record is None:
            mapper = self.mapper(instance)
            clean = mapper.snapshot(instance)
            is_changed = instance in self.watched and mapper.changed(instance, clean)
            return (CHANGED if is_changed else CLEAN), clean
        self.forget(record)
        self.watched.pop(instance, None)
        return record.state, record.clean

    def adopt(self, instance: Any, mapper: Mapper) -> None:
        """Take over an object of another unit, its changes, and the version they were made on."""
        origin = instance._origin
        unit = origin.unit.unit if type(origin.unit) is Grave else origin.unit
        if unit.is_open:
            raise SessionError(
                f"cannot add {instance!r:.200}: it belongs to another session that is still open, "
                "and an object belongs to one session at a "
                "time. Take it out of that one with expunge, or close it, or load the object here.",
                session=unit,
            )
        key = mapper.key_of(instance)
        other = self.find(mapper, key) if key is not None else None
        if other is not None and other is not instance:
            vacate(self, mapper, key, other)
        identity = self.map_of(mapper)
        known = identity.version(key)
        if known and origin.version and known != origin.version:
            # One of the two is stale, and versions of different lives of a row are in no order.
            conflict = Conflict(mapper.name, key, origin.version, known)
            raise concurrent_update([conflict], "that is what this session read itself")
        state, clean = unit.release(instance)
        if clean is None:
            self._register(instance, mapper, state == INITIALIZED)
            return
        if known is None:
            identity.remember(key, origin.version)
        SET_ATTRIBUTE(instance, "_origin", self.origin(origin.version))
        self.enter(identity, clean_key(mapper, clean), instance)
        if mapper.watched:
            self.watched[instance] = None
        SET_CLASS(instance, mapper.guard)
        if mapper.changed(instance, clean):
            record = self._track(instance, mapper, CLEAN, clean)
            scope = self.scope()
            self.touch(scope, record)
            undo = scope.undo[record]
            if undo.before is not None:
                undo.before.update(dict.fromkeys(record.dirty_fields(), ABSENT))
            record.state = CHANGED
            self.look(record)

    def receive(self, instance: Any, image: tuple[Any, ...], version: int) -> None:
        """Let a new object be the stored one of its key, with the values that were read.

        :raises DuplicateRecordError: if another object of the unit has its key.
        """
        mapper = self.mapper(instance)
        identity, key = self.map_of(mapper), clean_key(mapper, image)
        other = identity.get(key) or identity.buried.get(key)
        if other is not None:
            raise duplicate(self, mapper, key, other)
        for field, raw in zip(mapper.fields, image, strict=True):
            field.renew(instance, raw)
        first = identity.version(key)
        if first is None:
            identity.remember(key, version)
        SET_ATTRIBUTE(instance, "_origin", self.origin(version if first is None else first))
        self.enter(identity, key, instance)
        SET_CLASS(instance, mapper.guard)

    def take_from(self, instance: Any) -> None:
        """Take an object out of the unit that has it, so that it can be adopted here."""
        unit = instance._origin.unit
        unit = unit.unit if type(unit) is Grave else unit
        if unit is not self and unit.is_open and unit.state(instance) is not None:
            unit.expunge(instance)

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
            self.look(record)
            if record.state == CHANGED and not kept:
                self.forget(record)
                self.drop_record(record)
