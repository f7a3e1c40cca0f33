"""What is known of a class whose objects documents hold, and what is generated for it."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Any

from graven.models.declarations import MISSING
from graven.models.documents.faults import misfit
from graven.models.documents.hints import accepted_types, checker
from graven.models.documents.kinds import ENCODERS, PLAIN

__all__ = ["MARKS", "DocumentPlan", "DocumentSlot"]

#: What the state of an object may have beside its fields.
MARKS = frozenset({"__model__", "__ordinal__", "__version__"})

_SINGLE = frozenset(ENCODERS) | PLAIN
_SINGLE_BASES: tuple[Any, ...] = tuple(_SINGLE - {type(None)})


class DocumentSlot:
    """One field: its names, what it accepts, its default and its hooks.

    ``form`` is ``"value"``, or, of the fields of models, ``"reference"`` or ``"list"``. ``field``
    is that of a model. ``make_default`` is ``None`` if a document must have the field.
    """

    __slots__ = (
        "accepted",
        "expected",
        "field",
        "flatten",
        "form",
        "make_default",
        "name",
        "old_names",
        "unflatten",
    )

    def __init__(self, name: str, hint: Any, hooks: Mapping[str, Any], form: str = "value") -> None:
        """Describe the field *name*, annotated *hint*."""
        self.name, self.form = name, form
        old = hooks.get("renamed_from", ())
        self.old_names: tuple[str, ...] = (old,) if isinstance(old, str) else tuple(old)
        self.flatten: Callable[[Any], Any] | None = hooks.get("flatten")
        self.unflatten: Callable[[Any], Any] | None = hooks.get("unflatten")
        self.accepted = None if hint is MISSING else accepted_types(hint)
        names = (one.__name__ for one in self.accepted or ())
        self.expected = " or ".join(names).replace("NoneType", "None")
        self.make_default: Callable[[], Any] | None = None
        self.field: Any = None

    def take_default(self, default: Any, factory: Any, nothing: Any) -> None:
        """Take the default, unless it is *nothing*, or what makes it."""
        if factory is not None and factory is not nothing:
            self.make_default = factory
        elif default is not nothing:
            self.make_default = lambda: default

    @property
    def may_be_single(self) -> bool:
        """Whether a value of the field may be a single one, other than ``None``."""
        if self.form == "reference":
            return False
        return self.accepted is None or any(issubclass(one, _SINGLE_BASES) for one in self.accepted)

    @property
    def is_deep(self) -> bool:
        """Whether a state of the field may have states inside."""
        if self.accepted is None or self.unflatten is not None:
            return True
        return not all(one in _SINGLE for one in self.accepted)


class DocumentPlan:
    """How the objects of one class are taken apart and put together.

    ``allocate()`` makes an empty object, ``flatten(run, instance, out)`` puts its fields into
    *out*, ``fill(run, instance, state)`` gives it those of *state*. ``known`` are the keys that a
    state may have beyond unknown fields; ``fields`` those of a state that has nothing special, and
    ``deep`` the fields among them that may hold more than a single value.
    """

    __slots__ = (
        "allocate",
        "checks",
        "cls",
        "deep",
        "fields",
        "fill",
        "flatten",
        "key_slots",
        "known",
        "mapper",
        "name",
        "slots",
        "upcasters",
        "version",
    )

    def __init__(self, cls: Any, settings: Any) -> None:
        """Begin the plan of a class."""
        self.cls, self.name = cls, settings.name
        self.version, self.upcasters = settings.version, settings.upcasters
        self.mapper: Any = None
        self.slots: tuple[DocumentSlot, ...] = ()
        self.known: frozenset[str] = frozenset()
        self.fields: frozenset[str] = frozenset()
        self.deep: tuple[str, ...] = ()
        self.key_slots: tuple[DocumentSlot, ...] = ()
        self.checks: dict[str, Callable[[Any], Any]] = {}
        self.allocate: Callable[[], Any] = lambda: None
        self.flatten: Callable[[Any, Any, dict[str, Any]], None]
        self.fill: Callable[[Any, Any, dict[str, Any]], None]

    @property
    def is_enum(self) -> bool:
        """Whether its objects are the members of an enumeration."""
        return issubclass(self.cls, enum.Enum)

    def start(self) -> dict[str, Any]:
        """Return the beginning of the document form of an object."""
        if self.version == 1:
            return {"__model__": self.name}
        return {"__model__": self.name, "__version__": self.version}

    def check(self, slot: DocumentSlot, attempted: str) -> Callable[[Any], Any]:
        """Make the function that lets a value pass that the field accepts."""
        return checker(
            slot.accepted or (),
            lambda value: misfit(self.name, slot.name, value, slot.expected, attempted),
        )
