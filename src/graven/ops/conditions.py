"""Conditions and selects as values.

A condition is judged in two places, by the store and in memory, and both must agree:

* null is a value: ``Compare("!=", field, 3)`` holds for null, ``Not(c)`` is the complement of
  ``c``, an order comparison with null is false, and nulls are the least of all values in an order;
* text compares by code point; ``like`` minds case and ``ilike`` does not.
"""

from __future__ import annotations

from graven.errors import QueryError
from graven.ops.schema import Table
from graven.ops.value import Value

__all__ = [
    "And",
    "Compare",
    "Condition",
    "In",
    "Like",
    "Not",
    "Or",
    "Order",
    "Path",
    "Select",
    "Step",
    "Truth",
]


class Step(Value):
    """One reference followed: from *columns* of the table at hand to the key of *table*."""

    columns: tuple[str, ...]
    table: Table


class Path(Value):
    """A column, reached over references: ``Receipt.source.owner`` has one step.

    *table* is where it begins; ``None`` is the table that is asked, whichever that is.
    """

    steps: tuple[Step, ...]
    column: str
    kind: str
    table: Table | None = None


class Condition(Value):
    """The base of all conditions; they are joined with ``&``, ``|`` and ``~``.

    To type checkers ``Account.balance > 10`` is a ``bool``, so they may be joined with one.
    """

    def __and__(self, other: Condition | bool) -> Condition:
        return And((self, _condition(other)))

    def __rand__(self, other: Condition | bool) -> Condition:
        return And((_condition(other), self))

    def __or__(self, other: Condition | bool) -> Condition:
        return Or((self, _condition(other)))

    def __ror__(self, other: Condition | bool) -> Condition:
        return Or((_condition(other), self))

    def __invert__(self) -> Condition:
        return Not(self)

    def __bool__(self) -> bool:
        raise QueryError(
            "cannot say whether a condition is true: it is a question to the store, not an answer. "
            "Join conditions with & | ~ instead of and, or, not, write each in parentheses, and "
            "use "
            "in_ instead of in."
        )


def _condition(given: object) -> Condition:
    if not isinstance(given, Condition):
        raise QueryError(
            f"cannot join a condition with {given!r:.100}: it is no condition. Usually a value of "
            "an "
            "object was compared instead of a field of its class, as in Account.balance > 10."
        )
    return given


class Truth(Condition):
    """Always holds, or never."""

    holds: bool


class Compare(Condition):
    """``left operator right``; the operator is one of ``== != < <= > >=``.

    *right* is another path or a value in Python form.
    """

    operator: str
    left: Path
    right: object


class In(Condition):
    """The value of the path is one of *values*, which may contain ``None``."""

    path: Path
    values: tuple[object, ...]


class Like(Condition):
    r"""The text matches *pattern*: ``%`` is any text, ``_`` any one character, ``\`` escapes."""

    path: Path
    pattern: str
    ignore_case: bool = False


class Not(Condition):
    """The complement."""

    condition: Condition


class And(Condition):
    """All of them hold."""

    conditions: tuple[Condition, ...]


class Or(Condition):
    """At least one of them holds."""

    conditions: tuple[Condition, ...]


class Order(Value):
    """One term of an order."""

    path: Path
    descending: bool = False


class Select(Value):
    """Rows of one table.

    Rows come with the *columns* named, in that order. *order* is completed by the key, so that the
    same rows always come in the same order. *count* asks for one row with the number of rows
    instead. *doubtful* is a second condition: rows that meet it are returned too, and every row
    gets one more column, last, that says whether it does (1 or 0). *lock* keeps others from writing
    the rows until the transaction ends: ``"wait"`` waits for those who have them locked,
    ``"nowait"`` raises ``BusyRetry`` instead, ``"skip_locked"`` leaves such rows out.
    ``"skip_or_check"`` does so where the store is able to; elsewhere it locks nothing, for who
    finds out at the write that somebody was faster. A store with one writer at a time takes the
    right to write instead, so that nobody else has any row locked.
    """

    table: Table
    columns: tuple[str, ...]
    where: Condition | None = None
    order: tuple[Order, ...] = ()
    limit: int | None = None
    offset: int = 0
    count: bool = False
    doubtful: Condition | None = None
    lock: str | None = None
