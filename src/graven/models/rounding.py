"""Fields that keep times only to the millisecond or second: a value is rounded as it is assigned.

So what an object has is what is stored, and comes back equal.
"""

from __future__ import annotations

from datetime import datetime, time, timedelta

from graven._hints import Any

__all__ = ["Rounded", "install_rounding", "rounded"]

MICROSECOND = timedelta(microseconds=1)
STEPS_US = {"s": 1_000_000, "ms": 1_000}
"""How many microseconds lie between two values that a precision tells apart."""


def rounded(value: Any, step_us: int) -> Any:
    """Return the nearest time that is whole in *step_us*; what is no time stays as it is.

    Of two that are as near the later is taken, unless it would lie beyond what the type holds: the
    last moment of a day stays in it.

    >>> from datetime import time
    >>> rounded(time(12, 0, 0, 1_500), 1_000), rounded(time.max, 1_000_000)
    (datetime.time(12, 0, 0, 2000), datetime.time(23, 59, 59))
    """
    if isinstance(value, timedelta):
        return _rounded_span(value, step_us)
    if not isinstance(value, datetime | time):
        return value
    over = value.microsecond % step_us
    if not over:
        return value
    below = value.replace(microsecond=value.microsecond - over)
    if 2 * over < step_us:
        return below
    if isinstance(below, datetime):
        try:
            return below + timedelta(microseconds=step_us)
        except OverflowError:
            return below
    whole = datetime(1, 1, 1, below.hour, below.minute, below.second, below.microsecond)  # noqa: DTZ001
    whole += timedelta(microseconds=step_us)
    return below if whole.day > 1 else whole.time().replace(tzinfo=below.tzinfo)


def _rounded_span(value: timedelta, step_us: int) -> timedelta:
    step = timedelta(microseconds=step_us)
    over = value % step
    try:
        return value - over + (step if 2 * over >= step else timedelta())
    except OverflowError:
        return value - over


class Rounded:
    """Stands before the slot of a field, and rounds what is assigned to it."""

    __slots__ = ("_name", "_slot", "_step_us")

    def __init__(self, name: str, slot: Any, precision: str) -> None:
        """Round to *precision* what goes into *slot*."""
        self._name, self._slot, self._step_us = name, slot, STEPS_US[precision]

    def __get__(self, instance: Any, owner: Any) -> Any:
        """Return the value, or, of the class, the query field."""
        if instance is None:
            return owner._mapper.expression(self._name)
        return self._slot.__get__(instance, owner)

    def __set__(self, instance: Any, value: object) -> None:
        """Set the rounded value."""
        self._slot.__set__(instance, rounded(value, self._step_us))

    def __delete__(self, instance: Any) -> None:
        """Delete the value."""
        self._slot.__delete__(instance)


def install_rounding(model: Any, mapper: Any) -> None:
    """Let the fields that *model* itself declares with a precision round what they are assigned."""
    for field in mapper.fields:
        precision = field.said.precision
        if precision in STEPS_US and model.__dict__.get(field.name) is field.value:
            setattr(model, field.name, Rounded(field.name, field.value, precision))
