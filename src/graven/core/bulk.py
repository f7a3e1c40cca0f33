"""Many objects joining or leaving a unit of work at once, by a short way where there is one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any
from weakref import ref

from graven.core.keys import duplicate, unusable, vacate
from graven.core.lifecycle import DELETED, INSERTED
from graven.core.mapper import Mapper
from graven.core.membership import Membership
from graven.core.records import ObjectRecord
from graven.core.scopes import UNDO_CLEAN, UNDO_NONE
from graven.core.tracking import SET_ATTRIBUTE

__all__ = ["BulkMembership"]


class BulkMembership(Membership):
    """Adding and deleting many objects."""

    def add_all(self, objects: Sequence[Any], draft: bool = False) -> None:
        """Make many objects part of the unit, as :meth:`add` does; new ones go a short way."""
        is_short = not (self.is_strict or draft or self.flushed)
        for kind, group in groupby(objects, type):
            mapper = self.mapper_of(kind)
            if is_short and not mapper.watched:
                self._add_kind(mapper, group)
            else:
                for instance in group:
                    self.add(instance, draft)

    def _add_kind(self, mapper: Mapper, objects: Iterable[Any]) -> None:
        records, undo, fresh = self.records, self.scope().undo, self.fresh
        refers, key_of = bool(mapper.references), mapper.key_of
        identity = self.map_of(mapper)
        entries, buried = identity.entries, identity.buried
        for instance in objects:
            if instance._origin is not None:
                self.add(instance)
                continue
            key = key_of(instance)
            if key is not None:
                try:
                    if key in entries and (other := entries[key]()) is not None:
                        vacate(self, mapper, key, other)
                except TypeError as error:
                    raise unusable(mapper, key) from error
                if key in buried:
                    raise duplicate(self, mapper, key, buried[key])
                entries[key] = ref(instance)
            instance._origin = fresh
            record = ObjectRecord(mapper, instance, INSERTED, None, 0, key)
            records[instance] = record
            undo[record] = UNDO_NONE
            if refers and mapper.has_strangers(instance):
                for stranger in self.strangers(instance, mapper):
                    self.add(stranger)

    def delete_all(self, objects: Iterable[Any]) -> None:
        """Mark many objects as deleted; see :meth:`delete`. Clean ones go the short way."""
        is_short = self.scope().parent is None
        for kind, group in groupby(objects, type):
            mapper = self.mapper_of(kind)
            if is_short and not mapper.watched:
                self._delete_kind(mapper, group)
            else:
                for instance in group:
                    self.delete(instance)

    def _delete_kind(self, mapper: Mapper, objects: Iterable[Any]) -> None:
        records, touched, undo = self.records, self.touched, self.root.undo
        identity, key_of = self.map_of(mapper), mapper.key_of
        for instance in objects:
            origin = instance._origin
            if (
                origin is None
                or origin.unit is not self
                or instance in records
                or instance in touched
            ):
                self.delete(instance)
                continue
            clean = mapper.snapshot(instance)
            key = key_of(instance)
            record = ObjectRecord(mapper, instance, DELETED, clean, origin.version, key)
            records[instance] = record
            undo[record] = UNDO_CLEAN
            SET_ATTRIBUTE(instance, "_origin", self.grave_origin(origin.version))
            identity.entries.pop(key, None)
            identity.buried[key] = instance
