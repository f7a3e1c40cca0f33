"""What it means that two values are the same."""

from __future__ import annotations

from typing import Any, Final, final

__all__ = ["ABSENT", "Absent", "same"]


@final
class Absent:
    """The type of :data:`ABSENT`, the mark of a cell that holds nothing; absent is not ``None``."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "ABSENT"

    def __bool__(self) -> bool:
        return False


ABSENT: Final = Absent()


def same(left: Any, right: Any) -> bool:
    """Say whether two values are the same: equal in type and in value, at any depth.

    ``1`` is not ``True``, ``1.0`` is not ``1``, a NaN is the same as itself, and two decimals are
    the same if they are equal, however many zeros they carry. Other objects are asked with ``==``.

    >>> same(1, True), same([1, {"a": 2}], [1, {"a": 2}]), same(float("nan"), float("nan"))
    (False, True, True)
    """
    if left is right:
        return True
    kind = type(left)
    if kind is not type(right):
        return False
    if kind is dict:
        return len(left) == len(right) and all(
            key in right and same(value, right[key]) for key, value in left.items()
        )
    if kind is list or kind is tuple:
        return len(left) == len(right) and all(map(same, left, right))
    if kind is float and left != left:
        return bool(right != right)
    return bool(left == right)
