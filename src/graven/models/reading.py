"""Read the value at a path of an object, as the store would see it."""

from __future__ import annotations

import enum

from graven._hints import Any
from graven.core.values import ABSENT
from graven.models.checks import fits
from graven.models.fields import ModelField, ReferenceField, ScalarField
from graven.models.model import mapper_of
from graven.models.types import member_value, stored_value
from graven.ops.conditions import Path, Step

__all__ = ["column_value", "read_path", "step_field", "stored_key"]


def column_value(instance: Any, column: str) -> Any:
    """Return what the current value of an object is in *column*, in the Python form of that.

    ``None`` where its class has no such column.
    """
    mapper = mapper_of(type(instance))
    for field in mapper.fields:
        if column in field.columns:
            return _value_in(instance, field, column)
    if column == mapper.root.discriminator_column:
        return mapper.discriminator
    return None


def _value_in(instance: Any, field: ModelField, column: str) -> Any:
    if isinstance(field, ReferenceField):
        key, at = field.key_in(instance), field.columns.index(column)
        part = key if key is None or len(field.columns) == 1 else key[at]
        return _as_stored(field.target.field(field.target.key_fields[at]), part)
    value = field.capture(instance)
    return _as_stored(field, value) if isinstance(field, ScalarField) else value


def _as_stored(field: Any, value: Any) -> Any:
    """Return what stands for the value of a scalar in its column."""
    if isinstance(value, enum.Enum) and isinstance(value, field.type.python):
        return member_value(field.type, value)
    storage = field.type.storage
    if storage is not None and value is not None and fits(value, field.type.python):
        return storage.encode(value)
    return value


def stored_key(mapper: Any, key: Any) -> tuple[Any, ...]:
    """Return what stands for each part of a key in its column, in the Python form of that."""
    names = mapper.key_fields
    parts = key if len(names) > 1 else (key,)
    return tuple(
        stored_value(mapper.field(name).type, part) for name, part in zip(names, parts, strict=True)
    )


def step_field(instance: Any, step: Step) -> ReferenceField | None:
    """Return the reference of an object that a step follows."""
    mapper = mapper_of(type(instance))
    return next((field for field in mapper.references if field.columns == step.columns), None)


def follow(instance: Any, step: Step, unit: Any) -> Any:
    """Return the object that a step leads to, ``None`` if to none or to one that is not loaded."""
    field = step_field(instance, step)
    if field is None:
        return None
    value = field.loaded(instance)
    if value is not ABSENT:
        return value
    key = field.key_in(instance)
    return None if key is None else unit.find(field.target, key)


def read_path(unit: Any) -> Any:
    """Return the function that reads the value at a path of an object of *unit*."""

    def read(instance: Any, path: Path) -> Any:
        for step in path.steps:
            instance = follow(instance, step, unit)
            if instance is None:
                return None
        return column_value(instance, path.column)

    return read
