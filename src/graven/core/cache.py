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

from collections.abc import Iterable, Mapping

from graven.core.lifecycle import CHANGED, CLEAN, DELETED, INITIALIZED, INSERTED, transition
from graven.core.scopes import Scope
from graven.core.values import ABSENT, same

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
        """Set the dirty value of *field*; ``ABSENT``, or a value that is the clean one.

        Makes the field clean.
        """
        if value is ABSENT or (field in self.clean and same(value, self.clean[field])):
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

    def has_value(self) -> bool:
        """Say whether any cell of the record holds something."""
        return bool(self.clean or self.dirty)


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
        """Say whether a cell has a dirty value (``True``).

        A clean one (``False``) or either (``None``).
        """
        record = self._find(table, row)
        if record is None:
            return False
        has_dirty = dirty is not False and record.dirty_value(field) is not ABSENT
        return has_dirty or (dirty is not True and record.clean_value(field) is not ABSENT)

    def state(self, table: str, row: object) -> str | None:
        """Return the state of a record: one of the names in :mod:`~graven.core.lifecycle`.

        Or ``None``.
        """
        record = self._find(table, row)
        return None if record is None else record.state

    def uncached_fields(self, table: str, row: object, fields: Iterable[str]) -> list[str]:
        """Return those of *fields*, in their order, that have neither a clean nor a dirty value."""
        return [field for field in fields if not self.has(table, row, field)]

    def dirty_tables(self) -> dict[str, dict[object, dict[str, object]]]:
        """Return ``{table: {row: {field: current value}}}`` of all inserted.

        Changed and deleted records.

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
        stays.
        """
        pairs = dict(data)
        record = self._enter(table, row)
        record.state = transition("write_clean", record.state, table, row)
        for field, value in pairs.items():
            if field not in record.clean:
                record.clean[field] = value
                record.put_dirty(field, record.dirty_value(field))
        self._become_clean_if_unchanged(record)

    def write_dirty(self, table: str, row: object, field: str, value: object) -> None:
        """Write the current value of a cell. The first such write with no scope open begins one.

        A value that is the current one is no change; a value that is the clean one makes the field
        clean.

        :raises StateChangeError: if the record is deleted.
        """
        record = self._find(table, row)
        following = transition("write_dirty", _state(record), table, row)
        if record is not None and self._is_current(record, field, value):
            return
        record = self._enter(table, row)
        self._open_scope().touch(record, field)
        record.state = following
        record.put_dirty(field, value)
        self._become_clean_if_unchanged(record)

    def insert_record(self, table: str, row: object) -> None:
        """Begin a new record; :meth:`initialized` ends its beginning. A deleted one is replaced.

        :raises DuplicateRecordError: if the cache knows the record.
        """
        record = self._find(table, row)
        following = transition("insert_record", _state(record), table, row)
        record = self._enter(table, row)
        self._open_scope().touch_all(record)
        record.state = following

    def initialized(self, table: str, row: object) -> None:
        """End the beginning of a record: the next write that changes something makes it inserted.

        :raises StateChangeError: if the record is not initializing.
        """
        record = self._find(table, row)
        following = transition("initialized", _state(record), table, row)
        record = self._enter(table, row)
        self._open_scope().touch_all(record)
        record.state = following

    def delete_record(self, table: str, row: object) -> None:
        """Mark a record as deleted; one that was never in the store is forgotten instead."""
        record = self._enter(table, row)
        following = transition("delete_record", record.state, table, row)
        self._open_scope().touch_all(record)
        record.state = following
        if following is None:
            record.dirty.clear()

    def make_clean(self, table: str, row: object) -> None:
        """Say that a record is in the store as it is now.

        Its dirty values become the clean ones.
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
        record = self._find(table, row)
        if record is not None:
            self._forget(record)
            self._drop(record)

    def clear(self, old_only: bool = False) -> None:
        """Forget everything and end all scopes; with *old_only* forget only the clean values.

        What is left after ``old_only`` are the own changes: the next read of the store fills in
        newer data below them.
        """
        if not old_only:
            self._tables.clear()
            self._scope = None
            return
        for rows in list(self._tables.values()):
            for record in list(rows.values()):
                record.clean.clear()
                if record.state == CLEAN and not record.dirty:
                    self._forget(record)
                    self._drop(record)

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
        if scope.parent is not None:
            scope.fold(scope.parent)
        scope.close()
        self._scope = scope.parent

    def cancel(self) -> None:
        """Close the innermost scope and take its changes back: values, presence and states.

        Nothing if none is open.
        """
        scope = self._scope
        if scope is None:
            return
        for record in reversed(list(scope.undo)):
            scope.restore(record)
            if isinstance(record, CacheRecord):
                self._tidy(record)
        scope.close()
        self._scope = scope.parent

    # -- inside ------------------------------------------------------------------------------------

    def _find(self, table: str, row: object) -> CacheRecord | None:
        rows = self._tables.get(table)
        record = None if rows is None else rows.get(row)
        return None if record is None or record.state is None else record

    def _enter(self, table: str, row: object) -> CacheRecord:
        rows = self._tables.setdefault(table, {})
        record = rows.get(row)
        if record is None:
            record = rows[row] = CacheRecord(table, row)
        return record

    def _drop(self, record: CacheRecord) -> None:
        rows = self._tables[record.table]
        rows.pop(record.row, None)
        if not rows:
            del self._tables[record.table]

    def _tidy(self, record: CacheRecord) -> None:
        """After a scope was taken back: clean values loaded meanwhile stay.

        An empty record goes.
        """
        if record.state is None and record.clean:
            record.state = CLEAN
        if record.state is None or (record.state == CLEAN and not record.has_value()):
            self._drop(record)

    def _open_scope(self) -> Scope:
        if self._scope is None:
            self._scope = Scope()
        return self._scope

    def _forget(self, record: CacheRecord) -> None:
        if self._scope is not None:
            self._scope.forget(record)

    @staticmethod
    def _is_current(record: CacheRecord, field: str, value: object) -> bool:
        current = record.dirty_value(field)
        if current is ABSENT:
            current = record.clean_value(field)
        return current is not ABSENT and same(current, value)

    @staticmethod
    def _become_clean_if_unchanged(record: CacheRecord) -> None:
        if record.state == CHANGED and not record.dirty and record.clean:
            record.state = CLEAN
        elif record.state == INSERTED and not record.dirty:
            record.state = INITIALIZED
