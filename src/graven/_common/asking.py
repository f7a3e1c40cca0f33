"""What a manager is asked by name: ``filter(owner="Ada")``, ``order_by("-balance")``."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from graven._hints import Any
from graven.errors import QueryError
from graven.models.expressions import FieldExpression, desc
from graven.models.model import mapper_of
from graven.ops.conditions import Condition

__all__ = ["Cached", "equal", "plain_filter", "term"]


class Cached(Mapping[Any, Any]):
    """The objects of a model that a session has, by key; looked up anew at every use."""

    __slots__ = ("_mapper", "_unit")

    def __init__(self, unit: Any, mapper: Any) -> None:
        """Look at the objects of *mapper* in *unit*; without a unit there are none."""
        self._unit, self._mapper = unit, mapper

    def __getitem__(self, key: Any) -> Any:
        found = None if self._unit is None else self._unit.find(self._mapper, key)
        if not isinstance(found, self._mapper.model):
            raise KeyError(key)
        return found

    def __iter__(self) -> Iterator[Any]:
        if self._unit is None:
            return iter(())
        return iter([key for key in self._unit.map_of(self._mapper).entries if key in self])

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"{type(self).__name__.lower()} {dict(self)!r}"


def _expression(model: Any, name: str) -> Any:
    """Return the query field of that name.

    :raises QueryError: if the model has none.
    """
    mapper = mapper_of(model)
    reference = name.removesuffix("_id")
    if name in mapper.field_index or reference in {one.name for one in mapper.references}:
        return getattr(model, name)
    advice = f"The fields are {', '.join(mapper.field_index)}."
    if "__" in name:
        advice += f" Other questions than equality are conditions: {mapper.name}.field > 10."
    raise QueryError(
        f"cannot ask {mapper.name} for {name!r}: it has no field of that name. {advice}",
        model=mapper.name,
        field=name,
    )


def equal(model: Any, fields: Mapping[str, Any]) -> list[Condition]:
    """Return the conditions that each of *fields*, by name, has that value."""
    return [_expression(model, name) == value for name, value in fields.items()]


def term(model: Any, given: Any) -> Any:
    """Return what a query can be ordered by; a name stands for a field, after ``-`` downwards."""
    if not isinstance(given, str):
        return given
    expression = _expression(model, given.removeprefix("-"))
    return desc(expression) if given.startswith("-") else expression


def plain_filter(model: Any, given: Mapping[str, Any]) -> list[Condition] | None:
    """Return the conditions of a filter of names and values; ``None`` if it says more than that.

    ``_id`` is the key, and a dot follows a reference: ``{"author._id": 7}``.

    :raises QueryError: if there is no field of a name.
    """
    found: list[Condition] = []
    for path, value in given.items():
        if path.startswith("$") or (isinstance(value, Mapping) and _has_operator(value)):
            return None
        *steps, name = path.split(".")
        source = model
        for step in steps:
            source = _field_of(source, step)
        found += _key_terms(source, value) if name == "_id" else [_field_of(source, name) == value]
    return found


def _has_operator(value: Mapping[Any, Any]) -> bool:
    return any(isinstance(name, str) and name.startswith("$") for name in value)


def _field_of(source: Any, name: str) -> Any:
    """Return the query field *name* of a model, or behind the query field of a reference."""
    if isinstance(source, FieldExpression):
        return getattr(source, name)
    return _expression(source, name)


def _key_terms(source: Any, value: Any) -> list[Condition]:
    """Return the conditions that *source* has that key; one of several parts is given by them."""
    if isinstance(source, FieldExpression) and source._field.form == "reference":
        return [source == (tuple(value.values()) if isinstance(value, Mapping) else value)]
    names = mapper_of(source).key_fields
    parts = value.values() if isinstance(value, Mapping) else value if len(names) > 1 else (value,)
    if isinstance(parts, str) or not isinstance(parts, Collection) or len(parts) != len(names):
        raise QueryError(
            f"cannot look for {source.__name__} {value!r:.100}: its key is {', '.join(names)}. "
            "Give a value for each.",
            model=source.__name__,
            field=names[0],
        )
    return [_field_of(source, name) == part for name, part in zip(names, parts, strict=True)]
