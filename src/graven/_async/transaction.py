"""``AsyncTransaction``: the store's transaction around commits and statements of your own."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from graven._async import colour
from graven._common.recording import commit_row
from graven._hints import TYPE_CHECKING, Any, TypeVar
from graven.errors import (
    CommitUnknownError,
    ScopeError,
    TransactionInactiveError,
    UsageError,
)
from graven.flows.load import fetch_statement
from graven.flows.recording import recorded
from graven.flows.transaction import (
    begin,
    commit_open,
    release,
    rollback,
    rollback_to,
    savepoint,
)
from graven.ops.requests import Flow

if TYPE_CHECKING:
    from graven._async.database import AsyncDatabase

__all__ = ["AsyncSavepoint", "AsyncTransaction"]

R = TypeVar("R")


class AsyncTransaction:
    """A transaction of the store; re-entrant: only the outermost block takes effect.

    Session commits inside it become part of it. A rollback at any depth rolls the whole back;
    after that every statement inside is refused until the outermost block is left. A block of
    ``db.transaction(savepoint=True)`` inside it can be rolled back by itself.
    """

    _name = "graven"

    def __init__(self, db: AsyncDatabase, commit_record: bool = False) -> None:
        """Prepare one on *db*; use ``db.transaction()``."""
        self.outer: AsyncTransaction | None = None
        """The block that a savepoint is in; ``None`` of a transaction."""
        self._db = db
        self._depth = 0
        self._connection: Any = None
        self._token: Any = None
        self._is_active = False
        self._lock = colour.Lock()
        self._undos: list[Callable[[], object]] = []
        self._inner: AsyncSavepoint | None = None
        self._is_recorded = commit_record

    @property
    def is_open(self) -> bool:
        """Whether its outermost block has not been left yet."""
        return self._depth > 0

    @property
    def is_active(self) -> bool:
        """Whether it can still be committed."""
        return self._is_active

    @property
    def standing(self) -> AsyncTransaction | None:
        """The block that what was done here is part of now, ``None`` if that has ended too."""
        block: AsyncTransaction | None = self
        while block is not None and not block.is_open:
            block = block.outer
        return block

    def check_contains(self, block: AsyncTransaction) -> None:
        """See that what was done in *block* is part of this one.

        :raises ScopeError: if it is part of a block around, where a rollback of this one, which
            takes back what a session does here, would leave it.
        """
        if block.standing not in (self, None):
            raise ScopeError(
                "cannot commit or flush in a savepoint what was flushed in the block around it: "
                "a rollback of the savepoint could not take it apart again. Nothing was written. "
                "Commit it in that block first, or flush in the savepoint only."
            )

    async def __aenter__(self) -> AsyncTransaction:
        """Begin the transaction, or go one deeper into the one that is open."""
        if self._depth == 0:
            await self._begin()
            self._is_active = True
            self._token = self._db.bind_transaction(self)
        self._depth += 1
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Commit at the end of the outermost block.

        Roll back at once after an exception at any depth.
        """
        self._depth -= 1
        if self._depth:
            if kind is not None:
                await self.rollback()
            return
        self._db.unbind_transaction(self._token)
        try:
            if kind is not None:
                await self.rollback()
            elif self._is_active:
                await self._commit_alone()
            else:
                raise self._refused("leave the transaction as if it had been committed")
        finally:
            self._is_active = False
            self._end()

    def record(self) -> None:
        """Let the commit write a record; see ``db.committed()``."""
        self._is_recorded = True

    async def _begin(self) -> None:
        connection = await self._db.pool.acquire()
        try:
            await connection.run(begin(True))
        except BaseException:
            self._db.pool.release(connection)
            raise
        self._connection = connection

    async def _commit_alone(self) -> None:
        """Commit, unless somebody still works in a savepoint inside."""
        refusal = self._refusal()
        if refusal is not None:
            await self.rollback()
            raise refusal
        await self._commit()

    async def _commit(self) -> None:
        if not self._is_recorded:
            await self._connection.run(commit_open(), self._ended)
            return
        commit_id, row = commit_row(self._db.pool.dialect)
        try:
            await self._connection.run(recorded(row, commit_open()), self._ended)
        except CommitUnknownError as error:
            error.commit_id = commit_id
            raise

    def _end(self) -> None:
        connection, self._connection = self._connection, None
        self._db.pool.release(connection)

    def _ended(self, _: None, error: BaseException | None) -> None:
        """Bring memory in step with the outcome of the commit, however its call ends."""
        if error is not None:
            self._take_back()
        self._undos.clear()

    async def rollback(self) -> None:
        """Undo all that was done in it, in the store and in the sessions that took part."""
        if not self._is_active:
            return
        self._doom()
        if self._connection.in_transaction:
            await self._connection.run(rollback())

    async def execute(self, statement: str, parameters: Any = ()) -> list[tuple[Any, ...]]:
        """Execute a statement in the store's own language inside the transaction.

        Return its rows as they come.
        """
        rows, _ = await self.run(fetch_statement(statement, parameters))
        return rows

    async def run(
        self, flow: Flow[R], settle: Callable[[Any, BaseException | None], None] | None = None
    ) -> R:
        """Run a flow inside the transaction."""
        try:
            await self._lock.acquire()
        except BaseException as error:
            if settle is not None:
                settle(None, error)
            raise
        try:
            refusal = self._refusal()
            if refusal is not None:
                if settle is not None:
                    settle(None, refusal)
                raise refusal
            return await self._connection.run(flow, settle)  # type: ignore[no-any-return]
        finally:
            self._lock.release()

    def on_rollback(self, undo: Callable[[], object]) -> None:
        """Let somebody take part: *undo* is called if the transaction is rolled back.

        The last is called first.
        """
        self._undos.append(undo)

    def _doom(self) -> None:
        """Take back in memory what was done, in savepoints that are open first."""
        inner, self._inner = self._inner, None
        if inner is not None:
            inner._doom()
        self._is_active = False
        self._take_back()

    def _take_back(self) -> None:
        while self._undos:
            self._undos.pop()()

    def _refusal(self) -> TransactionInactiveError | UsageError | None:
        """Return the error for who would send a statement, ``None`` if he may."""
        if not self._is_active:
            return self._refused("send a statement")
        if self._inner is None:
            return None
        return UsageError(
            "cannot send a statement in this block of the transaction: a savepoint is open inside "
            "it, whose rollback would undo the statement as well. Nothing was sent. Usually the "
            "outer block was used instead of the inner one, or several tasks use one transaction; "
            "use the innermost block, and open savepoints one after the other."
        )

    @staticmethod
    def _refused(attempted: str) -> TransactionInactiveError:
        return TransactionInactiveError(
            f"cannot {attempted}: the transaction was rolled back, by rollback() or by an error "
            "inside it, and nothing of it was "
            "written. Leave its block, with the exception that ended it if there was one, and "
            "begin a new one."
        )


class AsyncSavepoint(AsyncTransaction):
    """A part of a transaction that can be rolled back by itself.

    In everything else it is like a transaction: it is re-entrant, a rollback at any depth rolls
    all of it back, and after that it refuses statements until its block is left. What was done in
    it becomes part of the block around it when it is left, and is committed with that, or not.
    """

    def __init__(self, outer: AsyncTransaction) -> None:
        """Prepare one in *outer*; use ``db.transaction(savepoint=True)``."""
        super().__init__(outer._db)
        self.outer = self._around = outer
        self._lock = outer._lock
        self._name = f"{outer._name}_1"

    async def _begin(self) -> None:
        self._connection = self._around._connection
        try:
            await self._around.run(savepoint(self._name), self._begun)
        except BaseException:
            if self._around._inner is self:
                self._around._inner = None
            raise

    def _begun(self, _: None, error: BaseException | None) -> None:
        if error is None:
            self._around._inner = self

    async def _commit(self) -> None:
        try:
            await self.run(release(self._name), self._ended)
        except BaseException:
            await self.rollback()
            raise

    def _ended(self, _: None, error: BaseException | None) -> None:
        """Hand what a rollback would have to take back over to the block around."""
        if error is None:
            self._is_active = False
            self._around._undos += self._undos
            self._undos.clear()

    def _end(self) -> None:
        self._connection = None
        if self._around._inner is self:
            self._around._inner = None

    def record(self) -> None:
        """Let the commit of the transaction write a record."""
        self._around.record()

    async def rollback(self) -> None:
        """Undo what was done in it, in the store and in the sessions that took part."""
        if not self._is_active:
            return
        self._doom()
        if self._connection.in_transaction:
            await self._connection.run(rollback_to(self._name))
        else:  # the store has ended the whole transaction
            await self._around.rollback()
