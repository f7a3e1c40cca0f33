"""What follows the deletion of an object: children are deleted with it, others let go of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from graven._hints import Any
from graven.core.lifecycle import DELETED
from graven.core.records import ObjectRecord
from graven.core.unit import UnitOfWork

__all__ = ["cascade", "followed", "followers", "reached"]


def followers(root: Any) -> list[tuple[Any, Any]]:
    """Return the references to objects of a table that follow their deletion, each column once."""
    found: dict[Any, tuple[Any, Any]] = {}
    for child, field in root.referrers:
        if field.is_owner or field.said.on_delete != "refuse":
            found.setdefault((child.root, field.columns), (child, field))
    return list(found.values())


def followed(unit: UnitOfWork) -> set[Any]:
    """Return the mappers of the tables from which was deleted what others follow, or are linked to.

    That is for a commit to look after, and seldom any.
    """
    found = set()
    for root, identity in unit.maps.items():
        if identity.buried and (root.link_ends or followers(root)):
            found.add(root)
    return found


def reached(unit: UnitOfWork) -> set[Any]:
    """Return the mappers of the tables that the pending deletions reach beyond their own."""
    stack = [root for root, identity in unit.maps.items() if identity.buried]
    found: set[Any] = set()
    while stack:
        for child, _ in followers(stack.pop()):
            if child.root not in found:
                found.add(child.root)
                stack.append(child.root)
    return found


def cascade(
    unit: UnitOfWork,
    child: Any,
    field: Any,
    records: Sequence[ObjectRecord],
    loaded: Iterable[Any],
) -> list[Callable[[], None]]:
    """Delete the objects that refer by *field* to the deleted *records*, or set it to null.

    *loaded* are those that the store has; pending ones are found here. Returns what takes it back.
    """
    pending = [one.instance for one in unit.pending() if one.mapper.root is child.root]
    gone = {record.key for record in records}
    undo: list[Callable[[], None]] = []
    for one in {id(each): each for each in (*loaded, *pending)}.values():
        references = unit.mapper(one).references
        held = next((each for each in references if each.columns == field.columns), None)
        record = unit.records.get(one)
        if held is None or held.key_in(one) not in gone:
            continue
        if record is not None and record.state == DELETED:
            continue
        if field.said.on_delete == "set_null" and not field.is_owner:
            undo.append(partial(held.restore, one, held.capture(one)))
            setattr(one, held.name, None)
        else:
            undo.append(partial(unit.add, one))
            unit.delete(one)
    return undo
