"""What a unit of work knows of its objects: who they are, and which of them have been written to.

It does no I/O. Objects report their first write by putting themselves into ``touched`` (see the
guard in
:mod:`graven.models.codegen`); :meth:`Tracking.settle` turns these into records. While an inner
scope is open the unit is *strict*: every write is reported, so that each is known to belong to the
scope of the task that made it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Any
from weakref import ref

from graven.core.identity import IdentityMap, Origin
from graven.core.lifecycle import CHANGED, CLEAN, DELETED, INSERTED, transition
from graven.core.mapper import Mapper
from graven.core.records import ObjectRecord
from graven.core.scopes import Scope
from graven.core.values import ABSENT, same

__all__ = ["SET_ATTRIBUTE", "SET_CLASS", "Grave", "Tracking", "clean_key"]

SET_CLASS: Callable[[Any, type[Any]], None] = object.__dict__["__class__"].__set__
SET_ATTRIBUTE = object.__setattr__


class Grave:
    """Stands in for the unit of work in the origin of a deleted object: reading goes on.

    A write is refused.
    """

    __slots__ = ("unit",)
    is_strict = True

    def __init__(self, unit: Tracking) -> None:
        """Stand in for *unit*."""
        self.unit = unit

    @property
    def loader(self) -> Any:
        """The loader of the unit."""
        return self.unit.loader

    def find(self, mapper: Mapper, key: Any) -> Any:
        """Find an object of the unit."""
        return self.unit.find(mapper, key)

    def watch(self, instance: Any) -> None:
        """Do not watch: a deleted object is not written."""

    def write(self, instance: Any, name: str, value: object) -> None:
        """Refuse the write."""
        mapper = self.unit.mapper(instance)
        transition("write_dirty", DELETED, mapper.table.name, mapper.key_of(instance))


class Tracking:
    """The objects of one session."""

    def __init__(self, owner: Callable[[], Hashable]) -> None:
        """Make an empty unit; *owner* names the task that calls."""
        self.owner = owner
        self.maps: dict[Mapper, IdentityMap] = {}
        self.entries: dict[type[Any], dict[Any, Any]] = {}
        self.mappers: dict[type[Any], Mapper] = {}
        self.records: dict[Any, ObjectRecord] = {}
        self.touched: dict[Any, tuple[Any, ...]] = {}
        self.watched: dict[Any, None] = {}
        self.root = Scope()
        self.heads: dict[Hashable, Scope] = {}
        self.is_strict = False
        self.is_open = True
        self.loader: Callable[[Any, Any, Any], Any] | None = None
        self.fresh = Origin(self, 0)
        self.grave = Grave(self)
        self.origins: dict[int, Origin] = {}
        self.flushed: dict[ObjectRecord, None] = {}

    # -- looking up --------------------------------------------------------------------------------

    def mapper(self, instance: Any) -> Mapper:
        """Return the mapper of an object's class."""
        kind = type(instance)
        mapper = self.mappers.get(kind)
        if mapper is None:
            mapper = self.mappers[kind] = kind._mapper
        return mapper

    def map_of(self, mapper: Mapper) -> IdentityMap:
        """Return the identity map of the mapper's table."""
        root = mapper.root
        found = self.maps.get(root)
        if found is None:
            found = self.maps[root] = IdentityMap()
            if not getattr(root, "subclasses", ()):
                self.entries[root.model] = found.entries
        return found

    def find(self, mapper: Mapper, key: Any) -> Any:
        """Return the object of that key that the unit has, ``None`` if it has none."""
        found = self.maps.get(mapper.root)
        return None if found is None else found.get(key)

    def origin(self, version: int) -> Origin:
        """Return the origin of objects that are at that version."""
        found = self.origins.get(version)
        if found is None:
            found = self.origins[version] = Origin(self, version)
        return found

    def state(self, instance: Any) -> str | None:
        """Return the state of an object: a name of :mod:`~graven.core.lifecycle`.

        ``None`` if it is not of this unit.
        """
        self.settle()
        record = self.records.get(instance)
        if record is not None:
            is_changed = record.state != CHANGED or record.bits()
            return record.state if is_changed else CLEAN
        origin = instance._origin
        return CLEAN if origin is not None and origin.unit is self else None

    # -- noticing writes ---------------------------------------------------------------------------

    def scope(self) -> Scope:
        """Return the innermost scope of the calling task; the outermost one if it began none."""
        return self.heads.get(self.owner(), self.root) if self.heads else self.root

    def write(self, instance: Any, name: str, value: object) -> None:
        """Write an attribute while inner scopes are open.

        Remember what was there in the task's scope.
        """
        mapper = self.mapper(instance)
        if name in mapper.field_index:
            record = self.records.get(instance)
            if record is None:
                record = self._track(instance, mapper, CLEAN, mapper.snapshot(instance))
            following = transition("write_dirty", record.state, mapper.table.name, record.key)
            if record.is_sealed and instance not in self.touched:
                self.touched[instance] = mapper.snapshot(instance)
            elif not record.is_sealed:
                self.scope().touch(record, name)
                record.state = following
        SET_ATTRIBUTE(instance, name, value)

    def watch(self, instance: Any) -> None:
        """Keep an object of which a list, dict or the like was handed out.

        It may change in place.
        """
        self.watched[instance] = None

    def settle(self) -> None:
        """Turn what objects reported since the last time into records."""
        if self.touched:
            for instance, clean in list(self.touched.items()):
                record = self.records.get(instance)
                if record is None:
                    record = self._track(instance, self.mapper(instance), CHANGED, clean)
                    self._touch_first(record)
                    del self.touched[instance]
                elif not record.is_sealed:
                    if record.state == CLEAN:
                        record.state = CHANGED
                    del self.touched[instance]
        for instance in self.watched:
            self._settle_watched(instance)

    def _touch_first(self, record: ObjectRecord) -> None:
        record.state = CLEAN
        self.root.touch(record)
        record.state = CHANGED

    def _settle_watched(self, instance: Any) -> None:
        """See whether a value was changed in place, and in which scope."""
        mapper = self.mapper(instance)
        record = self.records.get(instance)
        if record is None:
            clean = mapper.snapshot(instance)
            if not mapper.changed(instance, clean):
                return
            record = self._track(instance, mapper, CLEAN, clean)
        if record.is_sealed:
            return
        scope = self.scope()
        if scope.parent is None:
            if record.state == CLEAN:
                scope.touch(record)
                record.state = CHANGED
            return
        for field in mapper.watched:
            before = scope.marks.get((record, field.name), ABSENT)
            if not same(record.dirty_value(field.name), before):
                scope.touch(record)
                undo = scope.undo[record]
                if undo.before is not None:
                    undo.before.setdefault(field.name, before)
                if record.state == CLEAN:
                    record.state = CHANGED

    def _track(
        self, instance: Any, mapper: Mapper, state: str | None, clean: tuple[Any, ...] | None
    ) -> ObjectRecord:
        record = ObjectRecord(mapper, instance, state, clean, instance._origin.version)
        record.key = mapper.key_of(instance) if clean is None else clean_key(mapper, clean)
        self.records[instance] = record
        return record

    def settle_one(self, instance: Any) -> None:
        """Turn the report of one object into a record."""
        if instance in self.touched and instance not in self.records:
            clean = self.touched.pop(instance)
            record = self._track(instance, self.mapper(instance), CHANGED, clean)
            self._touch_first(record)

    @staticmethod
    def enter(identity: IdentityMap, key: Any, instance: Any) -> None:
        identity.entries[key] = ref(instance)

    def drop_record(self, record: ObjectRecord) -> None:
        """Let a record go that is clean again; the object is guarded from now on."""
        if record.stored is None:
            self.records.pop(record.instance, None)
        SET_CLASS(record.instance, record.mapper.guard)

    def pending(self) -> Iterable[ObjectRecord]:
        """Return the records of all objects that are new, changed or deleted, in any scope."""
        self.settle()
        return [
            record
            for record in self.records.values()
            if record.state in (INSERTED, DELETED) or (record.state == CHANGED and record.bits())
        ]

    def all_scopes(self) -> Iterator[Scope]:
        for head in [*self.heads.values(), self.root]:
            scope: Scope | None = head
            while scope is not None:
                yield scope
                scope = scope.parent


def clean_key(mapper: Mapper, clean: tuple[Any, ...]) -> Any:
    """Return the key in a clean image."""
    parts = tuple(clean[mapper.field_index[name]] for name in mapper.key_fields)
    return parts[0] if len(parts) == 1 else parts
