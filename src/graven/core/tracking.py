"""What a unit of work knows of its objects: who they are, and which of them have been written to.

It does no I/O. Objects report their first write by putting themselves into ``touched`` (see the
guard in
:mod:`graven.models.codegen`); :meth:`Tracking.settle` turns these into records. While an inner
scope is open the unit is *strict*: every write is reported, so that each is known to belong to the
scope of the task that made it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from itertools import groupby, repeat
from operator import itemgetter

from graven._hints import Any
from graven.core.grave import Grave
from graven.core.identity import IdentityMap, Origin
from graven.core.lifecycle import CHANGED, CLEAN, DELETED, INITIALIZED, INSERTED, transition
from graven.core.mapper import Mapper
from graven.core.records import ObjectRecord
from graven.core.scopes import UNDO_CLEAN, UNDO_NONE, Scope, Undo
from graven.core.values import ABSENT, same
from graven.errors import SessionError

__all__ = ["SET_ATTRIBUTE", "SET_CLASS", "Tracking", "clean_key"]

SET_CLASS: Callable[[Any, type[Any]], None] = object.__dict__["__class__"].__set__
SET_ATTRIBUTE = object.__setattr__


class Tracking:
    """The objects of one session; ``home`` returns that, and its database, unless they are gone."""

    def __init__(self, owner: Callable[[], Hashable]) -> None:
        """Make an empty unit; *owner* names the task that calls."""
        self.owner = owner
        self.maps: dict[Mapper, IdentityMap] = {}
        self.entries: dict[type[Any], dict[Any, Any]] = {}
        self.mappers: dict[type[Any], Mapper] = {}
        self.records: dict[Any, ObjectRecord] = {}
        self.touched: dict[Any, tuple[Any, ...]] = {}
        self.watched: dict[Any, None] = {}
        self.rosters: dict[tuple[Any, str], tuple[Any, ...]] = {}
        self.root = Scope()
        self.heads: dict[Hashable, Scope] = {}
        self.is_strict = False
        self.is_open = True
        self.loader: Callable[[Any, Any, Any], Any] | None = None
        self.home: tuple[Callable[[], Any], Callable[[], Any]] | None = None
        self.fresh: Origin | None = None
        self.grave: Grave | None = None
        self.origins: dict[int, Origin] = {}
        self.grave_origins: dict[int, Origin] = {}
        self.flushed: dict[ObjectRecord, None] = {}
        self.seen: dict[tuple[ObjectRecord, str], object] = {}
        self.late: dict[tuple[ObjectRecord, str], tuple[Scope, object]] = {}
        self.sealed: set[ObjectRecord] = set()

    @property
    def size(self) -> int:
        """How many objects may have to be written."""
        return len(self.records) + len(self.touched)

    @property
    def is_idle(self) -> bool:
        """Whether nothing can be pending."""
        return not (self.touched or self.records or self.watched or self.flushed)

    # -- looking up --------------------------------------------------------------------------------

    def mapper(self, instance: Any) -> Mapper:
        """Return the mapper of an object's class."""
        return self.mapper_of(type(instance))

    def mapper_of(self, kind: type[Any]) -> Mapper:
        """Return the mapper of a class, or of its guard."""
        mapper = self.mappers.get(kind)
        if mapper is None:
            mapper = self.mappers[kind] = type.__getattribute__(kind, "_mapper")
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

    def grave_origin(self, version: int) -> Origin:
        """Return the origin of deleted objects that were read at that version."""
        if self.grave is None:
            self.grave = Grave(self)
        found = self.grave_origins.get(version)
        if found is None:
            found = self.grave_origins[version] = Origin(self.grave, version)
        return found

    def fresh_origin(self) -> Origin:
        """Return the origin of new objects, ``fresh`` from then on."""
        if self.fresh is None:
            self.fresh = Origin(self, 0)
        return self.fresh

    def end(self) -> None:
        """Let nothing be written or loaded any more.

        What refers to the unit is let go of, so that nothing of it is left for the garbage
        collector when its objects are gone.
        """
        self.is_open = False
        self.loader = None
        self.entries = {}
        self.origins = {}

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
        """Write an attribute while inner scopes are open; the scope remembers what was there."""
        mapper = self.mapper(instance)
        if name in mapper.field_index:
            record = self.records.get(instance)
            if record is None:
                record = self._track(instance, mapper, CLEAN, mapper.snapshot(instance))
            following = transition("write_dirty", record.state, mapper.table.name, record.key)
            if record in self.sealed:
                self._note_late(record, name)
            else:
                if mapper.watched:
                    self.watched[instance] = None
                    self._settle_in_scope(record)
                self.touch(self.scope(), record, name)
                record.state = following
        model: Any = mapper.model
        model.__setattr__(instance, name, value)

    def _note_late(self, record: ObjectRecord, name: str) -> None:
        """Remember a write that was made while a commit of the record was under way."""
        if record.instance not in self.touched:
            self.touched[record.instance] = record.mapper.snapshot(record.instance)
        self.late.setdefault((record, name), (self.scope(), record.dirty_value(name)))

    def touch(self, scope: Scope, record: ObjectRecord, field: str | None = None) -> None:
        """Remember in *scope* how *record* and its *field* are now.

        The outermost scope goes back to what is stored, so it need not know more than the record.
        """
        undo = scope.undo.get(record)
        if undo is None:
            if scope.parent is None:
                undo = UNDO_NONE if record.clean is None else UNDO_CLEAN
            else:
                undo = UNDO_NONE if record.state is None else Undo(record.state, {})
            scope.undo[record] = undo
        if field is not None and undo.before is not None and field not in undo.before:
            undo.before[field] = record.dirty_value(field)

    def touch_all(self, scope: Scope, record: ObjectRecord) -> None:
        """Remember *record* in *scope* with every field that is dirty now."""
        self.touch(scope, record)
        for field in record.dirty_fields():
            self.touch(scope, record, field)

    def look(self, record: ObjectRecord) -> None:
        """Remember how the values that can change in place are now, while inner scopes are open."""
        if self.is_strict:
            for field in record.mapper.watched:
                self.seen[record, field.name] = record.dirty_value(field.name)

    def forget(self, record: ObjectRecord, fields: tuple[str, ...] | None = None) -> None:
        """Drop the memory that scopes have of *record*, or only of its *fields*."""
        for scope in self.all_scopes():
            undo = scope.undo.get(record)
            if undo is None:
                continue
            if fields is None:
                del scope.undo[record]
            elif undo.before is not None:
                for field in fields:
                    undo.before.pop(field, None)

    def watch(self, instance: Any) -> None:
        """Keep an object of which a list, dict or the like was handed out.

        It may change in place.
        """
        self.watched[instance] = None

    def settle(self) -> None:
        """Turn what objects reported since the last time into records."""
        if self.touched:
            self._settle_touched()
        for instance in self.watched:
            self._settle_watched(instance)

    def _settle_touched(self) -> None:
        if not self.records.keys().isdisjoint(self.touched):
            for instance in [one for one in self.touched if one in self.records]:
                record = self.records[instance]
                if record not in self.sealed:
                    self._noticed(record)
                    del self.touched[instance]
        for kind, group in groupby([one for one in self.touched if one not in self.records], type):
            self._settle_kind(self.mapper_of(kind), list(group))

    def _settle_kind(self, mapper: Mapper, instances: list[Any]) -> None:
        images = [self.touched.pop(instance) for instance in instances]
        versions = [instance._origin.version for instance in instances]
        key_in = itemgetter(*(mapper.field_index[name] for name in mapper.key_fields))
        keys = map(key_in, images)
        self._track_all(mapper, instances, CHANGED, images, versions, keys)
        if mapper.watched:
            self.watched.update(dict.fromkeys(instances))

    def _track_all(
        self,
        mapper: Mapper,
        objects: Sequence[Any],
        state: str,
        images: Iterable[tuple[Any, ...] | None],
        versions: Iterable[int],
        keys: Iterable[Any],
    ) -> None:
        """Make records of many objects of one class, touched in the outermost scope."""
        made = map(ObjectRecord, repeat(mapper), objects, repeat(state), images, versions, keys)
        records = list(made)
        self.records.update(zip(objects, records, strict=True))
        undo = UNDO_NONE if state == INSERTED else UNDO_CLEAN
        self.root.undo.update(zip(records, repeat(undo)))

    def _noticed(self, record: ObjectRecord) -> None:
        """Take note that a record was written to while only the outermost scope was open."""
        if record.state in (CLEAN, INITIALIZED):
            self.touch(self.root, record)
            record.state = transition(
                "write_dirty", record.state, record.mapper.table.name, record.key
            )

    def refuse_sealed(self, attempted: str, records: Iterable[Any]) -> None:
        """See that no commit that is under way writes one of *records*.

        :raises SessionError: if one does.
        """
        if not self.sealed:
            return
        for record in records:
            if record in self.sealed:
                raise SessionError(
                    f"cannot {attempted}: a commit of another task that writes "
                    f"{record.mapper.name} {record.key!r} is under way, and it is not known yet "
                    "what becomes of it. Await that commit first.",
                    session=self,
                )

    def _settle_watched(self, instance: Any) -> None:
        """See whether a value was changed in place, and in which scope."""
        mapper = self.mapper(instance)
        record = self.records.get(instance)
        if record is None:
            clean = mapper.snapshot(instance)
            if not mapper.changed(instance, clean):
                return
            record = self._track(instance, mapper, CLEAN, clean)
        if record in self.sealed:
            return
        if self.is_strict:
            self._settle_in_scope(record)
        elif record.state == CLEAN and record.bits():
            self._noticed(record)

    def _settle_in_scope(self, record: ObjectRecord) -> None:
        """Count what was changed in place since it was last looked at to the caller's scope."""
        scope = self.scope()
        for field in record.mapper.watched:
            before = self.seen.get((record, field.name), ABSENT)
            now = record.dirty_value(field.name)
            if not same(now, before):
                self.seen[record, field.name] = now
                self.touch(scope, record)
                undo = scope.undo[record]
                if undo.before is not None:
                    undo.before.setdefault(field.name, before)
                if record.state == CLEAN:
                    record.state = CHANGED

    def _track(
        self, instance: Any, mapper: Mapper, state: str | None, clean: tuple[Any, ...]
    ) -> ObjectRecord:
        key = clean_key(mapper, clean)
        record = ObjectRecord(mapper, instance, state, clean, instance._origin.version, key)
        self.records[instance] = record
        return record

    def settle_one(self, instance: Any) -> None:
        """Turn the report of one object into a record."""
        if instance in self.touched and instance not in self.records:
            clean = self.touched.pop(instance)
            record = self._track(instance, self.mapper(instance), CHANGED, clean)
            self.root.undo[record] = UNDO_CLEAN
            if record.mapper.watched:
                self.watched[instance] = None
        if instance in self.watched:
            self._settle_watched(instance)

    @staticmethod
    def enter(identity: IdentityMap, key: Any, instance: Any) -> None:
        """Let an object be found by its key."""
        identity.enter(key, instance)

    def drop_record(self, record: ObjectRecord) -> None:
        """Let a record go that is clean again, unless a scope or the open transaction knows it.

        The object is guarded from now on.
        """
        if record.stored is None and not any(record in one.undo for one in self.all_scopes()):
            record.unsettle()
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

    def unsettled(self) -> list[ObjectRecord]:
        """Return the records of which the store's rows say something else than memory does.

        They are the pending ones, and those that were flushed and then taken back.
        """
        return list(dict.fromkeys([*self.pending(), *self.flushed]))

    def all_scopes(self) -> Iterable[Scope]:
        """Return the open scopes of all tasks, inner ones first; the outermost comes last."""
        return self._open_scopes() if self.heads else (self.root,)

    def _open_scopes(self) -> Iterator[Scope]:
        for head in [*self.heads.values(), self.root]:
            scope: Scope | None = head
            while scope is not None:
                yield scope
                scope = scope.parent


def clean_key(mapper: Mapper, clean: tuple[Any, ...]) -> Any:
    """Return the key in a clean image."""
    names, index = mapper.key_fields, mapper.field_index
    return clean[index[names[0]]] if len(names) == 1 else tuple(clean[index[one]] for one in names)
