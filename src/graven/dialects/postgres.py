"""PostgreSQL: its spelling of conditions, and the writes that send many rows as arrays.

Texts are for psycopg: a value is ``%s``, and a literal ``%`` is doubled, so a text is always to be
executed *with* its parameters, an empty tuple if there are none. A text depends on the shape of a
request alone, never on the number of its rows or on a value, so that it is prepared once. The
server can tell the type of each parameter from the text: a list is one of values in store form.

Text columns are made with the collation ``"C"``, by which UTF-8 orders by code point. Orders name
it as well, for columns that somebody else made; equality needs none, and uses any index.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum

from graven._hints import TYPE_CHECKING, Any
from graven.dialects.base import Codec
from graven.dialects.postgres_codec import ARRAYS, COLUMN_ENCODERS, DECODERS, ENCODERS, TYPES
from graven.dialects.postgres_errors import translate
from graven.dialects.postgres_folding import folded_like
from graven.dialects.postgres_tables import NAME_BYTES_MAX, PostgresTables, name_refused
from graven.ops.requests import Delete, Insert, Sweep, Update
from graven.ops.text import like_tokens

if TYPE_CHECKING:
    from graven.dialects.conditions import Statement
    from graven.errors import GravenError
    from graven.ops.conditions import Select
    from graven.ops.requests import FetchKeys
    from graven.ops.schema import Table

__all__ = ["PostgresDialect"]

_LOCKS = {
    "wait": "",
    "nowait": " nowait",
    "skip_locked": " skip locked",
    "skip_or_check": " skip locked",
}


class PostgresDialect(PostgresTables):
    """Compiles requests into what psycopg executes."""

    encoders: Mapping[str, Codec | None] = ENCODERS
    decoders: Mapping[str, Codec | None] = DECODERS
    column_encoders = COLUMN_ENCODERS
    placeholder = "%s"
    same = "{} is not distinct from {}"
    differs = "{} is distinct from {}"
    quote_mark = '"'
    keys_per_statement = 65_536
    applies = True

    def translate(self, error: Exception, statement: str) -> GravenError | None:
        """Return our error for *error* at *statement*; ``None`` if it is not the store's."""
        return translate(error, statement)

    def quote(self, name: str) -> str:
        """Return *name* as an identifier; ``MappingError`` if PostgreSQL would cut it short."""
        text = self._quoted.get(name)
        if text is None:
            if len(name.encode()) > NAME_BYTES_MAX:
                raise name_refused(name)
            text = self._quoted[name] = super().quote(name).replace("%", "%%")
        return text

    # ── conditions ──────────────────────────────────────────────────────────────────────────

    def operand(self, column: str, kind: str) -> str:
        """Return *column* as an operand; only as text can JSON be compared."""
        return f"{column}::text" if kind == "json" else column

    def sortable(self, column: str, kind: str) -> str:
        """Return *column* as an operand of an order: texts go by code point."""
        is_text = kind in ("str", "objectid")
        return f'{column} collate "C"' if is_text else self.operand(column, kind)

    def ordered(self, operand: str, descending: bool, nullable: bool) -> str:
        """Return a term of an order, in which nulls are the least."""
        word = " desc" if descending else ""
        if not nullable:
            return operand + word
        return f"{operand}{word} nulls {'last' if descending else 'first'}"

    def limit(self, limit: int | None, parameters: list[object]) -> str:
        """Return what follows the word limit; ``None`` is no limit."""
        return "all" if limit is None else super().limit(limit, parameters)

    def contains(
        self, column: str, kind: str, values: Sequence[object], parameters: list[object]
    ) -> str:
        """Return a condition that *column* is one of *values*, which are one parameter."""
        parameters.append(list(values))
        return f"{column} = any(%s::{ARRAYS['str' if kind == 'json' else kind]})"

    def like(self, column: str, pattern: str, ignore_case: bool, parameters: list[object]) -> str:
        """Return a condition that *column* matches *pattern*; no text here contains a NUL."""
        if "\0" in pattern:
            return "false"
        if ignore_case:
            return folded_like(column, pattern, parameters)
        parameters.append(_pattern(pattern))
        return f"{column} like %s"

    def lock(self, select: Select, root: str) -> str:
        """Return what locks the rows of *select*, and not those it is joined to."""
        of = f" of {root[:-1]}" if root else ""
        return f" for update{of}{_LOCKS[select.lock or 'wait']}"

    # ── reading ─────────────────────────────────────────────────────────────────────────────

    def _some_keys(self, request: FetchKeys, keys: Sequence[Sequence[object]]) -> Statement:
        """Return one statement for any number of *keys*."""
        shape = "keys", request.table, request.columns, request.by
        text = self._texts.get(shape)
        if text is None:
            text = self._texts[shape] = self._keys_text(request, 0)
        return text, _arrays(keys, len(request.by))

    def _keys_text(self, request: FetchKeys, size: int) -> str:
        table, by = request.table, request.by
        head = self._fetch_head(table, request.columns)
        if len(by) == 1:
            column = self._key_operand(table, by[0])
            return f"{head} where {column} = any({self._marks(table, by)})"
        columns = ", ".join(self._key_operand(table, name) for name in by)
        return f"{head} where ({columns}) in (select * from unnest({self._marks(table, by)}))"

    # ── writing ─────────────────────────────────────────────────────────────────────────────

    def write(self, request: Insert | Update | Delete | Sweep) -> Statement:
        """Return the one statement that writes all rows of *request*.

        It returns the keys of rows whose keys the store makes, in the order of the rows; otherwise
        its row count is the number of rows matched. One row goes as plain parameters, many as one
        array for each column.
        """
        if isinstance(request, Insert) and not request.columns:
            return self._defaults(request), (len(request.rows),)
        if len(request.rows) == 1:
            return self._single[type(request)](self, request), request.rows[0]
        return self._many(request), _arrays(request.rows, len(_names(request)))

    def copy(self, request: Insert) -> tuple[str, list[str]]:
        """Return the text that copies the rows of *request* in, in binary form, and their types.

        Several times quicker than arrays from some twenty rows on, for keys that are known. The
        types are those to announce to psycopg: it would make a JSON text of a JSON text.
        """
        table, columns = request.table, request.columns
        text = f"copy {self.quote(table.name)} ({self.quoted(columns)}) from stdin (format binary)"
        kinds = (table.column(name).kind for name in columns)
        return text, [TYPES["str" if kind == "json" else kind] for kind in kinds]

    def _insert_one(self, request: Insert) -> str:
        return self.insert(request, 1)

    def _defaults(self, request: Insert) -> str:
        table, key = request.table, self.quote(request.table.key[0])
        return (
            f"insert into {self.quote(table.name)} select from generate_series(1, %s::bigint) "
            f"returning {key}"
        )

    def _many(self, request: Insert | Update | Delete | Sweep) -> str:
        """Return the text that writes many rows of *request*."""
        guards = request.guards if isinstance(request, Update | Delete) else ()
        shape = "many", type(request), request.table, _names(request), guards
        text = self._texts.get(shape)
        if text is None:
            text = self._texts[shape] = self._several[type(request)](self, request)
        return text

    def _insert_many(self, request: Insert) -> str:
        table, columns = request.table, _names(request)
        head = f"insert into {self.quote(table.name)} ({self.quoted(columns)}) select"
        source = f"unnest({self._marks(table, columns)})"
        if not table.store_made or table.key[0] in columns:
            return f"{head} * from {source}"
        # Keys are made in the order of the rows only if that order is asked for.
        names = [f"c{at}" for at in range(len(columns))]
        return (
            f"{head} {', '.join(names)} from {source} with ordinality as v ({', '.join(names)}, n)"
            f" order by n returning {self.quote(table.key[0])}"
        )

    def _update_many(self, request: Update) -> str:
        table, quote = request.table, self.quote
        changes = [f"{quote(name)} = v.c{at}" for at, name in enumerate(request.columns)]
        if table.version is not None and table.version not in request.columns:
            changes.append(f"{quote(table.version)} = t.{quote(table.version)} + 1")
        source = self._rows(table, _names(request))
        where = self._matched(table, len(request.columns), table.key, request.guards)
        return (
            f"update {quote(table.name)} as t set {', '.join(changes)} from {source} where {where}"
        )

    def _delete_many(self, request: Delete) -> str:
        table = request.table
        source = self._rows(table, _names(request))
        where = self._matched(table, 0, table.key, request.guards)
        return f"delete from {self.quote(table.name)} as t using {source} where {where}"

    def _sweep_many(self, request: Sweep) -> str:
        table = request.table
        source = self._rows(table, _names(request))
        where = self._matched(table, 0, request.by, ())
        return f"delete from {self.quote(table.name)} as t using {source} where {where}"

    def _rows(self, table: Table, names: tuple[str, ...]) -> str:
        """Return rows ``v`` of parameters, with columns ``c0``, ``c1``, …, typed as *names* are."""
        columns = ", ".join(f"c{at}" for at in range(len(names)))
        return f"unnest({self._marks(table, names)}) as v ({columns})"

    def _marks(self, table: Table, names: tuple[str, ...]) -> str:
        """Return a placeholder for an array of values of each column of *names*."""
        return ", ".join(f"%s::{ARRAYS[table.column(name).kind]}" for name in names)

    def _matched(
        self, table: Table, start: int, key: tuple[str, ...], guards: tuple[str, ...]
    ) -> str:
        """Return the condition that a row of ``t`` is the one that ``v`` means, from *start* on."""
        terms: list[str] = []
        for at, name in enumerate((*key, *guards), start):
            column = table.column(name)
            form = self.same if name in guards and column.nullable else "{} = {}"
            mine = self.operand(f"t.{self.quote(name)}", column.kind)
            terms.append(form.format(mine, self.operand(f"v.c{at}", column.kind)))
        return " and ".join(terms)

    _single: Mapping[type[Any], Callable[..., str]] = {
        Insert: _insert_one,
        Update: PostgresTables.update,
        Delete: PostgresTables.delete,
        Sweep: PostgresTables.sweep,
    }
    _several: Mapping[type[Any], Callable[..., str]] = {
        Insert: _insert_many,
        Update: _update_many,
        Delete: _delete_many,
        Sweep: _sweep_many,
    }

    # ── statements of the caller's own ──────────────────────────────────────────────────────

    def parameters(self, given: Sequence[object] | dict[str, object]) -> Any:
        """Return the parameters of a statement in the store's language, values in store form.

        ``None`` if there are none: then a ``%`` in the statement means itself.
        """
        if not given:
            return None
        if isinstance(given, dict):
            return {name: _plain(value) for name, value in given.items()}
        return [_plain(value) for value in given]


def _names(request: Insert | Update | Delete | Sweep) -> tuple[str, ...]:
    """Return the column that each value of a row of *request* is for."""
    if isinstance(request, Insert):
        return request.columns
    if isinstance(request, Sweep):
        return request.by
    changed = request.columns if isinstance(request, Update) else ()
    return (*changed, *request.table.key, *request.guards)


def _arrays(rows: Sequence[Sequence[object]], width: int) -> list[list[object]]:
    """Return the columns of *rows*, each *width* values long, as lists; empty if there are none."""
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(width)]


def _plain(value: object) -> object:
    return value.value if isinstance(value, Enum) else value


def _pattern(pattern: str) -> str:
    r"""Return *pattern* as ``like`` reads it, which refuses a ``\`` at the end."""
    return "".join(
        f"\\{character}" if not is_wild and character in "%_\\" else character
        for is_wild, character in like_tokens(pattern)
    )
