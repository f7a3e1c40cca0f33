"""Two kinds of datetime that must not be mixed: instants, and wall-clock times."""

from __future__ import annotations

from datetime import datetime

from graven.errors import DataError

__all__ = ["no_instant", "no_wall_clock_time"]


def no_instant(value: datetime) -> DataError:
    """Make the error for a datetime without a zone where an instant is wanted."""
    return DataError(
        f"the naive datetime {value!r} was to be stored as an instant: without a zone it says no "
        f"point in time; give it a zone (datetime.now(UTC)), or declare the field NaiveDatetime",
        value=value,
        expected="an aware datetime",
    )


def no_wall_clock_time(value: datetime) -> DataError:
    """Make the error for a datetime with a zone where a wall-clock time is wanted."""
    return DataError(
        f"the aware datetime {value!r} was to be stored as a wall-clock time: its zone would be "
        f"lost; declare the field datetime, or take the zone off (value.replace(tzinfo=None))",
        value=value,
        expected="a naive datetime",
    )
