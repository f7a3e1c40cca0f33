"""``AsyncDatabase``: the connection to one store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar, Token
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from graven._async import colour
from graven._async.attempts import AsyncAttempts
from graven._common.options import checked_isolation, pool_class_for
from graven.core.retry import Backoff
from graven.flows.load import fetch_statement, has_table
from graven.flows.schema import create
from graven.models.model import mapper_of
from graven.models.reaching import tables_of

if TYPE_CHECKING:
    from graven._async.session import AsyncSession
    from graven._async.transaction import AsyncTransaction
    from graven.models.binding import ModelBinding

__all__ = ["AsyncDatabase"]

R = TypeVar("R")
P = ParamSpec("P")


class AsyncDatabase:
    """A store, by its URL.

    ``sqlite:///bank.db`` and ``sqlite:////var/lib/bank.db`` are files, ``sqlite://`` is a database
    in memory.

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
    ) -> None:
        """Prepare the store at *url*.

        *pool_size* connections are opened at most, and a call waits up to *pool_timeout_s* seconds
        for one. A write waits up to *busy_timeout_s* seconds for another one's lock. *isolation*
        and *autoadd* are what ``session()`` takes unless told otherwise.

        :raises UsageError: if the URL or an option is not understood.
        """
        self.url = url
        self._isolation = checked_isolation(isolation)
        self._autoadd = autoadd
        self.pool: Any = pool_class_for(url, colour.POOLS)(
            url, pool_size, pool_timeout_s, busy_timeout_s
        )
        self._bindings: dict[Any, ModelBinding] = {}
        self._tables: set[str] = set()
        self._transaction: ContextVar[AsyncTransaction | None] = ContextVar(
            "graven.transaction", default=None
        )

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
        await self.pool.close()

    # -- work --------------------------------------------------------------------------------------

    async def create(self, *models: type[Any]) -> None:
        """Make the missing tables and indexes of *models*, and of the models they refer to.

        A table that is there is completed with new columns that may be null, new indexes and
        renamed columns, and otherwise has to fit. All of it is done, or none.

        :raises MappingError: if a model cannot be stored as declared, or does not fit its table.
        """
        tables = tables_of([mapper_of(model) for model in models])
        await self._run(create(tables))
        self._tables.update(table.name for table in tables)

    def session(self, *, isolation: str | None = None, autoadd: bool | None = None) -> AsyncSession:
        """Open a session: ``async with db.session() as session:`` commits at its end.

        *isolation* is ``"optimistic"`` (what is written is checked against what was first read),
        ``"snapshot"`` (and all reads see one point of the store) or ``"serializable"`` (and what
        was read is checked too, queries and absences included). With *autoadd*, objects made in
        the block become part of the session by themselves.
        """
        from graven._async.session import AsyncSession

        level = self._isolation if isolation is None else checked_isolation(isolation)
        return AsyncSession(self, level, self._autoadd if autoadd is None else autoadd)

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

    def transaction(self) -> AsyncTransaction:
        """Return the transaction of the store: the one that this task is in, or a new one.

        Use it as a block. Session commits and statements in the block become part of it.
        """
        from graven._async.transaction import AsyncTransaction

        return self.current_transaction() or AsyncTransaction(self)

    async def execute(self, statement: str, parameters: Any = ()) -> list[tuple[Any, ...]]:
        """Execute a statement in the store's own language; return its rows as they come.

        Inside ``db.transaction()`` it is part of it; otherwise it is committed by itself.
        """
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
                mapper, dialect.encoders, dialect.decoders
            )
        return found

    async def has_table(self, name: str) -> bool:
        """Say whether the store has a table of that name."""
        if name not in self._tables and await self._run(has_table(name)):
            self._tables.add(name)
        return name in self._tables

    def current_transaction(self) -> AsyncTransaction | None:
        """Return the transaction that the calling task is in, ``None`` if in none."""
        transaction = self._transaction.get()
        return transaction if transaction is not None and transaction.is_open else None

    def bind_transaction(self, transaction: AsyncTransaction) -> Token[AsyncTransaction | None]:
        """Make *transaction* the one that the calling task is in."""
        return self._transaction.set(transaction)

    def unbind_transaction(self, token: Token[AsyncTransaction | None]) -> None:
        """Go back to the transaction before."""
        self._transaction.reset(token)

    async def _run(self, flow: Any) -> Any:
        transaction = self.current_transaction()
        if transaction is not None:
            return await transaction.run(flow)
        connection = await self.pool.acquire()
        try:
            return await connection.run(flow)
        finally:
            self.pool.release(connection)
