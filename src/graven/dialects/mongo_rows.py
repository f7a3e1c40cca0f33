"""Documents as rows: the columns in order, each of the type that its kind has.

Whoever else writes into a collection may leave anything there. The types of a row are looked up as
a whole in a table of those met before, so that a row that is right costs one look.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import itemgetter

from graven._hints import Any
from graven.dialects.mongo_codec import PYTHON_TYPES, Int64
from graven.dialects.mongo_commands import Document
from graven.dialects.mongo_fields import KEY
from graven.dialects.mongo_json import to_text
from graven.errors import DataError
from graven.ops.indexes import unique_columns
from graven.ops.requests import Row
from graven.ops.schema import Column, Table
from graven.ops.writesets import NEXT

__all__ = ["Reader"]


class _Anything(frozenset[type]):
    """The set of all types."""

    def __contains__(self, kind: object) -> bool:
        return True


ANYTHING = _Anything()

SHAPES_MAX = 4096
"""How many combinations of types are remembered for each list of columns."""


class Reader:
    """Makes rows of *columns* of the documents of *table*; *extra* names one field more, last."""

    def __init__(self, table: Table, columns: tuple[str, ...], extra: str | None = None) -> None:
        """Read these columns."""
        self._table = table
        self._columns = [table.column(name) for name in columns]
        self._expected = [_types(table, column) for column in self._columns]
        self._texts = [at for at, one in enumerate(self._columns) if one.kind == "json"]
        is_flat = len(table.key) == 1
        self._fields = [KEY if is_flat and n in table.key else n for n in columns]
        self._fields += [] if extra is None else [extra]
        self._inside_key = [] if is_flat else [n for n in columns if n in table.key]
        self._extra = extra
        self._take = _taker(self._fields)
        self._known: dict[tuple[type, ...], tuple[int, ...]] = {}

    def rows(self, documents: Iterable[Document]) -> list[Row]:
        """Return the rows; a field that is missing is null.

        :raises DataError: if a document has a value in a field that the column cannot have.
        """
        if self._inside_key or self._texts:
            return [self._row(document) for document in documents]
        take, known = self._take, self._known
        rows = []
        for document in documents:
            try:
                row = take(document)
                if known[(*map(type, row),)]:
                    row = self._mended(row, document)
            except KeyError:
                row = self._mended(tuple(map(document.get, self._fields)), document)
            rows.append(row)
        return rows

    def _row(self, document: Document) -> Row:
        key = document.get(KEY)
        if self._inside_key and isinstance(key, dict):
            inside = {name: key.get(name) for name in self._inside_key}
            row = tuple(map({**document, **inside}.get, self._fields))
        else:
            row = tuple(map(document.get, self._fields))
        if self._texts:
            told = list(row)
            for at in self._texts:
                told[at] = self._text(self._columns[at], row[at], document)
            row = tuple(told)
        return self._mended(row, document)

    def _text(self, column: Column, value: object, document: Document) -> str | None:
        if value is None:
            return None
        try:
            return to_text(value)
        except TypeError:
            raise self._misfit(column, value, document, "what JSON can tell") from None

    def _mended(self, row: Row, document: Document) -> Row:
        """Return *row* with plain integers; see that every value has a type of its column."""
        shape = (*map(type, row),)
        wide = self._known.get(shape)
        if wide is None:
            wide = self._judged(row, document)
            if len(self._known) >= SHAPES_MAX:
                self._known.clear()
            self._known[shape] = wide
        if not wide:
            return row
        plain: list[Any] = list(row)
        for at in wide:
            plain[at] = int(plain[at])
        return tuple(plain)

    def _judged(self, row: Row, document: Document) -> tuple[int, ...]:
        """Return where a row has integers of 64 bits that are to become plain ones."""
        wide = []
        for at, (column, expected) in enumerate(zip(self._columns, self._expected, strict=True)):
            kind = type(row[at])
            if kind is Int64 and int in expected:
                wide.append(at)
            elif kind not in expected:
                raise self._misfit(column, row[at], document, column.kind)
        return tuple(wide)

    def _misfit(
        self, column: Column, value: object, document: Document, expected: str
    ) -> DataError:
        table, key = self._table, document.get(KEY)
        where = f"{column.name!r} of the document {key!r:.100} of {table.name!r}"
        found = "nothing" if value is None else f"{value!r:.100} ({type(value).__name__})"
        return DataError(
            f"the field {where} was read: expected {expected}, found {found}; usually something "
            "else than graven has written it; correct the document, or change the annotation of "
            "the field",
            model=table.name,
            field=column.name,
            value=value,
            expected=expected,
        )


def _types(table: Table, column: Column) -> frozenset[type]:
    if column.kind == "any":
        return ANYTHING
    types = PYTHON_TYPES[column.kind]
    if column.name in unique_columns(table) and table.columns[-1].name == NEXT:
        types |= {list}  # for a while it may hold two values
    return types | {type(None)} if column.nullable and column.name not in table.key else types


def _taker(fields: list[str]) -> Callable[[Document], Row]:
    """Return what takes several fields out of a document; ``KeyError`` if one is missing."""
    if len(fields) > 1:
        return itemgetter(*fields)
    return lambda document: tuple(document[name] for name in fields)
