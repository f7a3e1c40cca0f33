"""Join what was loaded together: references get their objects, lists their members."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from graven.core.lifecycle import DELETED, INSERTED
from graven.core.query import Include, Load

__all__ = ["link", "loads_for", "seeds_for"]

Bindings = Callable[[Any], Any]


def loads_for(
    bindings: Bindings, mapper: Any, includes: Sequence[Include], from_object: bool = False
) -> list[Load]:
    """Return how the rows of *includes* are found.

    From fetched rows of *mapper* or from the seeds of its objects.
    """
    columns = bindings(mapper.root).columns
    loads = []
    for one in includes:
        field = one.field
        target = field.target
        binding = bindings(target.root)
        near = field.columns if field.form == "reference" else mapper.table.key
        far = field.inverse.columns if field.form == "owned" else target.table.key
        pairs = None
        if field.form == "links":
            pairs = (field.link_table, field.owner_columns, field.member_columns)
        loads.append(
            Load(
                target.table,
                binding.columns,
                tuple(range(len(near))) if from_object else tuple(map(columns.index, near)),
                far,
                pairs,
                tuple(loads_for(bindings, target, one.inner)),
            )
        )
    return loads


def seeds_for(
    bindings: Bindings, objects: Sequence[Any], mapper: Any, field: Any
) -> list[tuple[object, ...]]:
    """Return the key, in store form, that each object is looked up by."""
    seeds = []
    for instance in objects:
        if field.form == "reference":
            key = field.raw.__get__(instance)
            if key is not None:
                seeds.append(bindings(field.target).key_row(key))
        else:
            seeds.append(bindings(mapper).key_row(mapper.key_of(instance)))
    return seeds


def link(
    unit: Any,
    bindings: Bindings,
    objects: Sequence[Any],
    mapper: Any,
    includes: Sequence[Include],
    loaded: Sequence[Any],
) -> None:
    """Make objects of the loaded rows and give them to the *objects* that refer to them."""
    for one, found in zip(includes, loaded, strict=True):
        field = one.field
        target = field.target
        binding = bindings(target.root)
        peers = target.peers_matter
        members = binding.hydrate(found.rows, unit, unit.map_of(target), peers)
        if one.inner:
            link(unit, bindings, members, target, one.inner, found.inner)
        if field.form == "reference":
            _link_references(unit, objects, field, members)
        elif field.form == "owned":
            _link_owned(unit, objects, mapper, field, members)
        else:
            _link_pairs(unit, bindings, objects, mapper, field, members, found.pairs)


def _link_references(unit: Any, objects: Sequence[Any], field: Any, members: Sequence[Any]) -> None:
    key_of = field.target.key_of
    by_key = {key_of(member): member for member in members}
    raw_of, put, records = field.raw.__get__, field.value.__set__, unit.records
    for instance in objects:
        key = raw_of(instance)
        if instance in records and field.key_in(instance) != key:
            continue
        if key is None:
            put(instance, None)
        elif (member := by_key.get(key)) is not None:
            put(instance, member)


def _link_owned(
    unit: Any, objects: Sequence[Any], mapper: Any, field: Any, members: Sequence[Any]
) -> None:
    groups: dict[Any, list[Any]] = {mapper.key_of(instance): [] for instance in objects}
    inverse, key_of = field.inverse, field.target.key_of
    for member in sorted(members, key=key_of):
        groups.get(inverse.raw.__get__(member), []).append(member)
    for instance in objects:
        if field.loaded(instance):
            continue
        group = groups[mapper.key_of(instance)]
        for member in group:
            if member not in unit.records:
                inverse.value.__set__(member, instance)
        _put_list(unit, instance, field, group)
    _overlay(unit, objects, field)


def _overlay(unit: Any, objects: Sequence[Any], field: Any) -> None:
    """Let the lists show pending changes: children that are new, moved here.

    Moved away or deleted.
    """
    wanted = {id(instance): instance for instance in objects}
    for record in unit.pending():
        child = record.instance
        if record.mapper.root is not field.target.root or not isinstance(child, field.type.target):
            continue
        owner = field.inverse.loaded(child)
        for instance in wanted.values():
            members = field.loaded(instance)
            is_in = any(one is child for one in members)
            belongs = owner is instance and record.state != DELETED
            if belongs and not is_in:
                members.append(child)
                if record.state != INSERTED:
                    continue
            elif is_in and not belongs:
                members[:] = [one for one in members if one is not child]


def _link_pairs(
    unit: Any,
    bindings: Bindings,
    objects: Sequence[Any],
    mapper: Any,
    field: Any,
    members: Sequence[Any],
    pairs: Sequence[tuple[Any, ...]],
) -> None:
    width = len(field.owner_columns)
    own_row, member_row = bindings(mapper).key_row, bindings(field.target).key_row
    by_row = {member_row(field.target.key_of(member)): member for member in members}
    groups: dict[Any, list[Any]] = {}
    for pair in pairs:
        member = by_row.get(tuple(pair[width:]))
        if member is not None and unit.state(member) != DELETED:
            groups.setdefault(tuple(pair[:width]), []).append(member)
    for instance in objects:
        if not field.loaded(instance):
            group = groups.get(own_row(mapper.key_of(instance)), [])
            _put_list(unit, instance, field, sorted(group, key=field.target.key_of))


def _put_list(unit: Any, instance: Any, field: Any, members: list[Any]) -> None:
    field.value.__set__(instance, members)
    field.raw.__set__(instance, tuple(members))
    unit.watch(instance)
