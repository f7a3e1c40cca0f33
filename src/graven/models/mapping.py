"""From a model class to its mapper: fields resolved, the table laid out, functions generated."""

from __future__ import annotations

from _thread import RLock  # starts no thread, and takes no time to import
from collections.abc import Callable

from graven._hints import Any
from graven.core.mapper import Mapper
from graven.core.values import ABSENT
from graven.errors import MappingError
from graven.models.attributes import expose_keys
from graven.models.declarations import Declaration
from graven.models.fields import (
    DocumentField,
    LinksField,
    ListField,
    ModelField,
    ReferenceField,
    ScalarField,
)
from graven.models.model import Model, ModelType, known_models
from graven.models.rules import (
    check_columns,
    check_declaration,
    check_family,
    check_keys,
    check_owner,
)
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
        "key_columns",
        "plain_key_type",
        "prepare",
        "store_made",
        "subclasses",
    )

    construct: Callable[..., None]
    discriminator_column: str | None
    expressions: dict[str, Any]
    plain_key_type: type[Any] | None
    store_made: bool
    key_columns: tuple[Column, ...]
    subclasses: tuple[ModelMapper, ...]

    def __getattr__(self, name: str) -> Any:
        """Generate a function of the class at its first use."""
        from graven.models.generated import GENERATED

        if name not in GENERATED:
            raise AttributeError(name)
        found = GENERATED[name](self)
        setattr(self, name, found)
        return found

    def expression(self, name: str) -> Any:
        """Return the query field of that *name*."""
        found = self.expressions.get(name)
        if found is None:
            from graven.models.expressions import expression_for

            found = self.expressions[name] = expression_for(self, self.field(name))
        return found

    def load_field(self, instance: Any, field: ModelField) -> Any:
        """Load a field at access: decode it, find the object in the unit, or ask the unit.

        :raises NotLoadedError: where reading must not query.
        """
        origin = instance._origin
        unit = None if origin is None else origin.unit
        is_new = unit is None or origin is getattr(unit, "fresh", None)
        is_key = isinstance(field, ReferenceField) and field.key_in(instance) is not None
        if isinstance(field, ScalarField) or (is_new and not is_key):
            raise AttributeError(
                f"{self.name!r} object has no value for {field.name!r}",
                name=field.name,
                obj=instance,
            )
        if unit is not None and isinstance(field, DocumentField):
            value = field.load(instance)
            unit.watch(instance)
            return value
        if isinstance(field, ReferenceField):
            key = field.raw.__get__(instance)
            value = None if key is None or unit is None else unit.find(field.target, key)
            if value is not None or key is None:
                field.value.__set__(instance, value)
                return value
        if unit is None or unit.loader is None:
            from graven.models.faults import not_loaded

            raise not_loaded(self, instance, field.name)
        value = unit.loader(self, field, instance)
        if value is ABSENT:
            from graven.models.faults import leads_nowhere

            raise leads_nowhere(self, instance, field)
        return value


def _is_model(hint: Any) -> bool:
    return isinstance(hint, ModelType)


def _make_field(model: str, name: str, kind: FieldType, said: Declaration) -> ModelField:
    check_declaration(model, name, kind, said, _is_model)
    if said.stored_as is not None:
        from graven.models.storage import storage_for

        kind.storage = storage_for(model, name, kind, said.stored_as)
    if kind.form == "list":
        return (ListField if said.relation == "owned" else LinksField)(model, name, kind, said)
    forms = {"scalar": ScalarField, "reference": ReferenceField, "document": DocumentField}
    return forms[kind.form](model, name, kind, said)


def _resolve_fields(model: Any) -> list[ModelField]:
    names = {**known_models(model), **names_in(model.__module__, model._names)}
    fields = []
    for name, (annotation, said) in model._declared.items():
        hint = evaluate(annotation, names, model.__name__, name)
        field = _make_field(model.__name__, name, resolve(hint, _is_model), said)
        if isinstance(field, DocumentField):
            from graven.models.holding import check_held

            field.check_annotation()
            check_held(field)
        fields.append(field)
    if not any(field.said.is_key for field in fields):
        fields.insert(0, _default_key(model, fields))
    return fields


def _default_key(model: Any, fields: list[ModelField]) -> ModelField:
    for index, field in enumerate(fields):
        if field.name == "id":
            field.said.is_key = True
            return fields.pop(index)
    from graven.models.keys import UUID, uuid7

    said = Declaration(is_key=True, graven_made=True, default_factory=uuid7)
    return ScalarField(model.__name__, "id", FieldType("scalar", kind="uuid", python=UUID), said)


_one_at_a_time = RLock()
_under_way: dict[Any, ModelMapper] = {}
"""The mappers that are being made; a model gets its mapper when all that it reaches have theirs."""


def _mapper_of(model: Any) -> Any:
    return model._mapper or _under_way.get(model)


def lay_out(model: Any) -> ModelMapper:
    """Make the mapper of *model*, and of all models that it reaches: of all of them, or of none.

    :raises MappingError: if one of them cannot be stored as declared.
    """
    with _one_at_a_time:
        if model._mapper is None:
            try:
                _lay_out(model)
            except BaseException:
                _take_back()
                raise
            finally:
                done = dict(_under_way)
                _under_way.clear()
            for one, mapper in done.items():
                if not one._has_own_init:
                    one.__init__ = Model.__init__
                one._mapper, one._names = mapper, {}
                expose_keys(one, mapper)
                if any(field.said.precision for field in mapper.fields):
                    from graven.models.rounding import install_rounding

                    install_rounding(one, mapper)
        return model._mapper  # type: ignore[no-any-return]


def _take_back() -> None:
    """Let the models that were laid out before forget those that could not be."""
    failed = set(_under_way.values())
    tables = {id(getattr(one, "link_table", None)) for mapper in failed for one in mapper.fields}
    for mapper in failed:
        for field in mapper.fields:
            root = getattr(getattr(field, "target", None), "root", None)
            if root is not None:
                root.referrers[:] = [one for one in root.referrers if one[0] not in failed]
                root.link_ends[:] = [one for one in root.link_ends if id(one[0]) not in tables]
    _under_way.clear()


def _lay_out(model: Any) -> None:
    if model is Model or model._is_abstract:
        raise MappingError(
            f"cannot use {model.__name__} itself: it is abstract, a base without a table. Use a "
            "class derived from it.",
            model=model.__name__,
        )
    root = _first_half(model._root)
    for subclass in model._root._subclasses:
        _first_half(subclass)
    _second_half(root)


def _first_half(model: Any) -> ModelMapper:
    """Make the parts that need no other model: fields and key."""
    mapper = ModelMapper()
    mapper.model, mapper.name = model, model.__name__
    mapper.guard_mode = _guard_mode(model)
    mapper.expressions = {}
    mapper.referrers, mapper.link_ends = [], []
    mapper.root = mapper if model._root is model else _mapper_of(model._root)
    fields = _resolve_fields(model)
    if mapper.root is not mapper:
        key_names = {field.name for field in mapper.root.fields if field.said.is_key}
        fields.sort(key=lambda field: field.name not in key_names)
    mapper.fields = tuple(fields)
    mapper.field_index = {field.name: index for index, field in enumerate(fields)}
    for field in fields:
        field.bind(model)
    keys = [field for field in fields if field.said.is_key]
    mapper.key_fields = tuple(field.name for field in keys)
    check_keys(mapper, keys)
    mapper.store_made = any(field.said.store_made for field in keys)
    mapper.key_columns = tuple(column for field in keys for column in field.column_values)
    python = keys[0].type.python if len(keys) == 1 else None
    is_plain = python in (int, bytes) or (python is not None and keys[0].type.kind == "uuid")
    mapper.plain_key_type = python if is_plain and keys[0].type.storage is None else None
    _under_way[model] = mapper
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
    """Resolve the models that are referred to, and lay out the table."""
    family = (root, *(_under_way[one] for one in root.model._subclasses))
    check_family(family)
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
        check_columns(mapper)
        mapper.references = tuple(one for one in mapper.fields if one.form == "reference")
        mapper.watched = tuple(one for one in mapper.fields if one.watched)
        mapper.peers_matter = any(
            one.form != "scalar" and one.form != "document" for one in mapper.fields
        )
    table = make_table(root, family)
    for mapper in family:
        mapper.table = table
        mapper.discriminator = _discriminator(mapper, len(family))
    make_link_tables(family)


def _discriminator(mapper: ModelMapper, size: int) -> str | None:
    return mapper.name if size > 1 else None


def _join(mapper: ModelMapper, field: Any) -> None:
    """Give a reference or a list its target, laying that out first if need be."""
    model = field.type.target
    if _mapper_of(model) is None:
        _lay_out(model)
    target = _mapper_of(model)
    if field.form == "owned":
        check_owner(mapper, field, target)
    field.resolve(target)
    if field.form == "reference":
        target.root.referrers.append((mapper, field))
    elif field.form == "owned":
        field.inverse.is_owner = True
