"""What MongoDB is asked, as values: plain documents, without any connection.

Documents hold what ``bson`` encodes with :data:`graven.dialects.mongo_codec.OPTIONS`.
"""

from __future__ import annotations

from collections.abc import Sequence

from graven._hints import Any
from graven.ops.value import Value

__all__ = [
    "NEVER",
    "OWN",
    "SEQUENCES",
    "Aggregate",
    "Command",
    "Deletes",
    "Document",
    "Find",
    "Inserts",
    "Updates",
]

Document = dict[str, Any]
"""A document of MongoDB: what is stored, and what is asked."""

OWN = "_graven"
"""How the fields begin that graven adds to documents for itself; no column may."""

SEQUENCES = "graven_sequence"
"""The collection with one document, ``{"_id": table, "last": key}``, for each table whose keys the
store makes."""

NEVER: Document = {"_id": {"$in": []}}
"""The filter that no document passes."""


class Find(Value):
    """Documents of one collection that pass *filter*.

    *sort* are pairs of a field and 1 or -1; a *limit* of 0 is none.
    """

    collection: str
    filter: Document
    projection: Document
    sort: tuple[tuple[str, int], ...] = ()
    skip: int = 0
    limit: int = 0


class Aggregate(Value):
    """The documents that a pipeline makes of a collection."""

    collection: str
    pipeline: list[Document]


class Inserts(Value):
    """Documents to be inserted into one collection."""

    collection: str
    documents: list[Document]


class Updates(Value):
    """Updates of single documents of one collection: pairs of a filter and the update.

    *unchecked* ones are not held against the collection's rule: they are a part of a write set,
    whose values were checked before.
    """

    collection: str
    updates: list[tuple[Document, Document]]
    unchecked: bool = False


class Deletes(Value):
    """Documents to be deleted: the one that passes each filter, or, if *many*, all that do."""

    collection: str
    filters: list[Document]
    many: bool = False


class Command(Value):
    """A command for the database.

    Errors with a code in *ignored* mean that it is done already; then *instead* is carried out, if
    there is one.
    """

    body: Document
    ignored: Sequence[int] = ()
    instead: Command | None = None
