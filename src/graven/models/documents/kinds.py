"""Single values in a document: what stands for itself, and what carries a mark of its type.

===============  =====================================================================
a value          in the document
===============  =====================================================================
``None``, bool   itself
str              itself
int              itself within 64 bits, else ``{"__int__": "0x…"}``
float            itself if finite, else ``{"__float__": "nan"}``, ``"inf"`` or ``"-inf"``
bytes            ``{"__bytes__": base64}``
Decimal          ``{"__decimal__": "1.10"}``, with its exponent
UUID             ``{"__uuid__": "…"}``
ObjectId         ``{"__objectid__": "…"}``, 24 hexadecimal digits
datetime         ``{"__datetime__": ISO 8601}``, with its offset if it has one
date, time       ``{"__date__": …}``, ``{"__time__": …}``, ISO 8601
timedelta        ``{"__timedelta__": [days, seconds, microseconds]}``
===============  =====================================================================

A datetime or time with ``fold=1`` is ``[text, 1]`` behind its mark. The name of a zone is not
kept, its offset is.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from graven.models.checks import INTEGER_MAX, INTEGER_MIN

__all__ = [
    "DECODERS",
    "DECODE_ERRORS",
    "ENCODERS",
    "PLAIN",
    "encode_float",
    "encode_int",
    "encode_objectid",
    "is_objectid",
]

#: The types whose values always stand for themselves.
PLAIN: Final = frozenset({str, bool, type(None)})

#: What a decoder raises for a text that it cannot read.
DECODE_ERRORS: Final = (ValueError, TypeError, ArithmeticError, AttributeError)


def encode_int(value: int) -> object:
    """Return the number, or its hexadecimal digits, of which there may be any number."""
    return value if INTEGER_MIN <= value <= INTEGER_MAX else {"__int__": hex(value)}


def encode_float(value: float) -> object:
    """Return the number, or the name of what is none; JSON has no word for that."""
    return value if value - value == 0.0 else {"__float__": str(value)}


def _encode_bytes(value: bytes) -> object:
    return {"__bytes__": b64encode(value).decode("ascii")}


def _encode_decimal(value: Decimal) -> object:
    return {"__decimal__": str(value)}


def _encode_uuid(value: UUID) -> object:
    return {"__uuid__": str(value)}


def _encode_datetime(value: datetime) -> object:
    text = value.isoformat()
    return {"__datetime__": [text, 1] if value.fold else text}


def _encode_date(value: date) -> object:
    return {"__date__": value.isoformat()}


def _encode_time(value: time) -> object:
    text = value.isoformat()
    return {"__time__": [text, 1] if value.fold else text}


def _encode_timedelta(value: timedelta) -> object:
    return {"__timedelta__": [value.days, value.seconds, value.microseconds]}


ENCODERS: Final[dict[type, Callable[[Any], object]]] = {
    int: encode_int,
    float: encode_float,
    bytes: _encode_bytes,
    Decimal: _encode_decimal,
    UUID: _encode_uuid,
    datetime: _encode_datetime,
    date: _encode_date,
    time: _encode_time,
    timedelta: _encode_timedelta,
}
"""What makes the document form of a value, by its exact type."""


def is_objectid(kind: type) -> bool:
    """Say whether *kind* is the ObjectId of MongoDB; its module may not be imported."""
    return kind.__name__ == "ObjectId" and kind.__module__ == "bson.objectid"


def encode_objectid(value: Any, *_: object) -> object:
    """Return the digits behind their mark."""
    return {"__objectid__": str(value)}


def _text(found: Any) -> str:
    if type(found) is not str:
        raise TypeError(f"a text was expected, not a {type(found).__name__}")
    return found


def _decode_float(found: Any) -> float:
    if found not in ("nan", "inf", "-inf"):
        raise ValueError("only nan, inf and -inf are written so")
    return float(found)


def _decode_uuid(found: Any) -> UUID:
    digits = _text(found).replace("-", "")
    if len(digits) != 32:
        raise ValueError("32 hexadecimal digits were expected")
    return UUID(int=int(digits, 16))


def _decode_objectid(found: Any) -> object:
    from bson import ObjectId
    from bson.errors import InvalidId

    try:
        return ObjectId(_text(found))
    except InvalidId as error:
        raise ValueError(str(error)) from error


def _folding(parse: Callable[[str], Any]) -> Callable[[Any], Any]:
    def decode(found: Any) -> Any:
        if type(found) is list:
            text, fold = found
            return parse(_text(text)).replace(fold=fold)
        return parse(_text(found))

    return decode


def _decode_timedelta(found: Any) -> timedelta:
    days, seconds, microseconds = found
    if {type(days), type(seconds), type(microseconds)} != {int}:
        raise TypeError("three whole numbers were expected")
    return timedelta(days, seconds, microseconds)


DECODERS: Final[dict[str, Callable[[Any], object]]] = {
    "__int__": lambda found: int(_text(found), 16),
    "__float__": _decode_float,
    "__bytes__": lambda found: b64decode(_text(found), validate=True),
    "__decimal__": lambda found: Decimal(_text(found)),
    "__uuid__": _decode_uuid,
    "__objectid__": _decode_objectid,
    "__datetime__": _folding(datetime.fromisoformat),
    "__date__": lambda found: date.fromisoformat(_text(found)),
    "__time__": _folding(time.fromisoformat),
    "__timedelta__": _decode_timedelta,
}
"""What makes a value of its document form, by the mark."""
