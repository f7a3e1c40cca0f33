"""From objects to a document: one walk, without recursion.

A document is made of plain data. An object is a mapping that begins with ``__model__``, the name of
its type; a model inside another object is a reference, ``{"__model__": …, "__key__": …}``. What is
met a second time gets a number where it stands, ``__ordinal__``, and is ``{"__ref__": number}``
wherever else it is met. In a graph, which is what a text holds, every object is an entry of a flat
table, and ``__ref__`` counts its entries from 0.

A list stands for itself, and so does a dictionary whose keys are texts that cannot be taken for
marks. Other containers are behind a mark: ``__tuple__``, ``__set__``, ``__frozenset__``,
``__dict__`` (pairs), and ``__list__`` for a list that has an ordinal. The member of an enumeration
is ``{"__enum__": [type, name]}``, or the number of a flag.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from contextlib import suppress
from operator import attrgetter
from typing import Any

from graven.core.values import ABSENT
from graven.models.documents.faults import misfit, unwritable
from graven.models.documents.kinds import ENCODERS, PLAIN, encode_objectid, is_objectid
from graven.models.documents.registry import TypeRegistry
from graven.models.documents.unknown import Opaque, Verbatim, unknown_fields
from graven.models.model import Model

__all__ = ["DEPTH_MAX", "Flattener", "is_plain_key"]

#: How deep containers may stand in one another in an entry of a graph; deeper ones get their own.
DEPTH_MAX = 16

Scope = dict[Any, Any]
Fill = Callable[["Flattener", Any, Any], None]

#: Matches the keys that a document may have as they are, in every store.
_is_plain_key = re.compile(r"(?!__|\$)[^.\0]+").fullmatch


def is_plain_key(name: str) -> bool:
    """Say whether a document may have *name* as a key as it is, in every store."""
    return _is_plain_key(name) is not None


class Flattener:
    """One walk over objects; every list that it makes is filled in after it was given out."""

    def __init__(
        self,
        registry: TypeRegistry,
        native: frozenset[type],
        scope: Scope | None,
        *,
        as_graph: bool,
        follow: bool = True,
    ) -> None:
        """Prepare a walk; *as_graph* makes a table, *follow* puts models in it that are met."""
        self.registry, self.scope = registry, scope
        self.as_graph, self.follow = as_graph, follow
        self.encoders = {one: ENCODERS[one] for one in ENCODERS if one not in native}
        self.plain = PLAIN | native
        self.nodes: list[Any] = []
        self.unknown = unknown_fields.entries
        self._queue: list[tuple[Fill, Any, Any, int]] = []
        self._places: dict[int, tuple[Any, Any, Any, Any]] = {}
        self.ordinals: dict[int, int] = {}
        self._writers: dict[type, Callable[[Any, Any, Any], Any]] = {}
        self._depth = 0
        self._count = 0

    # -- the walk ----------------------------------------------------------------------------------

    def run(self, *objects: Any) -> list[Any]:
        """Return the document forms of *objects*, of which models are written whole."""
        out: list[Any] = []
        for index, one in enumerate(objects):
            if isinstance(one, Model):
                out.append(self._again(one) or self._begin(one, out, index))
            else:
                out.append(self.value(one, out, index))
        for fill, value, target, depth in self._queue:  # it grows while it is gone through
            self._depth = depth
            fill(self, value, target)
        return out

    def value(self, value: Any, parent: Any, key: Any) -> Any:
        """Return the document form of a value, which the caller puts at *key* of *parent*."""
        kind = type(value)
        if kind in self.plain:
            return value
        encode = self.encoders.get(kind)
        if encode is not None:
            return encode(value)
        return self._again(value) or self.begin(value, parent, key)

    def begin(self, value: Any, parent: Any, key: Any) -> Any:
        """Return the document form of what is no single value, and has no number yet."""
        place = self._places.get(id(value))
        if place is not None:
            return {"__ref__": self._number(value, place)}
        writer = self._writers.get(type(value))
        if writer is None:
            writer = self._writers[type(value)] = self._writer(type(value), value)
        return writer(value, parent, key)

    def _again(self, value: Any) -> Any:
        """Return a reference to what has a number; ``None`` if it has none."""
        ordinal = self.ordinals.get(id(value))
        return None if ordinal is None else {"__ref__": ordinal}

    def _number(self, value: Any, place: tuple[Any, Any, Any, Any]) -> int:
        """Give a number to what is met for the second time."""
        target, parent, key, _ = place
        if self.as_graph:
            ordinal = self.ordinals[id(value)] = len(self.nodes)
            self.nodes.append(target)
            parent[key] = {"__ref__": ordinal}
            return ordinal
        ordinal = self.ordinals[id(value)] = self._count
        self._count += 1
        if type(target) is list:
            parent[key] = {"__list__": target, "__ordinal__": ordinal}
        else:
            target["__ordinal__"] = ordinal
        return ordinal

    def _put(self, fill: Fill, value: Any, content: Any, target: Any, at: tuple[Any, Any]) -> Any:
        """Let *content*, which is in *target*, be filled in later; return what stands for it."""
        depth = self._depth + 1
        if self.as_graph and depth > DEPTH_MAX:
            ordinal = self.ordinals[id(value)] = len(self.nodes)
            self.nodes.append(target)
            target, depth = {"__ref__": ordinal}, 0
        else:
            self._places[id(value)] = target, *at, value
        self._queue.append((fill, value, content, depth))
        return target

    # -- objects -----------------------------------------------------------------------------------

    def _writer(self, kind: type, value: Any) -> Callable[[Any, Any, Any], Any]:
        """Return what writes the values of a type that is met for the first time."""
        if kind in _CONTAINERS:
            return _CONTAINERS[kind].__get__(self)  # type: ignore[no-any-return]
        if isinstance(value, Model):
            return self._begin if self.as_graph and self.follow else self._refer_to
        if isinstance(value, enum.Enum):
            return self._member
        if kind is Opaque:
            return self._opaque
        if kind is Verbatim:
            return lambda value, _, __: value.state
        if is_objectid(kind):
            return self._itself if kind in self.plain else encode_objectid
        return self._begin

    @staticmethod
    def _itself(value: Any, _: Any, __: Any) -> Any:
        return value

    def _begin(self, value: Any, parent: Any, key: Any) -> Any:
        """Begin the document form of an object."""
        cls = value.__class__ if isinstance(value, Model) else type(value)
        plan = self.registry.plan(cls)
        if plan is None:
            raise unwritable(
                value,
                f"{cls.__module__}.{cls.__qualname__} is not registered for documents, so it could "
                "not be restored. If it is a dataclass, mark it with @document_type; otherwise "
                "keep something else in its place, for instance with field(flatten=...).",
            )
        writer = self._writer_of(plan)
        if plan.mapper is not None and self.scope is not None:
            found = plan.mapper.key_of(value)
            if found is not None:
                self.scope[plan.mapper.root.model, found] = value
        elif plan.mapper is None or (self.as_graph and self.follow):
            self._writers[type(value)] = writer
        return writer(value, parent, key)

    def _writer_of(self, plan: Any) -> Callable[[Any, Any, Any], Any]:
        """Make what begins the document form of the objects of a class."""
        start, flatten, queue = plan.start(), plan.flatten, self._queue
        is_model = plan.mapper is not None
        nodes, ordinals, places = self.nodes, self.ordinals, self._places

        def to_place(value: Any, parent: Any, key: Any) -> Any:
            target = start.copy()
            if not is_model:  # which is referred to by its key, even inside itself
                places[id(value)] = target, parent, key, value
            queue.append((flatten, value, target, 0))
            return target

        def to_table(value: Any, _: Any, __: Any) -> Any:
            target = start.copy()
            ordinal = ordinals[id(value)] = len(nodes)
            nodes.append(target)
            queue.append((flatten, value, target, 0))
            return {"__ref__": ordinal}

        return to_table if self.as_graph else to_place

    def _refer_to(self, value: Any, parent: Any, key: Any) -> Any:
        """Write a model that is met inside another object: as a reference."""
        mapper = self.registry_plan(value.__class__).mapper
        found = mapper.key_of(value)
        if found is None or (isinstance(found, tuple) and None in found):
            raise unwritable(
                value,
                "it is referred to and has no key yet, because the store makes its key. Commit it "
                "before, or write the graph as text with to_json.",
            )
        if self.scope is not None:
            self.scope[mapper.root.model, found] = value
        return self.key_reference(value.__class__, found)

    def registry_plan(self, cls: Any) -> Any:
        """Return the plan of a model."""
        plan = self.registry.plan(cls)
        if plan is None:
            raise unwritable(cls, "it is a model that this serializer does not know. Register it.")
        return plan

    def key_reference(self, cls: Any, key: Any) -> Any:
        """Return the reference to the object of a model with that key."""
        out = {"__model__": self.registry_plan(cls).name}
        parts = list(key) if isinstance(key, tuple) else [key]
        written = [self.value(part, out, "__key__") for part in parts]
        return {**out, "__key__": written if isinstance(key, tuple) else written[0]}

    def unloaded(self, field: Any, instance: Any) -> Any:
        """Return the document form of a reference that is not loaded."""
        key = field.raw.__get__(instance)
        if key is None and not field.nullable:
            raise misfit(field.owner, field.name, None, field.target.name, "write")
        return None if key is None else self.key_reference(field.type.target, key)

    def list(self, field: Any, instance: Any, parent: Any) -> None:
        """Write a list of models into a graph, if it is loaded; documents have no such lists."""
        value = field.loaded(instance)
        if value is ABSENT or not (self.as_graph and self.follow):
            return
        if type(value) is not list:
            raise misfit(field.owner, field.name, value, "list", "write")
        parent[field.name] = self.value(value, parent, field.name)

    def _member(self, value: Any, parent: Any, key: Any) -> Any:
        plan = self.registry.plan(type(value))
        if plan is None:
            raise unwritable(value, "its enumeration is not registered; mark it @document_type.")
        is_flag = isinstance(value, enum.Flag)
        return {"__enum__": [plan.name, value.value if is_flag else value.name]}

    def _opaque(self, value: Opaque, parent: Any, key: Any) -> Any:
        target = {"__model__": value.name}
        if value.version is not None:
            target["__version__"] = value.version  # type: ignore[assignment]
        return self._put(_fill_mapping, value, target, target, (parent, key))

    def write_unknown(self, instance: Any, out: Any) -> None:
        """Write the fields that an object was read with and its class does not know."""
        for name, value in unknown_fields.of(instance).items():
            out[name] = self.value(value, out, name)

    @staticmethod
    def unset(instance: Any, error: AttributeError) -> Exception:
        """Make the error for an attribute without a value; others are what they are."""
        if error.obj is not instance:
            return error
        name = type(instance).__name__
        return misfit(name, str(error.name), None, "a value, which was never set", "write")

    # -- containers --------------------------------------------------------------------------------

    def _list(self, value: Any, parent: Any, key: Any) -> Any:
        out: list[Any] = []
        if self._depth >= DEPTH_MAX:
            return self._put(_fill_list, value, out, out, (parent, key))
        self._places[id(value)] = out, parent, key, value
        if value:
            self._queue.append((_fill_list, value, out, self._depth + 1))
        return out

    def _dict(self, value: Any, parent: Any, key: Any) -> Any:
        if all(type(one) is str and _is_plain_key(one) for one in value):
            out: dict[str, Any] = {}
            return self._put(_fill_mapping, value, out, out, (parent, key))
        pairs: list[Any] = []
        return self._put(_fill_pairs, value, pairs, {"__dict__": pairs}, (parent, key))

    def _tuple(self, value: Any, parent: Any, key: Any) -> Any:
        out: list[Any] = []
        if self._is_simple(value):
            _fill_list(self, value, out)
            return {"__tuple__": out}
        return self._put(_fill_list, value, out, {"__tuple__": out}, (parent, key))

    def _set(self, value: Any, parent: Any, key: Any) -> Any:
        out: list[Any] = []
        return self._put(_fill_set, value, out, {"__set__": out}, (parent, key))

    def _frozenset(self, value: Any, parent: Any, key: Any) -> Any:
        out: list[Any] = []
        if self._is_simple(value):
            _fill_set(self, value, out)
            return {"__frozenset__": out}
        return self._put(_fill_set, value, out, {"__frozenset__": out}, (parent, key))

    def _is_simple(self, value: Any) -> bool:
        """Say whether what cannot change holds single values only.

        It makes no difference then whether it is met once or twice; Python may share it or not.
        """
        plain, encoders = self.plain, self.encoders
        return all(type(one) in plain or type(one) in encoders for one in value)


_CONTAINERS: dict[type, Any] = {
    list: Flattener._list,
    dict: Flattener._dict,
    tuple: Flattener._tuple,
    set: Flattener._set,
    frozenset: Flattener._frozenset,
}


def _fill_list(run: Flattener, value: Any, out: list[Any]) -> None:
    plain, ordinals = run.plain, run.ordinals
    for one in value:
        if type(one) in plain:
            out.append(one)
            continue
        ordinal = ordinals.get(id(one))
        out.append(run.value(one, out, len(out)) if ordinal is None else {"__ref__": ordinal})


def _fill_set(run: Flattener, value: Any, out: list[Any]) -> None:
    """Write the members by type and in order, as far as they have one: equal sets alike."""
    kinds: dict[type, list[Any]] = {}
    for one in value:
        kinds.setdefault(type(one), []).append(one)
    for kind in sorted(kinds, key=attrgetter("__name__")):
        members = kinds[kind]
        if kind in ENCODERS or kind is str:
            with suppress(TypeError, ArithmeticError):
                members.sort()
        _fill_list(run, members, out)


def _fill_mapping(run: Flattener, value: Any, out: dict[str, Any]) -> None:
    items = value.fields if type(value) is Opaque else value
    for name, one in items.items():
        out[name] = run.value(one, out, name)


def _fill_pairs(run: Flattener, value: Any, out: list[Any]) -> None:
    for name, one in value.items():
        pair: list[Any] = []
        out.append(pair)
        pair.append(run.value(name, pair, 0))
        pair.append(run.value(one, pair, 1))
