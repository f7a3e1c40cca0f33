"""Join what was loaded together: references get their objects, lists their members."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from graven._common.arriving import objects_of
from graven._hints import Any
from graven.core.lists import show_pending
from graven.core.query import Include, Load
from graven.core.values import ABSENT

__all__ = ["having", "link", "loads_for", "seeds_for"]

Bindings = Callable[[Any], Any]


def loads_for(
    bindings: Bindings, mapper: Any, includes: Sequence[Include], from_object: bool = False
) -> list[Load]:
    """Return how the rows of *includes* are found.

    They are looked up from fetched rows of *mapper*, or from the seeds of its objects.
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
    for instance in having(objects, field):
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
    unit.settle()
    for one, found in zip(includes, loaded, strict=True):
        field = one.field
        target = field.target
        members = objects_of(unit, bindings(target.root), target, found.rows)
        if one.inner:
            link(unit, bindings, members, target, one.inner, found.inner)
        lacking = _lacking(unit, having(objects, field), field)
        if field.form == "reference":
            _link_references(unit, lacking, field, members)
        elif field.form == "owned":
            _link_owned(unit, lacking, mapper, field, members)
        else:
            _link_pairs(unit, bindings, lacking, mapper, field, members, found.pairs)


def _lacking(unit: Any, objects: Sequence[Any], field: Any) -> list[Any]:
    """Return the objects whose field is to be filled in.

    A reference of a clean object may be set again: it can only be to the same object.
    """
    if field.form == "reference":
        known = unit.records
        if not known:
            return list(objects)
        return [one for one in objects if one not in known or field.loaded(one) is ABSENT]
    return [one for one in objects if field.loaded(one) is ABSENT]


def having(objects: Sequence[Any], field: Any) -> list[Any]:
    """Return those of *objects* whose class has the field; one of a subclass may be its own."""
    owner = field.value.__objclass__
    if all(issubclass(kind, owner) for kind in set(map(type, objects))):
        return list(objects)
    return [one for one in objects if isinstance(one, owner)]


def _link_references(unit: Any, objects: Sequence[Any], field: Any, members: Sequence[Any]) -> None:
    key_of = field.target.key_of
    by_key = {key_of(member): member for member in members}
    buried = unit.map_of(field.target).buried
    put = field.value.__set__
    keys = list(map(field.raw.__get__, objects))
    for instance, key, member in zip(objects, keys, map(by_key.get, keys), strict=True):
        if member is not None:
            put(instance, member)
        elif key is None or key in buried:
            put(instance, buried.get(key))


def _link_owned(
    unit: Any, objects: Sequence[Any], mapper: Any, field: Any, members: Sequence[Any]
) -> None:
    groups: dict[Any, list[Any]] = {mapper.key_of(instance): [] for instance in objects}
    inverse, key_of = field.inverse, field.target.key_of
    for member in sorted(members, key=key_of):
        groups.get(inverse.raw.__get__(member), []).append(member)
    for instance in objects:
        stored = groups[mapper.key_of(instance)]
        for member in stored:
            if inverse.loaded(member) is ABSENT:
                inverse.value.__set__(member, instance)
        field.value.__set__(instance, [one for one in stored if field.belongs(one, instance)])
        field.raw.__set__(instance, tuple(stored))
        unit.watch(instance)
    unit.settle()
    if unit.records:
        show_pending(unit, objects)
        for instance in objects:
            field.loaded(instance).sort(key=lambda one: _by_key(key_of(one)))


def _by_key(key: Any) -> tuple[bool, Any]:
    """Order by key; what has none yet comes last."""
    return (key is None, key or 0)


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
        if member is not None:
            groups.setdefault(tuple(pair[:width]), []).append(member)
    for instance in objects:
        group = groups.get(own_row(mapper.key_of(instance)), [])
        group.sort(key=field.target.key_of)
        field.value.__set__(instance, list(group))
        field.raw.__set__(instance, tuple(group))
        unit.watch(instance)
