"""How the store in memory keeps values: as they are, for they cannot change.

An instant is kept in UTC, as on every backend. What another backend could not keep, a NaN or a
time without its zone, is refused here too, so that a test in memory does not promise too much. A
container is the text that the codec made of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from operator import attrgetter

from graven._hints import TYPE_CHECKING, Any
from graven.dialects.base import Codec, Dialect
from graven.dialects.instants import no_instant, no_wall_clock_time
from graven.errors import DataError, GravenError, UsageError

if TYPE_CHECKING:
    from decimal import Decimal

__all__ = ["ENCODERS", "LIMITED", "MemoryDialect", "check_column", "no_statements"]


def _no_nan(value: object) -> DataError:
    return DataError(
        f"{value!r} was to be stored: it equals nothing and has no place in an order; usually a "
        "computation failed before; store None in a field that allows it",
        value=value,
        expected="a number",
    )


def _encode_float(value: float) -> float:
    if value != value:
        raise _no_nan(value)
    return value


def _encode_decimal(value: Decimal) -> Decimal:
    if value.is_nan():
        raise _no_nan(value)
    return value


def _encode_instant(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise no_instant(value)
    return value if value.tzinfo is UTC else value.astimezone(UTC)


def _encode_instants(values: list[datetime]) -> list[datetime] | None:
    """Return *values* if all are in UTC, ``None`` if one has to be looked at."""
    return values if set(map(attrgetter("tzinfo"), values)) == {UTC} else None


def _encode_naive(value: datetime) -> datetime:
    if value.tzinfo is not None:
        raise no_wall_clock_time(value)
    return value


LIMITED = frozenset({"int", "str", "timedelta"})
"""The kinds of which there are values that other stores cannot keep."""

_BOUNDS: dict[str, tuple[Any, Any]] = {
    "int": (-(2**63), 2**63 - 1),
    "timedelta": (timedelta(microseconds=-(2**63)), timedelta(microseconds=2**63 - 1)),
}
"""The least and the most that 64 bits can tell, spans in microseconds."""

_KEPT = ("int", "str", "bool", "date", "time", "timedelta", "uuid", "bytes", "objectid", "json")

ENCODERS: dict[str, Codec | None] = {
    **dict.fromkeys(_KEPT),
    "float": _encode_float,
    "datetime": _encode_instant,
    "naive": _encode_naive,
    "decimal": _encode_decimal,
}
"""From Python form to store form, by kind."""


def check_column(kind: str, values: list[Any]) -> None:
    """Refuse values of a column, none of them null, that no other store could keep.

    :raises DataError: for a number of more than 64 bits, or half of a surrogate pair in a text.
    """
    if not values:
        return
    if kind in _BOUNDS:
        least, most = _BOUNDS[kind]
        if max(values) > most or min(values) < least:
            raise DataError(
                "the store in memory was asked to write: a number, or a span in microseconds, does "
                "not fit into 64 bits; usually the field wants another type; keep it as text or "
                "Decimal",
                expected="a number of 64 bits",
            )
        return
    try:
        "".join(values).encode()
    except UnicodeEncodeError as error:
        raise DataError(
            "the store in memory was asked to write: a text has half of a surrogate pair, which is "
            "no character; usually it was cut in the middle; repair the text",
            value=error.object,
            expected="text",
        ) from error


class MemoryDialect(Dialect):
    """The forms of values; there are no statements to compile."""

    encoders: Mapping[str, Codec | None] = ENCODERS
    decoders: Mapping[str, Codec | None] = dict.fromkeys(ENCODERS)
    column_encoders: Mapping[str, Callable[[list[Any]], list[Any] | None]] = {
        "datetime": _encode_instants
    }

    def translate(self, error: Exception, statement: str) -> GravenError | None:
        """Return *error* if it is one of ours: nothing else comes out of the store."""
        return error if isinstance(error, GravenError) else None


def no_statements(statement: str) -> UsageError:
    """Return the error for a statement in a language that the store does not have."""
    return UsageError(
        f"cannot execute {statement:.100}: the store in memory has no language for statements. "
        "Nothing was done. Use queries of the session; what is about SQL itself is tried on a "
        "database that has it, such as sqlite://."
    )
