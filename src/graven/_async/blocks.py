"""The block form of an operation: what ``with Operation(...)`` runs."""

from __future__ import annotations

from types import TracebackType

from graven._async.runs import taken_over
from graven._common.calling import refuse_flushed
from graven._common.current import enter_session, leave_session
from graven._common.logged import LoggedCall, new_entry
from graven._common.operating import Running, enter_operation, leave_operation
from graven._hints import TYPE_CHECKING, Any
from graven.errors import CommitUnknownError, UsageError
from graven.flows.log import FenceLost

if TYPE_CHECKING:
    from graven._async.operating import AsyncOperating
    from graven._common.calling import Call

__all__ = ["AsyncBlock"]


class AsyncBlock:
    """One run whose body is a block; it is not run again."""

    def __init__(self, operating: AsyncOperating, call: Call) -> None:
        """Prepare the entry of *call*."""
        if operating.db.current_transaction() is not None:
            raise UsageError(
                f"cannot begin the operation {call.function.name} as a block inside a transaction: "
                "there is nothing to recover of what a rollback undoes. Call the function itself."
            )
        refuse_flushed(call)
        self._operating, self._call = operating, call
        self.run = Running(operating.db, new_entry(call, operating.lease_s), call.function, 0)
        self._tokens: Any = None

    async def __aenter__(self) -> Any:
        """Log the call, and return the arguments as the session of the block has them."""
        run, operating = self.run, self._operating
        session = run.session = await operating.open_session()
        write, source = operating.rows.insert([run.entry]), LoggedCall(run.entry, run.function)
        try:
            given = await operating._begin(run, session, write, source)
        except Exception as error:
            await session.close()
            if run.is_logged:
                await operating.fail(run, error)
            raise
        operating.leases.hold(run)
        self._tokens = enter_session(session), enter_operation(run)
        return given

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Commit, or log that it has failed."""
        run, operating = self.run, self._operating
        leave_operation(run, self._tokens[1])
        leave_session(run.session, self._tokens[0])
        try:
            if error is None:
                await operating._finish(run, run.session, None)
        except FenceLost:
            raise taken_over(run) from None
        except CommitUnknownError:
            raise
        except Exception as refused:
            await run.session.close()
            await operating.fail(run, refused)
            raise
        finally:
            operating.leases.release(run)
            await run.session.close()
        if isinstance(error, Exception):
            await operating.fail(run, error)
        elif error is None:
            operating._home(run, self._call, None)
