"""What an annotation says of the values in a field, as far as their outermost type goes."""

from __future__ import annotations

import enum
import types
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from graven.models.checks import fits
from graven.models.types import meant

__all__ = ["accepted_types", "checker", "is_struct", "types_inside"]

Accepted = tuple[type, ...]


def is_struct(cls: Any) -> bool:
    """Say whether a class is a ``msgspec.Struct``."""
    return hasattr(cls, "__struct_fields__")


def accepted_types(hint: Any) -> Accepted | None:
    """Return the types that a value annotated *hint* may have, ``None`` if that is not known.

    A ``float`` may be an ``int``, which stays one.

    >>> from typing import Any
    >>> accepted_types(int | None), accepted_types(list[int]), accepted_types(Any)
    ((<class 'int'>, <class 'NoneType'>), (<class 'list'>,), None)
    """
    hint = meant(hint)
    if hint is None:
        return (type(None),)
    origin = get_origin(hint)
    if origin is Annotated:
        return accepted_types(get_args(hint)[0])
    if origin in (Union, types.UnionType):
        parts = [accepted_types(one) for one in get_args(hint)]
        return None if None in parts else tuple(one for part in parts if part for one in part)
    if origin is Literal:
        return tuple(dict.fromkeys(map(type, get_args(hint))))
    found = origin or hint
    if not isinstance(found, type) or found is object or found is Any:
        return None
    if found.__module__ in ("typing", "collections.abc", "abc") or hasattr(found, "_is_protocol"):
        return None
    return (float, int) if found is float else (found,)


def checker(accepted: Accepted, refuse: Callable[[Any], Exception]) -> Callable[[Any], Any]:
    """Make the function that lets a value pass that is of one of the *accepted* types."""

    def check(value: Any) -> Any:
        if not any(fits(value, one) for one in accepted):
            raise refuse(value)
        return value

    return check


def types_inside(hint: Any) -> Iterator[type]:
    """Yield the dataclasses, structs and enumerations that an annotation names, at any depth."""
    hint = meant(hint)
    if isinstance(hint, type) and get_origin(hint) is None:
        if hasattr(hint, "__dataclass_fields__") or is_struct(hint) or issubclass(hint, enum.Enum):
            yield hint
        return
    origin = get_origin(hint)
    if origin is Literal:
        return
    if origin is not None:
        yield from types_inside(origin)
    for one in get_args(hint):
        yield from types_inside(one)
