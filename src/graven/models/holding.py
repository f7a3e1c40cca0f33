"""Whether a field can hold what its annotation promises, seen before there is any value."""

from __future__ import annotations

from collections.abc import Iterator

from graven._hints import Any
from graven.errors import MappingError

__all__ = ["check_held"]


def check_held(field: Any) -> None:
    """See that every type in the annotation of a document is one that comes back from its text.

    :raises MappingError: if one is not, so that no commit could ever write the field.
    """
    from msgspec.inspect import type_info

    if field.said.flatten is not None:
        return
    stranger = next(_strangers(type_info(field.type.annotation)), None)
    if stranger is not None:
        name = getattr(stranger, "__name__", str(stranger))
        raise MappingError(
            f"cannot store {field.owner}.{field.name}: it is annotated {field.type.annotation}, "
            f"and a {name} would not come back from the store as it went. Embed a dataclass, a "
            "msgspec.Struct or a NamedTuple with annotated fields, use plain types and list, dict, "
            "set or tuple of them, or refer to a model.",
            model=field.owner,
            field=field.name,
        )


def _strangers(root: Any) -> Iterator[Any]:
    """Yield the classes inside a described type that are known neither as plain nor as embedded."""
    from msgspec.inspect import CustomType, Field, Type

    stack, seen = [root], set()
    while stack:
        described = stack.pop()
        if id(described) in seen:
            continue
        seen.add(id(described))
        if isinstance(described, CustomType):
            if described.cls is not object:
                yield described.cls
            continue
        for name in described.__struct_fields__:
            value = getattr(described, name)
            several = value if isinstance(value, tuple) else (value,)
            stack.extend(one for one in several if isinstance(one, Type | Field))
