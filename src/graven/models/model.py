"""``Model`` and the metaclass that makes slots of annotations.

A model has two classes. The one that the user wrote holds objects that are new, or changed since
the last commit; a hidden subclass, the guard, holds clean ones and notices the first write.
``type(obj)`` may be either, ``isinstance`` and ``obj.__class__`` always tell the user's class.
"""

from __future__ import annotations

import sys
from functools import wraps

from graven._hints import TYPE_CHECKING, Any, dataclass_transform
from graven.core.values import ABSENT
from graven.errors import MappingError, UsageError
from graven.models.declarations import (
    MISSING,
    Declaration,
    check_body,
    check_options,
    check_shadows,
    field,
    key,
    many_to_many,
    owned,
)
from graven.models.face import Face
from graven.models.types import evaluate, is_class_variable, is_scalar_annotation, names_in

__all__ = ["Hooks", "Model", "ModelType", "hooks"]

_SLOT_TYPE = type(type("_", (), {"__slots__": ("slot",)}).__dict__["slot"])


class Hooks:
    """What every constructor asks: which unit of work, if any, adds new objects by itself."""

    __slots__ = ("autoadd", "constructed")

    def __init__(self) -> None:
        """Start with no such unit."""
        self.autoadd = 0
        self.constructed: Any = None


hooks = Hooks()  #: what all constructors ask


def _annotations(namespace: dict[str, Any]) -> dict[str, Any]:
    """Return the annotations of a class body, evaluated or as text, in every version of Python."""
    if "__annotations__" in namespace:
        return dict(namespace["__annotations__"])
    annotate = namespace.get("__annotate__") or namespace.get("__annotate_func__")
    if annotate is None:
        return {}
    annotationlib = __import__("annotationlib")
    form = annotationlib.Format.FORWARDREF
    return dict(annotationlib.call_annotate_function(annotate, form))


def _local_names(frame: Any) -> dict[str, Any]:
    """Return the names around a class body inside a function.

    At module level its globals are enough.
    """
    return {} if frame.f_locals is frame.f_globals else dict(frame.f_locals)


def _needs_two_slots(annotation: Any, names: dict[str, Any], model: str, name: str) -> bool:
    try:
        return not is_scalar_annotation(evaluate(annotation, names, model, name))
    except (MappingError, TypeError, SyntaxError):
        return True


def _loading(otherwise: Any) -> Any:
    """Return the ``__getattr__`` of a class with fields that may not be loaded.

    Only such a class has one, since it makes every attribute of its objects slower to read, loaded
    or not. *otherwise* is the class's own.
    """

    def __getattr__(self: Any, name: str) -> Any:  # noqa: N807
        """Load a field that is not loaded; called only where ordinary look-up has failed."""
        mapper = mapper_of(type(self))
        index = mapper.field_index.get(name)
        if index is not None:
            return mapper.load_field(self, mapper.fields[index])
        if otherwise is not None:
            return otherwise(self, name)
        raise AttributeError(
            f"{mapper.name!r} object has no attribute {name!r}", name=name, obj=self
        )

    return __getattr__


@dataclass_transform(
    eq_default=False,  # objects are compared, and hashed, by identity
    kw_only_default=True,
    field_specifiers=(field, key, owned, many_to_many),
)
class ModelType(type):
    """The metaclass of models: slots for annotations, query fields as class attributes."""

    _declared: dict[str, tuple[Any, Declaration]]
    _names: dict[str, Any]
    _mapper: Any
    _root: Any
    _options: dict[str, Any]
    _has_own_init: bool
    _is_abstract: bool
    _number: int

    def __new__(
        mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any
    ) -> Any:
        """Make the class; fields are resolved at first use, when all they name is there."""
        if namespace.get("_is_guard"):
            return super().__new__(mcs, name, bases, namespace)
        annotations = {
            each: annotation
            for each, annotation in _annotations(namespace).items()
            if not each.startswith("_") and not is_class_variable(annotation)
        }
        parents = [base for base in bases if isinstance(base, ModelType)]
        is_abstract = options.pop("abstract", False) or not parents
        mcs._check(name, parents, annotations, namespace, options)
        declared = mcs._collect(parents, annotations, namespace)
        names = _local_names(sys._getframe(1))
        own = mcs._own_fields(parents, annotations, is_abstract)
        known = names_in(namespace.get("__module__", ""), names)
        slots = mcs._slots(own, declared, known, name, parents, is_abstract)
        has_weakref = any(base.__weakrefoffset__ for base in bases)
        namespace["__slots__"] = [one for one in slots if one != "__weakref__" or not has_weakref]
        namespace["__hash__"] = object.__hash__
        if any(slot.startswith("_raw_") for slot in slots):
            namespace["__getattr__"] = _loading(namespace.get("__getattr__"))
        cls = super().__new__(mcs, name, bases, namespace)
        cls._declared = declared
        cls._names = names
        cls._options = options
        cls._is_abstract = is_abstract
        made: Any = cls
        cls._has_own_init = bool(parents) and made.__init__ is not Model.__init__
        if cls._has_own_init:
            _keep_init(cls)
        cls._mapper = None
        _register(cls, parents, is_abstract)
        return cls

    def __init__(
        cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **_: Any
    ) -> None:
        """Do nothing: the options of the class were taken by ``__new__``."""
        super().__init__(name, bases, namespace)

    @staticmethod
    def _collect(
        parents: list[ModelType], annotations: dict[str, Any], namespace: dict[str, Any]
    ) -> dict[str, tuple[Any, Declaration]]:
        """Join inherited declarations with the body's own, and take the defaults out of it."""
        declared: dict[str, tuple[Any, Declaration]] = {}
        for parent in reversed(parents):
            declared.update(parent._declared)
        for name, annotation in annotations.items():
            said = namespace.pop(name, MISSING)
            if not isinstance(said, Declaration):
                said = Declaration(default=said)
            declared[name] = (annotation, said)
        return declared

    @staticmethod
    def _own_fields(
        parents: list[ModelType], annotations: dict[str, Any], is_abstract: bool
    ) -> list[str]:
        """Name the fields that need slots here: the class's own, and those of abstract bases."""
        if is_abstract:
            return []
        names: dict[str, None] = {}
        for parent in parents:
            if parent._is_abstract:
                names.update(dict.fromkeys(parent._declared))
        names.update(dict.fromkeys(annotations))
        bases = {base for parent in parents for base in parent.__mro__}
        taken = {slot for base in bases for slot in base.__dict__.get("__slots__", ())}
        return [name for name in names if name not in taken]

    @staticmethod
    def _check(
        name: str,
        parents: list[ModelType],
        annotations: dict[str, Any],
        namespace: dict[str, Any],
        options: dict[str, Any],
    ) -> None:
        """Refuse a class body that cannot be a model's."""
        roots = {parent._root for parent in parents if not parent._root._is_abstract}
        check_options(name, options, bool(roots))
        inherited = {field for parent in parents for field in parent._declared}
        check_body(name, annotations, namespace)
        check_shadows(name, set(namespace) - set(annotations), inherited)
        if sum(not parent._is_abstract for parent in parents) > 1 or len(roots) > 1:
            raise MappingError(
                f"cannot define {name} with several stored bases: an object is a row of one table. "
                "Make the bases abstract but for one.",
                model=name,
            )

    @staticmethod
    def _slots(
        own: list[str],
        declared: dict[str, tuple[Any, Declaration]],
        names: dict[str, Any],
        model: str,
        parents: list[ModelType],
        is_abstract: bool,
    ) -> tuple[str, ...]:
        if is_abstract:
            return ()
        is_root = all(parent._root._is_abstract for parent in parents)
        slots = list(own)
        if is_root and not any(said.is_key for _, said in declared.values()):
            slots += ["id", "_made"] if "id" not in slots else []
        slots += [
            f"_raw_{name}"
            for name in own
            if _needs_two_slots(declared[name][0], names, model, name)
        ]
        return (*slots, "_origin", "__weakref__") if is_root else tuple(slots)

    def __getattribute__(cls, name: str) -> Any:
        """Return the query field for the name of a field, otherwise the attribute."""
        value = type.__getattribute__(cls, name)
        if type(value) is _SLOT_TYPE and not name.startswith("_"):
            return mapper_of(cls).expression(name)
        return value

    def __getattr__(cls, name: str) -> Any:
        """Lay the model out if *name* may be the key of a reference, which it has only then."""
        reference = name.removesuffix("_id")
        if reference != name and reference in cls._declared and cls._mapper is None:
            mapper_of(cls)
            return getattr(cls, name)
        raise AttributeError(f"type object {cls.__name__!r} has no attribute {name!r}")

    def __repr__(cls) -> str:
        return f"<model {cls.__module__}.{cls.__qualname__}>"


_models: dict[str, list[ModelType]] = {}


def _register(cls: Any, parents: list[ModelType], is_abstract: bool) -> None:
    roots = [one._root for one in parents if not one._root._is_abstract]
    root = roots[0] if roots else cls
    cls._root = root
    cls._subclasses = []
    if is_abstract:
        if root is not cls and not cls._has_own_init:
            cls.__init__ = Model.__init__  # it says that the class is abstract
        return
    _models.setdefault(cls.__name__, []).append(cls)
    cls._number = sum(map(len, _models.values()))
    if root is not cls:
        root._subclasses.append(cls)
        mapper = root._mapper
        if mapper is not None:
            raise MappingError(
                f"cannot define {cls.__name__} as a subclass of {root.__name__} now: the table of "
                f"{root.__name__} has been laid out, "
                "because the model was used already. Define all subclasses before the first use "
                "of the base.",
                model=cls.__name__,
            )


def known_models(model: Any) -> dict[str, Any]:
    """Return the models by name.

    Of several those made beside *model* go first, then those in its module; of these the one that
    was made next after it, which is what a function that is called twice means.
    """
    place = model.__module__, model.__qualname__.rpartition(".")[0]

    def nearness(one: Any) -> tuple[int, bool, int]:
        here = one.__module__, one.__qualname__.rpartition(".")[0]
        distance = one._number - model._number
        return (here[0] == place[0]) + (here == place), distance > 0, -abs(distance)

    return {name: max(found, key=nearness) for name, found in _models.items()}


def models_named(name: str) -> tuple[Any, ...]:
    """Return the stored models of that name; of one that was defined anew, the newest."""
    newest = {(one.__module__, one.__qualname__): one for one in _models.get(name, ())}
    return tuple(newest.values())


def all_models() -> list[Any]:
    """Return every stored model."""
    return [one for found in _models.values() for one in found]


def _keep_init(cls: Any) -> None:
    """Let a constructor of the user's own find a prepared object, and base constructors."""
    for base in cls.__mro__[1:]:
        if isinstance(base, ModelType) and not base._is_abstract:
            base._has_own_init = True
    written = cls.__init__
    if hasattr(written, "_is_prepared"):
        return

    @wraps(written)
    def __init__(self: Any, /, *arguments: Any, **fields: Any) -> None:  # noqa: N807
        if getattr(self, "_origin", ABSENT) is ABSENT:
            mapper_of(type(self)).prepare(self)
        written(self, *arguments, **fields)
        if hooks.autoadd and self._origin is None:
            hooks.constructed(self)

    __init__._is_prepared = True  # type: ignore[attr-defined]
    cls.__init__ = __init__


def mapper_of(model: Any) -> Any:
    """Return the mapper of a model class, made at first use.

    :raises MappingError: if it cannot be stored as declared; ``UsageError`` if it is no model.
    """
    if not isinstance(model, ModelType):
        from graven.models.checks import shown

        raise UsageError(
            f"cannot use {shown(model)} as a model: a class that is derived from graven.Model is "
            "needed. Give the class itself, neither its name nor one of its objects."
        )
    mapper = type.__getattribute__(model, "_mapper")  # it is no field: quicker without asking
    if mapper is None:
        from graven.models.mapping import lay_out

        mapper = lay_out(model)
    return mapper


class Model(Face, metaclass=ModelType):
    """The base of all stored classes.

    Annotations are the fields; ``id: UUID`` is the key unless one is declared.

    Options of the class: ``table`` (its name), ``guard`` (``"version"``, ``"fields"`` or
    ``"none"``: what an update checks), ``unique`` and ``indexes`` (tuples of tuples of field
    names), ``abstract`` (only a base, no table).
    """

    if TYPE_CHECKING:
        id: Any = field(default_factory=object)

        @property
        def _origin(self) -> Any: ...

        @_origin.setter
        def _origin(self, origin: Any) -> None: ...

    def __init__(self, /, **fields: Any) -> None:
        """Make an object of the values of its *fields*; those with a default may be left out."""
        model = type(self)
        construct = mapper_of(model).construct
        if not model._has_own_init:
            model.__init__ = construct  # type: ignore[method-assign]
        construct(self, **fields)

    def __repr__(self) -> str:
        """Show the values and the keys of references; nothing is loaded, and nothing fails."""
        from graven.models.checks import shown

        try:
            mapper = mapper_of(type(self))
        except MappingError:
            return object.__repr__(self)
        parts = []
        for each in mapper.fields:
            value = each.loaded(self)
            if each.form == "scalar" and value is not ABSENT:
                parts.append(f"{each.name}={shown(value)}")
            elif each.form == "reference":
                name = each.columns[0] if len(each.columns) == 1 else each.name
                parts.append(f"{name}={shown(each.key_shown(self))}")
        return f"{mapper.name}({', '.join(parts)})"

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Refuse to be copied or pickled.

        :raises UsageError: always; a copy would pass for the one object that has this key.
        """
        raise UsageError(
            f"cannot copy or pickle {self!r:.200}: there is one object per key and session, and a "
            "copy would have no part in it. Make a new object of the values that you need; to hand "
            "one to another process, send its key and get it there."
        )
