"""Who refers to whom: MongoDB has no foreign keys, so a collection says it.

``graven_reference`` has a document for each reference of a table that was made. Whoever deletes a
document has to know all that may refer to it, also what only other programs know of.

Documents that must stay until a transaction has ended are *touched* in it: a field of graven's own
counts up, so that whoever deletes or changes them meanwhile has a conflict.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from graven.dialects.mongo_commands import OWN, Document
from graven.dialects.mongo_fields import filter_of_key
from graven.ops.requests import Row
from graven.ops.schema import Column, Reference, Table

__all__ = [
    "REFERENCES",
    "TOUCH",
    "entry_of",
    "ids_of",
    "referrers_of",
    "to_them",
]

REFERENCES = "graven_reference"
"""The collection that says who refers to whom."""

TOUCH: Document = {"$inc": {f"{OWN}_touched": 1}}
"""The update that changes nothing but makes everybody else's conflict."""


def entry_of(table: Table, reference: Reference) -> tuple[Document, Document]:
    """Return the filter and the update, which upserts, that note a *reference* of *table*."""
    said = {
        "table": table.name,
        "key": [[name, table.column(name).kind] for name in table.key],
        "columns": [[name, table.column(name).kind] for name in reference.columns],
        "target": reference.table,
        "target_key": [*reference.target],
    }
    return filter_of_key(f"{table.name}({', '.join(reference.columns)})"), {"$set": said}


def to_them(names: Iterable[str]) -> Document:
    """Return the filter for what refers to the tables of these *names*."""
    return {"target": {"$in": [*names]}}


def referrers_of(entries: Iterable[Document]) -> list[Table]:
    """Return a table for each of *entries*, with its key, the columns that refer, and how."""
    return [
        _referrer(
            entry["table"],
            tuple((name, kind) for name, kind in entry["key"]),
            tuple((name, kind) for name, kind in entry["columns"]),
            entry["target"],
            tuple(entry["target_key"]),
        )
        for entry in entries
    ]


Named = tuple[tuple[str, str], ...]


@lru_cache(maxsize=1000)
def _referrer(
    name: str, key: Named, columns: Named, target: str, target_key: tuple[str, ...]
) -> Table:
    keys = tuple(one for one, _ in key)
    every = (Column(one, kind, one not in keys) for one, kind in dict((*key, *columns)).items())
    reference = Reference(tuple(one for one, _ in columns), target, target_key)
    return Table(name, tuple(every), keys, references=(reference,))


def ids_of(target: tuple[str, ...], values: Sequence[Row]) -> list[object]:
    """Return what ``_id`` is of the documents with these keys, told in the order of *target*."""
    if len(target) == 1:
        return [value[0] for value in values]
    return [dict(zip(target, value, strict=True)) for value in values]
