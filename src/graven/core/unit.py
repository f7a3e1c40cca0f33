"""The unit of work: which objects are new, dirty or deleted, in which scope.

And how to take it back.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from graven.core.identity import Origin
from graven.core.lifecycle import CHANGED, CLEAN, DELETED, INITIALIZED, INSERTED
from graven.core.membership import Membership
from graven.core.records import ObjectRecord
from graven.core.scopes import Scope
from graven.core.tracking import SET_ATTRIBUTE, SET_CLASS
from graven.errors import ScopeError

__all__ = ["UnitOfWork"]


class UnitOfWork(Membership):
    """The pending work of one session."""

    def begin(self) -> Scope:
        """Open a scope inside the innermost one of the calling task."""
        self.settle()
        owner = self.owner()
        scope = Scope(self.heads.get(owner, self.root), owner)
        self.heads[owner] = scope
        if not self.is_strict:
            self.is_strict = True
            for record in self.records.values():
                SET_CLASS(record.instance, record.mapper.guard)
        for instance in self.watched:
            record = self.records.get(instance)
            if record is not None:
                for field in record.mapper.watched:
                    scope.marks[record, field.name] = record.dirty_value(field.name)
        return scope

    def check_end(self, scope: Scope) -> None:
        """See that a scope may be ended now, by this task.

        :raises ScopeError: if it is ended already, has open scopes inside, or is another task's.
        """
        if not scope.is_open:
            raise ScopeError(
                "cannot end this scope: it has been ended already, by commit, confirm or cancel. "
                "A scope ends once; "
                "begin a new one.",
                scope=scope,
            )
        if scope.children:
            raise ScopeError(
                "cannot end this scope: a scope that was begun inside it is still open. End the "
                "inner one first, or use "
                "`with session.begin()`, which keeps the order.",
                scope=scope,
            )
        if scope.parent is not None and scope.owner != self.owner():
            raise ScopeError(
                "cannot end this scope: another task began it. Let that task end it.", scope=scope
            )

    def close_scope(self, scope: Scope) -> None:
        """Take an ended scope off the chain of its task."""
        if scope.parent is None:
            return
        scope.close()
        if scope.parent.parent is None or scope.parent.owner != scope.owner:
            self.heads.pop(scope.owner, None)
        else:
            self.heads[scope.owner] = scope.parent
        if not self.heads:
            self.is_strict = False

    def confirm(self, scope: Scope) -> None:
        """Fold the changes of a scope into its parent, and end it."""
        self.check_end(scope)
        if scope.parent is None:
            return
        self.settle()
        scope.fold(scope.parent)
        self.close_scope(scope)

    def cancel(self, scope: Scope) -> None:
        """Take back what was changed in a scope, and end it, unless it is the outermost."""
        self.check_end(scope)
        self.settle()
        for record in reversed(list(scope.undo)):
            self._cancel_record(scope, record)
        scope.marks.clear()
        self.close_scope(scope)

    def _cancel_record(self, scope: Scope, record: Any) -> None:
        was_deleted = record.state == DELETED
        was_gone = record.state is None
        scope.restore(record)
        instance = record.instance
        if record.state is None:
            if not was_gone:
                self._take_out(record)
            return
        if was_deleted and record.state != DELETED:
            origin = self.fresh if record.clean is None else self.origin(record.version)
            SET_ATTRIBUTE(instance, "_origin", origin)
            self.enter(self.map_of(record.mapper), record.key, instance)
        if was_gone:
            self._bring_back(record)
        if record.state == DELETED and not was_deleted:
            SET_ATTRIBUTE(instance, "_origin", Origin(self.grave, record.version))
            self.map_of(record.mapper).entries.pop(record.key, None)
        if record.state == CLEAN:
            self.drop_record(record)

    def _bring_back(self, record: ObjectRecord) -> None:
        """Undo the taking out of a new object."""
        SET_ATTRIBUTE(record.instance, "_origin", self.fresh)
        self.records[record.instance] = record
        if record.key is not None:
            self.enter(self.map_of(record.mapper), record.key, record.instance)

    def cancel_all(self) -> None:
        """Take back everything in all scopes, and end those that are not the outermost."""
        for head in list(self.heads.values()):
            scope: Scope | None = head
            while scope is not None and scope.parent is not None:
                outer = scope.parent
                if scope.is_open:
                    scope.fold(outer)
                    scope.close()
                scope = outer
        self.heads.clear()
        self.is_strict = False
        self.cancel(self.root)

    def clear(self) -> None:
        """Forget every object, change and scope.

        Objects in hand become snapshots of an ended session.
        """
        self.settle()
        shelf = type(self)(self.owner)
        shelf.is_open = False
        for record in self.records.values():
            if record.clean is None:
                SET_CLASS(record.instance, record.mapper.model)
                SET_ATTRIBUTE(record.instance, "_origin", None)
        for identity in self.maps.values():
            for entry in identity.entries.values():
                instance = entry()
                if instance is not None and instance._origin is not None:
                    SET_ATTRIBUTE(instance, "_origin", shelf.origin(instance._origin.version))
        for collection in (self.records, self.touched, self.watched, self.maps, self.entries):
            collection.clear()
        for scope in self.all_scopes():
            scope.is_open = False
        self.heads.clear()
        self.root = Scope()
        self.is_strict = False

    # -- views -------------------------------------------------------------------------------------

    def new_in(self, scope: Scope) -> Iterator[ObjectRecord]:
        """Yield the records of the objects that are new in a scope."""
        for record, undo in list(scope.undo.items()):
            if undo.state is None and record.state in (INSERTED, INITIALIZED):
                yield record  # type: ignore[misc]

    def deleted_in(self, scope: Scope) -> Iterator[ObjectRecord]:
        """Yield the records of the objects that were deleted in a scope."""
        for record, undo in list(scope.undo.items()):
            if record.state == DELETED and undo.state != DELETED:
                yield record  # type: ignore[misc]

    def dirty_in(self, scope: Scope) -> Iterator[ObjectRecord]:
        """Yield the records of the objects that were changed in a scope and exist outside it."""
        for record, undo in list(scope.undo.items()):
            if (
                undo.state is not None
                and record.state in (CHANGED, INSERTED)
                and scope.changed_fields(record)
            ):
                yield record  # type: ignore[misc]
