"""Write sets on MongoDB: the hidden fields, and the index that finds the documents marked."""

from __future__ import annotations

from graven.dialects.mongo_commands import Command, Document
from graven.ops.schema import Table
from graven.ops.writesets import MARK, NEXT

__all__ = ["changes_of", "mark_index"]


def changes_of(fields: list[str], values: list[object]) -> Document:
    """Return the update that sets *fields*; a hidden one that is to hold nothing goes.

    >>> changes_of(["money", "_graven_mark"], [3, None])
    {'$set': {'money': 3}, '$unset': {'_graven_mark': ''}}
    """
    pairs = list(zip(fields, values, strict=True))
    gone = [name for name, value in pairs if value is None and name in (MARK, NEXT)]
    changes: Document = {"$set": {name: value for name, value in pairs if name not in gone}}
    if not changes["$set"]:
        del changes["$set"]
    return {**changes, "$unset": dict.fromkeys(gone, "")} if gone else changes


def mark_index(table: Table) -> Command:
    """Return what makes the index over marks; a document that has none is not in it."""
    index = {
        "key": {MARK: 1},
        "name": f"{table.name}.{MARK}",
        "partialFilterExpression": {MARK: {"$gt": ""}},
    }
    return Command({"createIndexes": table.name, "indexes": [index]})
