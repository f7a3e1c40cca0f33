"""From a model class to its mapper: fields resolved, the table laid out.

The functions generated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graven.core.mapper import Mapper
from graven.errors import MappingError
from graven.models import codegen
from graven.models.declarations import Declaration
from graven.models.expressions import expression_for
from graven.models.fields import (
    DocumentField,
    LinksField,
    ListField,
    ModelField,
    ReferenceField,
    ScalarField,
)
from graven.models.model import Model, ModelType, hooks, known_models, not_loaded
from graven.models.tables import make_link_tables, make_table
from graven.models.types import FieldType, evaluate, names_in, resolve
from graven.ops.schema import Column

__all__ = ["ModelMapper", "lay_out"]


class ModelMapper(Mapper):
    """A mapper with what the model layer adds: the constructor, query fields, loading at access."""

    __slots__ = (
        "construct",
        "discriminator_column",
        "expressions",
        "is_resolved",
        "key_columns",
        "links",
        "store_made",
        "subclasses",
        "version_column",
    )

    construct: Callable[..., None]
    key_columns: tuple[Column, ...]
    subclasses: tuple[ModelMapper, ...]

    def expression(self, name: str) -> Any:
        """Return the query field of that *name*."""
        found = self.expressions.get(name)
        if found is None:
            found = self.expressions[name] = expression_for(self, self.field(name))
        return found

    def load_field(self, instance: Any, field: ModelField) -> Any:
        """Load a field at access: decode a document, find a referenced object.

        Or ask the unit to load it.

        :raises NotLoadedError: where reading must not query.
        """
        origin = instance._origin
        if isinstance(field, DocumentField):
            value = field.load(instance)
            if origin is not None:
                origin.unit.watch(instance)
            return value
        if isinstance(field, ReferenceField):
            key = field.raw.__get__(instance)
            value = None if key is None or origin is None else origin.unit.find(field.target, key)
            if value is not None or key is None:
                field.value.__set__(instance, value)
                return value
        if origin is None or origin.unit.loader is None:
            raise not_loaded(self, instance, field.name)
        return origin.unit.loader(self, field, instance)


def _make_field(model: str, name: str, kind: FieldType, said: Declaration) -> ModelField:
    if kind.form == "list" or said.relation is not None:
        if kind.form != "list" or said.relation is None:
            raise MappingError(
                f"cannot store {model}.{name}: a list of models must say how it is joined, and "
                "only such a list can. "
                "Declare it as `list[Book] = owned('author')` or `list[Tag] = many_to_many()`.",
                model=model,
                field=name,
            )
        return (ListField if said.relation == "owned" else LinksField)(model, name, kind, said)
    forms = {"scalar": ScalarField, "reference": ReferenceField, "document": DocumentField}
    return forms[kind.form](model, name, kind, said)


def _resolve_fields(model: Any) -> list[ModelField]:
    names = {**known_models(model.__module__), **names_in(model.__module__, model._names)}
    fields = []
    for name, (annotation, said) in model._declared.items():
        hint = evaluate(annotation, names, model.__name__, name)
        kind = resolve(hint, lambda one: isinstance(one, ModelType))
        fields.append(_make_field(model.__name__, name, kind, said))
    if not any(field.said.is_key for field in fields):
        fields.insert(0, _default_key(model, fields))
    return fields


def _default_key(model: Any, fields: list[ModelField]) -> ModelField:
    for index, field in enumerate(fields):
        if field.name == "id":
            field.said.is_key = True
            return fields.pop(index)
    from graven.models.keys import UUID, uuid7

    said = Declaration(is_key=True, default_factory=uuid7)
    return ScalarField(model.__name__, "id", FieldType("scalar", kind="uuid", python=UUID), said)


def lay_out(model: Any) -> ModelMapper:
    """Make the mapper of *model*, and of all models that it reaches.

    :raises MappingError: if one of them cannot be stored as declared.
    """
    if model is Model or model._is_abstract:
        raise MappingError(
            f"cannot use {model.__name__} itself: it is abstract, a base without a table. Use a "
            "class derived from it.",
            model=model.__name__,
        )
    if model._root is not model and model._root._mapper is None:
        lay_out(model._root)
        return model._mapper  # type: ignore[no-any-return]
    mapper = _first_half(model)
    for subclass in model._subclasses if model._root is model else ():
        _first_half(subclass)
    _second_half(mapper)
    return mapper


def _first_half(model: Any) -> ModelMapper:
    """Make the parts that need no other model: fields, key, constructor."""
    mapper = ModelMapper()
    mapper.model, mapper.name = model, model.__name__
    mapper.guard_mode = _guard_mode(model)
    mapper.expressions = {}
    mapper.referrers, mapper.link_ends = [], []
    mapper.root = mapper if model._root is model else model._root._mapper
    fields = _resolve_fields(model)
    if mapper.root is not mapper:
        key_names = {field.name for field in mapper.root.fields if field.said.is_key}
        fields.sort(key=lambda field: field.name not in key_names)
    mapper.fields = tuple(fields)
    mapper.field_index = {field.name: index for index, field in enumerate(fields)}
    for field in fields:
        field.bind(model)
    keys = [field for field in fields if field.said.is_key]
    for field in keys:
        if field.form != "scalar":
            raise MappingError(
                f"cannot use {mapper.name}.{field.name} as a key: a key is made of plain values, "
                f"and this is a {field.form}. "
                "Give the model a plain key and declare the field unique.",
                model=mapper.name,
                field=field.name,
            )
    mapper.key_fields = tuple(field.name for field in keys)
    mapper.store_made = any(field.said.store_made for field in keys)
    mapper.key_columns = tuple(column for field in keys for column in field.column_values)
    mapper.key_of, mapper.set_key = codegen.make_key_functions(mapper.name, mapper.key_fields)
    post_init = hasattr(model, "__post_init__")
    mapper.construct = codegen.make_constructor(mapper.name, fields, hooks, post_init)
    if model.__init__ in (Model.__init__, getattr(model.__base__._mapper, "construct", None)):
        model.__init__ = mapper.construct
    model._mapper = mapper
    return mapper


def _guard_mode(model: Any) -> str:
    mode = model._root._options.get("guard", "version")
    if mode not in ("version", "fields", "none"):
        raise MappingError(
            f"cannot guard {model.__name__} by {mode!r}: the guard says what an update checks. "
            'Give guard="version", "fields" or "none".',
            model=model.__name__,
        )
    return str(mode)


def _second_half(root: ModelMapper) -> None:
    """Resolve the models that are referred to, lay out the table.

    Generate the watching functions.
    """
    family = (root, *(one._mapper for one in root.model._subclasses))
    root.subclasses = family[1:]
    for mapper in family:
        if mapper is not root:
            mapper.subclasses = tuple(
                one
                for one in family[1:]
                if one is not mapper and issubclass(one.model, mapper.model)
            )
        for field in mapper.fields:
            if isinstance(field, ReferenceField | ListField):
                _join(mapper, field)
        mapper.references = tuple(one for one in mapper.fields if one.form == "reference")
        mapper.watched = tuple(one for one in mapper.fields if one.watched)
        mapper.peers_matter = any(
            one.form != "scalar" and one.form != "document" for one in mapper.fields
        )
    table = make_table(root, family)
    for mapper in family:
        mapper.table = table
        mapper.version_column = table.version
        mapper.discriminator = _discriminator(mapper, len(family))
        _generate(mapper)
    make_link_tables(family)


def _discriminator(mapper: ModelMapper, size: int) -> str | None:
    return mapper.name if size > 1 else None


def _join(mapper: ModelMapper, field: Any) -> None:
    """Give a reference or a list its target, laying that out first if need be."""
    target = field.type.target
    if target._mapper is None:
        lay_out(target)
    if isinstance(field, ReferenceField) or field.form == "links":
        field.resolve(target._mapper)
        if isinstance(field, ReferenceField):
            target._mapper.root.referrers.append((mapper, field))
        return
    inverse = field.said.inverse
    found = target._declared.get(inverse)
    if found is None:
        raise MappingError(
            f"cannot store {mapper.name}.{field.name}: its children refer to their owner by "
            f"{target.__name__}.{inverse}, "
            f"and {target.__name__} has no such field. Name the field of {target.__name__} that "
            f"refers to {mapper.name}.",
            model=mapper.name,
            field=field.name,
        )
    field.resolve(target._mapper)
    field.inverse.is_owner = True


def _generate(mapper: ModelMapper) -> None:
    name, fields = mapper.name, mapper.fields
    mapper.snapshot = codegen.make_snapshot(name, fields)
    mapper.changed = codegen.make_changed(name, fields)
    mapper.adopt = codegen.make_adopt(name, fields)
    model = mapper.model
    namespace = {
        "_is_guard": True,
        "__slots__": (),
        "__module__": model.__module__,
        "__qualname__": model.__qualname__,
        "__doc__": model.__doc__,
        "__class__": property(lambda self: model),
        "__setattr__": codegen.make_guard(name, fields, model),
        "__hash__": object.__hash__,
    }
    mapper.guard = type.__new__(ModelType, model.__name__, (model,), namespace)
