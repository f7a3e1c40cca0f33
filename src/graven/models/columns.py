"""The values of many objects at once, column by column: what a commit of many rows sends.

Nearly all of what checking and encoding a value costs is the interpreter's way from one value to
the next. Where many objects of one class are written, the generated function takes that way in C:
one pass over a column says that all its values are of the right type, and one encodes them. It
judges nothing itself: wherever a value needs a second look it gives up, and the objects are
written row by row, by the function that knows how to refuse.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence

from graven._hints import Any
from graven.models.fields import DocumentField, ModelField, ReferenceField, ScalarField
from graven.models.source import compile_function

__all__ = ["ROWS_MIN", "ColumnEncoders", "make_columns"]

Encode = Callable[[Any], Any]
ColumnEncoders = Mapping[str, Callable[[list[Any]], "list[Any] | None"]]
"""For some kinds of value, what encodes a whole column; ``None`` if it has to be done singly."""

ROWS_MIN = 16  #: from how many objects on columns are quicker than rows

_SUSPICIOUS = {
    "str": "'\\0' in ''.join({values})",
    "float": "(total := sum({values})) != total",
    "datetime": "any(v.tzinfo is None or not 1 < v.year < 9999 for v in {values})",
    "timedelta": "not all(-100_000_000 < value.days < 100_000_000 for value in {values})",
    "naive": "any(value.tzinfo is not None for value in {values})",
    "time": "any(value.tzinfo is not None for value in {values})",
    "decimal": "not all(value.is_finite() for value in {values})",
}
"""For each kind, the source that is true if one of the values, all of the right type, needs a
second look."""


def make_columns(
    model: str,
    fields: Sequence[ModelField],
    encoder: Callable[[ScalarField], Encode | None],
    column_encoders: ColumnEncoders,
) -> Callable[[Sequence[Any]], list[Sequence[object]] | None]:
    """Write ``columns(objects)``: the columns of *fields* in store form, one value an object.

    It returns ``None`` if a value is missing, of another type, or one that may have to be refused.
    """
    names: dict[str, Any] = {}
    body: list[str] = []
    results: list[str] = []
    for field in fields:
        if isinstance(field, ReferenceField):
            results += _reference(field, encoder, names, body)
        elif isinstance(field, DocumentField):
            names[f"encode_{field.name}"] = field.encode
            body.append(
                f"v_{field.name} = [encode_{field.name}(o, o.{field.name}) for o in objects]"
            )
            results.append(f"v_{field.name}")
        elif isinstance(field, ScalarField):
            _scalar(field, encoder(field), column_encoders, names, body)
            results.append(f"v_{field.name}")
    body = ["try:", *(f"    {line}" for line in body or ["pass"])]
    body += ["except (AttributeError, OverflowError):", "    return None"]
    body.append(f"return [{', '.join(results)}]")
    return compile_function(model, "columns", "objects", body, names)  # type: ignore[no-any-return]


def _scalar(
    field: ScalarField,
    encode: Encode | None,
    column_encoders: ColumnEncoders,
    names: dict[str, Any],
    body: list[str],
) -> None:
    """Write the lines that check and encode a column; nulls stay what they are."""
    name, kind, python = field.name, field.type.limited_kind, field.type.python
    value, filled, types = f"v_{name}", f"v_{name}", f"T_{name}"
    names[types] = {python}
    body.append(f"{value} = [o.{name} for o in objects]")
    if field.nullable:
        filled = f"f_{name}"
        body.append(f"{filled} = [value for value in {value} if value is not None]")
        body.append(f"if {filled} and set(map(type, {filled})) != {types}: return None")
    else:
        body.append(f"if set(map(type, {value})) != {types}: return None")
    is_enum = issubclass(python, enum.Enum)
    bulk = None if is_enum or field.type.storage is not None else column_encoders.get(kind)
    if kind in _SUSPICIOUS and not is_enum and bulk is None:
        body.append(f"if {_SUSPICIOUS[kind].format(values=filled)}: return None")
    if bulk is not None:
        names[f"encode_{name}"] = bulk
        body.append(f"{filled} = encode_{name}({filled})")
        body.append(f"if {filled} is None: return None")
    elif encode is not None:
        names[f"encode_{name}"] = encode
        body.append(f"{filled} = list(map(encode_{name}, {filled}))")
    if field.nullable and encode is not None:
        body.append(f"following = iter({filled})")
        body.append(f"{value} = [None if one is None else next(following) for one in {value}]")


def _reference(
    field: ReferenceField,
    encoder: Callable[[ScalarField], Encode | None],
    names: dict[str, Any],
    body: list[str],
) -> list[str]:
    """Write the lines that turn a column of objects into one, or several, of their keys."""
    name, target = field.name, field.target
    value = f"v_{name}"
    names[f"T_{name}"] = {target.model, target.guard, *((type(None),) if field.nullable else ())}
    body.append(f"{value} = [o.{name} for o in objects]")
    body.append(f"if not set(map(type, {value})) <= T_{name}: return None")
    parts = []
    for index, key_name in enumerate(target.key_fields):
        part = f"p{index}_{name}"
        encode = encoder(target.field(key_name))
        source = f"value.{key_name}"
        if encode is not None:
            names[f"encode_{part}"] = encode
            source = f"encode_{part}({source})"
        if field.nullable:
            source = f"None if value is None else {source}"
        body.append(f"{part} = [{source} for value in {value}]")
        if target.store_made:
            nulls = f"{value}.count(None)" if field.nullable else "0"
            body.append(f"if {part}.count(None) != {nulls}: return None")
        parts.append(part)
    return parts
