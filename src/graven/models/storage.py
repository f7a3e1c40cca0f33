"""``field(stored_as=...)``: the values of a field kept as values of another type.

=========  =========  ==================================================  =======  =======
a field    stored as  in the column                                       ordered  equal
=========  =========  ==================================================  =======  =======
datetime   int        microseconds since 1970 in UTC; naive ones alike    yes      yes
datetime   str        ISO 8601 with microseconds, in UTC; naive as it is  yes      yes
date       int        the ordinal of the day, 1 being 0001-01-01          yes      yes
date       str        ISO 8601                                            yes      yes
time       int        microseconds since midnight                         yes      yes
time       str        ISO 8601 with microseconds                          yes      yes
timedelta  int        microseconds                                        yes      yes
Decimal    str        the digits, with the exponent                       no       no
float      str        the digits; NaN and infinity too                    no       no
int        str        the digits, however many                            no       yes
bool       int        0 or 1                                              yes      yes
UUID       str        32 hexadecimal digits in five groups                yes      yes
UUID       bytes      16 bytes, which not every store orders              no       yes
bytes      str        hexadecimal digits                                  yes      yes
document   str        JSON                                                no       no
=========  =========  ==================================================  =======  =======

What is *ordered* can be compared by ``<`` and sorted by in the store; what is *equal* there is what
is equal in Python. Other questions are refused.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta

from graven._hints import Any
from graven.errors import MappingError

__all__ = ["Storage", "storage_for"]

Convert = Callable[[Any], Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - a wall-clock time
_MIDNIGHT = datetime(1, 1, 1)  # noqa: DTZ001 - only its time counts
_MICROSECOND = timedelta(microseconds=1)


class Storage:
    """How values are kept as values of the kind ``kind``.

    ``encode`` and ``decode`` lead from one Python form to the other.
    """

    __slots__ = ("decode", "encode", "is_equal", "is_ordered", "kind")

    def __init__(
        self,
        kind: str,
        encode: Convert,
        decode: Convert,
        *,
        is_ordered: bool = True,
        is_equal: bool = True,
    ) -> None:
        """Keep the two functions, and what can be asked of the store."""
        self.kind, self.encode, self.decode = kind, encode, decode
        self.is_ordered, self.is_equal = is_ordered, is_equal

    def encoder(self, encode: Convert | None) -> Convert:
        """Return the function to store form, given that of the backend for ``kind``."""
        mine = self.encode
        return mine if encode is None else lambda value: encode(mine(value))

    def decoder(self, decode: Convert | None) -> Convert:
        """Return the function from store form, given that of the backend for ``kind``."""
        mine = self.decode
        return mine if decode is None else lambda value: mine(decode(value))


def _time_us(value: time) -> int:
    whole = (value.hour * 60 + value.minute) * 60 + value.second
    return whole * 1_000_000 + value.microsecond


def _decimal(text: str) -> Any:
    from decimal import Decimal

    return Decimal(text)


def _uuid(text: str) -> Any:
    from uuid import UUID

    return UUID(text)


def _uuid_of_bytes(data: bytes) -> Any:
    from uuid import UUID

    return UUID(bytes=data)


def _same(value: Any) -> Any:
    return value


_STORAGES: dict[tuple[str, str], Storage] = {
    ("datetime", "int"): Storage(
        "int",
        lambda value: (value - _EPOCH) // _MICROSECOND,
        lambda value: _EPOCH + timedelta(microseconds=value),
    ),
    ("datetime", "str"): Storage(
        "str",
        lambda value: value.astimezone(UTC).isoformat(timespec="microseconds"),
        datetime.fromisoformat,
    ),
    ("naive", "int"): Storage(
        "int",
        lambda value: (value - _NAIVE_EPOCH) // _MICROSECOND,
        lambda value: _NAIVE_EPOCH + timedelta(microseconds=value),
    ),
    ("naive", "str"): Storage(
        "str", lambda value: value.isoformat(timespec="microseconds"), datetime.fromisoformat
    ),
    ("date", "int"): Storage("int", date.toordinal, date.fromordinal),
    ("date", "str"): Storage("str", date.isoformat, date.fromisoformat),
    ("time", "int"): Storage(
        "int", _time_us, lambda value: (_MIDNIGHT + timedelta(microseconds=value)).time()
    ),
    ("time", "str"): Storage(
        "str", lambda value: value.isoformat(timespec="microseconds"), time.fromisoformat
    ),
    ("timedelta", "int"): Storage(
        "int", lambda value: value // _MICROSECOND, lambda value: timedelta(microseconds=value)
    ),
    ("decimal", "str"): Storage("str", str, _decimal, is_ordered=False, is_equal=False),
    ("float", "str"): Storage("str", repr, float, is_ordered=False, is_equal=False),
    ("int", "str"): Storage("str", str, int, is_ordered=False),
    ("bool", "int"): Storage("int", int, bool),
    ("uuid", "str"): Storage("str", str, _uuid),
    ("uuid", "bytes"): Storage(
        "bytes", lambda value: value.bytes, _uuid_of_bytes, is_ordered=False
    ),
    ("bytes", "str"): Storage("str", bytes.hex, bytes.fromhex),
    ("json", "str"): Storage("str", _same, _same, is_ordered=False, is_equal=False),
}


def storage_for(model: str, name: str, kind: Any, stored_as: Any) -> Storage:
    """Return how a field of *kind* is stored as values of the type *stored_as*.

    :raises MappingError: if that makes no sense.
    """
    own = kind.kind if kind.form in ("scalar", "document") else kind.form
    if kind.choices:
        own = "enumeration"
    found = _STORAGES.get((own, getattr(stored_as, "__name__", "")))
    if found is not None:
        return found
    possible = [to for origin, to in _STORAGES if origin == own]
    advice = f"It can be stored as {' or '.join(possible)}." if possible else "Leave it out."
    if own in ("reference", "list"):
        advice = "It is stored as the key that it refers to; say it of that key."
    raise MappingError(
        f"cannot store {model}.{name} as {getattr(stored_as, '__name__', stored_as)!s:.100}: its "
        f"values ({own}) have no form of that type that they would come back from. {advice}",
        model=model,
        field=name,
    )
