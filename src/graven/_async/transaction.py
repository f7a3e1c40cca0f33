"""``AsyncTransaction``: the store's transaction around commits and statements of your own."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from graven._async import colour
from graven.errors import TransactionInactiveError
from graven.flows.load import fetch_statement
from graven.flows.transaction import begin, commit_open, rollback
from graven.ops.requests import Flow

if TYPE_CHECKING:
    from graven._async.database import AsyncDatabase

__all__ = ["AsyncTransaction"]

R = TypeVar("R")


class AsyncTransaction:
    """A transaction of the store; re-entrant: only the outermost block takes effect.

    Session commits inside it become part of it. A rollback at any depth rolls the whole back;
    after that every statement inside is refused until the outermost block is left.
    """

    def __init__(self, db: AsyncDatabase) -> None:
        """Prepare one on *db*; use ``db.transaction()``."""
        self._db = db
        self._depth = 0
        self._connection: Any = None
        self._token: Any = None
        self._is_active = False
        self._lock = colour.Lock()
        self._undos: list[Callable[[], object]] = []

    @property
    def is_open(self) -> bool:
        """Whether its outermost block has not been left yet."""
        return self._depth > 0

    @property
    def is_active(self) -> bool:
        """Whether it can still be committed."""
        return self._is_active

    async def __aenter__(self) -> AsyncTransaction:
        """Begin the transaction, or go one deeper into the one that is open."""
        if self._depth == 0:
            connection = await self._db.pool.acquire()
            try:
                await connection.run(begin(True))
            except BaseException:
                self._db.pool.release(connection)
                raise
            self._connection = connection
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
                await self._connection.run(commit_open(), self._ended)
            else:
                raise self._refused("leave the transaction as if it had been committed")
        finally:
            connection, self._connection = self._connection, None
            self._is_active = False
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
        self._is_active = False
        self._take_back()
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
            if not self._is_active:
                refusal = self._refused("send a statement")
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

    def _take_back(self) -> None:
        while self._undos:
            self._undos.pop()()

    @staticmethod
    def _refused(attempted: str) -> TransactionInactiveError:
        return TransactionInactiveError(
            f"cannot {attempted}: the transaction was rolled back, by rollback() or by an error "
            "inside it, and nothing of it was "
            "written. Leave its block, with the exception that ended it if there was one, and "
            "begin a new one."
        )
