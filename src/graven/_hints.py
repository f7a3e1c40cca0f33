"""The names of ``typing`` that graven's code uses, without importing ``typing``.

That import takes as long as all else that a program needs of graven to start. Type checkers see the
real names. At run time annotations are not evaluated, so that stand-ins do: they can be subscripted
and derived from, and say nothing. What looks into the annotations of users needs the real ones.

``ClassVar`` and ``Final``, which pyright knows only where they come from, are imported from
``typing`` under ``TYPE_CHECKING`` by who needs them.
"""

from __future__ import annotations

TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import (
        Any,
        Concatenate,
        Generic,
        Literal,
        NoReturn,
        ParamSpec,
        Protocol,
        TypeVar,
        cast,
        dataclass_transform,
        final,
        overload,
    )
else:
    from types import GenericAlias

    class Generic:
        """The base of what has parameters, and the stand-in for every name in annotations."""

        __slots__ = ()
        __class_getitem__ = classmethod(GenericAlias)

    Any = Concatenate = Literal = NoReturn = Protocol = Generic

    class TypeVar:
        """A parameter: an alias that contains it can be subscripted."""

        __slots__ = ()

        def __init__(self, _name, **_):
            """Be a parameter, whatever its name and its bound."""

        def __typing_subst__(self, argument):
            """Return what takes the place of the parameter."""
            return argument

    ParamSpec = TypeVar

    def cast(_, value):
        """Return *value*."""
        return value

    def final(decorated):
        """Return what is decorated."""
        return decorated

    overload = final

    def dataclass_transform(**_):
        """Return a decorator that changes nothing."""
        return final


__all__ = [
    "TYPE_CHECKING",
    "Any",
    "Concatenate",
    "Generic",
    "Literal",
    "NoReturn",
    "ParamSpec",
    "Protocol",
    "TypeVar",
    "cast",
    "dataclass_transform",
    "final",
    "overload",
]
