"""Conditions as filters, and as expressions where a filter cannot say them.

Both have two values: null is a value, an order comparison with it is false, and a complement is
exact. A field that is missing is null. Every value stands behind ``$eq``, ``$in``, an order
operator or ``$literal``, so that none can ever be taken for an operator.
"""

from __future__ import annotations

from collections.abc import Callable

from graven._hints import TYPE_CHECKING, Any
from graven.dialects.mongo_commands import NEVER, Document
from graven.dialects.mongo_json import from_text
from graven.dialects.mongo_like import like_expression, like_filter
from graven.errors import QueryError
from graven.ops.conditions import And, Compare, Condition, In, Like, Not, Or, Path, Truth

if TYPE_CHECKING:
    from typing import ClassVar

__all__ = ["Compiler", "check_ordered"]

ORDERS = {"<": "$lt", "<=": "$lte", ">": "$gt", ">=": "$gte"}


def check_ordered(path: Path) -> None:
    """Refuse an order of bytes or containers, of which MongoDB has another one than Python.

    :raises QueryError: if the values of *path* are such.
    """
    if path.kind in ("bytes", "json"):
        raise QueryError(
            f"cannot compare {path.column!r} by order, or order by it: MongoDB puts bytes in order "
            "by how many they are, and containers by what is in them, so the answers would not be "
            "those of other stores. Compare with == or in_, or keep bytes in hexadecimal as a str."
        )


class Compiler:
    """Compiles conditions; *field* gives the field of a path, *encode* a value's store form."""

    __slots__ = ("_encode", "_field")

    def __init__(
        self, field: Callable[[Path], str], encode: Callable[[str, object], object]
    ) -> None:
        """Compile for the documents in which *field* finds paths."""
        self._field, self._encode = field, encode

    # ── filters ─────────────────────────────────────────────────────────────────────────────

    def filter(self, condition: Condition) -> Document:
        """Return the filter that documents pass for which *condition* holds."""
        return self._filters[type(condition)](self, condition)

    def _truth(self, condition: Truth) -> Document:
        return {} if condition.holds else NEVER

    def _not(self, condition: Not) -> Document:
        inner = condition.condition
        if isinstance(inner, Not):
            return self.filter(inner.condition)
        return {"$nor": [self.filter(inner)]}

    def _and(self, condition: And) -> Document:
        parts = [self.filter(part) for part in _parts(condition)]
        return {"$and": parts} if parts else {}

    def _or(self, condition: Or) -> Document:
        parts = [self.filter(part) for part in _parts(condition)]
        return {"$or": parts} if parts else NEVER

    def _compare(self, condition: Compare) -> Document:
        operator, left, right = condition.operator, condition.left, condition.right
        if isinstance(right, Path) or left.kind == "json":
            return {"$expr": self.expression(condition)}
        value = self._encode(left.kind, right)
        if operator in ("==", "!="):
            return {self._field(left): {"$eq" if operator == "==" else "$ne": value}}
        word = _word(operator, left)
        return NEVER if right is None else {self._field(left): {word: value}}

    def _in(self, condition: In) -> Document:
        if condition.path.kind == "json":
            return {"$expr": self.expression(condition)}
        return {self._field(condition.path): {"$in": self._members(condition)}}

    def _members(self, condition: In) -> list[object]:
        return [self._stored(condition.path.kind, value) for value in condition.values]

    def _stored(self, kind: str, value: object) -> object:
        """Return what is in a document for *value*."""
        encoded = self._encode(kind, value)
        return from_text(encoded) if kind == "json" and isinstance(encoded, str) else encoded

    def _like(self, condition: Like) -> Document:
        return like_filter(self._field(condition.path), condition.pattern, condition.ignore_case)

    _filters: ClassVar[dict[type[Condition], Callable[[Any, Any], Document]]] = {
        Truth: _truth,
        Not: _not,
        And: _and,
        Or: _or,
        Compare: _compare,
        In: _in,
        Like: _like,
    }

    # ── expressions ─────────────────────────────────────────────────────────────────────────

    def expression(self, condition: Condition) -> Document:
        """Return the expression that says whether *condition* holds."""
        return self._expressions[type(condition)](self, condition)

    def _value(self, path: Path) -> Document:
        return {"$ifNull": [f"${self._field(path)}", None]}

    def _said_truth(self, condition: Truth) -> Document:
        return {"$literal": condition.holds}

    def _said_not(self, condition: Not) -> Document:
        return {"$not": [self.expression(condition.condition)]}

    def _said_and(self, condition: And) -> Document:
        return {"$and": [self.expression(part) for part in _parts(condition)]}

    def _said_or(self, condition: Or) -> Document:
        return {"$or": [self.expression(part) for part in _parts(condition)]}

    def _said_compare(self, condition: Compare) -> Document:
        operator, left, right = condition.operator, condition.left, condition.right
        one, other = self._value(left), self._operand(left, right)
        if operator in ("==", "!="):
            return {"$eq" if operator == "==" else "$ne": [one, other]}
        filled = [{"$gt": [operand, None]} for operand in (one, other)]
        return {"$and": [*filled, {_word(operator, left): [one, other]}]}

    def _operand(self, left: Path, right: object) -> Document:
        if isinstance(right, Path):
            return self._value(right)
        return {"$literal": self._stored(left.kind, right)}

    def _said_in(self, condition: In) -> Document:
        return {"$in": [self._value(condition.path), {"$literal": self._members(condition)}]}

    def _said_like(self, condition: Like) -> Document:
        operand = self._value(condition.path)
        return like_expression(operand, condition.pattern, condition.ignore_case)

    _expressions: ClassVar[dict[type[Condition], Callable[[Any, Any], Document]]] = {
        Truth: _said_truth,
        Not: _said_not,
        And: _said_and,
        Or: _said_or,
        Compare: _said_compare,
        In: _said_in,
        Like: _said_like,
    }


def _word(operator: str, path: Path) -> str:
    check_ordered(path)
    if operator not in ORDERS:
        raise QueryError(f"cannot compare by {operator!r}: use one of == != < <= > >=")
    return ORDERS[operator]


def _parts(condition: And | Or) -> list[Condition]:
    """Return the parts of *condition*, those of its like inside taken out: depth is limited."""
    kind = type(condition)
    found: list[Condition] = []
    waiting = [*condition.conditions[::-1]]
    while waiting:
        part = waiting.pop()
        if type(part) is kind:
            waiting += part.conditions[::-1]
        else:
            found.append(part)
    return found
