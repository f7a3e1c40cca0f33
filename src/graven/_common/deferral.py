"""Calls that are left to a worker: now, later, at a time, or by a schedule."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from graven._common.calling import Call, refuse_pending
from graven._common.clock import now
from graven._common.current import current
from graven._hints import Any
from graven.core.grave import Grave
from graven.core.lifecycle import DELETED
from graven.errors import OperationError, UsageError

__all__ = ["Deferrable", "DeferredCall"]


class DeferredCall(Call):
    """A call that is logged, and run by a worker.

    ``session`` is the caller's session, with whose next commit the entry is written; ``None`` if
    there is none. What is pending in that session, and is committed with the entry, may be an
    argument.
    """

    __slots__ = ("session",)

    def _refuse_pending(self, models: Iterable[Any], name: str) -> None:
        self.session = _session_for(models)
        unit = None if self.session is None else self.session.unit
        for one in models:
            if not _joins(one, unit, name):
                refuse_pending(one, name)

    def check_session(self) -> None:
        """See to it that the session is one of the database that the entry is written to."""
        if self.session is not None and self.session._db is not self.db:
            self.session = None


def _session_for(models: Iterable[Any]) -> Any:
    """Return the current session, or else the one that an argument is part of."""
    session = current()
    if session is not None and session.unit.is_open:
        return session
    for one in models:
        unit = None if one._origin is None else one._origin.unit
        if unit is not None and unit.is_open and unit.home is not None:
            return unit.home[0]()
    return None


def _joins(instance: Any, unit: Any, name: str) -> bool:
    """Say whether an argument is committed with the entry, by *unit*.

    :raises OperationError: if it could be committed later than the entry.
    """
    origin = instance._origin
    if unit is None or origin is None or origin.unit is not unit or type(unit) is Grave:
        return False
    if unit.state(instance) == DELETED:
        return False
    if origin is not unit.fresh:
        return True
    if any(record.instance is instance for record in unit.new_in(unit.scope())):
        return True
    raise OperationError(
        f"cannot defer {name} with {instance!r:.200}: it is new, and belongs to a scope around "
        "this one, so that the entry would be committed before it. Nothing was logged. Commit it "
        "first, or defer the call in its scope."
    )


class Deferrable:
    """The ways to leave a call to a worker; each returns a handle, to be awaited in async code.

    Inside a session the entry is committed with the caller's data, and vanishes with it when that
    is rolled back. Without one it is committed at once.
    """

    name: str
    is_async: bool
    db: Any
    _bound: tuple[Any, ...]

    def start(self, *args: Any, **kwargs: Any) -> Any:
        """Let a worker call the function as soon as it can."""
        return self._defer(now(), args, kwargs)

    def later(self, *args: Any, delay_s: float, **kwargs: Any) -> Any:
        """Let a worker call the function *delay_s* seconds from now, or soon after."""
        if not 0 <= delay_s < 1e10:
            raise UsageError(
                f"cannot defer {self.name} by {delay_s!r} seconds: it has to be 0 or more, and "
                "less than 300 years. Nothing was logged."
            )
        return self._defer(now() + timedelta(seconds=delay_s), args, kwargs)

    def at(self, when: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Let a worker call the function at the time *when*, which has a time zone, or soon after.

        A time in the past is as good as now.
        """
        if not isinstance(when, datetime) or when.tzinfo is None:
            raise UsageError(
                f"cannot defer {self.name} to {when!r:.100}: it is no time with a time zone, so it "
                "could be any of a whole day. Nothing was logged. Give tzinfo, as in "
                "datetime(2030, 1, 1, tzinfo=UTC)."
            )
        return self._defer(when, args, kwargs)

    def every(
        self,
        cron: str,
        /,
        *args: Any,
        zone: str = "UTC",
        missed: str = "last",
        schedule: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """Let a worker call the function each time that *cron* says, by the clocks of *zone*.

        ``"0 7 * * MON"`` is each Monday at seven: minute, hour, day of the month, month and day of
        the week. The schedule is kept in the database, by the name *schedule*, which is that of the
        function unless given; to say it again changes it. For each time one entry is made, however
        many workers there are. If no worker was there at the time, the *missed* times are made up
        for: only the ``"last"`` one, or ``"all"``. ``db.unschedule(name)`` ends it.

        :raises UsageError: if the text, the zone or *missed* is not understood.
        """
        call = Call(self, args, kwargs, self._bound)
        self._check_colour(call)
        return call.db.operating.schedule(call, cron, zone, missed, schedule or self.name)

    def _defer(self, when: datetime, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        call = DeferredCall(self, args, kwargs, self._bound)
        self._check_colour(call)
        call.check_session()
        return call.db.operating.defer(call, when)

    def _check_colour(self, call: Call) -> None:
        if call.db.operating.is_async is not self.is_async:
            raise self._wrong_colour(call.db)

    def _wrong_colour(self, db: Any) -> UsageError:
        raise NotImplementedError
