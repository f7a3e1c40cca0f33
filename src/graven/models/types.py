"""From an annotation to what is stored: scalars, references, documents and lists of models."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from functools import reduce
from operator import or_

from graven._hints import TYPE_CHECKING, Any
from graven.errors import MappingError

if TYPE_CHECKING:
    from enum import Enum

__all__ = [
    "FieldType",
    "evaluate",
    "is_class_variable",
    "is_scalar_annotation",
    "meant",
    "member_value",
    "members_by_value",
    "models_inside",
    "names_in",
    "resolve",
    "stored_value",
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

_RARE_SCALARS = {
    ("uuid", "UUID"): "uuid",
    ("decimal", "Decimal"): "decimal",
    ("bson.objectid", "ObjectId"): "objectid",
}


class FieldType:
    """What one annotation means.

    ``form`` is ``"scalar"``, ``"reference"``, ``"document"`` or ``"list"`` (of models); ``kind``
    the kind of a scalar's column; ``python`` the type of its values, ``target`` the model of a
    reference or list, ``annotation`` the type of a document, ``choices`` what may stand in the
    column of an enumeration: the values of its members, or, ``by_name``, their names. ``storage``
    is how the values are kept if ``field(stored_as=...)`` was declared.
    """

    __slots__ = (
        "annotation",
        "by_name",
        "choices",
        "form",
        "kind",
        "nullable",
        "python",
        "storage",
        "target",
    )

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
        self.storage: Any = None

    @property
    def stored_kind(self) -> str:
        """The kind of the values in the column."""
        return self.kind if self.storage is None else self.storage.kind

    @property
    def limited_kind(self) -> str:
        """The kind whose limits hold for the values; digits may be any number's."""
        has_no_limits = self.storage is not None and self.kind in ("int", "float")
        return "" if has_no_limits else self.kind


def _imported(module: str, name: str) -> Any:
    """Return *name* of a module that somebody has imported, otherwise ``None``.

    An annotation can contain nothing that comes from a module that is not imported; to import one
    only to look for it would take time at every start.
    """
    return getattr(sys.modules.get(module), name, None)


def _is(found: Any, name: str) -> bool:
    """Say whether *found* is the *name* of ``typing``."""
    return found is not None and found is _imported("typing", name)


def _origin(hint: Any) -> Any:
    """Return what ``typing.get_origin`` does; for what needs no ``typing``, without it."""
    if isinstance(hint, type):
        return None
    if isinstance(hint, types.UnionType):
        return types.UnionType
    if type(hint) is types.GenericAlias:
        return hint.__origin__
    from typing import get_origin

    return get_origin(hint)


def _arguments(hint: Any) -> tuple[Any, ...]:
    """Return what ``typing.get_args`` does; for what needs no ``typing``, without it."""
    if isinstance(hint, type):
        return ()
    if isinstance(hint, types.UnionType) or type(hint) is types.GenericAlias:
        return hint.__args__
    from typing import get_args

    return get_args(hint)


def _is_union(origin: Any) -> bool:
    return origin is types.UnionType or _is(origin, "Union")


def is_class_variable(annotation: Any) -> bool:
    """Say whether an annotation, evaluated or as text, makes its name none of the fields."""
    if isinstance(annotation, str):
        return "ClassVar" in annotation
    return _is(annotation, "ClassVar") or _is(_origin(annotation), "ClassVar")


def _is_enumeration(hint: Any) -> bool:
    base = _imported("enum", "Enum")
    return base is not None and isinstance(hint, type) and issubclass(hint, base)


def scalar_kind(hint: Any) -> str | None:
    """Return the kind of a scalar type, or ``None`` if it is none."""
    kind = SCALARS.get(hint)
    if kind is None and isinstance(hint, type):
        kind = _RARE_SCALARS.get((hint.__module__, hint.__name__))
    return kind


def meant(hint: Any) -> Any:
    """Return what a ``NewType`` or the alias of a ``type`` statement stands for."""
    while True:
        inner = getattr(hint, "__supertype__", None) or getattr(hint, "__value__", None)
        if inner is None or isinstance(hint, type):
            return hint
        hint = inner


def _without_none(hint: Any) -> tuple[Any, bool]:
    """Take ``None`` out of a union; say whether it was there."""
    hint = meant(hint)
    if _is_union(_origin(hint)):
        arguments = _arguments(hint)
        rest = tuple(one for one in arguments if one is not type(None))
        if len(rest) < len(arguments):
            return (meant(rest[0]) if len(rest) == 1 else reduce(or_, rest)), True
    return hint, False


def resolve(hint: Any, is_model: Callable[[Any], bool]) -> FieldType:
    """Say what *hint*, an evaluated annotation, means."""
    inner, nullable = _without_none(hint)
    if _is(_origin(inner), "Annotated"):
        base, *marks = _arguments(inner)
        naive = _imported("graven.models.naive", "Naive")
        if naive is not None and naive in marks:
            return FieldType("scalar", kind="naive", python=datetime, nullable=nullable)
        inner = meant(base)
    kind = scalar_kind(inner)
    if kind is not None:
        return FieldType("scalar", kind=kind, python=inner, nullable=nullable)
    if is_model(inner):
        return FieldType("reference", target=inner, nullable=nullable)
    if _is_enumeration(inner):
        return _enumeration(inner, nullable)
    if _origin(inner) is list and is_model(_arguments(inner)[0]):
        return FieldType("list", target=_arguments(inner)[0], nullable=nullable)
    return FieldType("document", nullable=nullable, annotation=inner)


def _enumeration(hint: type[Enum], nullable: bool) -> FieldType:
    from enum import Flag

    if issubclass(hint, Flag):
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


def stored_value(kind: FieldType, value: Any) -> Any:
    """Return what stands for a value of a scalar field in its column, in Python form."""
    if kind.choices:
        return member_value(kind, value)
    return value if kind.storage is None or value is None else kind.storage.encode(value)


def members_by_value(kind: FieldType) -> dict[Any, Any]:
    """Return the members of an enumeration by what stands for them in the store."""
    return {member_value(kind, member): member for member in kind.python}


def is_scalar_annotation(hint: Any) -> bool:
    """Say whether an annotation is surely a scalar's, so that the field needs but one slot."""
    inner, _ = _without_none(hint)
    if _is(_origin(inner), "Annotated"):
        inner = meant(_arguments(inner)[0])
    return scalar_kind(inner) is not None or _is_enumeration(inner)


def models_inside(hint: Any, is_model: Callable[[Any], bool]) -> list[Any]:
    """Return the models that the annotation of a document names, where only values may be."""
    found = [hint] if is_model(hint) else []
    for one in _arguments(hint):
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
    while isinstance(annotation, str) or _is(type(annotation), "ForwardRef"):
        text = annotation if isinstance(annotation, str) else annotation.__forward_arg__
        try:
            annotation = eval(text, dict(names))
        except Exception as error:
            raise _not_understood(text, model, field, error) from error
    origin = _origin(annotation)
    if origin is None or _is(origin, "Literal"):
        return annotation
    given = _arguments(annotation)
    inner = given[:1] if _is(origin, "Annotated") else given
    done = tuple(evaluate(one, names, model, field) for one in inner)
    if all(new is old for new, old in zip(done, given, strict=False)):
        return annotation
    if _is(origin, "Annotated"):
        return origin[(*done, *given[1:])]
    return reduce(or_, done) if _is_union(origin) else origin[done]


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
