"""Tables and columns as values: what a backend has to know about a model, and nothing more."""

from __future__ import annotations

from graven.ops.value import Value

__all__ = ["Column", "Reference", "Table"]


class Reference(Value):
    """A column, or several, that hold the key of a row elsewhere.

    ``on_delete`` is ``"refuse"``, ``"cascade"`` or ``"set_null"``.
    """

    columns: tuple[str, ...]
    table: str
    target: tuple[str, ...]
    on_delete: str = "refuse"


class Column(Value):
    """One column.

    ``kind`` is the kind of value in it, the same word on every backend: ``int``, ``str``, ``bool``,
    ``float``, ``datetime`` (an instant, UTC), ``naive`` (a wall-clock time), ``date``, ``time``,
    ``timedelta``, ``decimal``, ``uuid``, ``bytes``, ``objectid`` (twelve bytes, as MongoDB makes
    them), or ``json`` (a text that the codec made).
    """

    name: str
    kind: str
    nullable: bool = False
    unique: bool = False
    index: bool = False
    choices: tuple[str | int, ...] = ()
    renamed_from: tuple[str, ...] = ()


class Table(Value):
    """One table: its columns in the order of a fetched row.

    ``key`` names the key columns; ``store_made`` says that the store makes the key; ``version``
    names the version column, or is ``None`` in a table without one (a link table). ``graven_made``
    says that graven makes the keys, so that none ever comes back. ``sparse`` are indexes without
    the rows whose first column is null, which cost such rows nothing; they are made with the table,
    by stores that have such indexes.
    """

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    version: str | None = None
    store_made: bool = False
    graven_made: bool = False
    references: tuple[Reference, ...] = ()
    uniques: tuple[tuple[str, ...], ...] = ()
    indexes: tuple[tuple[str, ...], ...] = ()
    sparse: tuple[tuple[str, ...], ...] = ()

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = object.__hash__

    def column(self, name: str) -> Column:
        """Return the column of that *name*; ``KeyError`` if there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)
