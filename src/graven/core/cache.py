"""The record cache.

A three-dimensional array table → row → field that knows what has changed since when.

A cell holds a value, ``None``, or nothing: absent is not ``None``. For every field the cache knows
the *clean* value, as it was read, and the *dirty* one, as it is now. The cache does no database
access; whoever reads from a store writes what was read with
:meth:`RecordCache.write_clean` and asks :meth:`RecordCache.dirty_tables` what has to be written
back. The states of a record and what leads from one to the other are the table in
:mod:`graven.core.lifecycle`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from graven._hints import Any
from graven.core.lifecycle import CHANGED, CLEAN, DELETED, INSERTED, transition
from graven.core.scopes import Scope, Undo
from graven.core.values import ABSENT, same
from graven.errors import UsageError

__all__ = ["CacheRecord", "RecordCache"]


class CacheRecord:
    """One row: its clean values, and the dirty ones that differ from them."""

    __slots__ = ("clean", "dirty", "row", "state", "table")

    def __init__(self, table: str, row: object) -> None:
        """Make a record that the cache knows nothing of yet."""
        self.table = table
        self.row = row
        self.state: str | None = None
        self.clean: dict[str, object] = {}
        self.dirty: dict[str, object] = {}

    def clean_value(self, field: str) -> object:
        """Return the clean value of *field* or ``ABSENT``."""
        return self.clean.get(field, ABSENT)

    def dirty_value(self, field: str) -> object:
        """Return the dirty value of *field*, or ``ABSENT`` if the field is clean."""
        return self.dirty.get(field, ABSENT)

    def put_dirty(self, field: str, value: object) -> None:
        """Set the dirty value of *field*; ``ABSENT`` makes the field clean."""
        if value is ABSENT:
            self.dirty.pop(field, None)
        else:
            self.dirty[field] = value

    def dirty_fields(self) -> tuple[str, ...]:
        """Return the names of the fields that are dirty now."""
        return tuple(self.dirty)

    def settle(self) -> None:
        """Make the dirty values the clean ones."""
        self.clean.update(self.dirty)
        self.dirty.clear()

    def put_aside(self, scope: Scope) -> None:
        """Empty the record of what has gone; *scope* keeps the clean values, to bring them back."""
        for field, value in self.clean.items():
            scope.marks.setdefault((self, field), value)
        self.clean.clear()
        self.dirty.clear()


def _pairs(
    table: str, row: object, data: Mapping[str, object] | Iterable[tuple[str, object]]
) -> dict[str, object]:
    try:
        return dict(data)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"cannot write clean values of record {row!r} of table {table!r}: expected a mapping, "
            f"or pairs of field and value, and got {data!r:.100}. Usually a bare row was given; "
            "pair it with its fields, as in zip(fields, row). Nothing was written."
        ) from error


def _state(record: CacheRecord | None) -> str | None:
    return None if record is None else record.state


class RecordCache:
    """A cache of records with nested scopes, usable with no model and no database.

    >>> cache = RecordCache()
    >>> cache.write_clean("account", 1, {"owner": "Ada", "balance": 100})
    >>> cache.write_dirty("account", 1, "balance", 70)
    >>> cache.read("account", 1, "balance"), cache.read("account", 1, "balance", dirty=False)
    (70, 100)
    >>> cache.dirty_tables()
    {'account': {1: {'balance': 70}}}
    >>> cache.cancel()
    >>> cache.state("account", 1), cache.dirty_tables()
    ('clean', {})
    """

    def __init__(self) -> None:
        """Make an empty cache with no scope open."""
        self._tables: dict[str, dict[object, CacheRecord]] = {}
        self._scope: Scope | None = None

    # -- reading -----------------------------------------------------------------------------------

    def read(self, table: str, row: object, field: str, dirty: bool = True) -> object:
        """Return the current value of a cell, or its clean value if *dirty* is false.

        :raises KeyError: if the cell holds no such value.
        """
        record = self._find(table, row)
        value: object = ABSENT
        if record is not None:
            value = record.dirty_value(field) if dirty else ABSENT
            if value is ABSENT:
                value = record.clean_value(field)
        if value is ABSENT:
            raise KeyError((table, row, field))
        return value

    def has(self, table: str, row: object, field: str, dirty: bool | None = None) -> bool:
        """Say whether a cell has a dirty value (*dirty* is ``True``).

        With ``False`` whether it has a clean one, with ``None`` whether it has either.
        """
        record = self._find(table, row)
        if record is None:
            return False
        has_dirty = dirty is not False and record.dirty_value(field) is not ABSENT
        return has_dirty or (dirty is not True and record.clean_value(field) is not ABSENT)

    def state(self, table: str, row: object) -> str | None:
        """Return the state of a record, ``None`` if the cache knows nothing of it.

        The states are those of :mod:`graven.core.lifecycle`.
        """
        return _state(self._find(table, row))

    def uncached_fields(self, table: str, row: object, fields: Iterable[str]) -> list[str]:
        """Return those of *fields*, in their order, that have neither a clean nor a dirty value."""
        return [field for field in fields if not self.has(table, row, field)]

    def dirty_tables(self) -> dict[str, dict[object, dict[str, object]]]:
        """Return ``{table: {row: {field: dirty value}}}`` of inserted, changed and deleted records.

        A draft, that is a record which is initialized but was never written, is not among them.
        """
        found: dict[str, dict[object, dict[str, object]]] = {}
        for table, rows in self._tables.items():
            for row, record in rows.items():
                if record.state in (INSERTED, CHANGED, DELETED):
                    found.setdefault(table, {})[row] = dict(record.dirty)
        return found

    # -- writing -----------------------------------------------------------------------------------

    def write_clean(
        self, table: str, row: object, data: Mapping[str, object] | Iterable[tuple[str, object]]
    ) -> None:
        """Write what was read from the store.

        A field that has a clean value keeps it: the first read wins, which gives repeatable reads
        on any store. The record becomes clean if the cache knew nothing of it; otherwise its state
        and its dirty values stay. No data are no write.

        :raises UsageError: if *data* is neither a mapping nor made of pairs.
        """
        pairs = _pairs(table, row, data)
        if not pairs:
            return
        record = self._enter(table, row)
        record.state = transition("write_clean", record.state, table, row)
        for field, value in pairs.items():
            record.clean.setdefault(field, value)

    def write_dirty(self, table: str, row: object, field: str, value: object) -> None:
        """Write the current value of a cell. The first such write with no scope open begins one.

        A value that is the current one is no change; a value that is the clean one makes the field
        clean, and a changed record with it once no field is dirty any more.

        :raises StateChangeError: if the record is deleted.
        """
        record = self._find(table, row)
        following = transition("write_dirty", _state(record), table, row)
        if record is not None and self._is_current(record, field, value):
            return
        record = self._enter(table, row)
        self._open_scope().touch(record, field)
        record.put_dirty(field, ABSENT if same(value, record.clean_value(field)) else value)
        record.state = CLEAN if following == CHANGED and not record.dirty else following

    def insert_record(self, table: str, row: object) -> None:
        """Begin a new record; :meth:`initialized` ends its beginning.

        A deleted record is replaced: it is changed, and what was dirty before its deletion is not.

        :raises DuplicateRecordError: if the cache knows the record.
        """
        self._move("insert_record", table, row).dirty.clear()

    def initialized(self, table: str, row: object) -> None:
        """End the beginning of a record: the next write that changes something makes it inserted.

        :raises StateChangeError: if the record is not initializing.
        """
        self._move("initialized", table, row)

    def delete_record(self, table: str, row: object) -> None:
        """Mark a record as deleted; one that was never in the store is forgotten instead."""
        record = self._move("delete_record", table, row)
        if record.state is None:
            record.put_aside(self._open_scope())

    def make_clean(self, table: str, row: object) -> None:
        """Say that a record is in the store as it is now: its dirty values become the clean ones.

        No scope takes back any more what was done to it until now. A deleted record is forgotten.
        """
        record = self._find(table, row)
        if record is None:
            return
        record.state = transition("make_clean", record.state, table, row)
        self._forget(record)
        record.settle()
        if record.state is None:
            self._drop(record)

    def remove(self, table: str, row: object) -> None:
        """Forget a record, dirty or not, and every scope's memory of it."""
        record = self._tables.get(table, {}).get(row)
        if record is not None:
            self._forget(record)
            self._drop(record)

    def clear(self, old_only: bool = False) -> None:
        """Forget everything and end all scopes; with *old_only* forget only the clean values.

        What is left after ``old_only`` are the own changes, and the scopes that can take them back:
        the next read of the store fills in newer data below them.
        """
        if not old_only:
            self._tables.clear()
            self._scope = None
            return
        for scope in self._scopes():
            scope.marks.clear()
            for record, undo in scope.undo.items():
                if undo.state == CLEAN:
                    scope.undo[record] = Undo(None, undo.before)
        for rows in list(self._tables.values()):
            for record in list(rows.values()):
                record.clean.clear()
                if record.state == CLEAN:
                    record.state = None
                self._drop_if_unknown(record)

    # -- scopes ------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Open a scope inside the innermost one."""
        self._scope = Scope(self._scope)

    def confirm(self) -> None:
        """Close the innermost scope and fold its changes into the one around it.

        Nothing if none is open.
        """
        scope = self._scope
        if scope is None:
            return
        touched: list[Any] = list(scope.undo)
        if scope.parent is not None:
            scope.fold(scope.parent)
            for mark, value in scope.marks.items():
                scope.parent.marks.setdefault(mark, value)
        self._leave(scope, touched)

    def cancel(self) -> None:
        """Close the innermost scope and take its changes back: values, presence and states.

        Clean values that were loaded meanwhile stay. Nothing if none is open.
        """
        scope = self._scope
        if scope is None:
            return
        touched: list[Any] = list(scope.undo)
        for record in touched:
            scope.restore(record)
        self._bring_back(scope)
        for record in touched:
            if record.state is None and record.clean:
                record.state = CLEAN
        self._leave(scope, touched)

    # -- inside ------------------------------------------------------------------------------------

    def _find(self, table: str, row: object) -> CacheRecord | None:
        """Return a record that the cache knows of.

        One without a state is only there for scopes to bring it back.
        """
        rows = self._tables.get(table)
        record = None if rows is None else rows.get(row)
        return None if record is None or record.state is None else record

    def _enter(self, table: str, row: object) -> CacheRecord:
        record = self._tables.get(table, {}).get(row)
        if record is None:
            record = CacheRecord(table, row)
            self._tables.setdefault(table, {})[row] = record
        return record

    def _move(self, call: str, table: str, row: object) -> CacheRecord:
        """Take a record to the state that *call* leads to, remembering it as it was."""
        following = transition(call, _state(self._find(table, row)), table, row)
        record = self._enter(table, row)
        self._open_scope().touch_all(record)
        record.state = following
        return record

    def _drop(self, record: CacheRecord) -> None:
        rows = self._tables[record.table]
        del rows[record.row]
        if not rows:
            del self._tables[record.table]

    def _drop_if_unknown(self, record: CacheRecord) -> None:
        if record.state is None and not any(record in scope.undo for scope in self._scopes()):
            self._drop(record)

    def _scopes(self) -> Iterator[Scope]:
        """Yield the open scopes, the innermost first."""
        scope = self._scope
        while scope is not None:
            yield scope
            scope = scope.parent

    def _open_scope(self) -> Scope:
        if self._scope is None:
            self._scope = Scope()
        return self._scope

    def _leave(self, scope: Scope, touched: Iterable[CacheRecord]) -> None:
        """Close a scope, and let go of the records that no other one can bring back."""
        scope.close()
        self._scope = scope.parent
        for record in touched:
            self._drop_if_unknown(record)

    def _bring_back(self, scope: Scope) -> None:
        """Give restored records the clean values back that were put aside in *scope*."""
        marks: dict[Any, object] = {**scope.marks}
        for (record, field), value in marks.items():
            if record.state is not None:
                record.clean[field] = value
            elif scope.parent is not None:
                scope.parent.marks.setdefault((record, field), value)

    def _forget(self, record: CacheRecord) -> None:
        for scope in self._scopes():
            scope.undo.pop(record, None)
            for mark in [mark for mark in scope.marks if mark[0] is record]:
                del scope.marks[mark]

    @staticmethod
    def _is_current(record: CacheRecord, field: str, value: object) -> bool:
        current = record.dirty_value(field)
        if current is ABSENT:
            current = record.clean_value(field)
        return current is not ABSENT and same(current, value)
