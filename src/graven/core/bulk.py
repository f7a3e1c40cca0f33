"""Many objects joining or leaving a unit of work at once, by a short way where there is one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby, repeat
from weakref import ref

from graven._hints import Any
from graven.core.lifecycle import DELETED, INSERTED
from graven.core.mapper import Mapper
from graven.core.membership import Membership
from graven.core.tracking import SET_ATTRIBUTE

__all__ = ["BulkMembership"]


class BulkMembership(Membership):
    """Adding and deleting many objects."""

    def add_all(self, objects: Sequence[Any], draft: bool = False) -> None:
        """Make many objects part of the unit, as :meth:`add` does; new ones go a short way."""
        is_short = not (self.is_strict or draft or self.flushed)
        for kind, group in groupby(objects, type):
            mapper = self.mapper_of(kind)
            alike = list(group)
            if not (is_short and not mapper.watched and self._add_alike(mapper, alike)):
                for instance in alike:
                    self.add(instance, draft)

    def _add_alike(self, mapper: Mapper, objects: list[Any]) -> bool:
        """Add new objects of one class, if nothing stands in the way of any; say whether so."""
        identity = self.map_of(mapper)
        keys = list(map(mapper.key_of, objects))
        pairs = zip(keys, objects, strict=True)
        try:
            named = {key: ref(instance) for key, instance in pairs if key is not None}
        except TypeError:
            return False  # a key that cannot be looked up
        is_each_once = len(named) == len(keys) or (
            len(named) + keys.count(None) == len(keys) == len(set(objects))
        )
        are_free = not identity.buried and identity.entries.keys().isdisjoint(named)
        are_new = {instance._origin for instance in objects} == {None}
        if not (is_each_once and are_free and are_new):
            return False
        fresh = self.fresh_origin()
        for instance in objects:
            instance._origin = fresh
        identity.entries.update(named)
        self._track_all(mapper, objects, INSERTED, repeat(None), repeat(0), keys)
        if mapper.references:
            for instance in filter(mapper.has_strangers, objects):
                for stranger in self.strangers(instance, mapper):
                    self.add(stranger)
        return True

    def delete_all(self, objects: Iterable[Any]) -> None:
        """Mark many objects as deleted; see :meth:`delete`. Clean ones go the short way."""
        is_short = self.scope().parent is None
        for kind, group in groupby(objects, type):
            mapper = self.mapper_of(kind)
            alike = list(group)
            if not (is_short and not mapper.watched and self._delete_alike(mapper, alike)):
                for instance in alike:
                    self.delete(instance)

    def _delete_alike(self, mapper: Mapper, objects: list[Any]) -> bool:
        """Delete clean objects of one class, if all are such; say whether so."""
        origins = [instance._origin for instance in objects]
        are_mine = all(origin is not None and origin.unit is self for origin in set(origins))
        are_clean = all(one.keys().isdisjoint(objects) for one in (self.records, self.touched))
        if not (are_mine and are_clean and len(set(objects)) == len(objects)):
            return False
        identity = self.map_of(mapper)
        keys = list(map(mapper.key_of, objects))
        versions = [origin.version for origin in origins]
        images = map(mapper.snapshot, objects)
        self._track_all(mapper, objects, DELETED, images, versions, keys)
        graves = {version: self.grave_origin(version) for version in set(versions)}
        for instance, version in zip(objects, versions, strict=True):
            SET_ATTRIBUTE(instance, "_origin", graves[version])
        for key in keys:
            identity.entries.pop(key, None)
        identity.buried.update(zip(keys, objects, strict=True))
        return True
