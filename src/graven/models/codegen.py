"""The functions that are generated for every model class: how objects are made, watched.

Compared and identified.

They are shaped like what one would write by hand for the class, since every object passes through
them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from graven.core.values import same
from graven.models.declarations import MISSING
from graven.models.fields import ModelField
from graven.models.source import compile_function

__all__ = [
    "SET_CLASS",
    "make_adopt",
    "make_changed",
    "make_constructor",
    "make_guard",
    "make_key_functions",
    "make_snapshot",
]

SET_CLASS: Final[Callable[[Any, type[Any]], None]] = object.__dict__["__class__"].__set__


def raw_source(field: ModelField, instance: str = "o") -> str:
    """Return the source that reads what of the field is always there: the value of a scalar.

    The raw form of the others.
    """
    return f"{instance}.{field.name}" if field.form == "scalar" else f"{instance}._raw_{field.name}"


def make_constructor(model: str, fields: Sequence[ModelField], hooks: Any, post_init: bool) -> Any:
    """Write ``__init__``: keyword arguments, defaults.

    And the hook that lets a unit of work see new objects.
    """
    names: dict[str, Any] = {"MISSING": MISSING, "hooks": hooks}
    parameters: list[str] = []
    body = ["self._origin = None"]
    for field in fields:
        said = field.said
        if said.default_factory is not None:
            names[f"make_{field.name}"] = said.default_factory
            parameters.append(f"{field.name}=MISSING")
            value = f"make_{field.name}() if {field.name} is MISSING else {field.name}"
        elif said.default is not MISSING:
            names[f"default_{field.name}"] = said.default
            parameters.append(f"{field.name}=default_{field.name}")
            value = field.name
        else:
            parameters.append(field.name)
            value = field.name
        body.append(f"self.{field.name} = {value}")
        if field.form != "scalar":
            body.append(f"self._raw_{field.name} = None")
    if post_init:
        body.append("self.__post_init__()")
    body += ["if hooks.autoadd:", "    hooks.constructed(self)"]
    signature = ", ".join(["self", "*", *parameters]) if parameters else "self"
    return compile_function(model, "__init__", signature, body, names)


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
    names = {"set_class": SET_CLASS, "plain": plain, "set_attribute": object.__setattr__}
    return compile_function(model, "__setattr__", "self, name, value", body, names)


def make_changed(model: str, fields: Sequence[ModelField]) -> Any:
    """Write ``changed(o, clean)``.

    A number with bit *i* set if field *i* differs from the clean image.
    """
    names: dict[str, Any] = {"same": same}
    body = ["bits = 0"]
    for index, field in enumerate(fields):
        bit = 1 << index
        if field.form == "scalar":
            body += [
                f"value = o.{field.name}",
                f"if value is not clean[{index}] and not same(value, clean[{index}]):",
                f"    bits |= {bit}",
            ]
        else:
            names[f"capture_{field.name}"] = field.capture
            body += [
                f"value = capture_{field.name}(o)",
                f"if value is not clean[{index}] and not same(value, clean[{index}]):",
                f"    bits |= {bit}",
            ]
    return compile_function(model, "changed", "o, clean", [*body, "return bits"], names)


def make_key_functions(model: str, names: Sequence[str]) -> tuple[Any, Any]:
    """Write ``key_of(o)`` and ``set_key(o, key)``; the key of several fields is a tuple."""
    if len(names) == 1:
        key_of = compile_function(model, "key_of", "o", [f"return o.{names[0]}"], {})
        body = [f"set_attribute(o, {names[0]!r}, key)"]
    else:
        parts = ", ".join(f"o.{name}" for name in names)
        key_of = compile_function(model, "key_of", "o", [f"return ({parts})"], {})
        body = [f"set_attribute(o, {name!r}, key[{index}])" for index, name in enumerate(names)]
    extra = {"set_attribute": object.__setattr__}
    return key_of, compile_function(model, "set_key", "o, key", body, extra)


def make_adopt(model: str, fields: Sequence[ModelField]) -> Any:
    """Write ``adopt(o)``: make the current values the raw ones, as after a commit."""
    names: dict[str, Any] = {}
    body: list[str] = []
    for field in fields:
        if field.form != "scalar":
            names[f"settle_{field.name}"] = field.settle
            body.append(f"settle_{field.name}(o)")
    return compile_function(model, "adopt", "o", body or ["pass"], names)
