"""What a class body may say of a field beyond its annotation.

``field()``, ``key()``, ``owned()`` and ``many_to_many()``.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Final, Literal, overload

from graven.errors import MappingError

__all__ = ["MISSING", "Declaration", "NaiveDatetime", "field", "key", "many_to_many", "owned"]


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()  #: the mark of a default that was not given


class Naive:
    """Marks a ``datetime`` annotation as a wall-clock time without a zone."""


NaiveDatetime = Annotated[datetime, Naive]
"""A wall-clock time: a ``datetime`` without a zone. A plain ``datetime`` field has one."""


class Declaration:
    """What was declared of one field."""

    __slots__ = (
        "default",
        "default_factory",
        "index",
        "inverse",
        "is_key",
        "on_delete",
        "relation",
        "renamed_from",
        "store_made",
        "unique",
    )

    def __init__(self, **given: Any) -> None:
        """Keep what is *given*; the rest is as if nothing had been said."""
        self.default: Any = given.get("default", MISSING)
        self.default_factory: Callable[[], Any] | None = given.get("default_factory")
        self.is_key: bool = given.get("is_key", False)
        self.store_made: bool = given.get("store_made", False)
        self.unique: bool = given.get("unique", False)
        self.index: bool = given.get("index", False)
        self.on_delete: str = given.get("on_delete", "refuse")
        self.relation: str | None = given.get("relation")
        self.inverse: str | None = given.get("inverse")
        names = given.get("renamed_from", ())
        self.renamed_from: tuple[str, ...] = (names,) if isinstance(names, str) else tuple(names)
        if self.default is not MISSING and self.default_factory is not None:
            raise MappingError(
                "cannot declare a field with both default and default_factory: a new object can "
                "start with only one of them. Give one."
            )
        if self.on_delete not in ("refuse", "cascade", "set_null"):
            raise MappingError(
                f"cannot declare on_delete={self.on_delete!r}: it says what happens to this "
                "object when what it "
                'refers to is deleted. Give "refuse", "cascade" or "set_null".'
            )


def field(
    *,
    default: Any = MISSING,
    default_factory: Callable[[], Any] | None = None,
    renamed_from: str | tuple[str, ...] = (),
    unique: bool = False,
    index: bool = False,
    on_delete: str = "refuse",
) -> Any:
    """Declare more of a field than its annotation says.

    *default* is the value of a new object, *default_factory* makes it. *renamed_from* names the
    columns that the field had before. *unique* and *index* ask the store for a unique or a plain
    index. *on_delete* of a reference says what happens when the object it refers to is deleted:
    ``"refuse"`` the deletion, ``"cascade"`` it to this object, or ``"set_null"``.
    """
    return Declaration(
        default=default,
        default_factory=default_factory,
        renamed_from=renamed_from,
        unique=unique,
        index=index,
        on_delete=on_delete,
    )


@overload
def key(*, store_made: Literal[True], init: Literal[False] = False) -> Any: ...


@overload
def key(*, default: Any = ..., default_factory: Callable[[], Any] = ...) -> Any: ...


def key(
    *,
    default: Any = MISSING,
    default_factory: Callable[[], Any] | None = None,
    store_made: bool = False,
    init: bool = True,  # noqa: ARG001
) -> Any:
    """Declare the field as the key, or as one part of a key of several fields.

    With *store_made* the store makes it (an ``int``), and it is ``None`` until the commit. *init*
    is there for type checkers: such a key is no argument of the constructor.
    """
    if store_made:
        default = None
    return Declaration(
        default=default, default_factory=default_factory, is_key=True, store_made=store_made
    )


def owned(inverse: str, *, init: Literal[False] = False) -> Any:  # noqa: ARG001
    """Declare a list of children that belong to this object.

    *inverse* is the children's field that refers to it.

    What is put into the list is stored with its owner; what is taken out of it, and put nowhere
    else, is deleted. The list is in the order of the children's keys when it is loaded. *init* is
    there for type checkers.
    """
    return Declaration(relation="owned", inverse=inverse, default_factory=list)


def many_to_many(*, init: Literal[False] = False) -> Any:  # noqa: ARG001
    """Declare a list of objects that exist by themselves, joined through a table of pairs of keys.

    The list is in the order of their keys when it is loaded. *init* is there for type checkers.
    """
    return Declaration(relation="links", default_factory=list)
