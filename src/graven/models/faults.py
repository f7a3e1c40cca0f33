"""What the generated functions say when a value, or a row, is not what the model declares."""

from __future__ import annotations

import enum

from graven._hints import Any
from graven.core.values import ABSENT
from graven.errors import DataError, MappingError, NotFoundError, NotLoadedError
from graven.models.checks import refuse, unstorable
from graven.models.fields import ScalarField
from graven.models.types import members_by_value

__all__ = [
    "Members",
    "leads_nowhere",
    "not_loaded",
    "unknown_class",
    "unreadable",
    "unwritable",
]


class Members(dict[Any, Any]):
    """The members of an enumeration by what stands for them in the store."""

    __slots__ = ("field",)

    def __init__(self, field: ScalarField) -> None:
        """Take the members of the enumeration of *field*."""
        super().__init__(members_by_value(field.type))
        self.field = field

    def __missing__(self, value: Any) -> Any:
        python = self.field.type.python
        if issubclass(python, enum.Flag):
            return python(value)
        raise DataError(
            f"cannot read {self.field.owner}.{self.field.name}: found {value!r}, which stands for "
            f"no member of {python.__name__}. Usually a member was renamed or removed while rows "
            "still have it; add it again, or change the rows.",
            model=self.field.owner,
            field=self.field.name,
            value=value,
            expected=python.__name__,
        )


def unreadable(mapper: Any, error: Exception) -> DataError:
    """Make the error for a row that holds what graven does not write."""
    return DataError(
        f"cannot read a row of table {mapper.table.name!r} as a {mapper.name}: found a value that "
        f"no field of it is stored as ({error}). Usually something other than graven has written "
        "to the table. Correct the row; docs/decisions say how each kind of value is stored.",
        model=mapper.name,
    )


def unwritable(instance: Any, error: Exception) -> Exception:
    """Say which field of an object has no value at all, or one that no conversion could take."""
    mapper, origin = type(instance)._mapper, instance._origin
    is_new = origin is None or origin is getattr(origin.unit, "fresh", None)
    for field in mapper.fields:
        value, python = field.loaded(instance), field.type.python or field.type.target
        expected = getattr(python, "__name__", None) or str(field.type.annotation)
        is_scalar = isinstance(field, ScalarField)
        if value is ABSENT and (is_scalar or is_new):
            why = "It was never given a value, or a del took it away; an __init__ may have left "
            why += "it out."
            parts = [getattr(instance, name, None) for name in mapper.key_fields]
            key = tuple(parts) if len(parts) > 1 else parts[0]
            return refuse(mapper.name, key, field.name, None, expected, why)
        if not is_scalar:
            continue
        expected += " or None" if field.nullable else ""
        if value is not None and (why := unstorable(field.type.limited_kind, value)):
            return refuse(mapper.name, mapper.key_of(instance), field.name, value, expected, why)
    return error


def unknown_class(root: Any, kind: object) -> MappingError:
    """Make the error for a row of a class that is not known here."""
    return MappingError(
        f"cannot read a row of table {root.table.name!r}: it is of class {kind!r}, and "
        f"{root.name} has no subclass of that name here. Usually the class was renamed, or its "
        "module is not imported; import it before the first use of the base.",
        model=root.name,
        field=root.discriminator_column,
        table=root.table.name,
    )


def leads_nowhere(mapper: Any, instance: Any, field: Any) -> NotFoundError:
    """Make the error for a reference to an object that is not there."""
    target, key = field.target, field.key_in(instance)
    return NotFoundError(
        f"cannot read {mapper.name}.{field.name} of {mapper.name} {mapper.key_of(instance)!r}: it "
        f"refers to {target.name} {key!r}, which is not there. Somebody has deleted that since, "
        "or wrote past graven with foreign keys off. Set the reference anew, or refresh it.",
        model=target.name,
        key=key,
    )


def not_loaded(mapper: Any, instance: Any, name: str) -> NotLoadedError:
    """Make the error for a field that is read where reading must not query."""
    return NotLoadedError(
        f"cannot read {mapper.name}.{name} of {mapper.name} {mapper.key_of(instance)!r}: it is not "
        "loaded, and reading an attribute does not query here, because the object belongs to an "
        "async session or its session has ended. Load it with the query, as in "
        f"query({mapper.name}).include({mapper.name}.{name}), or get the object by its key.",
        model=mapper.name,
        key=mapper.key_of(instance),
        field=name,
    )
