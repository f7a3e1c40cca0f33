"""``AsyncSession``: the tracked work of one caller."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, overload

from graven._async import colour
from graven._async.query import AsyncQuery
from graven._async.scope import AsyncScope
from graven._async.transacting import AsyncTransacting
from graven._common import views
from graven._common.current import current_session
from graven._common.explaining import explain_plan
from graven._common.pausing import pausing_collector
from graven.core.query import Include, QuerySpec
from graven.core.unit import UnitOfWork
from graven.errors import NotFoundError, ScopeError, SessionError
from graven.flows.load import fetch_one_key
from graven.models.model import Model, hooks, mapper_of

if TYPE_CHECKING:
    from graven._async.database import AsyncDatabase
    from graven.core import scopes

__all__ = ["AsyncSession"]

M = TypeVar("M", bound=Model)


class AsyncSession(AsyncTransacting):
    """A unit of work over one database.

    Objects loaded through a session, or added to it, are tracked: :meth:`commit` writes what has
    changed, all or nothing. Leaving ``async with db.session() as session:`` commits; an exception
    in the block rolls back. Objects stay readable afterwards. Several tasks may use one session:
    their calls queue.
    """

    def __init__(self, db: AsyncDatabase, isolation: str, autoadd: bool) -> None:
        """Open a session on *db*; use ``db.session()``."""
        unit = UnitOfWork(colour.current_owner)
        super().__init__(db, unit, isolation)
        self._entries = unit.entries
        self._autoadd = autoadd
        self._tokens: list[Any] = []
        unit.loader = colour.loader_for(self)

    # -- the block ---------------------------------------------------------------------------------

    async def __aenter__(self) -> AsyncSession:
        """Make the session the current one of the task."""
        self._check_open("enter the session")
        self._tokens.append(current_session.set(self))
        if self._autoadd:
            hooks.autoadd += 1
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Commit, or roll back after an exception, and end the session."""
        if self._autoadd:
            hooks.autoadd -= 1
        current_session.reset(self._tokens.pop())
        if kind is None and colour.is_locked_elsewhere(self._lock):
            raise self._left_under_way()
        try:
            if kind is None:
                if self._unit.heads:
                    raise ScopeError(
                        "cannot leave the session: a scope that was begun in it is still open, so "
                        "it is not known what becomes of its "
                        "changes. End it with commit, confirm or cancel, or use `with "
                        "session.begin()`.",
                        scope=next(iter(self._unit.heads.values())),
                    )
                await self.commit()
            else:
                await self._roll_back_transaction()
        finally:
            await self.close()

    def _left_under_way(self) -> SessionError:
        return SessionError(
            "cannot leave the session: a call of another task on it is still under way. Wait for "
            "that task before the "
            "block ends, or give each task a session of its own.",
            session=self,
        )

    async def close(self) -> None:
        """End the session without writing. Its objects stay readable.

        And edits made to them stay known.
        """
        if self._unit.is_open:
            await self._roll_back_transaction()
            self._unit.is_open = False
            self._unit.loader = None
            self._entries = self._unit.entries = {}

    # -- objects -----------------------------------------------------------------------------------

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
        """Take objects out of the session, with their changes; nothing is written for them."""
        self._check_open("expunge objects")
        for instance in objects:
            self._unit.expunge(instance)

    def clear(self) -> None:
        """Forget every object, change and scope of the session; nothing is written."""
        self._check_open("clear the session")
        self._unit.clear()
        self._entries = self._unit.entries
        self._forget_reads()

    def has_key(self, model: type[Any], key: Any) -> bool:
        """Say whether the session has the object of *model* with that key.

        Without asking the store.
        """
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
        if origin is not None and origin.unit is not self._unit:
            key = mapper.key_of(instance)
            mine = self._unit.find(mapper, key) if key is not None else None
            if mine is not None:
                return mine  # type: ignore[no-any-return]
            if origin.unit.is_open:
                origin.unit.hand_over(instance)
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
        """Return the state of an object in this session.

        One of the names in :data:`graven.core.lifecycle.STATES`.
        """
        return self._unit.state(instance)

    # -- scopes ------------------------------------------------------------------------------------

    def begin(self) -> AsyncScope:
        """Open a scope inside the innermost one of this task.

        ``async with session.begin():`` commits it on success and cancels it on an exception.
        """
        self._check_open("begin a scope")
        return AsyncScope(self, self._unit.begin(), ends_with="commit")

    def atomic(self) -> AsyncScope:
        """Open a scope whose block folds its changes into the scope around it.

        Or takes them back on an exception.
        """
        self._check_open("begin a scope")
        return AsyncScope(self, self._unit.begin(), ends_with="confirm")

    def confirm(self) -> None:
        """End the innermost scope and fold its changes into the one around it.

        Nothing is written.
        """
        self._check_open("confirm a scope")
        self._unit.confirm(self._unit.scope())

    def cancel(self) -> None:
        """End the innermost scope and take its changes back in memory: values.

        Presence and states.
        """
        self._check_open("cancel a scope")
        self._unit.cancel(self._unit.scope())

    async def commit(self, *objects: Any) -> None:
        """Write what changed in the innermost scope, in one transaction.

        And end the scope unless it is the outermost.

        With *objects*, write only these and what they need: pending objects that they refer to,
        and their children. The scope stays open then. On any error nothing is written and memory
        is as it was before the call.

        :raises ConcurrentUpdate: if somebody else has changed what this work was based on.
        :raises DataError: if a value does not fit its field.
        :raises IntegrityError: if the store refuses a row.
        :raises BusyRetry: if the store could not answer in time; the same call may be sent again.
        """
        self._check_open("commit")
        for instance in objects:
            self._check_model(instance, "commit")
            self._unit.add(instance)
        await self.commit_scope(self._unit.scope(), objects or None)

    async def commit_scope(self, scope: scopes.Scope, only: Sequence[Any] | None = None) -> None:
        """Write the changes of *scope* and end it; see :meth:`commit`."""
        async with self._lock:
            self._unit.check_end(scope)
            followed = await self._cascade(scope)
            try:
                await self._commit(scope, only)
            except BaseException:
                if self.last_commit == "rolled back":
                    self._take_back(followed)
                raise
            if only is None:
                self._unit.close_scope(scope)

    async def rollback(self) -> None:
        """Take back everything that was not committed, in all scopes.

        In memory and in the store.
        """
        self._check_open("roll back")
        async with self._lock:
            await self._roll_back_transaction()
            self._unit.cancel_all()

    async def flush(self) -> None:
        """Write what is pending into a transaction that stays open until the session commits or.

        Rolls back.

        Everything stays pending for graven: a later cancel of what was flushed is compensated at
        the next flush or commit.
        """
        self._check_open("flush")
        async with self._lock:
            await self._flush()

    def plan(self) -> list[Any]:
        """Return the batches that a commit of the innermost scope would write, in order.

        Nothing is written.

        :raises DataError: if a value does not fit its field.
        """
        self._check_open("plan")
        return self._make_plan(self._unit.scope(), None).writes()

    def explain(self) -> str:
        """Return in words what a commit of the innermost scope would write, a line for each row."""
        self._check_open("explain")
        return explain_plan(self._make_plan(self._unit.scope(), None))

    # -- reading -----------------------------------------------------------------------------------

    async def get(self, model: type[M], key: Any) -> M | None:
        """Return the object of *model* with that key, ``None`` if there is none.

        An object that the session has is returned without asking the store.
        """
        try:
            found = self._entries[model][key]()
        except (KeyError, TypeError):
            found = None
        return found if found is not None else await self._get(model, key)

    async def get_one(self, model: type[M], key: Any) -> M:
        """Return the object of *model* with that key.

        :raises NotFoundError: if there is none.
        """
        found = await self.get(model, key)
        if found is None:
            raise NotFoundError(
                f"cannot get {model.__name__} {key!r}: there is none with that key. It may have "
                "been deleted, or never committed.",
                model=model.__name__,
                key=key,
            )
        return found

    @overload
    def query(self, model: type[M]) -> AsyncQuery[M]: ...

    @overload
    def query(self, model: Any) -> AsyncQuery[Any]: ...

    def query(self, model: Any) -> AsyncQuery[Any]:
        """Begin a query for the objects of *model*."""
        self._check_open("query")
        return AsyncQuery(self, QuerySpec(mapper_of(model)))

    async def refresh(self, *objects: Any, keep_changes: bool = False) -> None:
        """Read objects anew. Own changes are dropped, or, with *keep_changes*.

        Kept on top of what was read.

        From then on the version just read is the one that a commit checks.

        :raises NotFoundError: if one of them is not there any more.
        """
        self._check_open("refresh objects")
        async with self._lock:
            for instance in objects:
                self._check_model(instance, "refresh")
                await self._refresh(instance, keep_changes)

    async def load(self, instance: Any, *fields: Any) -> None:
        """Load references and lists of an object that are not loaded yet.

        ``await session.load(book, Book.author)``.
        """
        self._check_open("load fields")
        async with self._lock:
            mapper = mapper_of(type(instance))
            for expression in fields:
                await self._load_includes([instance], mapper, (Include(expression._field),))

    async def execute(self, statement: str, parameters: Any = ()) -> list[tuple[Any, ...]]:
        """Execute a statement in the store's own language on the session's connection.

        Return its rows as they come.
        """
        self._check_open("execute a statement")
        async with self._lock:
            rows, _ = await self._run_statement(statement, parameters)
            return rows

    async def load_field(self, mapper: Any, field: Any, instance: Any) -> Any:
        """Load one field, for all objects of the same result at once.

        Return its value for *instance*.
        """
        async with self._lock:
            peers = self._peers_of(instance, mapper, field)
            await self._load_includes(peers, mapper, (Include(field),))
            return field.loaded(instance)

    async def _get(self, model: type[M], key: Any) -> M | None:
        self._check_open("get an object")
        mapper = mapper_of(model)
        key_row = self._key_tuple(mapper, key)
        async with self._lock:
            found = self._unit.find(mapper, key)
            if found is None:
                if self._is_deleted(mapper, key):
                    return None
                binding = self._db.binding(mapper)
                flow = fetch_one_key(mapper.table, binding.columns, (key_row,))
                rows = await self._read(flow)
                identity = self._unit.map_of(mapper)
                if not rows:
                    if key not in identity.entries:
                        identity.absent.add(key)
                    return None
                found = binding.hydrate(rows, self._unit, identity, False)[0]
            return found if isinstance(found, model) else None

    def _peers_of(self, instance: Any, mapper: Any, field: Any) -> Iterable[Any]:
        """Return the objects of the same result whose *field* is not loaded either."""
        origin = instance._origin
        peers = [reference() for reference in origin.peers or ()]
        found = [
            peer
            for peer in peers
            if peer is not None
            and peer is not instance
            and isinstance(peer, mapper.model)
            and not field.loaded(peer)
        ]
        return [instance, *found]
