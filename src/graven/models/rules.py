"""What a model may not declare: each rule raises ``MappingError`` before a table is looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from graven._hints import Any
from graven.errors import MappingError
from graven.models.declarations import Declaration
from graven.models.fields import ModelField, ReferenceField
from graven.models.types import FieldType, models_inside

__all__ = [
    "check_columns",
    "check_declaration",
    "check_family",
    "check_keys",
    "check_owner",
]


_TIMES = ("datetime", "naive", "time", "timedelta")


def check_declaration(
    model: str, name: str, kind: FieldType, said: Declaration, is_model: Callable[[Any], bool]
) -> None:
    """Refuse a field whose declaration does not go with its annotation."""
    why = ""
    if (kind.form == "list") is not (said.relation is not None):
        why = (
            "a list of models must say how it is joined, and only such a list can. Declare it as "
            "`list[Book] = owned('author')` or `list[Tag] = many_to_many()`."
        )
    elif kind.form == "list" and kind.nullable:
        why = "a list of models is empty rather than None. Take the None out of its annotation."
    elif said.on_delete != "refuse" and kind.form != "reference":
        why = f"on_delete={said.on_delete!r} goes with a reference to a model. Leave it out."
    elif said.on_delete == "set_null" and not kind.nullable:
        why = 'on_delete="set_null" needs a reference that may be None. Annotate it so.'
    elif said.precision is not None and kind.kind not in _TIMES:
        why = f"precision={said.precision!r} goes with a time, and this is none. Leave it out."
    elif kind.form == "document" and (inner := models_inside(kind.annotation, is_model)):
        why = (
            f"it has {inner[0].__name__} inside a value, and a model is always referred to. "
            "Refer to one object with its class, to several with a list declared as owned() or "
            "many_to_many()."
        )
    if why:
        raise MappingError(f"cannot store {model}.{name}: {why}", model=model, field=name)


def check_keys(mapper: Any, keys: list[ModelField]) -> None:
    """Refuse keys that are no plain values, may be null, or cannot be made by the store."""
    for field in keys:
        kind, why = field.type, ""
        if field.form != "scalar":
            why = f"a key is made of plain values, and this is a {field.form}. Give the model a"
            why += " plain key and declare the field unique."
        elif field.said.store_made and (len(keys) > 1 or kind.python is not int):
            why = "the store makes only whole numbers, as the only key. Annotate it as int."
        elif kind.nullable:
            why = "a key is never None. Take the None out of its annotation."
        elif kind.kind == "float":
            why = "a float is not exact enough to find anything by. Use int, str or Decimal."
        elif kind.storage is not None and not kind.storage.is_equal:
            why = "equal numbers may have several texts, so it would not be found by them."
        elif kind.storage is not None and field.said.store_made:
            why = "the store makes whole numbers, and keeps them as such. Leave stored_as out."
        if why:
            raise MappingError(
                f"cannot use {mapper.name}.{field.name} as a key: {why}",
                model=mapper.name,
                field=field.name,
            )
    expected = mapper.root.key_fields
    if tuple(field.name for field in keys) != expected:
        raise MappingError(
            f"cannot store {mapper.name}: it declares a key of its own, and shares the table of "
            f"{mapper.root.name}, whose key is {', '.join(expected)}. Declare the key in "
            f"{mapper.root.name} alone.",
            model=mapper.name,
        )


def check_owner(mapper: Any, field: Any, target: Any) -> None:
    """Refuse an owned list whose children do not refer to the owner by the field it names."""
    inverse = field.said.inverse
    found = target.fields[target.field_index[inverse]] if inverse in target.field_index else None
    what = "no such field"
    if isinstance(found, ReferenceField):
        if issubclass(mapper.model, found.type.target):
            return
        what = f"a reference to {found.type.target.__name__} there"
    elif found is not None:
        what = f"a {found.form} there"
    raise MappingError(
        f"cannot store {mapper.name}.{field.name}: its children refer to their owner by "
        f"{target.name}.{inverse}, and {target.name} has {what}. Name the field of {target.name} "
        f"that refers to {mapper.name}.",
        model=mapper.name,
        field=field.name,
    )


def check_family(family: Iterable[Any]) -> None:
    """Refuse two classes of one name in one table, for a row tells its class by the name."""
    names: set[str] = set()
    for mapper in family:
        if mapper.name in names:
            raise MappingError(
                f"cannot store {mapper.name}: another class of that name shares its table, and a "
                "row tells its class by the name. Rename one of them.",
                model=mapper.name,
            )
        names.add(mapper.name)


def check_columns(mapper: Any) -> None:
    """Refuse two fields of a class that would have one column; stores ignore case in names."""
    owners: dict[str, str] = {}
    for field in mapper.fields:
        for column in field.columns:
            other = owners.setdefault(column.casefold(), field.name)
            if other != field.name:
                raise MappingError(
                    f"cannot store {mapper.name}: its fields {other!r} and {field.name!r} would "
                    f"share the column {column!r}. A reference is stored as its name with _id; "
                    "case does not count. Rename one of them.",
                    model=mapper.name,
                    field=field.name,
                )
