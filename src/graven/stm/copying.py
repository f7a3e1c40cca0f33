"""Which values are copied on their way in and out, and how."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from copy import deepcopy
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from types import BuiltinFunctionType, FunctionType, NoneType
from typing import Any, Final
from uuid import UUID

from graven.core.values import Absent
from graven.ops.value import Value as FrozenValue
from graven.stm import faults

__all__ = ["ATOMS", "PLAIN", "Copier", "is_frozen"]

ATOMS: Final = frozenset(
    {
        NoneType, bool, int, float, complex, str, bytes, Decimal, Fraction, UUID, range, type,
        dt.date, dt.time, dt.datetime, dt.timedelta, dt.timezone,
        FunctionType, BuiltinFunctionType, Absent,
    }
)  # fmt: skip
"""The types whose values cannot change, and so are never copied."""

PLAIN: Final = ATOMS - {Absent}
"""Those of them that can be stored."""


def is_frozen(value: object) -> bool:
    """Say whether *value* can never change: an atom, or a frozen container of such.

    Tuples, frozen sets, frozen dataclasses and enum members are looked into. What cannot be told
    is taken for changeable.

    >>> is_frozen((1, "a", frozenset({2}))), is_frozen((1, []))
    (True, False)
    """
    kind = type(value)
    if kind in ATOMS or isinstance(value, Enum):
        return True
    if kind is tuple or kind is frozenset:
        return all(map(is_frozen, value))  # type: ignore[call-overload]
    if isinstance(value, FrozenValue):
        return all(is_frozen(getattr(value, name)) for name in kind._fields)  # type: ignore[attr-defined]
    parameters = vars(kind).get("__dataclass_params__")  # its own: a subclass may add what changes
    if parameters is not None and parameters.frozen:
        return all(is_frozen(getattr(value, name)) for name in kind.__dataclass_fields__)  # type: ignore[attr-defined]
    return False


class Copier:
    """Copies what can change; *function* says how, ``copy.deepcopy`` if it is not given."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[[Any], Any] | None = None) -> None:
        self._function = function or deepcopy

    def __call__(self, key: object, value: Any) -> Any:
        """Return *value* itself if it cannot change, a copy otherwise.

        :raises DataError: if it cannot be copied.
        """
        if type(value) in ATOMS:
            return value
        try:
            return value if is_frozen(value) else self._function(value)
        except Exception as error:
            raise faults.uncopyable(key, value) from error
