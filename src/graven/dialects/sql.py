"""What the dialects of SQL share: quoting, and the texts of every request on rows.

Texts are made once for each shape (a table with a set of columns) and kept; values are always
parameters, names always quoted.
"""

from __future__ import annotations

from collections.abc import Sequence

from graven._hints import TYPE_CHECKING, Any
from graven.dialects.base import Dialect
from graven.ops.schema import Table

if TYPE_CHECKING:
    from graven.dialects.conditions import Statement
    from graven.ops.conditions import Select
    from graven.ops.requests import Delete, FetchKeys, Insert, Sweep, Update
    from graven.ops.schema import Reference

__all__ = ["SQLDialect"]

_KeysShape = tuple[int, tuple[str, ...], tuple[str, ...]]
_KeysEntry = tuple[str, tuple[str, ...] | None, Table]


class SQLDialect(Dialect):
    """Compiles requests into statements."""

    placeholder: str
    same: str
    differs: str
    quote_mark: str
    keys_per_statement = 1024

    def __init__(self) -> None:
        """Begin with no texts."""
        self._quoted: dict[str, str] = {}
        self._lists: dict[tuple[str, ...], str] = {}
        self._texts: dict[tuple[object, ...], str] = {}
        self._keys: dict[_KeysShape, _KeysEntry] = {}

    # ── tables ──────────────────────────────────────────────────────────────────────────────

    def index(self, table: Table, columns: tuple[str, ...], unique: bool) -> str:
        """Return what makes an index."""
        raise NotImplementedError

    def sparse(self, table: Table) -> list[str]:
        """Return what makes the sparse indexes of *table*: conditions tell the rows in them."""
        return [
            f"{self.index(table, columns, False)} where {self.quote(columns[0])} is not null"
            for columns in table.sparse
        ]

    # ── names and values ────────────────────────────────────────────────────────────────────

    def quote(self, name: str) -> str:
        """Return *name* as an identifier, whatever is in it."""
        text = self._quoted.get(name)
        if text is None:
            mark = self.quote_mark
            text = self._quoted[name] = mark + name.replace(mark, mark + mark) + mark
        return text

    def quoted(self, names: tuple[str, ...]) -> str:
        """Return *names* as a list of identifiers."""
        text = self._lists.get(names)
        if text is None:
            text = self._lists[names] = ", ".join(map(self.quote, names))
        return text

    # ── what a dialect may spell in its own way ─────────────────────────────────────────────

    def operand(self, column: str, kind: str) -> str:
        """Return *column* as an operand that compares and orders as values of *kind* do."""
        return column

    def sortable(self, column: str, kind: str) -> str:
        """Return *column* as a term of an order, or compared by order or with a column."""
        return self.operand(column, kind)

    def ordered(self, operand: str, descending: bool, nullable: bool) -> str:
        """Return a term of an order, in which nulls are the least."""
        return f"{operand} desc" if descending else operand

    def flag(self, condition: str) -> str:
        """Return an expression that is 1 where *condition* holds, 0 where not."""
        return f"case when {condition} then 1 else 0 end"

    def limit(self, limit: int | None, parameters: list[object]) -> str:
        """Return what follows the word limit; ``None`` is no limit."""
        parameters.append(-1 if limit is None else limit)
        return self.placeholder

    def contains(
        self, column: str, kind: str, values: Sequence[object], parameters: list[object]
    ) -> str:
        """Return a condition that *column* is one of *values*; append its parameters."""
        parameters.extend(values)
        return f"{column} in ({', '.join([self.placeholder] * len(values))})"

    def like(self, column: str, pattern: str, ignore_case: bool, parameters: list[object]) -> str:
        """Return a condition that *column* matches *pattern*; append its parameters."""
        raise NotImplementedError

    def lock(self, select: Select, root: str) -> str:
        """Return what locks the rows of *select*, if the store locks rows; *root* is its alias."""
        return ""

    # ── reading ─────────────────────────────────────────────────────────────────────────────

    def fetch(self, select: Select) -> Statement:
        """Return the statement of *select*."""
        from graven.dialects.conditions import compile_select

        return compile_select(self, select)

    def fetch_keys(self, request: FetchKeys) -> Sequence[Statement]:
        """Return the statements that fetch *request*: one for each 1024 keys, in few shapes."""
        shape = id(request.table), request.columns, request.by
        text, kinds, _ = self._keys.get(shape) or self._keys_shape(request)
        keys = request.keys
        if kinds is not None and not request.encoded:
            keys = [tuple(map(self.encode, kinds, key)) for key in keys]
        if len(keys) == 1:
            return ((text, keys[0]),)
        size = self.keys_per_statement
        return [self._some_keys(request, keys[at : at + size]) for at in range(0, len(keys), size)]

    def _keys_shape(self, request: FetchKeys) -> _KeysEntry:
        """Return the text for one key, the kinds of its columns if any needs encoding, the table.

        The table is kept with its entry, so that its address, which is the fastest key, is its own.
        """
        table, columns, by = request.table, request.columns, request.by
        kinds = tuple(table.column(name).kind for name in by)
        terms = [f"{self._key_operand(table, name)} = {self.placeholder}" for name in by]
        text = f"{self._fetch_head(table, columns)} where {' and '.join(terms)}"
        entry = text, kinds if any(self.encoders[kind] for kind in kinds) else None, table
        self._keys[id(table), columns, by] = entry
        return entry

    def key_order(self, table: Table) -> str:
        """Return the terms of an order by the key of *table*."""
        shape = "order", table
        text = self._texts.get(shape)
        if text is None:
            columns = ((self.quote(name), table.column(name).kind) for name in table.key)
            text = ", ".join(self.sortable(*column) for column in columns)
            self._texts[shape] = text
        return text

    def _key_operand(self, table: Table, name: str) -> str:
        return self.operand(self.quote(name), table.column(name).kind)

    def _fetch_head(self, table: Table, columns: tuple[str, ...]) -> str:
        return f"select {self.quoted(columns)} from {self.quote(table.name)}"

    def _some_keys(self, request: FetchKeys, keys: Sequence[Sequence[object]]) -> Statement:
        """Return one statement for *keys*, filled up with the last one to the next power of two."""
        size = 1 << (len(keys) - 1).bit_length()
        filled = [*keys, *[keys[-1]] * (size - len(keys))]
        shape = request.table, request.columns, request.by, size
        text = self._texts.get(shape)
        if text is None:
            text = self._texts[shape] = self._keys_text(request, size)
        return text, [value for key in filled for value in key]

    def _keys_text(self, request: FetchKeys, size: int) -> str:
        table, by = request.table, request.by
        columns = ", ".join(self._key_operand(table, name) for name in by)
        mark = ", ".join([self.placeholder] * len(by))
        if len(by) == 1:
            where = f"{columns} in ({', '.join([mark] * size)})"
        else:
            where = f"({columns}) in (values {', '.join([f'({mark})'] * size)})"
        return f"{self._fetch_head(table, request.columns)} where {where}"

    # ── writing ─────────────────────────────────────────────────────────────────────────────

    def insert(self, request: Insert, rows: int) -> str:
        """Return the text that inserts *rows* rows at once, and returns the keys that are made."""
        shape = "insert", request.table, request.columns, rows
        text = self._texts.get(shape)
        if text is None:
            text = self._texts[shape] = self._insert_text(request, rows)
        return text

    def _insert_text(self, request: Insert, rows: int) -> str:
        table, columns = request.table, request.columns or request.table.key
        row = f"({', '.join([self.placeholder] * len(columns))})"
        text = f"insert into {self.quote(table.name)} ({self.quoted(columns)}) values "
        text += ", ".join([row] * rows)
        if table.store_made and table.key[0] not in request.columns:
            text += f" returning {self.quote(table.key[0])}"
        return text

    def update(self, request: Update) -> str:
        """Return the text that updates one row of *request*."""
        shape = "update", request.table, request.columns, request.guards
        text = self._texts.get(shape)
        if text is None:
            text = self._texts[shape] = self._update_text(request)
        return text

    def _update_text(self, request: Update) -> str:
        table, quote = request.table, self.quote
        changes = [f"{quote(name)} = {self.placeholder}" for name in request.columns]
        if table.version is not None and table.version not in request.columns:
            version = quote(table.version)
            changes.append(f"{version} = {version} + 1")
        where = self._guarded(table, request.guards)
        return f"update {quote(table.name)} set {', '.join(changes)} where {where}"

    def delete(self, request: Delete, keys: int = 1) -> str:
        """Return the text that deletes one row of *request*, or those of *keys* single keys."""
        shape = "delete", request.table, request.guards, keys
        text = self._texts.get(shape)
        if text is None:
            where = self._guarded(request.table, request.guards, keys)
            text = f"delete from {self.quote(request.table.name)} where {where}"
            self._texts[shape] = text
        return text

    def sweep(self, request: Sweep) -> str:
        """Return the text that deletes the rows that hold one row of *request*."""
        terms = [f"{self.quote(name)} = {self.placeholder}" for name in request.by]
        return f"delete from {self.quote(request.table.name)} where {' and '.join(terms)}"

    def _guarded(self, table: Table, guards: tuple[str, ...], keys: int = 1) -> str:
        """Return a condition on the key and the guards; only what may be null pays for it."""
        terms = [f"{self.quote(name)} = {self.placeholder}" for name in table.key]
        if keys > 1:
            marks = ", ".join([self.placeholder] * keys)
            terms = [f"{self.quote(table.key[0])} in ({marks})"]
        for name in guards:
            form = self.same if table.column(name).nullable else "{} = {}"
            terms.append(form.format(self._key_operand(table, name), self.placeholder))
        return " and ".join(terms)

    # ── what leads nowhere ──────────────────────────────────────────────────────────────────

    def decoded(
        self, table: Table, columns: tuple[str, ...], row: tuple[Any, ...]
    ) -> tuple[object, ...]:
        """Return the values of *columns*, the first of *row*, in Python form."""
        decoders = [self.decoders[table.column(name).kind] for name in columns]
        return tuple(
            decode(value) if decode is not None and value is not None else value
            for decode, value in zip(decoders, row, strict=False)
        )

    def orphans(self, table: Table, reference: Reference, limit: int) -> Statement:
        """Return the statement for key and reference columns of rows that refer to no row."""
        quote = self.quote
        shown = [f"c.{quote(name)}" for name in (*table.key, *reference.columns)]
        pairs = zip(reference.columns, reference.target, strict=True)
        on = " and ".join(f"p.{quote(target)} = c.{quote(name)}" for name, target in pairs)
        filled = " and ".join(f"c.{quote(name)} is not null" for name in reference.columns)
        parent = f"select 1 from {quote(reference.table)} as p where {on}"
        return (
            f"select {', '.join(shown)} from {quote(table.name)} as c"
            f" where {filled} and not exists ({parent}) limit {self.placeholder}"
        ), (limit,)
