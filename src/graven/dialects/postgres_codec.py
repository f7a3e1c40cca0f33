"""How PostgreSQL keeps values: each kind's column type, and the functions to store form and back.

===========  ====================  ===========================================================
kind         type                  store form
===========  ====================  ===========================================================
int          bigint                the integer, 64 bit
str          text collate "C"      the text; NUL and lone surrogates are refused
bool         boolean               the truth value
float        double precision      the number; NaN is refused, for it has no place in an order
datetime     timestamptz           the instant, to the microsecond; comes back in UTC
naive        timestamp             the wall-clock time
date, time   date, time            the same
timedelta    interval              days and microseconds
decimal      numeric               exact; 131,072 digits before the point and 16,383 after it
uuid         uuid                  the UUID
bytes        bytea                 the bytes
objectid     text collate "C"      24 hexadecimal digits
json         json                  the text that the codec made, letter by letter
===========  ====================  ===========================================================

The store forms are the Python values that psycopg itself takes and gives, so nothing is converted
twice. What psycopg cannot send it refuses before anything is written. A connection has to speak
UTF-8 and have its ``TimeZone`` set to UTC, and has to give ``json`` as text.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from graven._hints import TYPE_CHECKING, Any
from graven.dialects.base import Codec
from graven.dialects.instants import no_instant, no_wall_clock_time
from graven.dialects.objectids import decode_objectid
from graven.errors import DataError

if TYPE_CHECKING:
    from decimal import Decimal

__all__ = ["ARRAYS", "COLUMN_ENCODERS", "DECODERS", "ENCODERS", "TYPES", "kinds_held"]


def _encode_number(value: float | Decimal) -> float | Decimal:
    if value != value:
        raise DataError(
            "a NaN was to be stored, or compared: it equals nothing and has no place in an order; "
            "usually a computation failed before; use None in a field that allows it",
            value=value,
            expected="a number",
        )
    return value


def _encode_instant(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise no_instant(value)
    return value


def _encode_naive(value: datetime) -> datetime:
    if value.tzinfo is not None:
        raise no_wall_clock_time(value)
    return value


def _as_they_are(values: list[Any]) -> list[Any]:
    """Return a column of values that were all found to be fit, which is how they are stored."""
    return values


TYPES: dict[str, str] = {
    "int": "bigint",
    "str": "text",
    "bool": "boolean",
    "float": "double precision",
    "datetime": "timestamptz",
    "naive": "timestamp",
    "date": "date",
    "time": "time",
    "timedelta": "interval",
    "decimal": "numeric",
    "uuid": "uuid",
    "bytes": "bytea",
    "objectid": "text",
    "json": "json",
}
"""The type of a column, by kind."""

ARRAYS: dict[str, str] = {kind: f"{name}[]" for kind, name in TYPES.items()}
"""The type of an array of store forms, by kind."""

ENCODERS: dict[str, Codec | None] = {
    **dict.fromkeys(TYPES, None),
    "float": _encode_number,
    "decimal": _encode_number,
    "datetime": _encode_instant,
    "naive": _encode_naive,
    "objectid": str,
}
"""From Python form to store form, by kind."""

COLUMN_ENCODERS: dict[str, Callable[[list[Any]], list[Any] | None]] = dict.fromkeys(
    ("float", "decimal", "datetime", "naive"), _as_they_are
)
"""From Python form to store form for many values at once, by kind."""

DECODERS: dict[str, Codec | None] = {**dict.fromkeys(TYPES, None), "objectid": decode_objectid}
"""From store form to Python form, by kind: mostly the same."""

_HELD: dict[str, frozenset[str]] = {
    "bigint": frozenset({"int"}),
    "integer": frozenset({"int"}),
    "smallint": frozenset({"int"}),
    "text": frozenset({"str", "objectid", "json"}),
    "character varying": frozenset({"str", "objectid", "json"}),
    "boolean": frozenset({"bool"}),
    "double precision": frozenset({"float"}),
    "timestamp with time zone": frozenset({"datetime"}),
    "timestamp without time zone": frozenset({"naive"}),
    "date": frozenset({"date"}),
    "time without time zone": frozenset({"time"}),
    "interval": frozenset({"timedelta"}),
    "numeric": frozenset({"decimal"}),
    "uuid": frozenset({"uuid"}),
    "bytea": frozenset({"bytes"}),
    "json": frozenset({"json"}),
}


def kinds_held(declared: str) -> frozenset[str]:
    """Return the kinds of value that come back unchanged out of a column of a *declared* type.

    A type that rounds, pads, reorders or compares in another way holds none: ``numeric(12,2)``,
    ``timestamptz(3)``, ``real``, ``char(n)``, ``jsonb``, ``citext``. One that is only narrower
    refuses what it cannot hold, which is no change.

    >>> sorted(kinds_held("character varying(20)")), sorted(kinds_held("numeric(12,2)"))
    (['json', 'objectid', 'str'], [])
    """
    if declared.startswith("character varying("):
        declared = "character varying"
    return _HELD.get(declared, frozenset())
