"""How SQLite keeps values: each kind's store form, the functions to it and back.

===========  =======  ================================================================
kind         type     store form
===========  =======  ================================================================
int          INTEGER  the integer, 64 bit
str, json    TEXT     the text
bool         INTEGER  0 or 1
float        REAL     the number; NaN is refused, for SQLite would make null of it
datetime     TEXT     ISO 8601 in UTC, ``2024-05-01T12:00:00+00:00``: sorts by time
naive        TEXT     ISO 8601 without zone: sorts by time
date, time   TEXT     ISO 8601
timedelta    INTEGER  microseconds
decimal      TEXT     exact, with its exponent; NaN is refused
uuid         BLOB     16 bytes
bytes        BLOB     the bytes
objectid     TEXT     24 hexadecimal digits
===========  =======  ================================================================

What comes back equals what went; a ``fold``, which counts in no comparison, is not kept.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from operator import pos

from graven._hints import TYPE_CHECKING, Any
from graven.dialects.base import Codec
from graven.dialects.objectids import decode_objectid
from graven.errors import DataError

if TYPE_CHECKING:
    from decimal import Decimal
    from uuid import UUID

__all__ = [
    "AFFINITIES",
    "COLUMN_ENCODERS",
    "DECODERS",
    "ENCODERS",
    "TYPES",
    "affinity",
    "decode_decimal",
]


def _encode_float(value: float) -> float:
    if value != value:
        raise DataError(
            "a NaN was to be stored: SQLite would turn it into null; usually a computation failed "
            "before; store None in a field that allows it, or keep the value as text",
            value=value,
            expected="a number",
        )
    return value


def _encode_instant(value: datetime) -> str:
    zone = value.tzinfo
    if zone is UTC:
        return value.isoformat()
    if zone is None:
        from graven.dialects.instants import no_instant

        raise no_instant(value)
    return value.astimezone(UTC).isoformat()


def _encode_instants(values: list[datetime]) -> list[str] | None:
    """Encode many instants; ``None`` if not all of them are in UTC already.

    ``isoformat`` is written in Python's slowest C: by way of JSON it takes a fifth of the time.
    """
    import msgspec

    text = msgspec.json.encode(values).decode()
    if text.count("Z") != len(values):
        return None
    return text[2:-2].replace("Z", "+00:00").split('","') if values else []


def _encode_naive(value: datetime) -> str:
    if value.tzinfo is not None:
        from graven.dialects.instants import no_wall_clock_time

        raise no_wall_clock_time(value)
    return value.isoformat()


def _encode_timedelta(value: timedelta) -> int:
    return (value.days * 86_400 + value.seconds) * 1_000_000 + value.microseconds


def _decode_timedelta(value: int) -> timedelta:
    return timedelta(0, 0, value)


def _encode_decimal(value: Decimal) -> str:
    if value.is_nan():
        raise DataError(
            "a Decimal NaN was to be stored: it has no place in an order; usually a computation "
            "failed before; store None in a field that allows it",
            value=value,
            expected="a number",
        )
    return str(value)


def _encode_uuid(value: UUID) -> bytes:
    return value.int.to_bytes(16, "big")


# Modules that only some models need are imported when a value of theirs first comes back.
_decimal: list[Callable[[str], Decimal]] = []
_uuid: list[Callable[[bytes], UUID]] = []


def decode_decimal(text: str) -> Decimal:
    """Return the number that *text* spells, with its exponent."""
    if not _decimal:
        from decimal import Decimal

        _decimal.append(Decimal)
    return _decimal[0](text)


def _decode_uuid(data: bytes) -> UUID:
    if not _uuid:
        _uuid.append(_uuid_maker())
    return _uuid[0](data)


def _uuid_maker() -> Callable[[bytes], UUID]:
    """Return what makes a UUID of 16 bytes in half the time of its constructor."""
    from uuid import UUID, SafeUUID

    new, unknown, from_bytes = object.__new__, SafeUUID.unknown, int.from_bytes
    set_int, set_safe = vars(UUID)["int"].__set__, vars(UUID)["is_safe"].__set__

    def make(data: bytes) -> UUID:
        value = new(UUID)
        set_int(value, from_bytes(data, "big"))
        set_safe(value, unknown)
        return value

    return make


ENCODERS: dict[str, Codec | None] = {
    "int": None,
    "str": None,
    "bool": pos,  # +True is 1, an exact int, which sqlite3 binds several times faster than a bool
    "float": _encode_float,
    "datetime": _encode_instant,
    "naive": _encode_naive,
    "date": date.isoformat,
    "time": time.isoformat,
    "timedelta": _encode_timedelta,
    "decimal": _encode_decimal,
    "uuid": _encode_uuid,
    "bytes": None,
    "objectid": str,
    "json": None,
}
"""From Python form to store form, by kind."""

COLUMN_ENCODERS: dict[str, Callable[[list[Any]], list[Any] | None]] = {"datetime": _encode_instants}
"""From Python form to store form for many values at once, where that is much quicker."""

DECODERS: dict[str, Codec | None] = {
    "int": None,
    "str": None,
    "bool": bool,
    "float": None,
    "datetime": datetime.fromisoformat,
    "naive": datetime.fromisoformat,
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "timedelta": _decode_timedelta,
    "decimal": decode_decimal,
    "uuid": _decode_uuid,
    "bytes": None,
    "objectid": decode_objectid,
    "json": None,
}
"""From store form to Python form, by kind."""

TYPES: dict[str, str] = {
    **dict.fromkeys(("int", "bool", "timedelta"), "INTEGER"),
    **dict.fromkeys(("str", "datetime", "naive", "date", "time", "decimal"), "TEXT"),
    **dict.fromkeys(("objectid", "json"), "TEXT"),
    "float": "REAL",
    "uuid": "BLOB",
    "bytes": "BLOB",
}
"""The declared type of a column, by kind."""

AFFINITIES: dict[str, frozenset[str]] = {
    "INTEGER": frozenset({"int", "bool", "timedelta"}),
    "TEXT": frozenset({"str", "datetime", "naive", "date", "time", "decimal", "objectid", "json"}),
    "REAL": frozenset({"float"}),
    "BLOB": frozenset(TYPES),
    # DATETIME, BOOLEAN and the like: a text that is no number stays as it is, 3.0 becomes 3.
    "NUMERIC": frozenset({"int", "bool", "timedelta", "datetime", "naive", "date", "time"}),
}
"""The kinds that come back unchanged out of a column, by its affinity."""


def affinity(declared: str) -> str:
    """Return the affinity that SQLite derives from a declared type, by its own rules.

    >>> affinity("varchar(20)"), affinity("bigint"), affinity("")
    ('TEXT', 'INTEGER', 'BLOB')
    """
    text = declared.upper()
    if "INT" in text:
        return "INTEGER"
    if any(word in text for word in ("CHAR", "CLOB", "TEXT")):
        return "TEXT"
    if not text or "BLOB" in text:
        return "BLOB"
    if any(word in text for word in ("REAL", "FLOA", "DOUB")):
        return "REAL"
    return "NUMERIC"
