"""When a schedule is due: a cron text and a time zone, judged for moments given as values.

The text is read as Debian's cron reads it, by cronsim: five fields, ``*/5``, ranges, lists, names
of days and months, ``L`` and ``#``. A time of day that the clocks leave out in spring is due right
after the gap; one that they repeat in autumn is due once; what is due every few minutes goes by
real minutes.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from graven._hints import TYPE_CHECKING, Any
from graven.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import tzinfo

__all__ = ["MISSED", "due_between", "next_due"]

MISSED = ("last", "all")
"""What is made up for of the times that nobody was there for: the last one only, or all."""

MADE_UP_MAX = 1000
"""How many missed times are made up for at once; the next round goes on with the rest."""


def next_due(text: str, zone: tzinfo, after: datetime) -> datetime:
    """Return the first instant after *after* at which *text*, in *zone*, is due, in UTC.

    :raises UsageError: if the text is no cron text, or is never due.

    >>> from datetime import UTC, datetime
    >>> from zoneinfo import ZoneInfo
    >>> from graven.core.cron import next_due
    >>> summer_begins = datetime(2026, 3, 28, 12, tzinfo=UTC)
    >>> next_due("30 2 * * *", ZoneInfo("Europe/Paris"), summer_begins).isoformat()
    '2026-03-29T01:00:00+00:00'
    """
    found = next(_times(text, zone, after), None)
    if found is None:
        raise _refused(text, "it is never due")
    return found


def due_between(
    text: str, zone: tzinfo, first: datetime, now: datetime, missed: str
) -> tuple[list[datetime], datetime]:
    """Return the times from *first* to *now* that are made up for, and the next time after them.

    *first* is a time at which *text* was due. With ``"last"`` only the last time counts, with
    ``"all"`` each does, a thousand at most: then the next one is in the past still.
    """
    if missed == "last":
        latest = next(_times(text, zone, now + timedelta(seconds=1), backwards=True), first)
        return [max(latest, first)], next_due(text, zone, now)
    found = [first]
    for moment in _times(text, zone, first):
        if moment > now or len(found) == MADE_UP_MAX:
            return found, moment
        found.append(moment)
    raise _refused(text, "it is never due again")


def _times(text: str, zone: tzinfo, after: datetime, backwards: bool = False) -> Iterator[datetime]:
    """Yield the instants after *after* in order, or those before it in the reverse order."""
    cronsim = _cronsim()
    if len(text.split()) != 5:
        raise _refused(text, f"it has {len(text.split())} fields instead of 5")
    try:
        moments = cronsim.CronSim(text, after.astimezone(zone), reverse=backwards)
    except cronsim.CronSimError as error:
        raise _refused(text, str(error)) from error
    found = (moment.astimezone(UTC) for moment in moments)
    # In the hour that is repeated in autumn cronsim takes the second pass for the first.
    return (one for one in found if (one < after if backwards else one > after))


def _cronsim() -> Any:
    try:
        import cronsim
    except ModuleNotFoundError as error:
        raise UsageError(
            "cannot read a cron text: the package 'cronsim' is not installed. Schedules need the "
            'extra cron. Install it with: pip install "graven[cron]"'
        ) from error
    return cronsim


def _refused(text: str, why: str) -> UsageError:
    return UsageError(
        f"cannot schedule by {text!r:.100}: {why}. A cron text has five fields: minute, hour, day "
        "of the month, month, day of the week; '0 7 * * MON' is each Monday at seven."
    )
