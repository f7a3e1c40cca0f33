"""The part of a session that never touches the store: who belongs to it, and its scopes."""

from __future__ import annotations

from graven._async.scope import AsyncScope
from graven._async.transacting import AsyncTransacting
from graven._common import views
from graven._hints import TYPE_CHECKING, Any, TypeVar, cast
from graven.core.pausing import pausing_collector
from graven.errors import SessionError
from graven.models.model import Model, mapper_of

if TYPE_CHECKING:
    from graven._async.session import AsyncSession

__all__ = ["AsyncMembership"]

M = TypeVar("M", bound=Model)


class AsyncMembership(AsyncTransacting):
    """Joining and leaving, views, and scopes."""

    _entries: dict[Any, Any]

    @property
    def holds_writes(self) -> bool:
        """Whether a transaction of the session's own is open that has written, or locked rows."""
        return self._has_flushed

    def add(self, *objects: Any, draft: bool = False) -> None:
        """Make objects part of the session, and what they refer to.

        New ones are inserted at the next commit.

        An object of a session that has ended is taken over, with the edits made to it and the
        version they were made on. An object that was deleted is taken back. A *draft* is not
        inserted until it is changed or added again.

        :raises DuplicateRecordError: if the session has another object with that key.
        :raises SessionError: if an object belongs to another session that is open.
        """
        self._check_open("add objects")
        for instance in objects:
            if not isinstance(instance, Model):
                self._check_model(instance, "add")
        with pausing_collector(len(objects)):
            self._unit.add_all(objects, draft)

    def delete(self, *objects: Any) -> None:
        """Delete objects at the next commit; one that was never written is taken out instead.

        :raises StateChangeError: if an object is not part of the session.
        """
        self._check_open("delete objects")
        for instance in objects:
            if not isinstance(instance, Model):
                self._check_model(instance, "delete")
        with pausing_collector(len(objects)):
            self._unit.delete_all(objects)

    def expunge(self, *objects: Any) -> None:
        """Take objects out of the session, with their changes; nothing is written for them.

        :raises StateChangeError: if an object is not part of the session.
        """
        self._check_open("expunge objects")
        for instance in objects:
            self._check_model(instance, "expunge")
            self._unit.expunge(instance)

    def clear(self) -> None:
        """Forget every object, change and scope of the session; nothing is written."""
        self._check_open("clear the session")
        self._unit.clear()
        self._entries = self._unit.entries
        self._forget_reads()

    def has_key(self, model: type[Any], key: Any) -> bool:
        """Say whether the session has the object with that key; the store is not asked."""
        self._check_open("look for a key")
        mapper = mapper_of(model)
        return isinstance(self._unit.find(mapper, key), model)

    def import_instance(self, instance: M) -> M:
        """Bring in an object of another session, and return the one to be used from now on.

        That is the one that this session has already if it has one with that key; otherwise the
        object itself: a stored one is taken over with its changes, also out of a session that is
        open, and a new one becomes new here. No I/O is done.
        """
        self._check_open("import an object")
        self._check_model(instance, "import")
        mapper = mapper_of(type(instance))
        origin = instance._origin
        if origin is None or origin.unit is not self._unit:
            key = mapper.key_of(instance)
            mine = self._unit.find(mapper, key) if key is not None else None
            if mine is not None:
                return mine  # type: ignore[no-any-return]
            if origin is not None:
                self._unit.take_from(instance)
        self._unit.add(instance)
        return instance

    def guard(self, *objects: Any) -> None:
        """Let the next commit check that these objects are still as they were read.

        Though it may not write them. A new object needs no guard: there is nothing to compare.

        :raises SessionError: if an object is not part of this session.
        """
        self._check_open("guard objects")
        for instance in objects:
            self._check_model(instance, "guard")
            if self._unit.state(instance) is None:
                raise SessionError(
                    f"cannot guard {instance!r:.200}: it is not part of this session, so it is "
                    "not known at which version it was read. Load it with this session, or bring "
                    "it in with session.add first.",
                    session=self,
                )
        self._guarded.update(dict.fromkeys(objects))

    @property
    def new(self) -> views.New:
        """The objects that are new in the innermost scope; a live view."""
        return views.New(self._unit)

    @property
    def dirty(self) -> views.Dirty:
        """The objects that were changed in the innermost scope; a live view."""
        return views.Dirty(self._unit)

    @property
    def deleted(self) -> views.Deleted:
        """The objects that were deleted in the innermost scope; a live view."""
        return views.Deleted(self._unit)

    def state(self, instance: Any) -> str | None:
        """Return the state of an object in this session, ``None`` if it is not part of it.

        The states are those of :mod:`graven.core.lifecycle`.
        """
        self._check_model(instance, "tell the state of")
        return self._unit.state(instance)

    # -- scopes ------------------------------------------------------------------------------------

    def begin(self) -> AsyncScope:
        """Open a scope inside the innermost one of this task.

        ``async with session.begin():`` commits it on success and cancels it on an exception.
        """
        self._check_open("begin a scope")
        return AsyncScope(cast("AsyncSession", self), self._unit.begin(), ends_with="commit")

    def atomic(self) -> AsyncScope:
        """Open a scope whose block confirms it on success and cancels it on an exception."""
        self._check_open("begin a scope")
        return AsyncScope(cast("AsyncSession", self), self._unit.begin(), ends_with="confirm")

    def confirm(self) -> None:
        """End the innermost scope and fold its changes into the one around it.

        Nothing is written.
        """
        self._check_open("confirm a scope")
        self._unit.confirm(self._unit.scope())

    def cancel(self) -> None:
        """End the innermost scope and take its changes back in memory: values, presence, states.

        What was flushed is taken back in the store by the next flush or commit.
        """
        self._check_open("cancel a scope")
        self._unit.cancel(self._unit.scope())
