"""Scopes: what has been changed since when, and how to take it back.

A scope keeps an *undo* for every record that was touched in it: the state that the record had when
the scope first touched it, and the dirty value (or its absence) of every field at that moment. A
field that is not listed was not touched in the scope. An undo without a list (``before is None``)
says that nothing of the record was dirty then, so that taking it back means going back to the
clean values; that is the cheap and usual form.

A scope ends in one of three ways: its changes are written (then :meth:`Scope.forget` takes what
was written out of its parents too), they fold into the parent (:meth:`Scope.fold`), or they are
taken back (:meth:`Scope.restore`).
"""

from __future__ import annotations

from graven._hints import TYPE_CHECKING, Any, Protocol
from graven.core.values import ABSENT, same

if TYPE_CHECKING:
    from typing import Final

__all__ = ["UNDO_CLEAN", "UNDO_NONE", "Record", "Scope", "Undo"]


class Record(Protocol):
    """What a scope needs of a record."""

    state: str | None

    def dirty_value(self, field: str) -> object:
        """Return the dirty value of *field*, or ``ABSENT`` if the field is clean."""
        raise NotImplementedError

    def put_dirty(self, field: str, value: object) -> None:
        """Set the dirty value of *field*; ``ABSENT`` makes the field clean."""
        raise NotImplementedError

    def dirty_fields(self) -> tuple[str, ...]:
        """Return the names of the fields that are dirty now."""
        raise NotImplementedError


class Undo:
    """How one record was when a scope first touched it."""

    __slots__ = ("before", "state")

    def __init__(self, state: str | None, before: dict[str, object] | None) -> None:
        """Keep the *state* and the dirty values *before*."""
        self.state = state
        self.before = before


#: The record was clean.
UNDO_CLEAN: Final = Undo("clean", None)
#: The record was not there.
UNDO_NONE: Final = Undo(None, None)


class Scope:
    """One open scope; *parent* is ``None`` for the outermost one.

    ``undo`` is the scope's memory, ``marks`` are values of single fields that its owner needs to
    keep beside it.
    """

    __slots__ = ("children", "is_open", "marks", "owner", "parent", "undo")

    def __init__(self, parent: Scope | None = None, owner: object = None) -> None:
        """Open a scope inside *parent*, for the task *owner*."""
        self.parent = parent
        self.owner = owner
        self.undo: dict[Any, Undo] = {}
        self.marks: dict[tuple[Record, str], object] = {}
        self.is_open = True
        self.children = 0
        if parent is not None:
            parent.children += 1

    def close(self) -> None:
        """Mark the scope as ended."""
        self.is_open = False
        if self.parent is not None:
            self.parent.children -= 1

    def touch(self, record: Record, field: str | None = None) -> None:
        """Remember how *record* and its *field* are now, unless an earlier moment is known."""
        undo = self.undo.get(record)
        if undo is None:
            undo = self.undo[record] = self._first(record)
        if field is not None and undo.before is not None and field not in undo.before:
            undo.before[field] = record.dirty_value(field)

    def touch_all(self, record: Record) -> None:
        """Remember *record* with every field that is dirty now."""
        self.touch(record)
        for field in record.dirty_fields():
            self.touch(record, field)

    def _first(self, record: Record) -> Undo:
        if record.state not in (None, "clean") or self._is_known_above(record):
            return Undo(record.state, {})
        return UNDO_CLEAN if record.state is not None else UNDO_NONE

    def _is_known_above(self, record: Record) -> bool:
        scope = self.parent
        while scope is not None:
            if record in scope.undo:
                return True
            scope = scope.parent
        return False

    def changed_fields(self, record: Record) -> tuple[str, ...]:
        """Return the fields of *record* that differ from when the scope first touched them."""
        undo = self.undo[record]
        if undo.before is None:
            return record.dirty_fields()
        return tuple(
            field
            for field, value in undo.before.items()
            if not same(record.dirty_value(field), value)
        )

    def fold(self, into: Scope) -> None:
        """Fold what was touched here into the scope *into*, whose own memory is older and wins."""
        for record, undo in self.undo.items():
            older = into.undo.get(record)
            if older is None:
                into.undo[record] = undo
            elif older.before is not None and undo.before is not None:
                into.undo[record] = Undo(older.state, {**undo.before, **older.before})
        self.undo = {}

    def restore(self, record: Record) -> None:
        """Take back what was done to *record* in this scope: values, presence and state.

        :raises KeyError: if the scope did not touch the record.
        """
        undo = self.undo.pop(record)
        if undo.before is None:
            for field in record.dirty_fields():
                record.put_dirty(field, ABSENT)
        else:
            for field, value in undo.before.items():
                record.put_dirty(field, value)
        record.state = undo.state

    def forget(self, record: Record, fields: tuple[str, ...] | None = None) -> None:
        """Drop the memory of *record*, or only of its *fields*, here and in all parents."""
        scope: Scope | None = self
        while scope is not None:
            undo = scope.undo.get(record)
            if undo is not None:
                if fields is None:
                    del scope.undo[record]
                elif undo.before is not None:
                    for field in fields:
                        undo.before.pop(field, None)
            scope = scope.parent
