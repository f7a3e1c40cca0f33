"""Which types documents may hold, and by which names: restoring makes objects of no other type."""

from __future__ import annotations

import enum
from _thread import RLock  # starts no thread, and takes no time to import
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, get_type_hints, overload

from graven.errors import MappingError
from graven.models.documents.faults import ambiguous, malformed, unknown_name
from graven.models.documents.hints import is_struct, types_inside
from graven.models.documents.planning import plan_for
from graven.models.documents.plans import DocumentPlan
from graven.models.model import ModelType, all_models, known_models, models_named
from graven.models.types import evaluate, names_in

__all__ = ["TypeRegistry", "Upcaster", "document_type", "placed_registry", "registry"]

T = TypeVar("T")
State = dict[str, Any]
#: Makes, of the fields of an object as one version wrote them, what the next version writes.
Upcaster = Callable[[State], State]


class TypeSettings:
    """How a type is called in documents, and how documents of former versions are brought up."""

    __slots__ = ("aliases", "name", "upcasters", "version")

    def __init__(
        self, name: str, aliases: tuple[str, ...], version: int, upcasters: Mapping[int, Upcaster]
    ) -> None:
        """Keep what was declared."""
        self.name, self.aliases, self.version = name, aliases, version
        self.upcasters = dict(upcasters)


_settings: dict[type, TypeSettings] = {}


def settings_of(cls: type, is_placed: bool = False) -> TypeSettings:
    """Return what was declared of a type; otherwise it is called by its name, at version 1.

    Or, if *is_placed*, by its module and its qualified name.
    """
    name = f"{cls.__module__}.{cls.__qualname__}" if is_placed else cls.__name__
    return _settings.get(cls) or TypeSettings(name, (), 1, {})


def is_document_type(cls: Any) -> bool:
    """Say whether a class is of a kind that the codec can take apart and put together."""
    return isinstance(cls, type) and (
        isinstance(cls, ModelType)
        or hasattr(cls, "__dataclass_fields__")
        or is_struct(cls)
        or issubclass(cls, enum.Enum)
    )


class TypeRegistry:
    """Types by name, and the plan of each: how it is taken apart and put together.

    An open registry knows every model too, and what the fields of models are annotated with. In one
    that *is_placed* a type that was given no name is called by its module and its qualified name,
    so that models of one name do not get into each other's way.
    """

    def __init__(
        self, types: Iterable[type] = (), is_open: bool = False, is_placed: bool = False
    ) -> None:
        """Register *types*, and what their fields are annotated with."""
        self.is_open, self.is_placed = is_open, is_placed
        self._by_name: dict[str, list[type]] = {}
        self._learned: set[type] = set()
        self._unexplored: list[type] = []
        self._lock = RLock()
        self._plans: dict[type, DocumentPlan] = {}
        for cls in types:
            self.add(cls)

    def add(self, cls: type) -> None:
        """Register a type under its name and its aliases, and what its fields are annotated with.

        The annotations are looked at when a type is asked for, when all that they name is there.

        :raises MappingError: if the codec cannot take it apart.
        """
        if not is_document_type(cls):
            raise MappingError(
                f"cannot register {cls!r:.100} for documents: it is no model, dataclass, "
                "msgspec.Struct or enumeration, so it is not known what its objects hold. Make it "
                "a dataclass.",
                model=getattr(cls, "__name__", None),
            )
        if cls in self._learned:
            return
        self._learned.add(cls)
        for name in self._names(cls):
            self._claim(name, cls)
        self._unexplored.append(cls)

    def _explore(self) -> None:
        """Register what the fields of the types that are new here are annotated with."""
        with self._lock:
            while self._unexplored:
                for one in _annotated(self._unexplored.pop()):
                    self.add(one)

    def _claim(self, name: str, cls: type) -> None:
        """Let a type be found by a name; a class that was defined anew takes its own place."""
        place = cls.__module__, cls.__qualname__
        found = self._by_name.setdefault(name, [])
        found[:] = [one for one in found if (one.__module__, one.__qualname__) != place]
        found.append(cls)

    def _names(self, cls: type) -> tuple[str, ...]:
        settings = settings_of(cls, self.is_placed)
        return (settings.name, *settings.aliases)

    def renew(self, cls: type) -> None:
        """Register a type whose settings were declared after it was known."""
        for found in self._by_name.values():
            if cls in found:
                found.remove(cls)
        self._learned.discard(cls)
        self._plans.pop(cls, None)
        self.add(cls)

    def _claimants(self, name: str) -> list[Any]:
        """Return the types that have a name; those that were given it go before all others."""
        self._explore()
        found = list(self._by_name.get(name, ()))
        if self.is_open:
            last = name.rpartition(".")[2] if self.is_placed else name
            found += [one for one in models_named(last) if one not in found]
        found = [one for one in found if name in self._names(one)]
        declared = [one for one in found if one in _settings]
        return declared or found

    def named(self, name: object) -> Any:
        """Return the type of that name.

        :raises DataError: if there is none. :raises MappingError: if there are several.
        """
        if type(name) is not str:
            raise malformed(name, "the name of a type")
        found = self._claimants(name)
        if not found and self.is_open:
            for model in all_models():
                self.add(model)
            found = self._claimants(name)
        if not found:
            raise unknown_name(name, (one for one, types in self._by_name.items() if types))
        if len(found) > 1:
            raise ambiguous(name, found)
        return found[0]

    def __getitem__(self, name: str) -> Any:
        """Return the type of that name, as :meth:`named` does."""
        return self.named(name)

    def __contains__(self, name: object) -> bool:
        return self.knows(name)

    def knows(self, name: object) -> bool:
        """Say whether there is a type of that name."""
        return isinstance(name, str) and bool(self._claimants(name))

    def plan(self, cls: Any) -> DocumentPlan | None:
        """Return how a type is taken apart, ``None`` if it is not registered.

        :raises MappingError: if another type has its name.
        """
        found = self._plans.get(cls)
        if found is None:
            with self._lock:
                found = self._make_plan(cls)
        return found

    def _make_plan(self, cls: Any) -> DocumentPlan | None:
        if self.is_open and isinstance(cls, ModelType):
            self.add(cls)
        self._explore()
        if cls not in self._learned:
            return None
        settings = settings_of(cls, self.is_placed)
        claimants = self._claimants(settings.name)
        if claimants == [cls]:
            found = self._plans[cls] = plan_for(cls, settings)
            return found
        if _is_former(cls, claimants):
            return None
        raise ambiguous(settings.name, dict.fromkeys([cls, *claimants]))


def _is_former(cls: type, claimants: list[type]) -> bool:
    """Say whether a class has been defined anew since."""
    return len(claimants) == 1 and (claimants[0].__module__, claimants[0].__qualname__) == (
        cls.__module__,
        cls.__qualname__,
    )


def _annotated(cls: Any) -> list[type]:
    """Return the types that the fields of a class are annotated with, as far as they are known."""
    if issubclass(cls, enum.Enum):
        return []
    hints = _model_hints(cls) if isinstance(cls, ModelType) else _class_hints(cls)
    return [one for hint in hints for one in types_inside(hint)]


def _class_hints(cls: type) -> Iterable[Any]:
    try:
        return get_type_hints(cls).values()
    except (NameError, TypeError, AttributeError):
        return ()


def _model_hints(model: Any) -> Iterable[Any]:
    """Yield the annotations of a model, without laying out its table."""
    if model._mapper is not None:
        for field in model._mapper.fields:
            yield field.type.annotation if field.form == "document" else field.type.python
        return
    names = {**known_models(model), **names_in(model.__module__, model._names)}
    for name, (annotation, _) in model._declared.items():
        try:
            yield evaluate(annotation, names, model.__name__, name)
        except MappingError:
            continue


#: Knows all models, what their fields are annotated with, and what :func:`document_type` marks.
registry = TypeRegistry(is_open=True)

#: Knows the same, by their places: for the log of operations, where no name may be ambiguous.
placed_registry = TypeRegistry(is_open=True, is_placed=True)


@overload
def document_type(cls: type[T], /) -> type[T]: ...


@overload
def document_type(
    *,
    name: str | None = None,
    aliases: Iterable[str] = (),
    version: int = 1,
    upcasters: Mapping[int, Upcaster] | None = None,
) -> Callable[[type[T]], type[T]]: ...


def document_type(
    cls: type[T] | None = None,
    /,
    *,
    name: str | None = None,
    aliases: Iterable[str] = (),
    version: int = 1,
    upcasters: Mapping[int, Upcaster] | None = None,
) -> Any:
    """Let documents hold objects of a dataclass, struct, enumeration or model.

    *name* is what documents call the type, its own name unless given, and *aliases* are former
    names. *version* is that of its fields, from 1, and is written with each object. What an earlier
    version wrote goes through *upcasters* when it is read: ``upcasters[n]`` is given the fields in
    document form as version *n* wrote them, and returns them as version *n* + 1 does. Models and
    what their fields are annotated with need no registration unless one of these is to be said.

    :raises MappingError: if an upcaster is missing, or the type is none that documents hold.
    """

    def register(cls: type[T]) -> type[T]:
        given = upcasters or {}
        lacking = [one for one in range(1, version) if one not in given]
        if version < 1 or lacking:
            raise MappingError(
                f"cannot register version {version} of {cls.__name__}: there is no upcaster from "
                f"version {lacking[0] if lacking else version}, so documents of it could not be "
                "read. Versions count from 1; give upcasters={n: function} for each former one.",
                model=cls.__name__,
            )
        _settings[cls] = TypeSettings(name or cls.__name__, tuple(aliases), version, given)
        registry.renew(cls)
        placed_registry.renew(cls)
        return cls

    return register if cls is None else register(cls)
