"""The class-level face of a field.

``Account.balance > 10`` is a condition, ``Receipt.source.owner`` a path.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable

from graven._hints import Any
from graven.core.mapper import Mapper
from graven.errors import QueryError
from graven.models.checks import fits, unstorable
from graven.models.fields import ModelField, ReferenceField
from graven.models.types import member_value, stored_value
from graven.ops.conditions import And, Compare, Condition, In, Like, Not, Or, Order, Path, Step

__all__ = [
    "FieldExpression",
    "KeyExpression",
    "asc",
    "desc",
    "expression_for",
    "ilike",
    "in_",
    "like",
]


class FieldExpression:
    """A field as a query sees it.

    Compare it to make a condition; follow a reference by its attributes.
    """

    __slots__ = ("_field", "_mapper", "_owner", "_parents", "_steps")

    def __init__(
        self,
        owner: Mapper,
        mapper: Mapper,
        field: Any,
        steps: tuple[Step, ...],
        parents: tuple[Any, ...],
    ) -> None:
        """Make the expression for *field* of *mapper*, reached from *owner* by *steps*."""
        self._owner, self._mapper, self._field = owner, mapper, field
        self._steps, self._parents = steps, parents

    def __getattr__(self, name: str) -> FieldExpression:
        if name.startswith("_"):
            raise AttributeError(name)
        field = self._field
        if field.form not in ("reference", "owned", "links"):
            raise QueryError(
                f"cannot follow {self!r} to {name!r}: only references, and lists of models, lead "
                f"on to other fields, and {field.name} is neither.",
                model=self._mapper.name,
                field=field.name,
            )
        target = field.target
        step = Step(field.columns, target.root.table)
        steps, parents = (*self._steps, step), (*self._parents, field)
        if name in target.field_index:
            return FieldExpression(self._owner, target, target.field(name), steps, parents)
        reference = name.removesuffix("_id")
        if reference == name or reference not in {one.name for one in target.references}:
            raise QueryError(
                f"cannot follow {self!r} to {name!r}: {target.name} has no such field.",
                model=target.name,
                field=name,
            )
        return KeyExpression(self._owner, target, target.field(reference), steps, parents)

    def __repr__(self) -> str:
        names = [self._owner.name, *(field.name for field in self._parents), self._field.name]
        return ".".join(names)

    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        raise QueryError(
            f"cannot say whether {self!r} is true: it is a field of the model, not a value. "
            "Compare it to make a condition, and join conditions by & | ~ instead of and, or, not.",
            model=self._mapper.name,
            field=self._field.name,
        )

    def __eq__(self, other: object) -> Condition:  # type: ignore[override]
        return compare("==", self, other)

    def __ne__(self, other: object) -> Condition:  # type: ignore[override]
        return compare("!=", self, other)

    def __lt__(self, other: object) -> Condition:
        return compare("<", self, other)

    def __le__(self, other: object) -> Condition:
        return compare("<=", self, other)

    def __gt__(self, other: object) -> Condition:
        return compare(">", self, other)

    def __ge__(self, other: object) -> Condition:
        return compare(">=", self, other)


class KeyExpression(FieldExpression):
    """The key of a reference as a query sees it: it is compared and ordered by, not followed."""

    __slots__ = ()

    def __getattr__(self, name: str) -> FieldExpression:
        if name.startswith("_"):
            raise AttributeError(name)
        raise QueryError(
            f"cannot follow {self!r} to {name!r}: it is a key. Follow the reference itself, "
            f"{self._field.name}.",
            model=self._mapper.name,
            field=self._field.name,
        )

    def __repr__(self) -> str:
        return f"{super().__repr__()}_id"


def expression_for(mapper: Any, field: ModelField) -> FieldExpression:
    """Make the query field of a model's own *field*."""
    return FieldExpression(mapper, mapper, field, (), ())


def paths_of(expression: FieldExpression) -> list[Path]:
    """Return the path of each column of the expression's field."""
    if any(parent.form != "reference" for parent in expression._parents):
        raise QueryError(
            f"cannot compare or order by {expression!r}: it leads over a list, which has many "
            "values. Ask for the objects in the list instead, and follow their reference.",
            model=expression._mapper.name,
            field=expression._field.name,
        )
    columns, table = expression._field.column_values, expression._owner.root.table
    return [Path(expression._steps, column.name, column.kind, table) for column in columns]


def _checked(expression: object, use: str) -> FieldExpression:
    if not isinstance(expression, FieldExpression):
        raise QueryError(
            f"cannot use {expression!r:.100} for {use}: a field of a model is needed, as in "
            "Account.balance."
        )
    return expression


def _single_path(given: object, use: str) -> Path:
    expression = _checked(given, use)
    paths = paths_of(expression)
    if len(paths) != 1 or expression._field.form not in ("scalar", "reference"):
        raise QueryError(
            f"cannot use {expression!r} for {use}: it is not stored as one plain value.",
            model=expression._mapper.name,
            field=expression._field.name,
        )
    return paths[0]


def stored_values(expression: FieldExpression, value: object) -> tuple[object, ...]:
    """Return what *value* is in the columns of the field, in Python form.

    :raises QueryError: if the value cannot be a value of the field.
    """
    field = expression._field
    columns = field.column_values
    if value is None:
        return (None,) * len(columns)
    if isinstance(field, ReferenceField):
        return _key_values(expression, field, value)
    if field.form != "scalar":
        raise _misfit(expression, value, "only None; such a field is not compared by the store")
    python, kind = field.type.python, field.type.limited_kind
    if isinstance(value, enum.Enum) and isinstance(value, python):
        return (member_value(field.type, value),)
    if python is float and type(value) is int:
        value = float(value)
    if not fits(value, python):
        raise _misfit(expression, value, python.__name__)
    if why := unstorable(kind, value):
        raise _misfit(expression, value, python.__name__, why)
    _check_storage(expression, "compare", "is_equal")
    return (stored_value(field.type, value),)


def _key_values(
    expression: FieldExpression, field: ReferenceField, value: object
) -> tuple[object, ...]:
    if isinstance(value, field.type.target):
        value = field.target.key_of(value)
        if value is None:
            raise _misfit(expression, value, f"a {field.target.name} that has its key already")
    parts = value if len(field.columns) > 1 else (value,)
    if not isinstance(parts, tuple) or len(parts) != len(field.columns):
        raise _misfit(expression, value, f"a {field.target.name} or its key")
    stored = []
    for name, part in zip(field.target.key_fields, parts, strict=True):
        kind = field.target.field(name).type
        python = kind.python
        expected = f"a {field.target.name} or its key, {python.__name__}"
        if not fits(part, python):
            raise _misfit(expression, value, expected)
        if why := unstorable(kind.limited_kind, part):
            raise _misfit(expression, value, expected, why)
        stored.append(stored_value(kind, part))
    return tuple(stored)


def _storages(expression: FieldExpression) -> list[Any]:
    """Return how the values in each column of the field are kept, ``None`` where as themselves."""
    field = expression._field
    if isinstance(field, ReferenceField):
        return [field.target.field(name).type.storage for name in field.target.key_fields]
    return [field.type.storage]


def _check_storage(expression: FieldExpression, attempted: str, needed: str) -> None:
    """Refuse a question that the form in which the values are stored does not answer."""
    for storage in _storages(expression):
        if storage is not None and not getattr(storage, needed):
            raise QueryError(
                f"cannot {attempted} {expression!r} in the store: the field is declared as "
                f"stored_as={storage.kind}, and what is stored is not in the order of the values, "
                "or not always alike where these are equal. Judge the objects in Python, or leave "
                "stored_as out.",
                model=expression._mapper.name,
                field=expression._field.name,
            )


def _misfit(expression: FieldExpression, value: object, expected: str, why: str = "") -> QueryError:
    return QueryError(
        f"cannot compare {expression!r} with {value!r:.100} ({type(value).__name__}): expected "
        f"{expected}.{' ' + why if why else ''}",
        model=expression._mapper.name,
        field=expression._field.name,
    )


def compare(operator: str, left: FieldExpression, right: object) -> Condition:
    """Make the condition ``left operator right``."""
    paths = paths_of(left)
    if isinstance(right, FieldExpression):
        values: tuple[object, ...] = tuple(paths_of(right))
        kinds = [getattr(path, "kind", None) for path in values]
        if [path.kind for path in paths] != kinds or _storages(left) != _storages(right):
            raise _misfit(left, right, "a field of the same type")
        _check_storage(left, "compare", "is_equal")
    else:
        values = stored_values(left, right)
    if operator in ("<", "<=", ">", ">="):
        _check_storage(left, "compare the order of", "is_ordered")
        return Compare(operator, _single_path(left, "an order comparison"), values[0])
    equal = [Compare("==", path, value) for path, value in zip(paths, values, strict=True)]
    if not equal:
        raise _misfit(left, right, "a field that has a column")
    whole: Condition = equal[0] if len(equal) == 1 else And(tuple(equal))
    return (
        whole
        if operator == "=="
        else Not(whole)
        if len(equal) > 1
        else Compare("!=", paths[0], values[0])
    )


def in_(expression: Any, values: Iterable[object]) -> Condition:
    """Ask that the value of the field is one of *values*, which may contain ``None``."""
    paths = paths_of(_checked(expression, "in_"))
    given: object = values
    if isinstance(given, str | bytes) or not isinstance(given, Iterable) or not paths:
        raise QueryError(
            f"cannot use in_ with {expression!r} and {values!r:.100}: a field that is stored in "
            "this table, and a list of values, are needed, as in in_(Account.owner, names).",
            model=expression._mapper.name,
            field=expression._field.name,
        )
    listed = [stored_values(expression, value) for value in values]
    if len(paths) == 1:
        return In(paths[0], tuple(row[0] for row in listed))
    return Or(
        tuple(
            And(tuple(Compare("==", path, part) for path, part in zip(paths, row, strict=True)))
            for row in listed
        )
    )


def _text_path(expression: Any, pattern: object, use: str) -> Path:
    path = _single_path(expression, use)
    if path.kind != "str" or _storages(expression) != [None] or not isinstance(pattern, str):
        raise QueryError(
            f"cannot match {expression!r} against {pattern!r} with {use}: both must be text.",
            model=expression._mapper.name,
            field=expression._field.name,
        )
    return path


def like(expression: Any, pattern: str) -> Condition:
    r"""Ask that the text matches *pattern*, upper and lower case being different.

    ``%`` stands for any text, ``_`` for any one character, ``\`` escapes.
    """
    return Like(_text_path(expression, pattern, "like"), pattern)


def ilike(expression: Any, pattern: str) -> Condition:
    """Ask that the text matches *pattern* as for :func:`like`, whatever the case."""
    return Like(_text_path(expression, pattern, "ilike"), pattern, ignore_case=True)


def _order_path(expression: Any) -> Path:
    path = _single_path(expression, "an order")
    _check_storage(expression, "order by", "is_ordered")
    return path


def asc(expression: Any) -> Order:
    """Order by the field, least first; nulls are the least."""
    return Order(_order_path(expression))


def desc(expression: Any) -> Order:
    """Order by the field, greatest first; nulls come last."""
    return Order(_order_path(expression), descending=True)
