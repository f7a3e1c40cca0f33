"""Make objects of fetched rows."""

from __future__ import annotations

from collections.abc import Sequence

from graven._hints import Any
from graven.models.faults import unreadable

__all__ = ["living", "objects_of"]

Rows = Sequence[tuple[Any, ...]]


def living(unit: Any, binding: Any, rows: Rows) -> Rows:
    """Return *rows* without those of objects whose deletion is pending."""
    buried = unit.map_of(binding.mapper).buried
    return [row for row in rows if binding.key_in(row) not in buried] if buried else rows


def objects_of(unit: Any, binding: Any, mapper: Any, rows: Rows, peers: bool = True) -> list[Any]:
    """Return the objects of *rows*, those that the unit has or new ones.

    Rows of objects whose deletion is pending are left out. *peers* lets the objects know each
    other, so that what one of them lacks is loaded for all.

    :raises DataError: if the store holds what no value of the field is stored as.
    """
    identity = unit.map_of(mapper)
    if identity.buried:
        rows = living(unit, binding, rows)
    try:
        found: list[Any] = binding.hydrate(rows, unit, identity, peers and mapper.peers_matter)
    except (ValueError, TypeError, ArithmeticError) as error:
        raise unreadable(mapper, error) from error
    return found
