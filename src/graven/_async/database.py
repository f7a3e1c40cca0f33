"""``AsyncDatabase``: the connection to one store."""

from __future__ import annotations

from _thread import allocate_lock
from functools import partial

from graven._async import colour
from graven._async.durable import AsyncDurable
from graven._hints import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar
from graven.drivers import checked_isolation, pool_class_for
from graven.errors import StoreError, UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextvars import ContextVar, Token
    from types import TracebackType
    from uuid import UUID

    from graven._async.attempts import AsyncAttempts
    from graven._async.objects import AsyncObjects
    from graven._async.session import AsyncSession
    from graven._async.transaction import AsyncTransaction
    from graven.core.retry import Backoff
    from graven.models.binding import ModelBinding

__all__ = ["AsyncDatabase"]

M = TypeVar("M")
R = TypeVar("R")
P = ParamSpec("P")

_first_transaction = allocate_lock()


class AsyncDatabase(AsyncDurable):
    """A store, by its URL.

    ``sqlite:///bank.db`` and ``sqlite:////var/lib/bank.db`` are files, ``sqlite://`` is a database
    in memory. ``memory:`` is a store in memory that is made for tests.

    Nothing is opened before the first call. One database may be shared by any number of tasks;
    each call takes a connection of the pool and gives it back after it.
    """

    def __init__(
        self,
        url: str,
        *,
        pool_size: int = 5,
        pool_timeout_s: float = 30.0,
        busy_timeout_s: float = 5.0,
        isolation: str = "optimistic",
        autoadd: bool = False,
        commit_record: bool = False,
        lease_s: float = 30.0,
    ) -> None:
        """Prepare the store at *url*.

        *pool_size* connections are opened at most, and a call waits up to *pool_timeout_s* seconds
        for one. A write waits up to *busy_timeout_s* seconds for another one's lock. *isolation*,
        *autoadd* and *commit_record* are what ``session()`` takes unless told otherwise. An
        operation whose runner was not heard of for *lease_s* seconds may be taken up by others.

        :raises UsageError: if the URL or an option is not understood.
        """
        if not lease_s > 0:
            raise UsageError(f"cannot lease operations for {lease_s!r} s: give a time, in seconds.")
        self.url = url
        self._isolation = checked_isolation(isolation)
        self._autoadd = autoadd
        self._commit_record = commit_record
        self.pool: Any = pool_class_for(url, colour.POOLS)(
            url, pool_size, pool_timeout_s, busy_timeout_s
        )
        self._session_type: type[AsyncSession] | None = None
        self._lease_s = lease_s
        self.has_records = False
        """Whether the table of commit records is known to be there."""
        self._bindings: dict[Any, ModelBinding] = {}
        self._tables: set[str] = set()
        self._transaction: ContextVar[AsyncTransaction | None] | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    async def __aenter__(self) -> AsyncDatabase:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the database."""
        await self.close()

    async def close(self) -> None:
        """Close all connections; those in use are closed when they are given back."""
        if self._operating is not None:
            await self._operating.leases.close()
        await self.pool.close()

    @property
    def topology(self) -> str | None:
        """How the servers stand, where there are several ways, once one has been asked.

        With MongoDB ``"replica set"``, ``"sharded cluster"`` or ``"stand-alone"``; the last has no
        transactions.
        """
        topology: str | None = self.pool.topology
        return topology

    # -- work --------------------------------------------------------------------------------------

    async def create(self, *models: type[Any]) -> None:
        """Make the missing tables and indexes of *models*, and of the models they refer to.

        A table that is there is completed with new columns that may be null, new indexes and
        renamed columns, and otherwise has to fit. All of it is done, or none. Inside
        ``db.transaction()`` it is part of that.

        :raises MappingError: if a model cannot be stored as declared, or does not fit its table.
        """
        from graven.flows.schema import create
        from graven.models.model import mapper_of
        from graven.models.tables import tables_of

        tables = tables_of([mapper_of(model) for model in models])
        transaction = self.current_transaction()
        try:
            await self._run(create(tables, is_within=transaction is not None))
        except StoreError:
            if transaction is not None:
                await transaction.rollback()  # or it would keep a part of it
            raise
        made = {table.name for table in tables} - self._tables
        self._tables |= made
        if transaction is not None:
            transaction.on_rollback(partial(self._tables.difference_update, made))

    def session(
        self,
        *,
        isolation: str | None = None,
        autoadd: bool | None = None,
        commit_record: bool | None = None,
    ) -> AsyncSession:
        """Open a session: ``async with db.session() as session:`` commits at its end.

        *isolation* is ``"optimistic"`` (what is written is checked against what was first read),
        ``"snapshot"`` (and all reads see one point of the store) or ``"serializable"`` (and what
        was read is checked too, queries and absences included). With *autoadd*, objects made in
        the block become part of the session by themselves. With *commit_record*, each commit that
        writes leaves a record, and :meth:`committed` can say whether it has happened.
        """
        if self._session_type is None:
            from graven._async.session import AsyncSession

            self._session_type = AsyncSession
        level = self._isolation if isolation is None else checked_isolation(isolation)
        session = self._session_type(self, level, self._autoadd if autoadd is None else autoadd)
        if self._commit_record if commit_record is None else commit_record:
            session.commit_record = True
        return session

    def objects(self, model: type[M]) -> AsyncObjects[M]:
        """Return the manager of *model*; each of its calls is made in a session of its own."""
        from graven._async.objects import manager

        return manager(model, self, None)

    def attempts(
        self,
        *,
        limit: int | None = 20,
        deadline_s: float | None = None,
        backoff: Backoff | None = None,
        isolation: str = "serializable",
    ) -> AsyncAttempts:
        """Try the same work until it commits.

        ::

            async for attempt in db.attempts():
                async with attempt as session:
                    ...

        There are *limit* tries at most, none begins later than *deadline_s* seconds from now, and
        between them is waited as *backoff* says. Each try has fresh data and fresh memory.
        """
        from graven._async.attempts import AsyncAttempts
        from graven.core.retry import Backoff

        return AsyncAttempts(
            self, limit, deadline_s, backoff or Backoff(), checked_isolation(isolation)
        )

    async def run(
        self,
        function: Callable[Concatenate[AsyncSession, P], Awaitable[R]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Call *function* with a session and the arguments until its work commits.

        Return its result.

        :raises TransientError: if it did not commit in 20 tries, the last error.
        """
        return await self.attempts().run(function, *args, **kwargs)

    def transaction(
        self, *, savepoint: bool = False, commit_record: bool | None = None
    ) -> AsyncTransaction:
        """Return the transaction of the store: the one that this task is in, or a new one.

        Use it as a block. Session commits and statements in the block become part of it. With
        *savepoint*, a block inside another one can be rolled back by itself. With *commit_record*,
        the commit leaves a record, and :meth:`committed` can say whether it has happened.
        """
        from graven._async.transaction import AsyncSavepoint, AsyncTransaction

        current = self.current_transaction()
        if current is None:
            return AsyncTransaction(
                self, self._commit_record if commit_record is None else commit_record
            )
        if commit_record:
            current.record()
        return AsyncSavepoint(current) if savepoint else current

    async def committed(self, commit_id: UUID) -> bool:
        """Say whether the commit with that id has happened.

        The id is that of a :exc:`~graven.CommitUnknownError`, of a commit that left a record. The
        answer never changes: a commit that has not happened by now cannot happen any more.

        :raises BusyRetry: if the commit is still under way in the store.
        :raises UsageError: if there is no id, because the commit was not to leave a record.
        """
        from graven._common.recording import checked_id, commit_row
        from graven.flows.recording import find_out

        _, row = commit_row(self.pool.dialect, checked_id(commit_id), happened=False)
        connection = await self.pool.acquire()
        try:
            found: bool = await connection.run(find_out(row))
        finally:
            self.pool.release(connection)
        return found

    async def execute(self, statement: str, parameters: Any = ()) -> list[tuple[Any, ...]]:
        """Execute a statement in the store's own language; return its rows as they come.

        Inside ``db.transaction()`` it is part of it; otherwise it is committed by itself.
        """
        from graven.flows.load import fetch_statement

        rows: list[tuple[Any, ...]]
        rows, _ = await self._run(fetch_statement(statement, parameters))
        return rows

    def on_statement(
        self, callback: Callable[..., object] | None, parameters: bool = False
    ) -> None:
        """Report every statement to *callback*.

        It is called with the text, the number of rows, the seconds it took, and the parameters.

        Parameters are reported as ``None`` unless asked for. ``None`` as *callback* ends it.
        """
        self.pool.observe(callback, parameters)

    # -- inside ------------------------------------------------------------------------------------

    def binding(self, mapper: Any) -> ModelBinding:
        """Return the functions that carry a model to and from this store's rows."""
        found = self._bindings.get(mapper)
        if found is None:
            from graven.models.binding import ModelBinding

            dialect = self.pool.dialect
            found = self._bindings[mapper] = ModelBinding(
                mapper, dialect.encoders, dialect.decoders, dialect.column_encoders
            )
        return found

    async def has_table(self, name: str, run: Callable[..., Any] | None = None) -> bool:
        """Say whether the store has a table of that name; *run* runs a flow for who asks."""
        if name not in self._tables:
            from graven.flows.load import has_table

            if await (run or self._run)(has_table(name)):
                self._tables.add(name)
        return name in self._tables

    def current_transaction(self) -> AsyncTransaction | None:
        """Return the transaction that the calling task is in, ``None`` if in none."""
        variable = self._transaction
        if variable is None:
            return None
        transaction = variable.get()
        return None if transaction is None else transaction.standing

    def bind_transaction(self, transaction: AsyncTransaction) -> Token[AsyncTransaction | None]:
        """Make *transaction* the one that the calling task is in."""
        from contextvars import ContextVar

        with _first_transaction:
            if self._transaction is None:
                self._transaction = ContextVar("graven.transaction", default=None)
        return self._transaction.set(transaction)

    def unbind_transaction(self, token: Token[AsyncTransaction | None]) -> None:
        """Go back to the transaction before."""
        token.var.reset(token)

    async def _run(self, flow: Any) -> Any:
        transaction = self.current_transaction()
        if transaction is not None:
            return await transaction.run(flow)
        connection = await self.pool.acquire()
        try:
            return await connection.run(flow)
        finally:
            self.pool.release(connection)
