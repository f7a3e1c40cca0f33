"""Bring a unit of work up to date with what another one has committed on its behalf.

An operation works in a unit of its own. When it is committed, the caller's objects get the values
and versions that it has written, as clean ones, and what it returns joins the caller's unit. There
is no I/O. Objects that the caller has changed himself stay as they are: their commit is refused
later, because they are based on what is not there any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from graven._hints import Any
from graven.core.grave import Grave
from graven.core.lifecycle import CHANGED, DELETED, INSERTED
from graven.core.mapper import Mapper
from graven.core.plan import Group
from graven.core.tracking import SET_ATTRIBUTE, SET_CLASS
from graven.core.unit import UnitOfWork
from graven.core.values import ABSENT, same

__all__ = ["bring_home", "bring_up_to_date"]

Undo = Callable[[], None]


def bring_up_to_date(unit: UnitOfWork, groups: Iterable[Group], keep: bool = False) -> list[Undo]:
    """Let the objects of *unit* be as *groups*, which were committed by another unit, say.

    If *keep*, returns what takes that back, should the commit be part of a transaction that is
    rolled back.
    """
    unit.settle()
    undos: list[Undo] = []
    for group in groups:
        if group.mapper.root not in unit.maps:
            continue
        for at in range(len(group.records)):
            undo = _gone(unit, group, at) if group.action == "delete" else _changed(unit, group, at)
            if keep and undo is not None:
                undos.append(undo)
    for group in groups:
        if group.mapper.references or group.mapper.watched:
            for record in group.records:
                _relist(unit, record.mapper, record.instance, group.action == "delete")
    return undos


def _changed(unit: UnitOfWork, group: Group, at: int) -> Undo | None:
    """Renew the object of a key by the one that another unit has written; return the way back."""
    record, before = group.records[at], group.versions[at]
    mapper, version = record.mapper, (group.after or group.versions)[at]
    identity, key = unit.map_of(mapper), mapper.key_of(record.instance)
    if key in identity.absent:
        identity.absent.discard(key)
        return partial(identity.absent.add, key)
    mine = identity.get(key)
    if mine is None:
        if identity.version(key) != before:
            return None
        identity.remember(key, version)
        return partial(identity.remember, key, before)
    if not _is_clean(unit, mine):
        return None
    undo = partial(_restore, unit, mine, mapper.snapshot(mine), mine._origin.version)
    bits = group.bits if group.action == "update" and mine._origin.version == before else -1
    _take_values(unit, mapper, mine, record.instance, bits)
    identity.remember(key, version)
    SET_ATTRIBUTE(mine, "_origin", unit.origin(version))
    return undo


def _restore(unit: UnitOfWork, mine: Any, image: tuple[Any, ...], version: int) -> None:
    """Make an object again as it was."""
    if _is_clean(unit, mine):
        unit.renew(mine, image, version, keep_changes=False)


def _is_clean(unit: UnitOfWork, mine: Any) -> bool:
    record = unit.records.get(mine)
    if record is None:
        return True
    is_pending = record.state in (INSERTED, DELETED) or (record.state == CHANGED and record.bits())
    return not is_pending and record not in unit.sealed


def _take_values(unit: UnitOfWork, mapper: Mapper, mine: Any, source: Any, bits: int) -> None:
    """Give *mine* the stored values that *source* has, without that being a change.

    Fields whose bits are not set have not changed.
    """
    for index, field in enumerate(mapper.fields):
        if not (bits >> index & 1 and field.columns):
            continue
        if field.form == "reference":
            _take_reference(unit, field, mine, source)
            continue
        raw = field.capture(source)
        if not same(raw, field.capture(mine)):
            field.renew(mine, raw)
    record = unit.records.get(mine)
    if record is not None:
        record.clean, record.version = mapper.snapshot(mine), mine._origin.version


def _take_reference(unit: UnitOfWork, field: Any, mine: Any, source: Any) -> None:
    key = field.key_in(source)
    if key != field.key_in(mine):
        field.renew(mine, key)
        target = None if key is None else unit.find(field.target, key)
        if target is not None:
            field.value.__set__(mine, target)


def _gone(unit: UnitOfWork, group: Group, at: int) -> Undo | None:
    """Let the object of a key be one that is deleted; return the way back."""
    record = group.records[at]
    mapper, key = record.mapper, record.key
    identity = unit.map_of(mapper)
    mine = identity.get(key)
    if mine is None or not _is_clean(unit, mine):
        return None
    version = mine._origin.version
    unit.records.pop(mine, None)
    unit.watched.pop(mine, None)
    identity.forget(key)
    identity.absent.add(key)
    SET_CLASS(mine, mapper.guard)
    SET_ATTRIBUTE(mine, "_origin", unit.grave_origin(version))

    def restore() -> None:
        identity.put(key, mine, version)
        SET_ATTRIBUTE(mine, "_origin", unit.origin(version))

    return restore


def _relist(unit: UnitOfWork, mapper: Mapper, source: Any, is_gone: bool) -> None:
    """Bring the loaded lists up to date that *source* is a member of, or has."""
    for field in mapper.references:
        if field.is_owner:
            _relist_owners(unit, mapper, field, source, is_gone)
    for field in mapper.watched:
        mine = None if field.form == "document" else unit.find(mapper, mapper.key_of(source))
        if mine is None or is_gone or not _is_clean(unit, mine):
            continue
        members, own = field.loaded(source), field.loaded(mine)
        if members is not ABSENT and own is not ABSENT:
            own[:] = [bring_home(unit, one) for one in members]
            field.settle(mine)


def _relist_owners(
    unit: UnitOfWork, mapper: Mapper, field: Any, source: Any, is_gone: bool
) -> None:
    """Put a child into the loaded list of its owner, and take it out of all others."""
    key = mapper.key_of(source)
    owner_key = None if is_gone else field.key_in(source)
    owner = None if owner_key is None else unit.find(field.target, owner_key)
    for entry in list(unit.map_of(field.target).entries.values()):
        one = entry()
        if one is None or not isinstance(one, field.target.model) or not _is_clean(unit, one):
            continue
        for each in unit.mapper(one).watched:
            members = each.loaded(one) if getattr(each, "inverse", None) is field else None
            if not isinstance(members, list):
                continue
            rest = [child for child in members if mapper.key_of(child) != key]
            if one is owner:
                rest.append(bring_home(unit, source))
                rest.sort(key=mapper.key_of)
            if rest != members:
                members[:] = rest
                each.settle(one)


def bring_home(unit: UnitOfWork, instance: Any) -> Any:
    """Return the object that *unit* has in place of *instance*, which joins it if it has none.

    What it refers to, as far as it is loaded, is brought home too.
    """
    found = _own(unit, instance)
    around, seen = [instance] if found is instance else [], {id(instance)}
    for one in around:  # it grows while it is gone through
        mapper = unit.mapper(one)
        for field in mapper.references:
            value = field.loaded(one)
            if isinstance(value, field.target.model):
                field.value.__set__(one, _bring(unit, value, around, seen))
        for field in mapper.watched:
            members = ABSENT if field.form == "document" else field.loaded(one)
            if isinstance(members, list):
                members[:] = [_bring(unit, each, around, seen) for each in members]
                field.settle(one)
    return found


def _bring(unit: UnitOfWork, value: Any, around: list[Any], seen: set[int]) -> Any:
    mine = _own(unit, value)
    if mine is value and id(value) not in seen:
        seen.add(id(value))
        around.append(value)
    return mine


def _own(unit: UnitOfWork, instance: Any) -> Any:
    """Return the object of *unit* with the key of *instance*, which is let in if there is none."""
    origin = instance._origin
    if origin is None or type(origin.unit) is Grave or origin.unit is unit or origin.unit.is_open:
        return instance
    mapper = unit.mapper(instance)
    key = mapper.key_of(instance)
    identity = unit.map_of(mapper)
    mine = identity.get(key)
    if mine is not None:
        return mine
    if key in identity.buried or origin.unit.state(instance) != "clean":
        return instance
    origin.unit.release(instance)
    known = identity.version(key)
    version = known or origin.version
    identity.put(key, instance, version)
    SET_ATTRIBUTE(instance, "_origin", unit.origin(version))
    SET_CLASS(instance, mapper.guard)
    if mapper.watched:
        unit.watch(instance)
    return instance
