"""What it means that two values are the same."""

from __future__ import annotations

from collections.abc import Callable, Collection

from graven._hints import TYPE_CHECKING, Any, final

if TYPE_CHECKING:
    from typing import Final

__all__ = ["ABSENT", "Absent", "same"]


@final
class Absent:
    """The type of :data:`ABSENT`, the mark of a cell that holds nothing; absent is not ``None``."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "ABSENT"

    def __bool__(self) -> bool:
        return False


#: The mark of a cell that holds nothing.
ABSENT: Final = Absent()


def same(left: object, right: object) -> bool:
    """Say whether two values are the same: equal in type and in value, at any depth.

    ``1`` is not ``True``, ``1.0`` is not ``1``, a NaN is the same as itself, and two decimals are
    the same if they are equal, however many zeros they carry. Dataclasses and structs are the same
    if their fields are; what is hashed by identity is the same as nothing else, whatever its
    ``==`` says; other objects are asked with ``==``.

    >>> same(1, True), same([1, {"a": 2}], [1, {"a": 2}]), same(float("nan"), float("nan"))
    (False, True, True)
    """
    if left is right:
        return True
    kind = type(left)
    if kind is not type(right):
        return False
    if kind in _PLAIN:
        return left == right or (left != left and right != right)
    compare = _BY_KIND.get(kind)
    if compare is not None:
        return compare(left, right)
    is_equal = bool(left == right) or bool(left != left and right != right)
    return _same_inside(kind, left, right, is_equal)


def _same_inside(kind: Any, left: Any, right: Any, otherwise: bool) -> bool:
    """Compare the fields of a dataclass or struct; of other objects only the identity may count."""
    fields = getattr(kind, "__dataclass_fields__", None) or getattr(kind, "__struct_fields__", None)
    if fields is None:
        return otherwise and kind.__hash__ is not object.__hash__
    return all(same(getattr(left, name, ABSENT), getattr(right, name, ABSENT)) for name in fields)


def _same_items(left: Any, right: Any) -> bool:
    return len(left) == len(right) and all(map(same, left, right))


def _same_pairs(left: dict[Any, Any], right: dict[Any, Any]) -> bool:
    if len(left) != len(right):
        return False
    if all(map(same, left, right)):
        return all(map(same, left.values(), right.values()))
    keys = _Counterparts(right)
    return all(
        (other := keys.of(key)) is not ABSENT and same(value, right[other])
        for key, value in left.items()
    )


def _same_members(left: Collection[Any], right: Collection[Any]) -> bool:
    if len(left) != len(right):
        return False
    members = _Counterparts(right)
    return all(members.of(one) is not ABSENT for one in left)


class _Counterparts:
    """Finds what is the same among hashed things, where ``==`` alone would find ``True`` for 1."""

    def __init__(self, things: Collection[Any]) -> None:
        self.known = {one: one for one in things}

    def of(self, wanted: Any) -> Any:
        found = self.known.get(wanted, ABSENT)
        if found is ABSENT and wanted != wanted:
            return next((one for one in self.known if same(wanted, one)), ABSENT)
        return found if same(wanted, found) else ABSENT


_PLAIN: Final = frozenset({int, str, bool, float, bytes})

_BY_KIND: Final[dict[type, Callable[[Any, Any], bool]]] = {
    dict: _same_pairs,
    list: _same_items,
    tuple: _same_items,
    set: _same_members,
    frozenset: _same_members,
}
