"""From an annotation to what is stored: scalars, references, documents and lists of models."""

from __future__ import annotations

import enum
import sys
import types
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from functools import reduce
from operator import or_
from typing import Annotated, Any, ForwardRef, Literal, Union, get_args, get_origin

from graven.errors import MappingError
from graven.models.declarations import Naive

__all__ = [
    "FieldType",
    "evaluate",
    "is_scalar_annotation",
    "member_value",
    "members_by_value",
    "models_inside",
    "names_in",
    "resolve",
]

SCALARS: dict[type, str] = {
    int: "int",
    str: "str",
    bool: "bool",
    float: "float",
    datetime: "datetime",
    date: "date",
    time: "time",
    timedelta: "timedelta",
    bytes: "bytes",
}

_LAZY_SCALARS = {("uuid", "UUID"): "uuid", ("decimal", "Decimal"): "decimal"}


class FieldType:
    """What one annotation means.

    ``form`` is ``"scalar"``, ``"reference"``, ``"document"`` or ``"list"`` (of models); ``kind``
    the kind of a scalar's column; ``python`` the type of its values, ``target`` the model of a
    reference or list, ``annotation`` the type of a document, ``choices`` what may stand in the
    column of an enumeration: the values of its members, or, ``by_name``, their names.
    """

    __slots__ = ("annotation", "by_name", "choices", "form", "kind", "nullable", "python", "target")

    def __init__(
        self,
        form: str,
        *,
        kind: str = "json",
        python: Any = None,
        nullable: bool = False,
        target: Any = None,
        annotation: Any = None,
        choices: tuple[str | int, ...] = (),
        by_name: bool = False,
    ) -> None:
        """Keep what the annotation means."""
        self.form, self.kind, self.python, self.nullable = form, kind, python, nullable
        self.target, self.annotation = target, annotation
        self.choices, self.by_name = choices, by_name


def scalar_kind(hint: Any) -> str | None:
    """Return the kind of a scalar type, or ``None`` if it is none."""
    kind = SCALARS.get(hint)
    if kind is None and isinstance(hint, type):
        kind = _LAZY_SCALARS.get((hint.__module__, hint.__name__))
    return kind


def _meant(hint: Any) -> Any:
    """Return what a ``NewType`` or the alias of a ``type`` statement stands for."""
    while True:
        inner = getattr(hint, "__supertype__", None) or getattr(hint, "__value__", None)
        if inner is None or isinstance(hint, type):
            return hint
        hint = inner


def _without_none(hint: Any) -> tuple[Any, bool]:
    """Take ``None`` out of a union; say whether it was there."""
    hint = _meant(hint)
    if get_origin(hint) in (Union, types.UnionType):
        arguments = get_args(hint)
        rest = tuple(one for one in arguments if one is not type(None))
        if len(rest) < len(arguments):
            return (_meant(rest[0]) if len(rest) == 1 else reduce(or_, rest)), True
    return hint, False


def resolve(hint: Any, is_model: Callable[[Any], bool]) -> FieldType:
    """Say what *hint*, an evaluated annotation, means."""
    inner, nullable = _without_none(hint)
    if get_origin(inner) is Annotated:
        base, *marks = get_args(inner)
        if Naive in marks:
            return FieldType("scalar", kind="naive", python=datetime, nullable=nullable)
        inner = _meant(base)
    kind = scalar_kind(inner)
    if kind is not None:
        return FieldType("scalar", kind=kind, python=inner, nullable=nullable)
    if is_model(inner):
        return FieldType("reference", target=inner, nullable=nullable)
    if isinstance(inner, type) and issubclass(inner, enum.Enum):
        return _enumeration(inner, nullable)
    if get_origin(inner) is list and is_model(get_args(inner)[0]):
        return FieldType("list", target=get_args(inner)[0], nullable=nullable)
    return FieldType("document", nullable=nullable, annotation=inner)


def _enumeration(hint: type[enum.Enum], nullable: bool) -> FieldType:
    if issubclass(hint, enum.Flag):
        return FieldType("scalar", kind="int", python=hint, nullable=nullable)
    values = [member.value for member in hint]
    kinds = {type(value) for value in values}
    by_name = kinds not in ({int}, {str})
    return FieldType(
        "scalar",
        kind="int" if kinds == {int} else "str",
        python=hint,
        nullable=nullable,
        choices=tuple(member.name for member in hint) if by_name else tuple(values),
        by_name=by_name,
    )


def member_value(kind: FieldType, member: Any) -> str | int:
    """Return what stands for a member of an enumeration in the store: its value, or its name."""
    return member.name if kind.by_name else member.value  # type: ignore[no-any-return]


def members_by_value(kind: FieldType) -> dict[Any, Any]:
    """Return the members of an enumeration by what stands for them in the store."""
    return {member_value(kind, member): member for member in kind.python}


def is_scalar_annotation(hint: Any) -> bool:
    """Say whether an annotation is surely a scalar's, so that the field needs but one slot."""
    inner, _ = _without_none(hint)
    if get_origin(inner) is Annotated:
        inner = _meant(get_args(inner)[0])
    if scalar_kind(inner) is not None:
        return True
    return isinstance(inner, type) and issubclass(inner, enum.Enum)


def models_inside(hint: Any, is_model: Callable[[Any], bool]) -> list[Any]:
    """Return the models that the annotation of a document names, where only values may be."""
    found = [hint] if is_model(hint) else []
    for one in get_args(hint):
        found += models_inside(one, is_model)
    return found


def names_in(module: str, local_names: Mapping[str, Any]) -> dict[str, Any]:
    """Return the names that an annotation in *module*, with *local_names* around it, can mean."""
    found = sys.modules.get(module)
    return {**vars(found), **local_names} if found is not None else dict(local_names)


def evaluate(annotation: Any, names: Mapping[str, Any], model: str, field: str) -> Any:
    """Evaluate an annotation that may be text, or hold text inside, at any depth.

    :raises MappingError: if it names something that is not known, or is no type.
    """
    while isinstance(annotation, str | ForwardRef):
        text = annotation if isinstance(annotation, str) else annotation.__forward_arg__
        try:
            annotation = eval(text, dict(names))
        except Exception as error:
            raise _not_understood(text, model, field, error) from error
    origin = get_origin(annotation)
    if origin is None or origin is Literal:
        return annotation
    given = get_args(annotation)
    inner = given[:1] if origin is Annotated else given
    done = tuple(evaluate(one, names, model, field) for one in inner)
    if all(new is old for new, old in zip(done, given, strict=False)):
        return annotation
    if origin is Annotated:
        annotated: Any = Annotated
        return annotated[(*done, *given[1:])]
    return reduce(or_, done) if origin in (Union, types.UnionType) else origin[done]


def _not_understood(text: str, model: str, field: str, error: Exception) -> MappingError:
    if isinstance(error, NameError):
        why = (
            f"names {error.name!r}, which is known neither in its module nor as a model. Import "
            f"it, or define it before {model} is first used."
        )
    else:
        why = f"cannot be evaluated ({error}). Correct it."
    return MappingError(
        f"cannot tell the type of {model}.{field}: its annotation {text!r} {why}",
        model=model,
        field=field,
    )
