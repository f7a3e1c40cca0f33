"""Lists of models: what they say about the objects in them, and what those say about the lists.

Before a plan is made, every list that is loaded is compared with its *roster*, which is what it
held when it was last looked at. What was put in becomes part of the unit, and a child gets its new
owner; a child that was taken out, and that still refers to its owner, is deleted; a child whose own
reference was changed moves to the list of its new owner.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from graven._hints import Any
from graven.core.lifecycle import CHANGED, DELETED, INSERTED
from graven.core.unit import UnitOfWork
from graven.core.values import ABSENT
from graven.errors import NotLoadedError

__all__ = ["gather_lists", "show_pending"]


def gather_lists(unit: UnitOfWork) -> None:
    """Bring what was put into lists into the unit, and delete the children that were taken out.

    :raises DataError: if a list is none, or has a member of another class.
    :raises NotLoadedError: if a list of a stored object was replaced that was never loaded.
    """
    lists = list(_loaded_lists(unit))
    for owner, field in lists:
        _take_in(unit, owner, field)
    for owner, field in lists:
        _let_go(unit, owner, field)
    show_pending(unit)
    for owner, field in _loaded_lists(unit):
        unit.rosters[owner, field.name] = tuple(field.loaded(owner))


def _loaded_lists(unit: UnitOfWork) -> Iterator[tuple[Any, Any]]:
    """Yield every list of models that is loaded, with its owner."""
    for owner in list(unit.watched):
        origin = owner._origin
        if origin is None or origin.unit is not unit:
            continue
        for field in unit.mapper(owner).watched:
            if field.form == "document":
                continue
            if field.loaded(owner) is not ABSENT:
                yield owner, field
            elif origin is unit.fresh:  # nothing is loaded of a new object: it was deleted
                raise field.refuse(owner, None)


def _roster(unit: UnitOfWork, owner: Any, field: Any) -> Sequence[Any]:
    """Return what the list held when it was last looked at, or when it was loaded."""
    found = unit.rosters.get((owner, field.name))
    return found if found is not None else field.raw.__get__(owner) or ()


def _take_in(unit: UnitOfWork, owner: Any, field: Any) -> None:
    members = field.loaded(owner)
    if not isinstance(members, list):
        raise field.refuse(owner, members)
    if field.raw.__get__(owner) is None and owner._origin.version:
        raise _replaced_unseen(unit, owner, field)
    known = {id(one) for one in _roster(unit, owner, field)}
    for member in members:
        if not isinstance(member, field.target.model):
            raise field.refuse(owner, member)
        if id(member) not in known:
            if field.form == "owned" and member._origin is None:
                setattr(member, field.inverse.name, owner)
            unit.add(member)
            if field.form == "owned" and not field.belongs(member, owner):
                setattr(member, field.inverse.name, owner)


def _let_go(unit: UnitOfWork, owner: Any, field: Any) -> None:
    """Let the list lose what is deleted or belongs elsewhere, and delete what was taken out."""
    members, is_owned = field.loaded(owner), field.form == "owned"
    left = [
        one
        for one in members
        if not _is_deleted(unit, one) and (not is_owned or field.belongs(one, owner))
    ]
    if len(left) < len(members):
        members[:] = left
    kept = {id(one) for one in left}
    for orphan in _roster(unit, owner, field) if is_owned else ():
        if id(orphan) in kept:
            continue
        origin = orphan._origin
        if origin is not None and origin.unit is unit and field.belongs(orphan, owner):
            unit.delete(orphan)


def show_pending(unit: UnitOfWork, owners: Sequence[Any] | None = None) -> None:
    """Let the loaded lists show the pending children that refer to their owners.

    Those of *owners* only, if they are given.
    """
    wanted = None if owners is None else {id(one) for one in owners}
    kept: dict[tuple[Any, str], set[int]] = {}
    for record in list(unit.records.values()):
        if record.state not in (INSERTED, CHANGED):
            continue
        child = record.instance
        for inverse in record.mapper.references:
            if inverse.is_owner:
                owner = inverse.loaded(child)
                if not isinstance(owner, inverse.target.model):
                    continue
                if wanted is None or id(owner) in wanted:
                    _show(owner, inverse, child, kept)


def _show(owner: Any, inverse: Any, child: Any, kept: dict[tuple[Any, str], set[int]]) -> None:
    for field in type(owner)._mapper.watched:
        if field.form != "owned" or field.inverse.columns != inverse.columns:
            continue
        members = field.loaded(owner)
        if not isinstance(members, list) or not isinstance(child, field.target.model):
            continue
        known = kept.get((owner, field.name))
        if known is None:
            known = kept[owner, field.name] = {id(one) for one in members}
        if id(child) not in known:
            known.add(id(child))
            members.append(child)


def _is_deleted(unit: UnitOfWork, member: Any) -> bool:
    record = unit.records.get(member)
    return record is not None and record.state == DELETED


def _replaced_unseen(unit: UnitOfWork, owner: Any, field: Any) -> NotLoadedError:
    mapper = unit.mapper(owner)
    name, key = f"{mapper.name}.{field.name}", mapper.key_of(owner)
    return NotLoadedError(
        f"cannot write {name} of {mapper.name} {key!r}: the list was replaced, and it had not been "
        "loaded, so it is not known what it loses. Load it first, with include or with "
        f"session.load(obj, {name}), then replace it. Nothing was written.",
        model=mapper.name,
        key=key,
        field=field.name,
    )
