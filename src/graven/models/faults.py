"""What the generated functions say when a value, or a row, is not what the model declares."""

from __future__ import annotations

import enum
from typing import Any

from graven.core.values import ABSENT
from graven.errors import DataError, MappingError
from graven.models.checks import refuse, unstorable
from graven.models.fields import ScalarField
from graven.models.types import members_by_value

__all__ = ["Members", "unknown_class", "unreadable", "unwritable"]


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
    mapper = type(instance)._mapper
    for field in mapper.fields:
        if not isinstance(field, ScalarField):
            continue
        value, python = field.loaded(instance), field.type.python
        expected = python.__name__ + (" or None" if field.nullable else "")
        if value is ABSENT:
            why = "It was never given a value: usually an __init__ or a del left it out."
            parts = [getattr(instance, name, None) for name in mapper.key_fields]
            key = tuple(parts) if len(parts) > 1 else parts[0]
            return refuse(mapper.name, key, field.name, None, expected, why)
        if value is not None and (why := unstorable(field.type.kind, value)):
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
