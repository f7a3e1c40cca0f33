"""The one form of all values that pass between the layers.

A subclass of :class:`Value` lists its fields as annotations and gets slots, a constructor,
equality, a hash and a representation. Fields are frozen to the type checkers; at run time they
cost what a slot costs, because one such value is made for every statement. The standard
library's dataclasses would do, but importing them takes longer than importing all of graven.
"""

from __future__ import annotations

from graven._hints import Any, dataclass_transform

__all__ = ["Value"]

VALUES_UNWRITTEN = 16
"""How many values of a class are made before its constructor is written."""


def _constructor(fields: tuple[str, ...], defaults: dict[str, object]) -> Any:
    """Write the constructor of a value class: positional or keyword, defaults last."""
    parameters = [f"{name}=defaults[{name!r}]" if name in defaults else name for name in fields]
    body = "".join(f"\n    self.{name} = {name}" for name in fields) or "\n    pass"
    namespace: dict[str, Any] = {"defaults": defaults}
    exec(f"def __init__({', '.join(['self', *parameters])}):{body}", namespace)
    return namespace["__init__"]


def _first_constructions(self: Any, *arguments: Any, **fields: Any) -> None:
    """Make one of the first values of a class without a constructor of its own.

    To write one takes as long as to make many values like this, and few classes ever have many.
    """
    cls = type(self)
    cls._made += 1
    given = {**cls._defaults, **dict(zip(cls._fields, arguments, strict=False)), **fields}
    is_complete = len(given) == len(cls._fields) >= len(arguments)
    by_name = cls._fields[len(arguments) :]
    if cls._made > VALUES_UNWRITTEN or not is_complete or any(n not in by_name for n in fields):
        cls.__init__ = _constructor(cls._fields, cls._defaults)
        cls.__init__(self, *arguments, **fields)
        return
    for name in cls._fields:
        setattr(self, name, given[name])


class _ValueType(type):
    """Turns the annotations of a class body into slots and a constructor."""

    _fields: tuple[str, ...]
    _defaults: dict[str, object]
    _made: int

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> Any:
        own = tuple(namespace.get("__annotations__", {}))
        defaults = {field: namespace.pop(field) for field in own if field in namespace}
        for base in reversed(bases):
            defaults = {**getattr(base, "_defaults", {}), **defaults}
        inherited: tuple[str, ...] = ()
        for base in bases:
            inherited += getattr(base, "_fields", ())
        namespace["__slots__"] = (*own, *namespace.pop("__extra_slots__", ()))
        namespace["_fields"] = namespace["__match_args__"] = inherited + own
        namespace["_defaults"] = defaults
        namespace["_made"] = 0
        namespace.setdefault("__init__", _first_constructions)
        return super().__new__(mcs, name, bases, namespace)


@dataclass_transform(frozen_default=True, eq_default=True)
class Value(metaclass=_ValueType):
    """A frozen value: equal when its type and its fields are."""

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in type(self)._fields)

    def __hash__(self) -> int:
        return hash((type(self), *(getattr(self, name) for name in type(self)._fields)))

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in type(self)._fields)
        return f"{type(self).__name__}({fields})"

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), tuple(getattr(self, name) for name in type(self)._fields)
