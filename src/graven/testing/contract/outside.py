"""Look into a store, or disturb it, past everything that a session remembers.

Each function takes a database of either colour, or a session, whose connection it then uses. With
an ``AsyncDatabase`` the result has to be awaited. In a ``db.transaction()`` it is part of that.
Without one each write commits by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graven.flows.commit import in_transaction
from graven.models.model import mapper_of
from graven.ops.conditions import And, Compare, Order, Path, Select
from graven.ops.requests import Delete, Fetch, Flow, Insert, Inspect, Sweep, Update
from graven.ops.schema import Table

__all__ = ["count", "delete", "insert", "link_table", "rows", "shape", "sweep", "update"]


def rows(db: Any, model: Any, *columns: str, order: str | None = None, **having: Any) -> Any:
    """Return the values of *columns*, or of all, of the rows *having* certain values.

    Values are in Python form, a container as the text that is kept of it. Rows are in the order of
    a column, then of the key. *model* is a model, or a table.
    """
    table = _table(model)
    names = columns or tuple(one.name for one in table.columns)
    terms = () if order is None else (Order(Path((), order, table.column(order).kind)),)
    decoders = _dialect(db).decoders
    select = Select(table, names, _condition(table, having), terms)
    return db._run(_rows(select, [decoders[table.column(name).kind] for name in names]))


def count(db: Any, model: Any, **having: Any) -> Any:
    """Return the number of rows *having* certain values."""
    return db._run(_count(_table(model), having))


def insert(db: Any, model: Any, **values: Any) -> Any:
    """Insert a row of these values, its version 1 unless it is given."""
    table = _table(model)
    if table.version is not None:
        values.setdefault(table.version, 1)
    row = _encoded(db, table, values)
    return db._run(iter(Insert(table, tuple(values), [row])))


def update(db: Any, model: Any, key: Any, **values: Any) -> Any:
    """Set columns of the row with that key, and move its version on, as a session would."""
    table = _table(model)
    row = _encoded(db, table, values) + _encoded(db, table, _key(table, key))
    return db._run(iter(Update(table, tuple(values), (), [row])))


def delete(db: Any, model: Any, key: Any) -> Any:
    """Delete the row with that key, whoever refers to it."""
    table = _table(model)
    return db._run(iter(Delete(table, (), [_encoded(db, table, _key(table, key))])))


def sweep(db: Any, *models: Any) -> Any:
    """Delete all rows of some models of a database, in this order, in one transaction."""
    flow = _sweep([_table(model) for model in models])
    return db._run(flow if db.current_transaction() is not None else in_transaction(flow))


def shape(db: Any, name: str) -> Any:
    """Return the shape of the table of that name, ``None`` if there is none."""
    return db._run(iter(Inspect(name)))


def link_table(model: Any, name: str) -> Table:
    """Return the table of pairs of the many-to-many list *name* of a model."""
    found: Table = mapper_of(model).field(name).link_table
    return found


def _table(model: Any) -> Table:
    return model if isinstance(model, Table) else mapper_of(model).table


def _dialect(db: Any) -> Any:
    return getattr(db, "_db", db).pool.dialect


def _key(table: Table, key: Any) -> dict[str, Any]:
    return dict(zip(table.key, key if len(table.key) > 1 else (key,), strict=True))


def _encoded(db: Any, table: Table, values: dict[str, Any]) -> tuple[object, ...]:
    encoders = _dialect(db).encoders
    row = []
    for name, value in values.items():
        encode = encoders[table.column(name).kind]
        row.append(value if encode is None or value is None else encode(value))
    return tuple(row)


def _condition(table: Table, having: dict[str, Any]) -> And:
    return And(
        tuple(
            Compare("==", Path((), name, table.column(name).kind), value)
            for name, value in having.items()
        )
    )


def _rows(select: Select, decoders: Sequence[Any]) -> Flow[list[tuple[Any, ...]]]:
    found = yield from Fetch(select)
    return [
        tuple(
            value if decode is None or value is None else decode(value)
            for decode, value in zip(decoders, row, strict=True)
        )
        for row in found
    ]


def _count(table: Table, having: dict[str, Any]) -> Flow[int]:
    ((found,),) = yield from Fetch(Select(table, (), _condition(table, having), count=True))
    return int(str(found))


def _sweep(tables: Sequence[Table]) -> Flow[None]:
    for table in tables:
        keys = yield from Fetch(Select(table, table.key))
        yield from Sweep(table, table.key, keys)
