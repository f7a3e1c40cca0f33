"""The functions generated for a class: one takes its objects apart, one fills them in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graven.models.checks import INTEGER_MAX, INTEGER_MIN
from graven.models.declarations import MISSING
from graven.models.documents.faults import misfit
from graven.models.documents.hints import is_struct
from graven.models.documents.plans import DocumentPlan, DocumentSlot
from graven.models.source import compile_function

__all__ = ["make_fill", "make_flatten"]

_AT_ONCE = {
    (str,): "type(v) is str",
    (bool,): "type(v) is bool",
    (int,): f"type(v) is int and {INTEGER_MIN} <= v <= {INTEGER_MAX}",
    (float, int): "type(v) is float and v - v == 0.0",
}
"""The source of the look at a value that stands for itself, by the types that a field accepts."""


_VALUE_SOURCE = [
    "    n = v.get('__ref__') if type(v) is dict and len(v) == 1 else None",
    "    v = entries[n] if type(n) is int and n in entries else value(v)",
]
"""The source of ``value(v)``, with the most frequent case, a reference inside a graph, in line."""


def make_flatten(plan: DocumentPlan) -> Any:
    """Write ``flatten(run, o, out)``."""
    names: dict[str, Any] = {}
    body: list[str] = []
    for slot in plan.slots:
        body += _flatten_source(plan, slot, names)
    body = ["ordinals = run.ordinals", "try:", *(f"    {line}" for line in body or ["pass"])]
    body += ["except AttributeError as error:", "    raise run.unset(o, error)"]
    body += ["if run.unknown: run.write_unknown(o, out)"]
    return compile_function(plan.name, "flatten", "run, o, out", body, names)


def _flatten_source(plan: DocumentPlan, slot: DocumentSlot, names: dict[str, Any]) -> list[str]:
    name = slot.name
    if slot.form == "reference":
        return _reference_source(plan, slot, names)
    if slot.form == "list":
        names[f"field_{name}"] = slot.field
        return [f"run.list(field_{name}, o, out)"]
    lines = [f"v = o.{name}"]
    if slot.flatten is not None:
        names[f"hook_{name}"] = slot.flatten
        lines.append(f"v = hook_{name}(v)")
    elif slot.accepted is not None:
        names[f"A_{name}"] = frozenset(slot.accepted)
        names[f"check_{name}"] = plan.check(slot, "write")
        check = f"if type(v) not in A_{name}: check_{name}(v)"
        accepted = tuple(one for one in slot.accepted if one is not type(None))
        if accepted in _AT_ONCE:
            or_none = "v is None or " if accepted != slot.accepted else ""
            return [
                *lines,
                f"if {or_none}{_AT_ONCE[accepted]}: out[{name!r}] = v",
                "else:",
                f"    {check}",
                f"    out[{name!r}] = run.value(v, out, {name!r})",
            ]
        lines.append(check)
    return [*lines, *_put_source(slot)]


def _put_source(slot: DocumentSlot) -> list[str]:
    """Return the source that writes the value of a field, which may have been met before."""
    name = slot.name
    write = "run.value" if slot.flatten is not None or slot.may_be_single else "run.begin"
    return [
        f"if v is None: out[{name!r}] = None",
        "else:",
        "    n = ordinals.get(id(v))",
        f"    out[{name!r}] = {write}(v, out, {name!r}) if n is None else {{'__ref__': n}}",
    ]


def _reference_source(plan: DocumentPlan, slot: DocumentSlot, names: dict[str, Any]) -> list[str]:
    """Return the source that writes a reference of a model; nothing is loaded for it."""
    name, field = slot.name, slot.field
    target = field.type.target
    expected = field.target.name + (" or None" if field.nullable else "")
    names |= {f"field_{name}": field, f"get_{name}": field.value.__get__}
    names[f"T_{name}"] = (target, type(None)) if field.nullable else target
    names[f"refuse_{name}"] = lambda value: misfit(plan.name, name, value, expected, "write")
    return [
        "try:",
        f"    v = get_{name}(o)",
        "except AttributeError:",
        f"    out[{name!r}] = run.unloaded(field_{name}, o)",
        "else:",
        f"    if not isinstance(v, T_{name}): raise refuse_{name}(v)",
        *(f"    {line}" for line in _put_source(slot)),
    ]


def make_fill(plan: DocumentPlan) -> Any:
    """Write ``fill(run, o, state)``."""
    names: dict[str, Any] = {"MISSING": MISSING}
    body: list[str] = ["get, value, entries = state.get, run.value, run.entries"]
    setter = _setter(plan, names)
    for slot in plan.slots:
        name = slot.name
        names[f"slot_{name}"] = slot
        if slot.form == "reference":
            body.append(f"run.fill_reference(o, slot_{name}, state)")
            continue
        body += [
            f"v = get({name!r}, MISSING)",
            f"if v is MISSING: v = run.absent(slot_{name}, state, check_{name}, {plan.name!r})",
        ]
        plan.checks[name] = names[f"check_{name}"] = _restored(plan, slot)
        if slot.unflatten is not None:
            names[f"hook_{name}"] = slot.unflatten
            body.append(f"else: v = check_{name}(hook_{name}(value(v)))")
        elif slot.accepted is None:
            body.append("elif v is not None and type(v) is not str: v = value(v)")
        else:
            names[f"A_{name}"] = frozenset(slot.accepted)
            names[f"T_{name}"] = first = slot.accepted[0]
            doubt = f"type(v) is not T_{name}" if first in (str, int, float, bool) else "True"
            doubt = f"v is not None and {doubt}" if type(None) in slot.accepted else doubt
            body += [
                f"elif {doubt}:",
                *(_VALUE_SOURCE if slot.is_deep else ["    v = value(v)"]),
                f"    if type(v) not in A_{name}: check_{name}(v)",
            ]
        body.append(setter.format(name=name))
    body.append("if run.extras: run.keep_unknown(o, state)")
    return compile_function(plan.name, "fill", "run, o, state", body, names)


def _restored(plan: DocumentPlan, slot: DocumentSlot) -> Callable[[Any], Any]:
    """Make the check of a value that was restored; a hook may make what it likes."""
    if slot.accepted is None or slot.unflatten is not None:
        return lambda value: value
    return plan.check(slot, "restore")


def _setter(plan: DocumentPlan, names: dict[str, Any]) -> str:
    """Return the source that sets a field, past a ``__setattr__`` of the class's own."""
    if is_struct(plan.cls):
        from msgspec.structs import force_setattr

        names["put"] = force_setattr
    elif plan.mapper is not None or plan.cls.__setattr__ is object.__setattr__:
        return "o.{name} = v"
    else:
        names["put"] = object.__setattr__
    return "put(o, {name!r}, v)"
