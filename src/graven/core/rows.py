"""Values of one class as the rows of one table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from graven._hints import Any, Generic, TypeVar
from graven.core.entries import in_milliseconds
from graven.ops.requests import FetchKeys, Insert, Row, Update
from graven.ops.schema import Table
from graven.ops.value import Value

__all__ = ["Rows"]

V = TypeVar("V", bound=Value)


class Rows(Generic[V]):
    """The requests for values of class *cls*, which has a field for each column of *table*.

    They are in the store form of the backend whose *dialect* is given.
    """

    def __init__(self, table: Table, cls: type[V], dialect: Any) -> None:
        """Use the codec of *dialect*."""
        self.table, self._cls = table, cls
        self.columns = tuple(column.name for column in table.columns)
        self._kinds = {column.name: column.kind for column in table.columns}
        in_ms = in_milliseconds(dialect.encoders["datetime"])
        self._encoders = {**dialect.encoders, "datetime": in_ms}
        self._decoders = dialect.decoders

    def value(self, column: str, value: Any) -> Any:
        """Return a value of a column in store form; a time to the millisecond."""
        encode = self._encoders[self._kinds[column]]
        return value if encode is None or value is None else encode(value)

    def _key(self, value: V) -> Row:
        return tuple(self.value(name, getattr(value, name)) for name in self.table.key)

    def insert(self, values: Iterable[V]) -> Insert:
        """Return what writes new rows."""
        rows = [tuple(self.value(n, getattr(one, n)) for n in self.columns) for one in values]
        return Insert(self.table, self.columns, rows)

    def update(self, value: V, **changes: Any) -> Update:
        """Return what sets columns of a row; guarded by its version, if the table has one."""
        version = self.table.version
        guards = () if version is None else (version,)
        new = tuple(self.value(name, one) for name, one in changes.items())
        expected = tuple(getattr(value, name) for name in guards)
        row = (*new, *self._key(value), *expected)
        return Update(self.table, tuple(changes), guards, [row])

    def fetch(self, by: tuple[str, ...], keys: Sequence[Row]) -> FetchKeys:
        """Return what reads the rows whose columns *by* hold one of *keys*, in Python form."""
        return FetchKeys(self.table, self.columns, by, keys)

    def values(self, rows: Iterable[Row]) -> list[V]:
        """Return the values of fetched rows."""
        decoders = [self._decoders[column.kind] for column in self.table.columns]
        return [
            self._cls(
                *(
                    value if decode is None or value is None else decode(value)
                    for value, decode in zip(row, decoders, strict=True)
                )
            )
            for row in rows
        ]
