"""From an annotation to what is stored: kinds of scalars, references.

Documents and lists of models.
"""

from __future__ import annotations

import enum
import sys
import types
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from typing import Annotated, Any, ForwardRef, Union, get_args, get_origin

from graven.errors import MappingError
from graven.models.declarations import Naive

__all__ = ["FieldType", "is_scalar_annotation", "names_in", "resolve"]

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
    reference or list, ``annotation`` the type of a document.
    """

    __slots__ = ("annotation", "choices", "form", "kind", "nullable", "python", "target")

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
    ) -> None:
        """Keep what the annotation means."""
        self.form, self.kind, self.python, self.nullable = form, kind, python, nullable
        self.target, self.annotation, self.choices = target, annotation, choices


def scalar_kind(hint: Any) -> str | None:
    """Return the kind of a scalar type, or ``None`` if it is none."""
    kind = SCALARS.get(hint)
    if kind is None and isinstance(hint, type):
        kind = _LAZY_SCALARS.get((hint.__module__, hint.__name__))
    return kind


def _without_none(hint: Any) -> tuple[Any, bool]:
    """Take ``None`` out of a union; say whether it was there."""
    if get_origin(hint) in (Union, types.UnionType):
        arguments = get_args(hint)
        rest = tuple(one for one in arguments if one is not type(None))
        if len(rest) < len(arguments):
            return (rest[0] if len(rest) == 1 else Union[rest]), True
    return hint, False


def resolve(hint: Any, is_model: Callable[[Any], bool]) -> FieldType:
    """Say what *hint*, an evaluated annotation, means."""
    inner, nullable = _without_none(hint)
    if get_origin(inner) is Annotated:
        base, *marks = get_args(inner)
        if Naive in marks:
            return FieldType("scalar", kind="naive", python=datetime, nullable=nullable)
        inner = base
    kind = scalar_kind(inner)
    if kind is not None:
        return FieldType("scalar", kind=kind, python=inner, nullable=nullable)
    if is_model(inner):
        return FieldType("reference", target=inner, nullable=nullable)
    if isinstance(inner, type) and issubclass(inner, enum.Enum):
        return _enumeration(inner, nullable)
    if get_origin(inner) is list and is_model(get_args(inner)[0]):
        return FieldType("list", target=get_args(inner)[0])
    return FieldType("document", nullable=nullable, annotation=inner)


def _enumeration(hint: type[enum.Enum], nullable: bool) -> FieldType:
    values = [member.value for member in hint]
    if values and all(type(value) is int for value in values):
        kind = "int"
    elif all(type(value) is str for value in values):
        kind = "str"
    else:
        kind, values = "str", [member.name for member in hint]
    return FieldType("scalar", kind=kind, python=hint, nullable=nullable, choices=tuple(values))


def is_scalar_annotation(hint: Any) -> bool:
    """Say whether an annotation is surely a scalar's, so that the field needs but one slot."""
    inner, _ = _without_none(hint)
    if get_origin(inner) is Annotated:
        inner = get_args(inner)[0]
    if scalar_kind(inner) is not None:
        return True
    return isinstance(inner, type) and issubclass(inner, enum.Enum)


def names_in(module: str, local_names: Mapping[str, Any]) -> dict[str, Any]:
    """Return the names that an annotation written in *module*, with *local_names* around it.

    Can mean.
    """
    found = sys.modules.get(module)
    return {**vars(found), **local_names} if found is not None else dict(local_names)


def evaluate(annotation: Any, names: Mapping[str, Any], model: str, field: str) -> Any:
    """Evaluate an annotation that may be text, or hold text inside.

    :raises MappingError: if it names something that is not known.
    """
    if isinstance(annotation, ForwardRef):
        annotation = annotation.__forward_arg__
    if isinstance(annotation, str):
        try:
            annotation = eval(annotation, dict(names))
        except NameError as error:
            raise MappingError(
                f"cannot tell the type of {model}.{field}: its annotation {annotation!r} names "
                f"{error.name!r}, "
                "which is known neither in its module nor as a model. Import it, or define it "
                f"before {model} is first used.",
                model=model,
                field=field,
            ) from error
        return evaluate(annotation, names, model, field)
    arguments = get_args(annotation)
    if any(isinstance(one, str | ForwardRef) for one in arguments) and get_origin(annotation):
        done = tuple(evaluate(one, names, model, field) for one in arguments)
        origin = get_origin(annotation)
        return Union[done] if origin in (Union, types.UnionType) else origin[done]
    return annotation
