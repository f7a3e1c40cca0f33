"""Conditions, joins and selects as SQL.

Every condition becomes an expression whose negation is compiled as the negation of something with
two values, so null never leaks: where SQL would answer "unknown", graven answers false, and ``Not``
answers true. Complements are pushed down to the leaves, values are always parameters, and a path
that follows references becomes one left join for each distinct way through them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from graven._hints import TYPE_CHECKING, Any
from graven.errors import QueryError
from graven.ops.conditions import (
    And,
    Compare,
    Condition,
    In,
    Like,
    Not,
    Or,
    Order,
    Path,
    Select,
    Step,
    Truth,
)
from graven.ops.schema import Table

if TYPE_CHECKING:
    from typing import ClassVar

    from graven.dialects.sql import SQLDialect

__all__ = ["Statement", "compile_select"]

Statement = tuple[str, Sequence[object]]  #: a text and its parameters

OPERATORS = {"<": "<", "<=": "<=", ">": ">", ">=": ">="}


class _Compiler:
    """Collects the parameters and the joins of one statement, in the order of its text."""

    __slots__ = ("dialect", "joins", "parameters", "root")

    def __init__(self, dialect: SQLDialect, root: str) -> None:
        self.dialect = dialect
        self.root = root
        self.parameters: list[object] = []
        self.joins: dict[tuple[Step, ...], tuple[str, str]] = {}

    def parameter(self, kind: str, value: object) -> str:
        self.parameters.append(self.dialect.encode(kind, value))
        return self.dialect.placeholder

    def column(self, path: Path) -> str:
        """Return the column of *path* as an operand, joining what it leads over."""
        prefix = self.alias(path.steps) if path.steps else self.root
        return self.dialect.operand(prefix + self.dialect.quote(path.column), path.kind)

    def sortable(self, path: Path) -> str:
        """Return the column of *path* as it compares by order, and with other columns."""
        prefix = self.alias(path.steps) if path.steps else self.root
        return self.dialect.sortable(prefix + self.dialect.quote(path.column), path.kind)

    def alias(self, steps: tuple[Step, ...]) -> str:
        """Return the prefix for columns of the table that *steps* lead to, joining it at first."""
        if not steps:
            return self.root
        if steps not in self.joins:
            before, step, quote = self.alias(steps[:-1]), steps[-1], self.dialect.quote
            prefix = f"t{len(self.joins) + 1}."
            pairs = zip(step.table.key, step.columns, strict=True)
            on = " and ".join(f"{prefix}{quote(k)} = {before}{quote(c)}" for k, c in pairs)
            join = f" left join {quote(step.table.name)} as {prefix[:-1]} on {on}"
            self.joins[steps] = prefix, join
        return self.joins[steps][0]

    def text(self, condition: Condition, holds: bool = True) -> str:
        """Return *condition*, or its complement unless it *holds*."""
        return self._compilers[type(condition)](self, condition, holds)

    def _truth(self, condition: Truth, holds: bool) -> str:
        return "true" if condition.holds is holds else "false"

    def _not(self, condition: Not, holds: bool) -> str:
        return self.text(condition.condition, not holds)

    def _and(self, condition: And, holds: bool) -> str:
        return self._joined(condition.conditions, holds, conjunction=holds)

    def _or(self, condition: Or, holds: bool) -> str:
        return self._joined(condition.conditions, holds, conjunction=not holds)

    def _joined(self, conditions: tuple[Condition, ...], holds: bool, conjunction: bool) -> str:
        if not conditions:
            return "true" if conjunction else "false"
        parts = [self.text(condition, holds) for condition in conditions]
        return _balanced(parts, " and " if conjunction else " or ")

    def _compare(self, condition: Compare, holds: bool) -> str:
        operator, left, right = condition.operator, condition.left, condition.right
        if operator in ("==", "!="):
            return self._equal(left, right, (operator == "==") is holds)
        if operator not in OPERATORS:
            raise QueryError(f"cannot compare by {operator!r}: use one of == != < <= > >=")
        if right is None:
            return "false" if holds else "true"
        column = self.sortable(left)
        if isinstance(right, Path):
            other = self.sortable(right)
        else:
            other = self.parameter(left.kind, right)
        text = f"{column} {operator} {other}"
        return text if holds else f"({text}) is not true"

    def _equal(self, left: Path, right: object, equal: bool) -> str:
        if isinstance(right, Path):
            form = self.dialect.same if equal else self.dialect.differs
            return form.format(self.sortable(left), self.sortable(right))
        column = self.column(left)
        if right is None:
            return f"{column} is null" if equal else f"{column} is not null"
        value = self.parameter(left.kind, right)
        return f"{column} = {value}" if equal else self.dialect.differs.format(column, value)

    def _in(self, condition: In, holds: bool) -> str:
        values = [value for value in condition.values if value is not None]
        parts: list[str] = []
        if values:
            kind = condition.path.kind
            encoded = [self.dialect.encode(kind, value) for value in values]
            column = self.column(condition.path)
            parts.append(self.dialect.contains(column, kind, encoded, self.parameters))
        if len(values) < len(condition.values):
            parts.append(f"{self.column(condition.path)} is null")
        return self._leaf(_balanced(parts, " or ") if parts else "false", holds)

    def _like(self, condition: Like, holds: bool) -> str:
        column = self.column(condition.path)
        text = self.dialect.like(column, condition.pattern, condition.ignore_case, self.parameters)
        return self._leaf(text, holds)

    @staticmethod
    def _leaf(text: str, holds: bool) -> str:
        return text if holds else f"({text}) is not true"

    _compilers: ClassVar[dict[type[Condition], Callable[[Any, Any, bool], str]]] = {
        Truth: _truth,
        Not: _not,
        And: _and,
        Or: _or,
        Compare: _compare,
        In: _in,
        Like: _like,
    }

    def order(self, orders: tuple[Order, ...], table: Table) -> str:
        """Return the terms of an order, completed by the key, nulls first."""
        if not orders and not self.root:
            return self.dialect.key_order(table)
        terms: list[str] = []
        seen: set[str] = set()
        for order in orders:
            nullable = bool(order.path.steps) or table.column(order.path.column).nullable
            operand = self.sortable(order.path)
            terms.append(self.dialect.ordered(operand, order.descending, nullable))
            if not order.path.steps:
                seen.add(order.path.column)
        for name in table.key:
            if name not in seen:
                path = Path((), name, table.column(name).kind)
                terms.append(self.sortable(path))
        return ", ".join(terms)


def _balanced(parts: list[str], word: str) -> str:
    """Join *parts*, each in brackets; the tree of many is kept flat, for stores limit its depth."""
    if len(parts) == 1:
        return parts[0]
    if len(parts) <= 100:
        return "(" + f"){word}(".join(parts) + ")"
    middle = len(parts) // 2
    return f"({_balanced(parts[:middle], word)}){word}({_balanced(parts[middle:], word)})"


def compile_select(dialect: SQLDialect, select: Select) -> Statement:
    """Return text and parameters of *select*; tables get aliases only if there are joins."""
    compiler = _Compiler(dialect, "")
    text = _select(compiler, select)
    if compiler.joins:
        compiler = _Compiler(dialect, "t0.")
        text = _select(compiler, select)
    return text, compiler.parameters


def _select(compiler: _Compiler, select: Select) -> str:
    quote, root = compiler.dialect.quote, compiler.root
    doubtful = select.doubtful
    if select.count:
        shown = "count(*)" if select.limit is None and not select.offset else "1 as n"
    elif root:
        shown = ", ".join(root + quote(name) for name in select.columns)
    else:
        shown = compiler.dialect.quoted(select.columns)
    if doubtful is not None and not select.count:
        shown += f", {compiler.dialect.flag(compiler.text(doubtful))}"
    where = "" if select.where is None else compiler.text(select.where)
    if where and doubtful is not None:
        where = f"({where}) or ({compiler.text(doubtful)})"
    order = "" if select.count else " order by " + compiler.order(select.order, select.table)
    source = quote(select.table.name) + (" as t0" if root else "")
    joins = "".join(join for _, join in compiler.joins.values())
    text = f"select {shown} from {source}{joins}"
    if where:
        text += f" where {where}"
    text += order + _window(compiler, select)
    if select.lock is not None and not select.count:
        text += compiler.dialect.lock(select, root)
    return f"select count(*) from ({text}) as counted" if shown == "1 as n" else text


def _window(compiler: _Compiler, select: Select) -> str:
    text = ""
    if select.limit is not None or select.offset:
        text = " limit " + compiler.dialect.limit(select.limit, compiler.parameters)
        if select.offset:
            compiler.parameters.append(select.offset)
            text += f" offset {compiler.dialect.placeholder}"
    return text
