"""Make the plan of a class: its fields as documents have them, and how an empty object is made."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, get_type_hints

from graven.errors import MappingError
from graven.models.declarations import MISSING
from graven.models.documents.generating import make_fill, make_flatten
from graven.models.documents.hints import is_struct
from graven.models.documents.plans import MARKS, DocumentPlan, DocumentSlot
from graven.models.model import ModelType, mapper_of

__all__ = ["plan_for"]


def plan_for(cls: Any, settings: Any) -> DocumentPlan:
    """Make the plan of a class.

    :raises MappingError: if its objects cannot be made without running its constructor.
    """
    plan = DocumentPlan(cls, settings)
    if plan.is_enum:
        return plan
    if isinstance(cls, ModelType):
        plan.mapper = mapper_of(cls)
        plan.slots = tuple(map(_model_slot, plan.mapper.fields))
        plan.allocate = _model_allocator(plan.mapper)
        index = plan.mapper.field_index
        plan.key_slots = tuple(plan.slots[index[name]] for name in plan.mapper.key_fields)
    elif is_struct(cls):
        plan.slots = tuple(_struct_slots(cls))
        plan.allocate = _struct_allocator(cls, plan.slots)
    else:
        plan.slots = tuple(_dataclass_slots(cls))
        plan.allocate = _allocator(cls)
    names = {name for slot in plan.slots for name in (slot.name, *slot.old_names)}
    plan.known = frozenset(names) | MARKS
    plan.fields = frozenset({slot.name for slot in plan.slots}) | {"__model__", "__ordinal__"}
    plan.deep = tuple(slot.name for slot in plan.slots if slot.is_deep)
    reserved = next((name for name in names if name.startswith("__")), None)
    if reserved is not None:
        raise MappingError(
            f"cannot write {cls.__name__}.{reserved} into a document: names that begin with two "
            "underscores are marks there. Rename the field.",
            model=cls.__name__,
            field=reserved,
        )
    plan.flatten = make_flatten(plan)
    plan.fill = make_fill(plan)
    return plan


# -- fields ----------------------------------------------------------------------------------------


def _hints(cls: type) -> dict[str, Any]:
    try:
        return get_type_hints(cls)
    except (NameError, TypeError, AttributeError):
        return {}


def _dataclass_slots(cls: Any) -> list[DocumentSlot]:
    hints, slots = _hints(cls), []
    for one in dataclasses.fields(cls):
        slot = DocumentSlot(one.name, hints.get(one.name, MISSING), one.metadata)
        slot.take_default(one.default, one.default_factory, dataclasses.MISSING)
        slots.append(slot)
    return slots


def _struct_slots(cls: Any) -> list[DocumentSlot]:
    import msgspec

    hints, slots = _hints(cls), []
    for one in msgspec.structs.fields(cls):
        slot = DocumentSlot(one.name, hints.get(one.name, MISSING), {})
        slot.take_default(one.default, one.default_factory, msgspec.NODEFAULT)
        slots.append(slot)
    return slots


def _model_slot(field: Any) -> DocumentSlot:
    said, kind = field.said, field.type
    form = {"scalar": "value", "document": "value", "reference": "reference"}.get(
        field.form, "list"
    )
    hint = list if form == "list" else kind.annotation if field.form == "document" else kind.python
    may_be_none = form == "value" and (kind.nullable or said.store_made)
    hint = hint | None if may_be_none else hint
    hooks = {one: getattr(said, one) for one in ("renamed_from", "flatten", "unflatten")}
    slot = DocumentSlot(field.name, MISSING if form == "reference" else hint, hooks, form)
    slot.take_default(said.default, said.default_factory, MISSING)
    if form == "list" and slot.make_default is None:
        slot.make_default = list
    slot.field = field
    return slot


# -- empty objects ---------------------------------------------------------------------------------


def _not_empty(cls: type, why: str) -> MappingError:
    return MappingError(
        f"cannot restore objects of {cls.__name__} from documents: {why}. Make it a plain "
        "dataclass.",
        model=cls.__name__,
    )


def _allocator(cls: type) -> Callable[[], Any]:
    try:
        object.__new__(cls)
    except TypeError as error:
        raise _not_empty(cls, f"an empty one cannot be made ({error})") from error
    return partial(object.__new__, cls)


def _struct_allocator(cls: Any, slots: tuple[DocumentSlot, ...]) -> Callable[[], Any]:
    if hasattr(cls, "__post_init__"):
        raise _not_empty(cls, "its __post_init__ would see an object that is not filled in yet")
    empty = dict.fromkeys((slot.name for slot in slots), None)
    return lambda: cls(**empty)


def _model_allocator(mapper: Any) -> Callable[[], Any]:
    model = mapper.model
    raws = [field.raw.__set__ for field in mapper.fields if field.form != "scalar"]
    raws += [model._made.__set__] if hasattr(model, "_made") else []

    def allocate() -> Any:
        instance = object.__new__(model)
        instance._origin = None
        for put in raws:
            put(instance, None)
        return instance

    return allocate
