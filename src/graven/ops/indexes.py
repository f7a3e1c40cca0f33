"""Which indexes a table asks for, said once for those who make them and those who look for them."""

from __future__ import annotations

from graven.ops.schema import Table

__all__ = ["covers", "unique_columns", "wanted_indexes"]

Index = tuple[tuple[str, ...], bool]


def covers(index: Index, wanted: Index) -> bool:
    """Say whether *index* does all that *wanted* is for; both are ``(columns, unique)``.

    A unique index has to be there as such; a plain one is served by any index that begins with its
    columns.
    """
    columns, unique = wanted
    if unique:
        return index[1] and set(index[0]) == set(columns)
    return index[0][: len(columns)] == columns


def wanted_indexes(table: Table) -> tuple[Index, ...]:
    """Return ``(columns, unique)`` of every index that *table* declares or its references need.

    What the key serves already is left out, and nothing comes twice.
    """
    unique = [(column.name,) for column in table.columns if column.unique]
    plain = [(column.name,) for column in table.columns if column.index]
    references = [reference.columns for reference in table.references]
    found: list[Index] = [(table.key, True)]
    for index in (
        *((columns, True) for columns in (*unique, *table.uniques)),
        *((columns, False) for columns in (*plain, *table.indexes, *references)),
    ):
        if not any(covers(present, index) for present in found):
            found.append(index)
    return tuple(found[1:])


def unique_columns(table: Table) -> dict[str, tuple[str, ...]]:
    """Return the columns that a unique index is over, each with those of the index."""
    uniques = [columns for columns, is_unique in wanted_indexes(table) if is_unique]
    return {name: columns for columns in uniques for name in columns}
