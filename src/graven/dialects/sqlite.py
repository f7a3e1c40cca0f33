"""SQLite: its spelling of conditions, tables and the reading of its catalogue.

Identifiers are quoted with backticks: in double quotes SQLite takes an unknown column for a *text*,
so a query on a table that lacks the column would answer nonsense instead of an error.

The compiled texts use what the driver registers on every connection: the collation
``graven_decimal``, which orders texts as numbers, and the functions ``graven_like`` and
``graven_ilike`` of a pattern and a text, ``graven_bytes`` and ``graven_float`` of a hexadecimal
text. None of them is ever used in a table's definition.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta

from graven._hints import Any
from graven.dialects.base import Codec
from graven.dialects.catalogue import listed_indexes
from graven.dialects.sql import SQLDialect
from graven.dialects.sqlite_codec import (
    AFFINITIES,
    COLUMN_ENCODERS,
    DECODERS,
    ENCODERS,
    TYPES,
    affinity,
)
from graven.errors import DataError, GravenError, MappingError
from graven.ops.indexes import wanted_indexes
from graven.ops.requests import Create, TableShape
from graven.ops.schema import Column, Reference, Table

__all__ = ["SQLiteDialect"]

VALUES_IN_PLACE = 256
GLOB_LENGTH_MAX = 12_000
_BY_TYPE: dict[type, str] = {
    bool: "bool",
    float: "float",
    date: "date",
    time: "time",
    timedelta: "timedelta",
}


class SQLiteDialect(SQLDialect):
    """Compiles requests into what :mod:`sqlite3` executes."""

    encoders: Mapping[str, Codec | None] = ENCODERS
    decoders: Mapping[str, Codec | None] = DECODERS
    column_encoders = COLUMN_ENCODERS
    placeholder = "?"
    same = "{} is {}"
    differs = "{} is not {}"
    quote_mark = "`"

    def translate(self, error: Exception, statement: str) -> GravenError | None:
        """Return our error for *error* at *statement*; ``None`` if it is not the store's."""
        from graven.dialects.sqlite_errors import translate

        return translate(error, statement)

    # ── conditions ──────────────────────────────────────────────────────────────────────────

    def operand(self, column: str, kind: str) -> str:
        """Return *column* as an operand; decimals, kept as texts, compare and order as numbers."""
        return f"{column} collate graven_decimal" if kind == "decimal" else column

    def contains(
        self, column: str, kind: str, values: Sequence[object], parameters: list[object]
    ) -> str:
        """Return a condition that *column* is one of *values*; very many go as one parameter."""
        if len(values) <= VALUES_IN_PLACE:
            return super().contains(column, kind, values, parameters)
        item, texts = _listed(values)
        parameters.append(f"[{','.join(texts)}]")
        return f"{column} in (select {item} from json_each(?))"

    def like(self, column: str, pattern: str, ignore_case: bool, parameters: list[object]) -> str:
        """Return a condition that *column* matches *pattern*.

        Where case counts it is a ``glob``, which is fast but stops at a NUL: texts that contain one
        are left to the function. What every match begins with is a range, for which an index
        serves.
        """
        from graven.ops.text import after_prefix, like_prefix

        glob = _glob(pattern)
        if ignore_case or "\0" in pattern or len(glob) > GLOB_LENGTH_MAX:
            parameters.append(pattern)
            return f"graven_{'ilike' if ignore_case else 'like'}(?, {column})"
        prefix = like_prefix(pattern)
        terms: list[str] = []
        if prefix:
            parameters.append(prefix)
            terms.append(f"{column} >= ?")
            if after := after_prefix(prefix):
                parameters.append(after)
                terms.append(f"{column} < ?")
        parameters += (pattern, glob)
        slow, fast = f"graven_like(?, {column})", f"{column} glob ?"
        terms.append(f"case when instr({column}, char(0)) then {slow} else {fast} end")
        return " and ".join(terms)

    # ── statements of the caller's own ──────────────────────────────────────────────────────

    def parameters(self, given: Sequence[object] | dict[str, object]) -> Any:
        """Return the parameters of a statement in the store's language, values in store form."""
        if isinstance(given, dict):
            return {name: self._by_type(value) for name, value in given.items()}
        return [self._by_type(value) for value in given]

    def _by_type(self, value: object) -> object:
        kind = type(value)
        if kind in (int, str, bytes) or value is None:
            return value
        if kind in _BY_TYPE:
            return self.encode(_BY_TYPE[kind], value)
        from enum import Enum

        if isinstance(value, Enum):
            return self._by_type(value.value)
        if isinstance(value, datetime):
            return self.encode("naive" if value.tzinfo is None else "datetime", value)
        rare = {"Decimal": "decimal", "UUID": "uuid", "ObjectId": "objectid"}
        if name := rare.get(kind.__name__):
            return self.encode(name, value)
        return value

    # ── tables ──────────────────────────────────────────────────────────────────────────────

    def create(self, request: Create) -> list[str]:
        """Return the statements that make what *request* asks for, in order."""
        table = request.table
        name = self.quote(table.name)
        if request.whole:
            indexes = [self.index(table, *index) for index in wanted_indexes(table)]
            return [self._table(table), *indexes, *self.sparse(table)]
        renames = (
            f"alter table {name} rename column {self.quote(old)} to {self.quote(new)}"
            for old, new in request.renames
        )
        columns = (
            f"alter table {name} add column {self._added(table, c)}" for c in request.columns
        )
        return [*renames, *columns, *(self.index(table, *index) for index in request.indexes)]

    def _table(self, table: Table) -> str:
        parts = [self._column(table, column) for column in table.columns]
        if len(table.key) > 1:
            parts.append(f"primary key ({self.quoted(table.key)})")
        parts += (
            f"foreign key ({self.quoted(reference.columns)}) {self._target(reference)}"
            for reference in table.references
        )
        return f"create table {self.quote(table.name)} ({', '.join(parts)})"

    def _column(self, table: Table, column: Column) -> str:
        text = f"{self.quote(column.name)} {TYPES[column.kind]}"
        is_key = column.name in table.key
        if table.key == (column.name,):
            text += " primary key"
        if table.store_made and is_key:
            if column.kind != "int" or len(table.key) > 1:
                raise MappingError(
                    f"the key of table {table.name!r} is to be made by the store, but SQLite "
                    f"makes only "
                    f"single integer keys; declare it int, or let graven make a UUID",
                    table=table.name,
                    field=column.name,
                )
            return f"{text} autoincrement"
        return text if column.nullable and not is_key else f"{text} not null"

    def _target(self, reference: Reference) -> str:
        """Return the target of a foreign key, checked at commit: graven deletes or nulls itself."""
        target = f"references {self.quote(reference.table)} ({self.quoted(reference.target)})"
        return f"{target} deferrable initially deferred"

    def _added(self, table: Table, name: str) -> str:
        """Return the definition of a column that is added to a table that is there."""
        text = self._column(table, table.column(name))
        for reference in table.references:
            if reference.columns == (name,):
                text += f" {self._target(reference)}"
            elif name in reference.columns:
                raise MappingError(
                    f"column {name!r} was to be added to table {table.name!r} as part of a "
                    f"reference of "
                    f"several columns; SQLite can declare such a reference only with a new table; "
                    f"make a "
                    f"new table and copy the rows",
                    table=table.name,
                    field=name,
                )
        return text

    def index(self, table: Table, columns: tuple[str, ...], unique: bool) -> str:
        """Return what makes an index."""
        name = self.quote(".".join((table.name, *columns, "unique" if unique else "index")))
        word = "unique index" if unique else "index"
        return f"create {word} {name} on {self.quote(table.name)} ({self.quoted(columns)})"

    # ── the catalogue ───────────────────────────────────────────────────────────────────────

    columns_text = (
        "select name, type, `notnull`, dflt_value is not null, pk, hidden from "
        "pragma_table_xinfo(?)"
    )
    """Asks for the columns of a table; its one parameter is the name."""

    indexes_text = (
        "select l.name, l.`unique`, i.name from pragma_index_list(?) as l, "
        "pragma_index_info(l.name) as i where not l.partial order by l.seq, i.seqno"
    )
    """Asks for the columns of the indexes of a table; its one parameter is the name."""

    def shape(
        self, columns: Sequence[tuple[Any, ...]], indexes: Sequence[tuple[Any, ...]]
    ) -> TableShape | None:
        """Return the shape of a table out of the replies to the two texts, or ``None``."""
        if not columns:
            return None
        keys = sorted((pk, name) for name, _, _, _, pk, _ in columns if pk)
        declared = {name: kind for name, kind, *_ in columns}
        makes_key = len(keys) == 1 and declared[keys[0][1]].upper() == "INTEGER"
        return TableShape(
            columns=tuple((name, kind, bool(not_null)) for name, kind, not_null, *_ in columns),
            key=tuple(name for _, name in keys),
            indexes=listed_indexes(indexes),
            kinds=tuple(AFFINITIES[affinity(kind)] for kind in declared.values()),
            defaulted=frozenset(
                name
                for name, _, _, default, pk, hidden in columns
                if default or hidden or (pk and makes_key)
            ),
            makes_key=makes_key,
        )


def _listed(values: Sequence[Any]) -> tuple[str, Iterable[str]]:
    """Return the expression for one item of a JSON array, and the items as JSON, all exact."""
    types = set(map(type, values))
    if float in types:
        return "graven_float(value)", (f'"{float(value).hex()}"' for value in values)
    if bytes in types:
        return "graven_bytes(value)", (f'"{value.hex()}"' for value in values)
    if types <= {int, bool}:
        return "value", (str(int(value)) for value in values)
    # json_each stops at a NUL, so texts go as the hexadecimal form of their UTF-8
    return "cast(graven_bytes(value) as text)", (f'"{_utf8(value).hex()}"' for value in values)


def _utf8(value: Any) -> bytes:
    try:
        return str(value).encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"the text {value!r} was to be compared: it has half of a surrogate pair, which is no "
            f"character; usually it was cut in the middle; repair the text",
            value=value,
            expected="text",
        ) from error


def _glob(pattern: str) -> str:
    """Return *pattern* as SQLite's ``glob`` spells it."""
    from graven.ops.text import like_tokens

    wild: Callable[[str], str] = {"%": "*", "_": "?"}.__getitem__
    return "".join(
        wild(character) if is_wild else f"[{character}]" if character in "*?[" else character
        for is_wild, character in like_tokens(pattern)
    )
