"""Selects as finds, or as pipelines where references are followed or rows are judged.

Each way over references becomes one ``$lookup`` by key, which leaves the row that is referred to
in a field of graven's own. What can be asked of the rows themselves is asked before that.
"""

from __future__ import annotations

from collections.abc import Callable

from graven.core.evaluate import paths_in
from graven.dialects.mongo_commands import NEVER, OWN, Aggregate, Document, Find
from graven.dialects.mongo_conditions import Compiler, check_ordered
from graven.dialects.mongo_fields import KEY, field_of
from graven.ops.conditions import And, Condition, Or, Path, Select, Step
from graven.ops.schema import Table

__all__ = ["COUNT", "DOUBTFUL", "compile_select", "projection_of"]

DOUBTFUL = f"{OWN}_doubtful"
"""The field that says whether a row meets the doubtful condition."""

COUNT = "n"
"""The field with the number of rows; no document is none."""

Encode = Callable[[str, object], object]


class _Joins:
    """The references that one select follows, each way once, in the order they are met."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._aliases: dict[tuple[Step, ...], str] = {}
        self.stages: list[Document] = []

    def field(self, path: Path) -> str:
        """Return the field of *path*, looking up the rows that it leads over."""
        if not path.steps:
            return field_of(self._table, path.column)
        alias = self._alias(path.steps)
        return f"{alias}.{field_of(path.steps[-1].table, path.column)}"

    def _alias(self, steps: tuple[Step, ...]) -> str:
        known = self._aliases.get(steps)
        if known is not None:
            return known
        before, step = steps[:-1], steps[-1]
        prefix, origin = "", self._table
        if before:
            prefix, origin = f"{self._alias(before)}.", before[-1].table
        alias = self._aliases[steps] = f"{OWN}_{len(self._aliases) + 1}"
        local = [prefix + field_of(origin, column) for column in step.columns]
        if len(local) > 1:
            parts = zip(step.table.key, local, strict=True)
            self.stages.append({"$set": {alias: {name: f"${field}" for name, field in parts}}})
            local = [alias]
        self.stages += looked_up(step.table.name, local[0], alias)
        return alias


def looked_up(collection: str, local: str, alias: str) -> list[Document]:
    """Return the stages that put the document whose key is in field *local* into *alias*."""
    found = {"from": collection, "localField": local, "foreignField": KEY, "as": alias}
    return [
        {"$lookup": found},
        {"$unwind": {"path": f"${alias}", "preserveNullAndEmptyArrays": True}},
    ]


def projection_of(table: Table, columns: tuple[str, ...]) -> Document:
    """Return the projection to the fields of *columns*; to the key if there are none."""
    fields = {field_of(table, name).partition(".")[0]: 1 for name in columns} or {KEY: 1}
    return fields if KEY in fields else {KEY: 0, **fields}


def compile_select(select: Select, encode: Encode) -> Find | Aggregate:
    """Return what answers *select*."""
    joins = _Joins(select.table)
    compiler = Compiler(joins.field, encode)
    early, late = _wheres(select, compiler)
    sort = () if select.count else _sort(select, joins)
    shown = projection_of(select.table, select.columns)
    name, limit = select.table.name, select.limit or 0
    if late and not joins.stages:  # it says without following a reference that nothing is found
        early, late = {"$and": [early, late]}, {}
    if not (joins.stages or select.count or select.doubtful is not None):
        return Find(name, early, shown, sort, select.offset, limit)
    if select.doubtful is not None:
        verdict = {"$cond": [compiler.expression(select.doubtful), 1, 0]}
        shown = {**shown, DOUBTFUL: verdict}
    pipeline = [{"$match": early}, *joins.stages]
    pipeline += [{"$match": late}] if late else []
    pipeline += [{"$sort": dict(sort)}] if sort else []
    pipeline += [{"$skip": select.offset}] if select.offset else []
    pipeline += [{"$limit": limit}] if limit else []
    return Aggregate(name, [*pipeline, {"$count": COUNT} if select.count else {"$project": shown}])


def _wheres(select: Select, compiler: Compiler) -> tuple[Document, Document]:
    """Return the filters for before and after the references are followed; the last may be {}."""
    where = select.where
    if select.limit == 0:
        return NEVER, {}
    if where is None:
        return {}, {}
    if select.doubtful is not None:
        where = Or((where, select.doubtful))
    parts = where.conditions if isinstance(where, And) else (where,)
    early = tuple(part for part in parts if not _leads_on(part))
    late = tuple(part for part in parts if _leads_on(part))
    return _joined(early, compiler), _joined(late, compiler)


def _joined(parts: tuple[Condition, ...], compiler: Compiler) -> Document:
    if not parts:
        return {}
    return compiler.filter(parts[0] if len(parts) == 1 else And(parts))


def _leads_on(condition: Condition) -> bool:
    """Say whether *condition* follows a reference."""
    return any(path.steps for path in paths_in(condition))


def _sort(select: Select, joins: _Joins) -> tuple[tuple[str, int], ...]:
    """Return the order, completed by the key; null is the least of all to MongoDB too."""
    table = select.table
    terms: dict[str, int] = {}
    for order in select.order:
        check_ordered(order.path)
        terms.setdefault(joins.field(order.path), -1 if order.descending else 1)
    fields = [field_of(table, name) for name in table.key]
    missing = [field for field in fields if field not in terms]
    completing = [KEY] if missing == fields else missing
    return (*terms.items(), *((field, 1) for field in completing))
