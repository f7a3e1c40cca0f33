"""Judge conditions in memory, with the same answer as the store gives."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, Final

from graven.ops.conditions import And, Compare, Condition, In, Like, Not, Or, Order, Path, Truth
from graven.ops.text import like_matcher

__all__ = ["holds", "paths_in", "sort_key"]

Read = Callable[[Any, Path], Any]

_ORDERS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def holds(condition: Condition, instance: Any, read: Read) -> bool:
    """Say whether *condition* holds for *instance*.

    *read* returns the value at a path of it, in Python form.

    Null is a value: it equals itself and nothing else, and an order comparison with it is false.
    """
    match condition:
        case Truth(verdict):
            return verdict
        case Not(inner):
            return not holds(inner, instance, read)
        case And(parts):
            return all(holds(part, instance, read) for part in parts)
        case Or(parts):
            return any(holds(part, instance, read) for part in parts)
        case Compare(sign, left, right):
            other = read(instance, right) if isinstance(right, Path) else right
            return _compares(sign, read(instance, left), other)
        case In(path, values):
            return read(instance, path) in values
        case Like(path, pattern, ignore_case):
            text = read(instance, path)
            return text is not None and like_matcher(pattern, ignore_case)(text)
        case _:
            raise AssertionError(condition)


def _compares(sign: str, left: Any, right: Any) -> bool:
    if sign == "==":
        return bool(left == right)
    if sign == "!=":
        return bool(left != right)
    return left is not None and right is not None and _ORDERS[sign](left, right)


def paths_in(condition: Condition | None) -> list[Path]:
    """Return every path that a condition reads."""
    match condition:
        case Not(inner):
            return paths_in(inner)
        case And(parts) | Or(parts):
            return [path for part in parts for path in paths_in(part)]
        case Compare(_, left, right):
            return [left, right] if isinstance(right, Path) else [left]
        case In(path, _) | Like(path, _, _):
            return [path]
        case _:
            return []


class _Descending:
    """A sort key turned round."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __lt__(self, other: _Descending) -> bool:
        return bool(other.value < self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Descending) and bool(self.value == other.value)

    def __hash__(self) -> int:
        return hash(self.value)


def sort_key(order: Sequence[Order], read: Read) -> Callable[[Any], tuple[Any, ...]]:
    """Return the key function that sorts instances as the store orders rows.

    Nulls are the least.
    """

    def key(instance: Any) -> tuple[Any, ...]:
        parts: list[Any] = []
        for term in order:
            value = read(instance, term.path)
            part = (value is not None, 0 if value is None else value)
            parts.append(_Descending(part) if term.descending else part)
        return tuple(parts)

    return key
