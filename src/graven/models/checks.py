"""Values are checked against their annotations before anything is written.

The generated code looks at the exact type first, which is nearly always right; what is here is the
second look, and the error.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

from graven._hints import Any
from graven.errors import DataError

__all__ = [
    "INTEGER_MAX",
    "INTEGER_MIN",
    "checker",
    "fits",
    "refuse",
    "shown",
    "suspicious",
    "unstorable",
]

INTEGER_MIN = -(2**63)  #: the least whole number that is stored
INTEGER_MAX = 2**63 - 1  #: the greatest whole number that is stored
MICROSECOND = timedelta(microseconds=1)


def shown(value: object) -> str:
    """Return what stands for a value in a message: its ``repr``, cut short, whatever it is."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - a number of 5,000 digits, a broken __repr__
        text = f"<{type(value).__name__}>"
    return text if len(text) <= 100 else text[:97] + "..."


def refuse(
    model: str, key: object, field: str, value: object, expected: str, why: str = ""
) -> DataError:
    """Make the error for a value that does not fit its field."""
    return DataError(
        f"cannot write {model}.{field} of {model} {shown(key)}: found {shown(value)} "
        f"({type(value).__name__}), expected {expected}."
        f"{' ' + why if why else ''} Nothing was written; correct the value and commit again.",
        model=model,
        key=key,
        field=field,
        value=value,
        expected=expected,
    )


def unstorable(kind: str, value: Any) -> str:
    """Say why a value of the right type cannot be stored unchanged; an empty text if it can."""
    if isinstance(value, enum.Enum):
        return ""
    if kind == "int" and not INTEGER_MIN <= value <= INTEGER_MAX:
        return "Whole numbers of more than 64 bits cannot be stored."
    if kind == "float" and value != value:
        return "A NaN cannot be stored; use None for a value that is not known."
    if kind == "str":
        if "\0" in value:
            return "A text with a NUL character cannot be stored on every backend; use bytes."
        if any("\ud800" <= character <= "\udfff" for character in value):
            return (
                "A lone surrogate is no character and cannot be stored; decode the text properly, "
                "or use bytes."
            )
    if kind == "decimal" and not value.is_finite():
        return "Only finite decimals can be stored; use None for a value that is not known."
    if kind == "datetime" and value.tzinfo is None:
        return (
            "The field holds instants and this datetime has no time zone: give it one, as in "
            "datetime.now(timezone.utc), or declare the field as NaiveDatetime."
        )
    if kind == "datetime" and not _is_in_range(value):
        return "In UTC it would lie before the year 1 or after the year 9999."
    if kind == "timedelta" and not INTEGER_MIN <= value // MICROSECOND <= INTEGER_MAX:
        return "Spans of more than 64 bits of microseconds (292,000 years) cannot be stored."
    if kind == "naive" and value.tzinfo is not None:
        return (
            "The field holds wall-clock times and this datetime has a time zone: declare the field "
            "as datetime, or take the zone off."
        )
    if kind == "time" and value.tzinfo is not None:
        return "A time of day is stored without a zone."
    return ""


def _is_in_range(value: datetime) -> bool:
    try:
        value.astimezone(UTC)
    except OverflowError:
        return False
    return True


def fits(value: Any, python: type) -> bool:
    """Say whether *value* is of the type *python*; a bool is no int, a datetime no date."""
    if python is date:
        return isinstance(value, date) and not isinstance(value, datetime)
    if python is int:
        return isinstance(value, int) and not isinstance(value, bool | enum.Enum)
    if python is str:
        return isinstance(value, str) and not isinstance(value, enum.Enum)
    return isinstance(value, python)


def checker(
    model: str, field: str, python: type, kind: str, nullable: bool, key_of: Callable[[Any], Any]
) -> Callable[[Any, Any], Any]:
    """Make the second look at a value: it returns what is written, or raises ``DataError``."""
    expected = python.__name__ + (" or None" if nullable else "")
    plain = python in (int, str, float, bytes)

    def check(instance: Any, value: Any) -> Any:
        if python is float and type(value) is int and abs(value) <= 2**53:
            return float(value)
        if not fits(value, python):
            raise refuse(model, key_of(instance), field, value, expected)
        if not issubclass(python, enum.Enum):
            why = unstorable(kind, value)
            if why:
                raise refuse(model, key_of(instance), field, value, expected, why)
        return python(value) if plain and type(value) is not python else value

    return check


def suspicious(kind: str, python: type, name: str, type_name: str) -> str:
    """Return the source of the first look: it is true if *name* needs the second one.

    *type_name* is what the source calls the type of the field.
    """
    wrong_type = f"type({name}) is not {type_name}"
    if issubclass(python, enum.Enum):
        return wrong_type
    extra = {
        "str": f" or '\\0' in {name}",
        "float": f" or {name} != {name}",
        "datetime": f" or {name}.tzinfo is None or not 1 < {name}.year < 9999",
        "timedelta": f" or not -100_000_000 < {name}.days < 100_000_000",
        "naive": f" or {name}.tzinfo is not None",
        "time": f" or {name}.tzinfo is not None",
        "decimal": f" or not {name}.is_finite()",
    }
    return wrong_type + extra.get(kind, "")
