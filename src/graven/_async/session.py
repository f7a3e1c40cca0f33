"""``AsyncSession``: the tracked work of one caller."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from weakref import ref

from graven._async import colour
from graven._async.membership import AsyncMembership
from graven._async.query import AsyncQuery
from graven._common.arriving import objects_of
from graven._common.current import enter_session, leave_session, name_of
from graven._common.explaining import explain_plan
from graven._common.including import with_includes
from graven._hints import TYPE_CHECKING, Any, TypeVar, overload
from graven.core.lifecycle import DELETED
from graven.core.query import Include, QuerySpec
from graven.core.unit import UnitOfWork
from graven.core.values import ABSENT
from graven.errors import NotFoundError, ScopeError, SessionError
from graven.flows.load import fetch_one_key
from graven.models.model import Model, mapper_of
from graven.ops.requests import Execute

if TYPE_CHECKING:
    from graven._async.database import AsyncDatabase
    from graven._async.objects import AsyncObjects
    from graven.core import scopes

__all__ = ["AsyncSession"]

M = TypeVar("M", bound=Model)


class AsyncSession(AsyncMembership):
    """A unit of work over one database.

    Objects loaded through a session, or added to it, are tracked: :meth:`commit` writes what has
    changed, all or nothing. Leaving ``async with db.session() as session:`` commits; an exception
    in the block rolls back. Objects stay readable afterwards. Several tasks may use one session:
    their calls queue.
    """

    _on_commit: tuple[Callable[[], object], ...] = ()

    def __init__(self, db: AsyncDatabase, isolation: str, autoadd: bool) -> None:
        """Open a session on *db*; use ``db.session()``."""
        unit = UnitOfWork(colour.current_owner)
        super().__init__(db, unit, isolation)
        self._entries = unit.entries
        self._autoadd = autoadd
        self._tokens: list[Any] = []
        unit.loader = colour.loader_for(self)
        unit.home = ref(self), ref(db)

    @property
    def autoadd(self) -> bool:
        """Whether objects made in the session's block become part of it by themselves."""
        return self._autoadd

    # -- the block ---------------------------------------------------------------------------------

    async def __aenter__(self) -> AsyncSession:
        """Make the session the current one of the task."""
        self._check_open("enter the session")
        self._tokens.append(enter_session(self))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Commit, or roll back after an exception, and end the session.

        :raises ScopeError: if a scope is still open.
        :raises SessionError: if a call of another task is under way.
        """
        leave_session(self, self._tokens.pop())
        if not self._unit.is_open:
            return
        try:
            if kind is None:
                self._refuse_work_under_way()
                await self.commit_scope(self._unit.root)
        finally:
            await self.close()

    def _refuse_work_under_way(self) -> None:
        if colour.is_locked_elsewhere(self._lock):
            raise SessionError(
                f"cannot leave the session: another task's call to {self._doing} is still under "
                "way. The session has ended and nothing more was committed. Wait for that task "
                "before the block ends, or give each task a session of its own.",
                session=self,
            )
        if self._unit.heads:
            owner, scope = next(iter(self._unit.heads.items()))
            raise ScopeError(
                f"cannot leave the session: a scope that {name_of(owner)} began in it is still "
                "open, so it is not known what becomes of its changes. The session has ended and "
                "nothing more was committed. End a scope with commit, confirm or cancel, or use "
                "`with session.begin()`.",
                scope=scope,
            )

    async def close(self) -> None:
        """End the session without writing, once the call that is under way has ended.

        Its objects stay readable, and edits made to them stay known.
        """
        if self._unit.is_open:
            self._unit.end()
            self._entries = {}
            async with self._lock:
                if self._pinned is not None or self._unit.flushed:
                    await self._roll_back_transaction()

    # -- committing --------------------------------------------------------------------------------

    async def commit(self, *objects: Any) -> None:
        """Write what changed in the innermost scope, in one transaction.

        The scope ends, unless it is the outermost.

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
            record = self._unit.records.get(instance)
            if record is None or record.state != DELETED:
                self._unit.add(instance)
        await self.commit_scope(self._unit.scope(), objects or None)

    async def commit_scope(self, scope: scopes.Scope, only: Sequence[Any] | None = None) -> None:
        """Write the changes of *scope* and end it; see :meth:`commit`."""
        async with self._lock:
            self._take_turn("commit")
            self._unit.check_end(scope)
            if self._unit.flushed and (only is not None or scope.parent is not None):
                await self._unflush(scope)
            self.last_commit = "rolled back"
            followed = await self._cascade(scope)
            try:
                await self._commit(scope, only)
            except BaseException:
                if self.last_commit == "rolled back":
                    self._take_back(followed)
                raise
            if only is None:
                self._unit.finish(scope)
            for call in self._on_commit:
                call()

    def on_commit(self, call: Callable[[], object]) -> None:
        """Let *call* be called after each commit from now on."""
        if call not in self._on_commit:
            self._on_commit = (*self._on_commit, call)

    async def rollback(self) -> None:
        """Take back what was not committed, in all scopes, in memory and in the store."""
        self._check_open("roll back")
        async with self._lock:
            self._take_turn("roll back")
            await self._roll_back_transaction()
            self._unit.cancel_all()

    async def flush(self) -> None:
        """Write what is pending into a transaction that stays open until a commit or rollback.

        Everything stays pending for graven: a later cancel of what was flushed is compensated at
        the next flush or commit.
        """
        self._check_open("flush")
        async with self._lock:
            self._take_turn("flush")
            await self._flush()

    def plan(self) -> list[Any]:
        """Return the batches that a commit of the innermost scope would write, in order.

        Nothing is written. What follows a deletion because it refers to the deleted object is found
        in the store, by the commit, and is not among them.

        :raises DataError: if a value does not fit its field.
        """
        self._check_open("plan")
        return self._make_plan(self._unit.scope(), None).writes()

    def explain(self) -> str:
        """Return in words what :meth:`plan` returns, a line for each row."""
        self._check_open("explain")
        return explain_plan(self._make_plan(self._unit.scope(), None))

    # -- reading -----------------------------------------------------------------------------------

    async def get(self, model: type[M], key: Any) -> M | None:
        """Return the object of *model* with that key, ``None`` if there is none.

        An object that the session has is returned without asking the store.
        """
        try:
            entry = self._entries[model].get(key)
        except (KeyError, TypeError):
            entry = None
        found = None if entry is None else entry()
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

    def objects(self, model: type[M]) -> AsyncObjects[M]:
        """Return the manager of *model* for this session, as ``Model.objects`` is in its block."""
        self._check_open("use a manager")
        from graven._async.objects import manager

        return manager(model, self._db, self)

    async def refresh(self, *objects: Any, keep_changes: bool = False) -> None:
        """Read objects anew.

        Own changes are dropped, or, with *keep_changes*, kept on top of what was read.

        From then on the version just read is the one that a commit checks.

        :raises NotFoundError: if one of them is not there any more.
        """
        self._check_open("refresh objects")
        async with self._lock:
            self._take_turn("refresh objects")
            for instance in objects:
                self._check_model(instance, "refresh")
                await self._refresh(instance, keep_changes)

    async def load(self, instance: Any, *fields: Any) -> None:
        """Load references and lists of an object that are not loaded yet.

        ``await session.load(book, Book.author)``.
        """
        self._check_open("load fields")
        self._check_model(instance, "load fields of")
        async with self._lock:
            self._take_turn("load fields")
            mapper = mapper_of(type(instance))
            await self._include([instance], mapper, with_includes(mapper, (), fields, "load"))

    async def execute(self, statement: str, parameters: Any = ()) -> list[tuple[Any, ...]]:
        """Execute a statement in the store's own language; return its rows as they come.

        In a snapshot or serializable session, and after a flush, it runs in the transaction that
        the session keeps: what it writes is committed with the rest, or rolled back with it.
        Otherwise it runs on any connection, and is committed by itself.
        """
        self._check_open("execute a statement")
        async with self._lock:
            self._take_turn("execute a statement")
            rows, _ = await self._execute(Execute(statement, parameters), "your own")
            return rows

    async def load_field(self, mapper: Any, field: Any, instance: Any) -> Any:
        """Load one field, for all objects of the same result at once.

        Return its value for *instance*.
        """
        async with self._lock:
            self._take_turn("load a field")
            peers = self._peers_of(instance, mapper, field)
            await self._load_includes(peers, mapper, (Include(field),))
            return field.loaded(instance)

    async def _get(self, model: type[M], key: Any) -> M | None:
        mapper = mapper_of(model)
        key_row = self._key_tuple(mapper, key)
        async with self._lock:
            self._take_turn("get an object")
            identity = self._unit.map_of(mapper)
            found = identity.get(key)
            if found is None:
                if key in identity.buried:
                    return None
                binding = self._db.binding(mapper)
                rows = await self._read(fetch_one_key(mapper.table, binding.columns, (key_row,)))
                if not rows:
                    if key not in identity.entries:
                        identity.absent.add(key)
                    return None
                made = objects_of(self._unit, binding, mapper, rows, peers=False)
                found = made[0] if made else None
            is_one = type(found) is mapper.guard or isinstance(found, model)
            return found if is_one else None

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
            and field.loaded(peer) is ABSENT
        ]
        return [instance, *found]
