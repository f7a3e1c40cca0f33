"""How MongoDB keeps values: each kind's BSON type, and the functions to store form and back.

===========  =====================  ==========================================================
kind         BSON type              store form
===========  =====================  ==========================================================
int          int, long              the integer: 32 bits where that is enough, 64 otherwise
str          string                 the text; lone surrogates are refused
bool         bool                   the truth value
float        double                 the number; NaN is refused, for it has no place in an order
datetime     date                   the instant; one finer than a millisecond is refused
naive        string                 ISO 8601 without zone: sorts by time
date, time   string                 ISO 8601: sorts by time
timedelta    int, long              microseconds
decimal      decimal                exact, 34 digits; NaN is refused
uuid         binData, subtype 4     the 16 bytes
bytes        binData, subtype 0     the bytes
objectid     objectId               the ObjectId
json         what the text tells    see :mod:`graven.dialects.mongo_json`
===========  =====================  ==========================================================

In a row ``json`` is the text that the codec made; it becomes BSON when the row becomes a document.
A client has to work with :data:`OPTIONS`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, DecimalException
from operator import attrgetter
from uuid import UUID

from bson import Decimal128, Int64, ObjectId
from bson.binary import Binary, UuidRepresentation
from bson.codec_options import CodecOptions

from graven._hints import Any
from graven.dialects.base import Codec
from graven.dialects.instants import no_instant, no_wall_clock_time
from graven.errors import DataError

__all__ = [
    "BSON_TYPES",
    "COLUMN_ENCODERS",
    "DECODERS",
    "ENCODERS",
    "LEAST",
    "OPTIONS",
    "PYTHON_TYPES",
    "Int64",
]

OPTIONS: CodecOptions[dict[str, Any]] = CodecOptions(
    document_class=dict, tz_aware=False, uuid_representation=UuidRepresentation.STANDARD
)
"""What a client encodes and decodes documents with."""


def _encode_float(value: float) -> float:
    if value != value:
        raise _no_nan(value)
    return value


def _no_nan(value: object) -> DataError:
    return DataError(
        f"{value!r} was to be stored, or compared: it equals nothing and has no place in an order; "
        "usually a computation failed before; use None in a field that allows it",
        value=value,
        expected="a number",
    )


def _encode_instant(value: datetime) -> datetime:
    if value.tzinfo is not UTC:
        if value.tzinfo is None:
            raise no_instant(value)
        value = value.astimezone(UTC)
    if value.microsecond % 1000:
        raise DataError(
            f"{value!r} was to be stored, or compared: MongoDB keeps an instant to the "
            "millisecond, and graven rounds nothing; usually it comes from a clock that tells "
            'microseconds; declare the field with field(precision="ms"), which rounds when a value '
            "is assigned, or with field(stored_as=int), which keeps microseconds",
            value=value,
            expected="an instant in whole milliseconds",
        )
    return value


def _encode_instants(values: list[datetime]) -> list[datetime] | None:
    """Return *values* if all are in UTC and whole milliseconds, ``None`` otherwise."""
    if set(map(attrgetter("tzinfo"), values)) != {UTC}:
        return None
    return None if any(value.microsecond % 1000 for value in values) else values


def _decode_instant(value: datetime) -> datetime:
    return value.replace(tzinfo=UTC)


def _encode_naive(value: datetime) -> str:
    if value.tzinfo is not None:
        raise no_wall_clock_time(value)
    return value.isoformat()


def _encode_timedelta(value: timedelta) -> int:
    return (value.days * 86_400 + value.seconds) * 1_000_000 + value.microseconds


def _decode_timedelta(value: int) -> timedelta:
    return timedelta(microseconds=value)


def _encode_decimal(value: Decimal) -> Decimal128:
    if value.is_nan():
        raise _no_nan(value)
    try:
        return Decimal128(value)
    except DecimalException as error:
        raise DataError(
            f"{value!r} was to be stored, or compared: MongoDB keeps 34 digits and exponents from "
            "-6176 to 6111, and graven rounds nothing; usually it comes from a division, or the "
            "field wants another type; quantize it, or declare the field str",
            value=value,
            expected="a Decimal of at most 34 digits",
        ) from error


ENCODERS: dict[str, Codec | None] = {
    "int": None,
    "str": None,
    "bool": None,
    "float": _encode_float,
    "datetime": _encode_instant,
    "naive": _encode_naive,
    "date": date.isoformat,
    "time": time.isoformat,
    "timedelta": _encode_timedelta,
    "decimal": _encode_decimal,
    "uuid": None,
    "bytes": None,
    "objectid": None,
    "json": None,
    "any": None,
}
"""From Python form to store form, by kind; ``any`` is what write sets keep in store form."""

COLUMN_ENCODERS: dict[str, Callable[[list[Any]], list[Any] | None]] = {"datetime": _encode_instants}
"""From Python form to store form for many values at once, where that is quicker."""

DECODERS: dict[str, Codec | None] = {
    **dict.fromkeys(ENCODERS),
    "datetime": _decode_instant,
    "naive": datetime.fromisoformat,
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "timedelta": _decode_timedelta,
    "decimal": Decimal128.to_decimal,
}
"""From store form to Python form, by kind."""

PYTHON_TYPES: dict[str, frozenset[type]] = {
    **dict.fromkeys(("str", "naive", "date", "time", "json"), frozenset({str})),
    "int": frozenset({int}),
    "timedelta": frozenset({int, Int64}),
    "bool": frozenset({bool}),
    "float": frozenset({float}),
    "datetime": frozenset({datetime}),
    "decimal": frozenset({Decimal128}),
    "uuid": frozenset({UUID}),
    "bytes": frozenset({bytes}),
    "objectid": frozenset({ObjectId}),
    "any": frozenset({object}),
}
"""The types of the values that a row may have, by kind."""

BSON_TYPES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("str", "naive", "date", "time"), ("string",)),
    **dict.fromkeys(("int", "timedelta"), ("int", "long")),
    **dict.fromkeys(("uuid", "bytes"), ("binData",)),
    "bool": ("bool",),
    "float": ("double",),
    "datetime": ("date",),
    "decimal": ("decimal",),
    "objectid": ("objectId",),
    "json": (),
    "any": (),
}
"""MongoDB's names of the types of a field, by kind; none is any."""

LEAST: dict[str, Any] = {
    **dict.fromkeys(("str", "naive", "date", "time"), ""),
    **dict.fromkeys(("int", "timedelta", "float", "decimal"), float("-inf")),
    **dict.fromkeys(("uuid", "bytes"), Binary(b"", 0)),
    "bool": False,
    "datetime": datetime(1, 1, 1, tzinfo=UTC),
    "objectid": ObjectId(bytes(12)),
}
"""The value by kind that no other of it is less than: at least this is every one but null."""
