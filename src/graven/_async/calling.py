"""Calls of ``@atomic`` functions: logged, run, and brought home to the caller."""

from __future__ import annotations

from functools import partial

from graven._async import colour
from graven._async.compensating import AsyncCompensating
from graven._async.runs import LOST, taken_over
from graven._common.calling import Call, refuse_flushed
from graven._common.clock import dice, now, now_s
from graven._common.current import current
from graven._common.logged import (
    FreshCall,
    LoggedCall,
    check_storable,
    described,
    last,
    new_entry,
    same_call,
    value_of,
)
from graven._common.operating import Running
from graven._common.restoring import Level
from graven._hints import TYPE_CHECKING, Any
from graven.core.entries import Entry
from graven.core.homecoming import bring_home, bring_up_to_date
from graven.core.lifecycle import CLEAN
from graven.core.operating import CANCELLED, DONE, FAILED, QUARANTINED, RUNNING, transition
from graven.core.plan import Step
from graven.core.retry import Backoff
from graven.errors import (
    CommitUnknownError,
    GravenError,
    OperationError,
    QuarantinedError,
    UniqueError,
)
from graven.flows.log import FenceLost
from graven.flows.restore import fetch_level
from graven.models.documents.calls import result_text
from graven.models.model import Model
from graven.ops.requests import Insert, Update

if TYPE_CHECKING:
    from graven._async.transaction import AsyncTransaction

__all__ = ["AsyncCalling"]

Source = FreshCall | LoggedCall

POLL = Backoff(0.02, 1.5, 1.0)
"""How long is waited before it is looked again what became of an operation."""


class AsyncCalling(AsyncCompensating):
    """Makes calls durable operations."""

    async def call(self, call: Call) -> Any:
        """Log a call, run it, and return its result, with the caller's objects up to date.

        :raises OperationError: if somebody else has taken the operation over.
        """
        transaction = self.db.current_transaction()
        if transaction is not None:
            return await self._call_within(transaction, call)
        refuse_flushed(call)
        entry = new_entry(call, self.lease_s)
        run = Running(self.db, entry, call.function, call.function.call_options.retries)
        try:
            return await self._run_for_caller(run, self.rows.insert([entry]), call)
        except UniqueError:
            if run.is_logged or entry.key is None:
                raise
        return await self._call_again(call, entry)

    @staticmethod
    def _source(entry: Entry, call: Call) -> Source:
        return FreshCall(call) if call.text.is_flat else LoggedCall(entry, call.function)

    async def _run_for_caller(self, run: Running, write: Insert | Update, call: Call) -> Any:
        try:
            result = await self.run_body(run, write, self._source(run.entry, call))
        except FenceLost:
            if not run.is_logged:
                raise
            raise taken_over(run) from None
        except CommitUnknownError:
            raise  # nobody knows; whoever recovers the operation will
        except Exception as error:
            if run.is_logged:
                await self.fail(run, error)
            raise
        if run.is_settled_late:
            return await self._home_from_store(run, call)
        return self._home(run, call, result)

    async def fail(self, run: Running, error: Exception) -> None:
        """Write that an operation has failed; what cannot be written is noted on the error.

        :raises OperationError: if somebody else has taken it over.
        """
        try:
            is_mine = await self._log_failure(run, described(error))
        except GravenError as late:
            error.add_note(
                f"graven: that operation {run.id} failed could not be logged ({late}). So it will "
                "be run again by whoever recovers it, when its lease has run out."
            )
            return
        if not is_mine:
            raise taken_over(run) from error

    async def _log_failure(self, run: Running, error: str) -> bool:
        """End an operation, after its steps were undone; say whether it was still ours to end."""
        if await self.has_to_undo(run):
            try:
                await self.undo(run.entry, error, FAILED)
            except FenceLost:
                return False
            return True
        state = transition("fail", RUNNING)
        return await self.change(
            self.rows.update([run.entry], state=state, due=None, error=error, finished=now())
        )

    # -- with a key --------------------------------------------------------------------------------

    async def _call_again(self, call: Call, entry: Entry) -> Any:
        """Return the result of the operation that has the same key; run it again if it failed."""
        function, ceilings = call.function, POLL.ceilings()
        timeout_s = function.call_options.timeout_s
        ends_at = now_s() + (self.lease_s if timeout_s is None else timeout_s)
        while True:
            found = await self.entry(entry.id)
            if found is None:  # it was removed just now
                return await self.call(call)
            same_call(entry, found, function)
            if found.state == DONE:
                return await self._result_for(found, call)
            if found.state in (QUARANTINED, CANCELLED):
                raise not_to_be_run(found)
            if found.state == FAILED:
                try:
                    return await self._run_again(call, entry, found)
                except FenceLost:
                    continue
            wait_s = Backoff.wait_s(next(ceilings), dice())
            if now_s() + wait_s > ends_at:
                raise still_running(found)
            await colour.sleep(wait_s)

    async def _run_again(self, call: Call, entry: Entry, found: Entry) -> Any:
        """Run an operation that has failed before, under its entry.

        :raises FenceLost: if somebody else is doing so already.
        """
        changes = {
            "state": transition("call", found.state, found.id),
            "due": entry.due,
            "worker": entry.worker,
            "attempts": found.attempts + 1,
            "error": None,
            "finished": None,
            "arguments": entry.arguments,
            "code_version": entry.code_version,
        }
        again = found.but(**changes, version=found.version + 1)
        run = Running(self.db, again, call.function, call.function.call_options.retries)
        return await self._run_for_caller(run, self.rows.update([found], **changes), call)

    # -- inside a transaction ----------------------------------------------------------------------

    async def _call_within(self, transaction: AsyncTransaction, call: Call) -> Any:
        """Run a call as a part of the transaction that the caller is in, entry and all."""
        entry = new_entry(call, self.lease_s, due=None)
        run = Running(self.db, entry, call.function, 0)
        found = await self._entry_within(call, entry)
        if found is not None and found.state == DONE:
            return await self._result_for(found, call)
        session = run.session = await self.open_session()
        try:
            source = self._source(entry, call)
            rows = await self.run(fetch_level(source.questions(session.unit, self.db.binding)))
            args, kwargs = source.given(rows)
            result = await self._call_body(run, session, args, kwargs)
            await session.make_keys()
            run.result = None if result is None else result_text(result, run.name, run.met)
            check_storable(run.met, session.unit, run.name)
            await session.finish(Step(self._end_within(run, found, DONE), lost=LOST))
        except Exception as error:
            if transaction.is_active:
                end = self._end_within(run, found, FAILED, error)
                await self._fail_within(transaction, end, error)
            raise
        finally:
            await session.close()
        return self._home(run, call, result, transaction)

    async def _fail_within(
        self, transaction: AsyncTransaction, end: Insert | Update, error: Exception
    ) -> None:
        """Log in the transaction that a call has failed; if that fails too, roll it back."""
        try:
            await self.run(_only(end))
        except GravenError as late:
            error.add_note(f"graven: that could not be logged, so all was rolled back: {late}")
            await transaction.rollback()

    async def _entry_within(self, call: Call, entry: Entry) -> Entry | None:
        """Return the entry of the same key, if it is done or has failed.

        :raises OperationError: if it is in any other state; there is no waiting in a transaction.
        """
        found = None if entry.key is None else await self.entry(entry.id)
        if found is None:
            return None
        same_call(entry, found, call.function)
        if found.state in (QUARANTINED, CANCELLED):
            raise not_to_be_run(found)
        if found.state not in (DONE, FAILED):
            raise still_running(found)
        return found

    def _end_within(
        self, run: Running, found: Entry | None, state: str, error: Exception | None = None
    ) -> Insert | Update:
        """Return what logs an operation that is a part of a transaction, when it has ended."""
        changes: dict[str, Any] = {
            "state": state,
            "due": None,
            "error": None if error is None else described(error),
            "result": run.result if error is None else None,
            "finished": now(),
        }
        if found is None:
            return self.rows.insert([run.entry.but(**changes)])
        changes |= {"attempts": found.attempts + 1, "arguments": run.entry.arguments}
        return self.rows.update([found], **changes)

    # -- home to the caller ------------------------------------------------------------------------

    def _home(
        self, run: Running, call: Call, result: Any, transaction: AsyncTransaction | None = None
    ) -> Any:
        """Bring the caller's objects up to date, and return the result with objects of his."""
        units = [unit for unit in call.units if unit.is_open]
        for unit in units:
            groups = run.session.written.groups
            undos = bring_up_to_date(unit, groups, transaction is not None)
            if transaction is not None:
                for undo in undos:
                    transaction.on_rollback(undo)
        if not run.met or not units:
            return result
        unit = units[-1]
        if transaction is not None:
            for one in run.met.values():
                identity, key = unit.map_of(unit.mapper(one)), unit.mapper(one).key_of(one)
                if identity.get(key) is None:
                    transaction.on_rollback(partial(identity.forget, key))
        if isinstance(result, Model):
            return bring_home(unit, result)
        found: dict[Any, dict[Any, Any]] = {}
        for (model, key), one in run.met.items():
            found.setdefault(model, {})[key] = bring_home(unit, one)
        steps = value_of(run.result)
        next(steps)
        return last(steps, found)

    async def _home_from_store(self, run: Running, call: Call) -> Any:
        """Bring the caller's objects up to date by reading them again; return the result."""
        for unit in call.units:
            session = unit.home[0]() if unit.is_open else None
            if session is None:
                continue
            for group in run.session.written.groups:
                if group.action == "delete":
                    bring_up_to_date(unit, [group])
                    continue
                keys = [record.mapper.key_of(record.instance) for record in group.records]
                known = [unit.find(group.mapper, key) for key in keys]
                mine = [one for one in known if one is not None and session.state(one) == CLEAN]
                await session.refresh(*mine)
        return await self._result_for(run.entry.but(result=run.result), call)

    async def _result_for(self, entry: Entry, call: Call) -> Any:
        """Return the stored result of an operation, with objects of the caller's session."""
        units = [unit for unit in call.units if unit.is_open]
        session = units[-1].home[0]() if units else None
        return await self.result_of(entry, session)

    async def result_here(self, entry: Entry) -> Any:
        """Return the stored result of an operation, with objects of the current session."""
        session = current()
        return await self.result_of(
            entry, session if session is not None and session._db is self.db else None
        )

    async def result_of(self, entry: Entry, session: Any = None) -> Any:
        """Return the stored result of an operation; its objects are loaded into *session*.

        Without one they are as those of a session that has ended.
        """
        steps = value_of(entry.result)
        try:
            wanted = next(steps)
        except StopIteration as end:
            return end.value
        place = self.db.session() if session is None else session
        level = Level(place.unit, self.db.binding, wanted)
        rows = await place._read(fetch_level(level.questions)) if level.questions else []
        found = last(steps, level.answers(rows))
        if session is None:
            await place.close()
        return found


def _only(write: Insert | Update) -> Any:
    return write.__iter__()


def not_to_be_run(entry: Entry) -> OperationError:
    """Make the error for a call whose operation waits for a person, or is not wanted any more."""
    kind = QuarantinedError if entry.state == QUARANTINED else OperationError
    return kind(
        f"cannot call {entry.method} with the key {entry.key!r}: operation {entry.id} of that key "
        f"is {entry.state}{f' ({entry.error})' if entry.error else ''}. Nothing was run. Look at "
        "it with db.operation(id), and retry it, or use another key.",
        operation_id=entry.id,
    )


def still_running(entry: Entry) -> OperationError:
    """Make the error for an operation that did not end in the time that it was waited for."""
    return OperationError(
        f"cannot return the result of {entry.method}, operation {entry.id}: it is still "
        f"{entry.state}, and the time to wait for it is over. It goes on; wait for it with "
        "db.operation(id).wait(), or call with a longer timeout_s.",
        operation_id=entry.id,
    )
