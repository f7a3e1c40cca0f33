"""Where the columns of a table are in its documents.

The key is ``_id``: its value, or, of several columns, a document with a field for each, in order.
Every other column is a field of its own name.
"""

from __future__ import annotations

from collections.abc import Sequence

from graven._hints import Any
from graven.dialects.mongo_commands import OWN
from graven.errors import MappingError
from graven.ops.schema import Table

__all__ = ["KEY", "check_names", "field_of", "filter_of_key", "key_of"]

KEY = "_id"
"""The field of the key."""


def field_of(table: Table, column: str) -> str:
    """Return the field of a column, with dots where it is inside another."""
    if column not in table.key:
        return column
    return KEY if len(table.key) == 1 else f"{KEY}.{column}"


def key_of(table_key: Sequence[str], values: Sequence[Any]) -> Any:
    """Return what ``_id`` is for the *values* of the columns of *table_key*."""
    return values[0] if len(table_key) == 1 else dict(zip(table_key, values, strict=True))


def filter_of_key(key: Any) -> dict[str, Any]:
    """Return the filter for the document with that ``_id``."""
    return {KEY: {"$eq": key}}


def check_names(table: Table) -> None:
    """See that every column can be a field.

    :raises MappingError: if the name of one means something else to MongoDB, or to graven.
    """
    for column in table.columns:
        name = column.name
        is_taken = name.startswith(OWN) or (name == KEY and table.key != (KEY,))
        if name.startswith("$") or "." in name or "\0" in name or is_taken:
            raise MappingError(
                f"column {name!r} of table {table.name!r} was to be a field of MongoDB: it cannot "
                "have that name, for $ at the start, dots and NUL mean something else there, _id "
                f"is the key, and what begins with {OWN} is graven's own; give the field another "
                "name",
                table=table.name,
                field=name,
            )
