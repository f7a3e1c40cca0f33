"""Which tables belong to some models: theirs, their link tables, and what they refer to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from graven.models.fields import LinksField
from graven.ops.schema import Table

__all__ = ["tables_of"]


def tables_of(mappers: Iterable[Any]) -> tuple[Table, ...]:
    """Return the tables of *mappers* and of all they reach, each once, the mappers' own first."""
    tables: dict[Table, None] = {}
    links: dict[Table, None] = {}
    stack = [mapper.root for mapper in mappers]
    seen: set[Any] = set()
    while stack:
        root = stack.pop(0)
        if root in seen:
            continue
        seen.add(root)
        tables[root.table] = None
        for mapper in (root, *root.subclasses):
            for field in mapper.fields:
                if field.form in ("reference", "owned", "links"):
                    stack.append(field.target.root)
                if isinstance(field, LinksField):
                    links[field.link_table] = None
    return (*tables, *links)
