"""Queries in the store's own language: what is sent as it is, and what has to come back."""

from __future__ import annotations

from collections.abc import Sequence

from graven._hints import Any
from graven.errors import QueryError, UsageError
from graven.ops.requests import Documents

__all__ = ["check_alone", "documents_of", "rows_in_order"]

Row = tuple[Any, ...]


def documents_of(mapper: Any, db: Any, given: Any, is_pipeline: bool) -> Documents:
    """Return the request for the objects that answer a filter or a pipeline.

    :raises UsageError: if the store does not keep documents.
    """
    if not db.pool.dialect.has_documents:
        raise UsageError(
            f"cannot ask for {mapper.name} objects by a filter or a pipeline: these are MongoDB's, "
            f"and {db!r} is another store. Use where(), or from_sql() with a statement."
        )
    return Documents(mapper.root.table, db.binding(mapper.root).columns, given, is_pipeline)


def check_alone(spec: Any) -> None:
    """See that nothing else is asked than what is sent as it is.

    :raises QueryError: if there is.
    """
    if spec.conditions or spec.order:
        raise QueryError(
            f"cannot ask for {spec.mapper.name} objects by a statement and by where or order_by as "
            "well: the statement is sent as it is. Say in it which rows are wanted, and in "
            "which order.",
            model=spec.mapper.name,
        )


def rows_in_order(
    mapper: Any, columns: Sequence[str], rows: Sequence[Row], names: Sequence[str]
) -> list[Row]:
    """Return *rows*, whose columns have these *names*, with the *columns* of the model.

    :raises QueryError: if one is missing.
    """
    missing = [name for name in columns if name not in names]
    if missing:
        raise QueryError(
            f"cannot make {mapper.name} objects of the statement's rows: they lack "
            f"{', '.join(missing)}. Select all columns of "
            f"{mapper.table.name!r}, as in `select * from {mapper.table.name}`.",
            model=mapper.name,
        )
    positions = [names.index(name) for name in columns]
    return [tuple(row[at] for at in positions) for row in rows]
