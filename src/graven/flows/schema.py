"""Making tables: what is missing is made, what fits is left alone, what does not fit is refused.

First everything is looked at without a lock, for mostly nothing is missing. If something is, it is
looked at again inside a write transaction, because another process may be at it too, and made
there: all of it or nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from graven.core.ordering import in_order
from graven.errors import GravenError, MappingError
from graven.ops.indexes import covers, wanted_indexes
from graven.ops.requests import (
    Begin,
    Commit,
    Create,
    Fetch,
    Flow,
    Inspect,
    Rollback,
    TableShape,
)
from graven.ops.schema import Column, Table

__all__ = ["create"]


def create(tables: Sequence[Table], is_within: bool = False) -> Flow[None]:
    """Make *tables*, or what they lack; a table that others refer to comes before them.

    Added are whole tables, columns that may be null, indexes, new names of columns
    (``renamed_from``), and what an enumeration allows by now. Nothing is written unless everything
    can be: a table that does not fit raises ``MappingError``, which names table, column, what was
    expected, what was found, and a remedy. Columns that graven does not know stay, if an insert can
    leave them out. Two processes may create at once. *is_within* says that a transaction is open,
    of which all of it becomes a part.
    """
    ordered = _in_order(tables)
    missing = yield from _missing(ordered)
    if is_within:
        for step in missing:
            yield from step
    if is_within or not missing:
        return
    yield from Begin(write=True, tables=True)
    try:
        for step in (yield from _missing(ordered)):
            yield from step
        yield from Commit()
    except GravenError:
        yield from Rollback()
        raise


def _in_order(tables: Sequence[Table]) -> list[Table]:
    """Return *tables*, each after those it refers to as far as there are no cycles."""
    by_name = {table.name: table for table in tables}
    needs = {table.name: [one.table for one in table.references] for table in tables}
    return [by_name[name] for name in in_order(by_name, needs)]


def _missing(tables: Iterable[Table]) -> Flow[list[Create]]:
    """Return what has to be made; raise ``MappingError`` if something stands in the way.

    References come last, when all tables are there.
    """
    steps: list[Create] = []
    references: list[Create] = []
    for table in tables:
        shape = yield from Inspect(table.name)
        if shape is None:
            steps.append(Create(table, whole=True))
            if table.references:
                references.append(Create(table, whole=False, references=table.references))
            continue
        step = _difference(table, shape)
        _check_unknown(table, shape, step)
        if step.renames or step.columns or step.indexes or step.choices:
            yield from _check_can_be_added(table, step)
            steps.append(step)
            added = tuple(one for one in table.references if set(one.columns) & set(step.columns))
            if added:
                references.append(Create(table, whole=False, references=added))
    return steps + references


def _difference(table: Table, shape: TableShape) -> Create:
    """Return what *table* has and the store lacks; what both have is checked on the way."""
    _check_key(table, shape)
    there = {name: at for at, (name, _, _) in enumerate(shape.columns)}
    renames: list[tuple[str, str]] = []
    added: list[str] = []
    for column in table.columns:
        name = next((n for n in (column.name, *column.renamed_from) if n in there), None)
        if name is None:
            added.append(column.name)
            continue
        _check_column(table, column, shape, there[name])
        if name != column.name:
            renames.append((name, column.name))
    new_names = dict(renames)
    present = [(shape.key, True), *((columns, unique) for _, columns, unique in shape.indexes)]
    present = [(tuple(new_names.get(c, c) for c in columns), unique) for columns, unique in present]
    lacking = tuple(
        index for index in wanted_indexes(table) if not any(covers(old, index) for old in present)
    )
    choices = tuple(_choices_changed(table, shape, new_names))
    return Create(table, False, tuple(renames), tuple(added), lacking, choices)


def _choices_changed(
    table: Table, shape: TableShape, new_names: dict[str, str]
) -> Iterator[tuple[str, str]]:
    """Yield ``(name of the rule, column)`` where the store allows other choices than the model."""
    wanted = {column.name: column.choices for column in table.columns}
    for rule, column, choices in shape.choices:
        name = new_names.get(column, column)
        if set(wanted.get(name, choices)) != set(choices):
            yield rule, name


def _check_key(table: Table, shape: TableShape) -> None:
    old_names = {
        old: column.name
        for column in table.columns
        for old in column.renamed_from
        if column.name not in {name for name, _, _ in shape.columns}
    }
    found = [old_names.get(name, name) for name in shape.key]
    if set(found) != set(table.key):
        raise _misfit(
            table, None, f"the key {_listed(table.key)}", f"the key {_listed(shape.key) or 'none'}"
        )
    if table.store_made and not shape.makes_key:
        key = table.key[0]
        raise _misfit(table, key, "a key that the store makes", "one that it does not make")


def _check_column(table: Table, column: Column, shape: TableShape, at: int) -> None:
    name, declared, not_null = shape.columns[at]
    kinds = shape.kinds[at]
    must_not_be_null = not column.nullable
    if column.kind not in kinds:
        holds = f"which holds {_listed(sorted(kinds)) or 'no value unchanged'}"
        raise _misfit(table, name, f"a column for {column.kind}", f"type {declared!r}, {holds}")
    if column.name not in table.key and must_not_be_null != not_null:
        words = {True: "never null", False: "nullable"}
        raise _misfit(table, name, words[must_not_be_null], words[not_null])


def _check_unknown(table: Table, shape: TableShape, step: Create) -> None:
    """Refuse columns that every insert would have to fill, but that graven does not know."""
    known = {column.name for column in table.columns} | {old for old, _ in step.renames}
    for name, _, not_null in shape.columns:
        if not_null and name not in known and name not in shape.defaulted:
            found = "a column of the store that must not be null and has no default"
            raise _misfit(table, name, "no such column", found)


def _check_can_be_added(table: Table, step: Create) -> Flow[None]:
    """Refuse to add columns that would need a value in rows that are there."""
    required = [name for name in step.columns if not table.column(name).nullable]
    if required:
        from graven.ops.conditions import Select

        ((rows,),) = yield from Fetch(Select(table, (), limit=1, count=True))
        if rows:
            raise MappingError(
                f"column {required[0]!r} was to be added to table {table.name!r}, but the table "
                f"has rows, "
                f"and the column must not be null; usually the field is new; declare it optional, "
                f"or name the column it used to be (renamed_from), or fill the table anew",
                table=table.name,
                field=required[0],
            )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def _misfit(table: Table, column: str | None, expected: str, found: str) -> MappingError:
    where = f"column {column!r} of table {table.name!r}" if column else f"table {table.name!r}"
    return MappingError(
        f"{where} was to be used, but does not fit its model: expected {expected}, found {found}; "
        f"usually "
        f"the model has changed since, or the table belongs to something else; change the model, "
        f"alter "
        f"the table, or give the model another table name. Nothing was changed",
        table=table.name,
        field=column,
    )
