"""The functions generated for a model class: how objects are made, watched, compared, identified.

They are shaped like what one would write by hand for the class, since every object passes through
them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from graven._hints import TYPE_CHECKING, Any
from graven.core.values import ABSENT, same
from graven.models.declarations import MISSING
from graven.models.fields import ModelField, ReferenceField
from graven.models.source import compile_function

if TYPE_CHECKING:
    from typing import Final

__all__ = [
    "SET_CLASS",
    "make_adopt",
    "make_changed",
    "make_constructor",
    "make_guard",
    "make_has_strangers",
    "make_prepare",
    "make_set_key",
    "make_snapshot",
]

SET_CLASS: Final[Callable[[Any, type[Any]], None]] = object.__dict__["__class__"].__set__


def raw_source(field: ModelField, instance: str = "o") -> str:
    """Return the source that reads what is always there: a scalar's value, else the raw form."""
    return f"{instance}.{field.name}" if field.form == "scalar" else f"{instance}._raw_{field.name}"


def make_constructor(model: str, fields: Sequence[ModelField], hooks: Any, post_init: bool) -> Any:
    """Write ``__init__``: keyword arguments, defaults, the hook that shows objects to a unit."""
    names: dict[str, Any] = {"_MISSING": MISSING, "_hooks": hooks}
    parameters: list[str] = []
    body = ["_self._origin = None"]
    for field in fields:
        said = field.said
        if said.default_factory is not None:
            names[f"_make_{field.name}"] = said.default_factory
            parameters.append(f"{field.name}=_MISSING")
            value = f"_make_{field.name}() if {field.name} is _MISSING else {field.name}"
            if said.graven_made:
                body.append(f"_self._made = {value.removesuffix(field.name)}None")
                value = f"_self._made or {field.name}"
        elif said.default is not MISSING:
            names[f"_default_{field.name}"] = said.default
            parameters.append(f"{field.name}=_default_{field.name}")
            value = field.name
        else:
            parameters.append(field.name)
            value = field.name
        body.append(f"_self.{field.name} = {value}")
        if field.form != "scalar":
            body.append(f"_self._raw_{field.name} = None")
    if post_init:
        body.append("_self.__post_init__()")
    body += ["if _hooks.autoadd:", "    _hooks.constructed(_self)"]
    signature = ", ".join(["_self", "*", *parameters])
    made = compile_function(model, "__init__", signature, body, names)
    made.__qualname__ = f"{model}.__init__"
    return made


def make_prepare(model: str, fields: Sequence[ModelField]) -> Any:
    """Write ``prepare(o)``: the defaults, which objects have before a constructor of the user's."""
    names: dict[str, Any] = {}
    body = ["o._origin = None"]
    for field in fields:
        said = field.said
        if said.default_factory is not None:
            names[f"make_{field.name}"] = said.default_factory
            made = f"o.{field.name} = o._made" if said.graven_made else f"o.{field.name}"
            body.append(f"{made} = make_{field.name}()")
        elif said.default is not MISSING:
            names[f"default_{field.name}"] = said.default
            body.append(f"o.{field.name} = default_{field.name}")
        if field.form != "scalar":
            body.append(f"o._raw_{field.name} = None")
    return compile_function(model, "prepare", "o", body, names)


def make_snapshot(model: str, fields: Sequence[ModelField]) -> Any:
    """Write ``snapshot(o)``: the captured form of every field of an object that is clean."""
    values = "".join(f"{raw_source(field)}, " for field in fields)
    return compile_function(model, "snapshot", "o", [f"return ({values})"], {})


def make_guard(model: str, fields: Sequence[ModelField], plain: type[Any]) -> Any:
    """Write the ``__setattr__`` of clean objects: keep a copy, then let the object be a plain one.

    Only the first write of an object in a scope passes here; the following ones cost what they
    cost on any object.
    """
    values = "".join(f"{raw_source(field, 'self')}, " for field in fields)
    body = [
        "unit = self._origin.unit",
        "if unit.is_strict:",
        "    return unit.write(self, name, value)",
        f"unit.touched[self] = ({values})",
        "set_class(self, plain)",
        "set_attribute(self, name, value)",
    ]
    names = {"set_class": SET_CLASS, "plain": plain, "set_attribute": plain.__setattr__}
    return compile_function(model, "__setattr__", "self, name, value", body, names)


_COMPARED_PLAINLY = frozenset(
    {"int", "str", "bool", "bytes", "uuid", "objectid", "date", "time", "timedelta"}
)
"""The kinds of values that are the same if they are equal in type and by ``==``."""


def make_changed(model: str, fields: Sequence[ModelField]) -> Any:
    """Write ``changed(o, clean)``: bit *i* is set if field *i* differs from the clean image."""
    names: dict[str, Any] = {"same": same}
    body = ["bits = 0"]
    for index, field in enumerate(fields):
        bit = 1 << index
        if field.form == "scalar":
            is_plain = field.type.kind in _COMPARED_PLAINLY
            differs = "type(value) is not type(was) or value != was"
            body += [
                f"value, was = o.{field.name}, clean[{index}]",
                f"if value is not was and ({differs if is_plain else 'not same(value, was)'}):",
                f"    bits |= {bit}",
            ]
        else:
            names[f"capture_{field.name}"] = field.capture
            body += [
                f"value = capture_{field.name}(o)",
                f"if value is not clean[{index}] and not same(value, clean[{index}]):",
                f"    bits |= {bit}",
            ]
    names["changed_at_all"] = lambda instance, clean: _changed_singly(fields, instance, clean)
    body = ["try:", *(f"    {line}" for line in body)]
    body += ["    return bits", "except AttributeError:", "    return changed_at_all(o, clean)"]
    return compile_function(model, "changed", "o, clean", body, names)


def _changed_singly(fields: Sequence[ModelField], instance: Any, clean: tuple[Any, ...]) -> int:
    """Compare an object of which a value was deleted: the field counts as changed."""
    return sum(
        1 << index
        for index, field in enumerate(fields)
        if not same(field.capture(instance), clean[index])
    )


def make_set_key(model: str, names: Sequence[str]) -> Any:
    """Write ``set_key(o, key)``."""
    body = [
        f"set_attribute(o, {name!r}, {'key' if len(names) == 1 else f'key[{index}]'})"
        for index, name in enumerate(names)
    ]
    names_in_scope = {"set_attribute": object.__setattr__}
    return compile_function(model, "set_key", "o, key", body, names_in_scope)


def make_has_strangers(model: str, fields: Sequence[ModelField]) -> Any:
    """Write ``has_strangers(o)``: whether a new object refers to one that is of no session yet."""
    names = {"absent": ABSENT}
    terms = [
        f"((value := o.{field.name}) is not None and"
        " ((origin := getattr(value, '_origin', absent)) is None"
        " or (origin is not absent and not origin.unit.is_open)))"
        for field in fields
        if field.form == "reference"
    ]
    # a reference that was deleted is for the commit to refuse: it is no reason to look no further
    body = ["try:", f"    return {' or '.join(terms)}", "except AttributeError:", "    return True"]
    return compile_function(model, "has_strangers", "o", body, names)


def make_adopt(model: str, fields: Sequence[ModelField]) -> Any:
    """Write ``adopt(o)``: make a new object's current values the raw ones, as a commit does."""
    names: dict[str, Any] = {}
    body: list[str] = []
    for field in fields:
        if isinstance(field, ReferenceField):
            names[f"key_of_{field.name}"] = field.target.key_of
            body.append(f"value = o.{field.name}")
            key = f"key_of_{field.name}(value)"
            body.append(f"o._raw_{field.name} = None if value is None else {key}")
        elif field.form != "scalar":
            names[f"settle_{field.name}"] = field.settle
            body.append(f"settle_{field.name}(o)")
    return compile_function(model, "adopt", "o", body or ["pass"], names)
