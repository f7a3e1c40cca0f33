"""Steps: calls inside an operation whose results are kept, so that no replay repeats them."""

from __future__ import annotations

from functools import partial

from graven._async import colour
from graven._common.clock import dice, now
from graven._common.current import current_session
from graven._common.effects import AsyncEffect
from graven._common.logged import check_storable, described, value_of
from graven._hints import TYPE_CHECKING, Any
from graven.core.retry import Backoff
from graven.core.rows import Rows
from graven.core.steps import DONE, FAILED, StepCall, StepNames, StepRow, lifted
from graven.errors import CommitUnknownError, OperationError, TransientError
from graven.flows.log import FenceLost, fetch_entries, guarded
from graven.models.documents.calls import Met, result_text
from graven.ops.operating import STEPS

if TYPE_CHECKING:
    from graven._common.operating import Running

__all__ = ["AsyncSteps", "fetch_steps"]

STORE_TRIES_MAX = 20
"""How often a result is sent to a store that is busy: its effect has happened already."""


async def fetch_steps(db: Any, operation: Any) -> list[StepRow]:
    """Return what is kept of the steps of an operation, in the order in which they ended."""
    rows = Rows(STEPS, StepRow, db.pool.dialect)
    found = await db.operating.run(fetch_entries(rows.fetch(("operation",), [(operation,)])))
    return sorted(rows.values(found), key=lambda row: row.ordinal)


class AsyncSteps:
    """The steps of one run of an operation."""

    def __init__(self, running: Running, earlier: AsyncSteps | None = None) -> None:
        """Keep the steps of *running*, whose body was run before with the steps *earlier*."""
        self._names = StepNames(running.undoes)
        self._running, self.session = running, running.session
        self._rows = Rows(STEPS, StepRow, running.db.pool.dialect)
        self._lock = colour.Lock()
        self._version: int = running.function.settings.version
        self._before: dict[str, StepRow] | None = {} if running.is_first else None
        self._ordinal = 0
        if earlier is not None:
            self._before, self._ordinal = earlier._before, earlier._ordinal

    def name(self, function: Any, said: str | None) -> str:
        """Return the name of the next step.

        :raises UsageError: if it is taken, or the function is of the other colour.
        """
        AsyncEffect.check(function)
        return self._names.name(function, said)

    async def run(self, call: StepCall) -> Any:
        """Return the result of a step: the one that is kept, or that of running it now."""
        before = (await self._known()).get(call.name)
        if before is not None and before.state == DONE:
            return await self._kept(before, call)
        return await self._try(call, before)

    async def _known(self) -> dict[str, StepRow]:
        async with self._lock:
            if self._before is None:
                found = await fetch_steps(self._running.db, self._running.id)
                self._before = {row.name: row for row in found}
                self._ordinal = max((row.ordinal for row in found), default=0)
            return self._before

    async def _kept(self, row: StepRow, call: StepCall) -> Any:
        value = await self.session.restored(value_of(row.result))
        return lifted(value, row.code_version, self._version, call.upcast)

    async def _try(self, call: StepCall, before: StepRow | None) -> Any:
        """Call the function until it succeeds, or was tried often enough; keep what came of it."""
        await self.session.let_go(f"run the step {call.name!r} of {self._running!r}")
        tries, ceilings = 0, call.backoff.ceilings()
        while True:
            tries += 1
            row = self._row(call, tries, before)
            try:
                result = await self._outside(call)
            except OperationError:
                raise
            except Exception as error:
                if tries > call.retries:
                    await self._keep(row.but(state=FAILED, error=described(error)), before)
                    raise
            else:
                text = self._text(result, call)
                await self._keep(row.but(result=text), before)
                return result
            await colour.sleep(Backoff.wait_s(next(ceilings), dice()))

    async def _outside(self, call: StepCall) -> Any:
        """Call the function outside of the operation's session, whose objects it may only read."""
        scope = self.session.begin()
        token = current_session.set(None)
        try:
            function = partial(call.function, *call.args, **call.kwargs)
            result = await AsyncEffect.call(function, call.timeout_s)
            has_changed = bool(scope.new or scope.dirty or scope.deleted)
        finally:
            current_session.reset(token)
            scope.cancel()
        if has_changed:
            raise OperationError(
                f"the step {call.name!r} of {self._running!r} changed objects of the operation. A "
                "replay does not run it again, and what it changed would be missing. What it "
                "changed was taken back. Let the step return what is to be written, and change "
                "the objects in the body of the operation.",
                operation_id=self._running.id,
            )
        return result

    def _text(self, result: Any, call: StepCall) -> str:
        met: Met = {}
        title = f"the step {call.name!r}"
        text = result_text(result, title, met)
        check_storable(met, None, title)
        return text

    def _row(self, call: StepCall, tries: int, before: StepRow | None) -> StepRow:
        earlier = 0 if before is None else before.attempts
        return StepRow(
            operation=self._running.id,
            name=call.name,
            ordinal=0,
            state=DONE,
            result=None,
            error=None,
            attempts=earlier + tries,
            compensation=call.compensation,
            code_version=self._version,
            at=now(),
        )

    async def _keep(self, row: StepRow, before: StepRow | None) -> None:
        """Store what became of a step, in a transaction that checks the fence of the operation.

        :raises OperationError: if somebody else has taken the operation over.
        """
        self._ordinal += 1
        row = row.but(ordinal=self._ordinal)
        log, ceilings, tries = self._running.db.operating, Backoff().ceilings(), 0
        while True:
            tries += 1
            touch = log.rows.touch(self._running.entry, due=log.lease_end())
            try:
                await log.run(guarded(touch, self._writing(row, before)))
            except FenceLost:
                raise self._taken_over(row) from None
            except (TransientError, CommitUnknownError) as error:
                if tries >= STORE_TRIES_MAX:
                    raise
                if isinstance(error, CommitUnknownError):
                    before = await self._stored(row.name)
                    if before == row:
                        break
                await colour.sleep(Backoff.wait_s(next(ceilings), dice()))
            else:
                break
        (await self._known())[row.name] = row

    def _writing(self, row: StepRow, before: StepRow | None) -> Any:
        """Return the flow that writes a row, in place of one that is there."""
        if before is None:
            return iter(self._rows.insert([row]))
        changes = {name: getattr(row, name) for name in self._rows.columns[2:]}
        return iter(self._rows.update(row, **changes))

    async def _stored(self, name: str) -> StepRow | None:
        found = await fetch_steps(self._running.db, self._running.id)
        return next((row for row in found if row.name == name), None)

    def _taken_over(self, row: StepRow) -> OperationError:
        self._running.is_lost = True
        return OperationError(
            f"cannot keep the step {row.name!r} of {self._running!r}: somebody else has taken the "
            "operation over, or stopped it, since this run began. Nothing of this run is written. "
            "Usually its lease had run out, because the process was held up; or a person has "
            "cancelled or paused it.",
            operation_id=self._running.id,
        )
