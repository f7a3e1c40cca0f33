"""The unit of work: what is new, dirty or deleted in which scope, and how to take it back."""

from __future__ import annotations

from collections.abc import Iterator

from graven._hints import Any
from graven.core.bulk import BulkMembership
from graven.core.lifecycle import CHANGED, CLEAN, DELETED, INITIALIZED, INSERTED
from graven.core.records import ObjectRecord
from graven.core.scopes import Scope
from graven.core.tracking import SET_ATTRIBUTE, SET_CLASS
from graven.core.values import ABSENT
from graven.errors import ScopeError

__all__ = ["UnitOfWork"]


class UnitOfWork(BulkMembership):
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
                if instance in self.records:
                    self.look(self.records[instance])
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
            self._relax()

    def _relax(self) -> None:
        """Only the outermost scope is open: writes need not be told apart any more."""
        self.is_strict = False
        self.seen.clear()

    def confirm(self, scope: Scope) -> None:
        """Fold the changes of a scope into its parent, and end it."""
        self.check_end(scope)
        if scope.parent is not None:
            self.settle()
            self.finish(scope)

    def finish(self, scope: Scope) -> None:
        """End a scope and leave what is still pending of it to its parent."""
        parent = scope.parent
        if parent is None:
            for record in list(scope.undo):
                self._let_go(record)
            return
        if parent.parent is None:
            for record in scope.undo:
                if record.state is not None:
                    self.touch(parent, record)
            scope.undo = {}
        else:
            scope.fold(parent)
        self.close_scope(scope)

    def _let_go(self, record: ObjectRecord) -> None:
        """Let go of a record in which nothing is pending after all."""
        if record.clean is None or record.state not in (CLEAN, CHANGED) or record.bits():
            return
        self.root.undo.pop(record, None)
        record.state = CLEAN
        self.drop_record(record)

    def cancel(self, scope: Scope) -> None:
        """Take back what was changed in a scope, and end it, unless it is the outermost.

        :raises SessionError: while another task's commit writes what the scope has changed.
        """
        self.check_end(scope)
        late = [record for (record, _), (one, _) in self.late.items() if one is scope]
        self.refuse_sealed("cancel a scope", [*scope.undo, *late])
        self.settle()
        if scope.parent is None:
            self._cancel_root()
            return
        for record in reversed(list(scope.undo)):
            self._cancel_record(scope, record)
        self.close_scope(scope)

    def _cancel_record(self, scope: Scope, record: Any) -> None:
        before = record.state
        scope.restore(record)
        if record.state is None:
            if before is not None:
                self.take_out(record)
            return
        if record.clean is not None and record.state in (CLEAN, CHANGED):
            record.state = CHANGED if record.bits() else CLEAN
        if before is None:
            self._bring_back(record)
        elif before == DELETED and record.state != DELETED:
            self.unbury(record)
        elif before != DELETED and record.state == DELETED:
            SET_ATTRIBUTE(record.instance, "_origin", self.grave_origin(record.version))
            self.map_of(record.mapper).bury(record.key, record.instance)
        self.look(record)
        if record.state == CLEAN:
            self.drop_record(record)

    def _bring_back(self, record: ObjectRecord) -> None:
        """Undo the taking out of a new object."""
        SET_ATTRIBUTE(record.instance, "_origin", self.fresh_origin())
        SET_CLASS(record.instance, record.mapper.guard)
        self.records[record.instance] = record
        if record.mapper.watched:
            self.watched[record.instance] = None
        if record.key is not None:
            self.enter(self.map_of(record.mapper), record.key, record.instance)

    def _cancel_root(self) -> None:
        """Go back to what is stored: all that is pending goes."""
        self.root.undo.clear()
        for record in reversed(list(self.records.values())):
            if record.clean is None:
                record.state = None
                self.take_out(record)
                continue
            for field in record.dirty_fields():
                record.put_dirty(field, ABSENT)
            if record.state == DELETED:
                self.unbury(record)
            record.state = CLEAN
            self.drop_record(record)

    def cancel_all(self) -> None:
        """Take back everything in all scopes, and end those that are not the outermost."""
        self.settle()
        for head in list(self.heads.values()):
            scope: Scope | None = head
            while scope is not None and scope.parent is not None:
                scope.undo = {}
                if scope.is_open:
                    scope.close()
                scope = scope.parent
        self.heads.clear()
        self._relax()
        self._cancel_root()

    def clear(self) -> None:
        """Forget every object, change and scope.

        Objects in hand become snapshots of an ended session.
        """
        self.refuse_sealed("clear the session", self.records.values())
        self.refuse_flushed("clear the session", bool(self.flushed))
        self.settle()
        shelf = self._shelf()
        for record in self.records.values():
            self._let_loose(record, shelf)
        for identity in self.maps.values():
            for entry in identity.entries.values():
                instance = entry()
                if instance is not None and instance._origin is not None:
                    SET_ATTRIBUTE(instance, "_origin", shelf.origin(instance._origin.version))
        for scope in self.all_scopes():
            scope.is_open = False
        for collection in (self.records, self.touched, self.watched, self.maps, self.entries):
            collection.clear()
        self.rosters.clear()
        self.heads.clear()
        self.flushed.clear()
        self.root = Scope()
        self._relax()

    # -- views -------------------------------------------------------------------------------------

    def new_in(self, scope: Scope) -> Iterator[ObjectRecord]:
        """Yield the records of the objects that are new in a scope."""
        for record, undo in list(scope.undo.items()):
            if undo.state is None and record.state in (INSERTED, INITIALIZED):
                yield record

    def deleted(self) -> Iterator[ObjectRecord]:
        """Yield the records of all objects whose deletion is pending."""
        for record in list(self.records.values()):
            if record.state == DELETED:
                yield record

    def deleted_in(self, scope: Scope) -> Iterator[ObjectRecord]:
        """Yield the records of the objects that were deleted in a scope."""
        for record, undo in list(scope.undo.items()):
            if record.state == DELETED and undo.state != DELETED:
                yield record

    def dirty_in(self, scope: Scope) -> Iterator[ObjectRecord]:
        """Yield the records of the objects that were changed in a scope and exist outside it."""
        for record, undo in list(scope.undo.items()):
            if (
                undo.state is not None
                and record.state in (CHANGED, INSERTED)
                and scope.changed_fields(record)
            ):
                yield record
