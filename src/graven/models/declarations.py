"""What a class body may say of a field beyond its annotation.

``field()``, ``key()``, ``owned()`` and ``many_to_many()``.
"""

from __future__ import annotations

from collections.abc import Callable

from graven._hints import TYPE_CHECKING, Any, Literal, overload
from graven.errors import MappingError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from typing import Final

__all__ = [
    "MISSING",
    "Declaration",
    "check_body",
    "check_options",
    "check_shadows",
    "field",
    "key",
    "many_to_many",
    "owned",
]

OPTIONS = ("guard", "indexes", "table", "unique")


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()  #: the mark of a default that was not given


class Declaration:
    """What was declared of one field."""

    __slots__ = (
        "default",
        "default_factory",
        "flatten",
        "graven_made",
        "index",
        "inverse",
        "is_key",
        "on_delete",
        "precision",
        "relation",
        "renamed_from",
        "store_made",
        "stored_as",
        "unflatten",
        "unique",
    )

    def __init__(self, **given: Any) -> None:
        """Keep what is *given*; the rest is as if nothing had been said."""
        self.default: Any = given.get("default", MISSING)
        self.default_factory: Callable[[], Any] | None = given.get("default_factory")
        self.is_key: bool = given.get("is_key", False)
        self.store_made: bool = given.get("store_made", False)
        self.graven_made: bool = given.get("graven_made", False)
        self.precision: str | None = given.get("precision")
        self.stored_as: type | None = given.get("stored_as")
        self.unique: bool = given.get("unique", False)
        self.index: bool = given.get("index", False)
        self.on_delete: str = given.get("on_delete", "refuse")
        self.relation: str | None = given.get("relation")
        self.inverse: str | None = given.get("inverse")
        self.flatten: Callable[[Any], Any] | None = given.get("flatten")
        self.unflatten: Callable[[Any], Any] | None = given.get("unflatten")
        names = given.get("renamed_from", ())
        self.renamed_from: tuple[str, ...] = (names,) if isinstance(names, str) else tuple(names)
        if self.default is not MISSING and self.default_factory is not None:
            raise MappingError(
                "cannot declare a field with both default and default_factory: a new object can "
                "start with only one of them. Give one."
            )
        if self.precision not in (None, "us", "ms", "s"):
            raise MappingError(
                f"cannot declare precision={self.precision!r}: it says to what times are rounded. "
                'Give "s", "ms" or "us", which rounds nothing.'
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
    precision: Literal["s", "ms", "us"] | None = None,
    stored_as: type | None = None,
    flatten: Callable[[Any], Any] | None = None,
    unflatten: Callable[[Any], Any] | None = None,
) -> Any:
    """Declare more of a field than its annotation says.

    *default* is the value of a new object, *default_factory* makes it. *renamed_from* names the
    columns that the field had before. *unique* and *index* ask the store for a unique or a plain
    index. *on_delete* of a reference says what happens when the object it refers to is deleted:
    ``"refuse"`` the deletion, ``"cascade"`` it to this object, or ``"set_null"``. *precision* of
    a time (``"s"``, ``"ms"`` or ``"us"``) rounds each value as it is assigned. *stored_as* is the
    type that the values are kept as, where their own has no form in the store that keeps them.
    *flatten* makes what stands for the value in a document of the codec, *unflatten* the value of
    that again.
    """
    return Declaration(
        default=default,
        default_factory=default_factory,
        renamed_from=renamed_from,
        unique=unique,
        index=index,
        on_delete=on_delete,
        precision=precision,
        stored_as=stored_as,
        flatten=flatten,
        unflatten=unflatten,
    )


@overload
def key(*, store_made: Literal[True], init: Literal[False] = False) -> Any: ...


@overload
def key(
    *,
    default: Any = ...,
    default_factory: Callable[[], Any] = ...,
    stored_as: type | None = ...,
) -> Any: ...


def key(
    *,
    default: Any = MISSING,
    default_factory: Callable[[], Any] | None = None,
    store_made: bool = False,
    stored_as: type | None = None,
    init: bool = True,  # noqa: ARG001
) -> Any:
    """Declare the field as the key, or as one part of a key of several fields.

    With *store_made* the store makes it (an ``int``), and it is ``None`` until the commit.
    *stored_as* is the type that it is kept as. *init* is there for type checkers: such a key is no
    argument of the constructor.
    """
    if store_made:
        default = None
    return Declaration(
        default=default,
        default_factory=default_factory,
        is_key=True,
        store_made=store_made,
        stored_as=stored_as,
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


def check_options(model: str, options: Mapping[str, Any], is_subclass: bool) -> None:
    """Refuse class options that do not exist, or that belong to the base of the family."""
    unknown = next((name for name in options if name not in OPTIONS), None)
    if unknown is not None:
        raise MappingError(
            f"cannot define {model}: it has an option {unknown!r}, and there is none of that name. "
            f"The options are {', '.join(OPTIONS)} and abstract; correct the spelling.",
            model=model,
        )
    base_only = next((name for name in ("table", "guard") if is_subclass and name in options), None)
    if base_only is not None:
        raise MappingError(
            f"cannot define {model} with the option {base_only!r}: it shares the table of its "
            "base, which decides that. Give the option to the base, or make the base abstract.",
            model=model,
        )


def check_body(model: str, annotations: Mapping[str, Any], namespace: Mapping[str, Any]) -> None:
    """Refuse defaults that all objects would share, and a field and a method of one name."""
    for name in annotations:
        default = namespace.get(name, MISSING)
        if isinstance(default, Declaration):
            default = default.default
        if isinstance(default, property | classmethod | staticmethod) or hasattr(
            default, "__code__"
        ):
            raise MappingError(
                f"cannot define {model}: {name!r} is annotated as a field, and also the name of a "
                "method or property. Rename one of them.",
                model=model,
                field=name,
            )
        if type(default).__hash__ is None:
            raise MappingError(
                f"cannot define {model}.{name} with the default {default!r:.80}: all objects would "
                "share the one value and its changes. Make one for each object, with "
                "field(default_factory=...).",
                model=model,
                field=name,
            )


def check_shadows(model: str, names: Collection[str], inherited: Collection[str]) -> None:
    """Refuse a class attribute that hides an inherited field."""
    hidden = next((name for name in inherited if name in names), None)
    if hidden is not None:
        raise MappingError(
            f"cannot define {model}: its attribute {hidden!r} hides the field of that name that it "
            "inherits. To give the field another default, annotate it again; otherwise rename the "
            "attribute.",
            model=model,
            field=hidden,
        )
