"""What is generated for a model when it is first asked for: compiling it all takes milliseconds."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter

from graven._hints import TYPE_CHECKING, Any
from graven.models import codegen
from graven.models.attributes import refuse_deletion
from graven.models.model import ModelType, hooks

if TYPE_CHECKING:
    from graven.models.mapping import ModelMapper

__all__ = ["GENERATED"]


def _make_guard_class(mapper: ModelMapper) -> Any:
    """Make the hidden subclass that clean objects are of."""
    model = mapper.model
    namespace = {
        "_is_guard": True,
        "__slots__": (),
        "__module__": model.__module__,
        "__qualname__": model.__qualname__,
        "__doc__": model.__doc__,
        "__class__": property(lambda _: model),
        "__setattr__": codegen.make_guard(mapper.name, mapper.fields, model),
        "__delattr__": refuse_deletion,
        "__hash__": object.__hash__,
    }
    return type.__new__(ModelType, model.__name__, (model,), namespace)


GENERATED: dict[str, Callable[[ModelMapper], Any]] = {
    "construct": lambda one: codegen.make_constructor(
        one.name, one.fields, hooks, hasattr(one.model, "__post_init__")
    ),
    "key_of": lambda one: attrgetter(*one.key_fields),
    "prepare": lambda one: codegen.make_prepare(one.name, one.fields),
    "set_key": lambda one: codegen.make_set_key(one.name, one.key_fields),
    "set_origin": lambda one: type.__getattribute__(one.model, "_origin").__set__,
    "snapshot": lambda one: codegen.make_snapshot(one.name, one.fields),
    "changed": lambda one: codegen.make_changed(one.name, one.fields),
    "adopt": lambda one: codegen.make_adopt(one.name, one.fields),
    "has_strangers": lambda one: codegen.make_has_strangers(one.name, one.fields),
    "guard": _make_guard_class,
}
"""For each attribute of a mapper that is generated, the function that makes it."""
