"""Judge conditions in memory, with the same answer as the store gives."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence

from graven._hints import TYPE_CHECKING, Any
from graven.ops.conditions import And, Compare, Condition, In, Like, Not, Or, Order, Path, Truth
from graven.ops.text import like_matcher

if TYPE_CHECKING:
    from typing import Final

__all__ = ["judge_of", "paths_in", "sort_key"]

Read = Callable[[Any, Path], Any]
Judge = Callable[[Any], bool]

_ORDERS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def judge_of(condition: Condition, read: Read) -> Judge:
    """Return the function that says whether *condition* holds for an object.

    *read* returns the value at a path of it, in Python form.

    Null is a value: it equals itself and nothing else, and an order comparison with it is false.
    One of many values is found by its hash, however many they are.
    """
    match condition:
        case Truth(verdict):
            return lambda _: verdict
        case Not(inner):
            refuted = judge_of(inner, read)
            return lambda one: not refuted(one)
        case And(parts):
            needed = [judge_of(part, read) for part in parts]
            return lambda one: all(judge(one) for judge in needed)
        case Or(parts):
            enough = [judge_of(part, read) for part in parts]
            return lambda one: any(judge(one) for judge in enough)
        case Compare(sign, left, Path() as right):
            return lambda one: _compares(sign, read(one, left), read(one, right))
        case Compare(sign, left, value):
            return lambda one: _compares(sign, read(one, left), value)
        case In(path, values):
            members = frozenset(values)
            return lambda one: _is_among(read(one, path), members)
        case Like(path, pattern, ignore_case):
            matches = like_matcher(pattern, ignore_case)
            return lambda one: (text := read(one, path)) is not None and matches(text)
        case _:
            raise AssertionError(condition)


def _compares(sign: str, left: Any, right: Any) -> bool:
    if sign == "==":
        return bool(left == right)
    if sign == "!=":
        return bool(left != right)
    return left is not None and right is not None and _ORDERS[sign](left, right)


def _is_among(value: Any, members: frozenset[object]) -> bool:
    try:
        return value in members
    except TypeError:  # a list, say, that was assigned to the field and will be refused
        return False


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
