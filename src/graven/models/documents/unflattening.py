"""From documents to objects: allocate on the way down, fill in on the way up.

The first walk makes an empty object of every state that it meets, and so does each later one for
documents that are fetched because something refers to them. Then everything is filled in, inner
states before outer ones, so that what is put into a set has its hash. There is no recursion but for
that, and nothing is visible to anybody before all of it is whole, or an error has been raised.

Only registered types are made, and none of their code is run: neither a constructor nor
``__post_init__`` nor a ``__setattr__``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from graven.core.values import ABSENT
from graven.models.declarations import MISSING
from graven.models.documents import containers
from graven.models.documents.discovering import Discovery
from graven.models.documents.faults import malformed, misfit, missing_object
from graven.models.documents.kinds import DECODE_ERRORS, DECODERS, ENCODERS
from graven.models.documents.unknown import unknown_fields

__all__ = ["Unflattener"]

_SIMPLE = frozenset({str, int, float, bool, type(None)})
_NATIVE = frozenset(ENCODERS)


class Unflattener(Discovery):
    """One restoring of documents: the way down, and the way up."""

    def finish(self) -> None:
        """Fill everything in.

        :raises DataError: if a state does not fit its type. :raises NotFoundError: if something
            other than a field of a model refers to an object that is not there.
        """
        made = self.made
        for ordinal, state in self._ordinals.items():
            if id(state) in made:
                self.entries[ordinal] = made[id(state)]
        try:
            while self.pending:
                number, (fill, target, state) = self.pending.popitem()
                if target is None:
                    self.pending[number] = fill, target, state
                    self.build(state)
                else:
                    fill(self, target, state)
        except RecursionError:
            raise malformed(
                "a document", "what is put into sets nested less deeply than that"
            ) from None
        for instance, fields in self._kept:
            self._keep(instance, fields)
        if self._given is not None:
            self._given.update(self.scope)

    @staticmethod
    def _keep(instance: Any, fields: dict[str, Any]) -> None:
        try:
            unknown_fields.keep(instance, fields)
        except TypeError as error:
            raise malformed(
                fields,
                f"no field that {type(instance).__name__} does not have",
                "It could not be kept with an object that has slots and no weak references: "
                "declare the field, or the class with weakref_slot=True.",
            ) from error

    def value(self, state: Any) -> Any:
        """Return the value of a state; what is not filled in yet will be."""
        kind = type(state)
        if kind is dict:
            ordinal = state.get("__ref__", MISSING)
            if ordinal is not MISSING:
                if type(ordinal) is int and ordinal in self.entries and len(state) == 1:
                    return self.entries[ordinal]
                found = self.entries[ordinal] = self.value(self.state_at(state))
                return found
        elif kind in _SIMPLE:
            return state
        found = self.made.get(id(state), MISSING)
        if found is not MISSING:
            return found
        if id(state) in self.pending:
            return self.build(state)
        if type(state) is not dict:
            if kind in _NATIVE:
                return state
            raise malformed(state, "plain data")
        if "__key__" in state:
            return self._referred(state)
        if len(state) != 1:
            raise malformed(state, "a value with one mark")
        ((mark, content),) = state.items()
        return self._single(mark, content)

    def state_at(self, reference: Any) -> Any:
        """Return the state that a reference inside the document leads to."""
        ordinal = reference["__ref__"]
        state = self._ordinals.get(ordinal) if type(ordinal) is int else None
        if state is None or len(reference) != 1 or (type(state) is dict and "__ref__" in state):
            raise malformed(
                reference,
                "the ordinal of an object in the document",
                "The reference leads nowhere.",
            )
        return state

    def _single(self, mark: str, content: Any) -> Any:
        """Return a single value behind a mark."""
        decode = self._member if mark == "__enum__" else DECODERS.get(mark)
        if decode is None:
            raise malformed({mark: content}, "a value where a single one is declared")
        try:
            return decode(content)
        except DECODE_ERRORS as error:
            raise malformed(
                {mark: content}, f"a value that {mark!r} stands for ({error})"
            ) from error

    def _member(self, content: Any) -> Any:
        name, member = content
        cls = self.registry.named(name)
        plan = self.registry.plan(cls)
        if plan is None or not plan.is_enum:
            raise malformed(name, "the name of an enumeration")
        try:
            return cls[member] if isinstance(member, str) else cls(member)
        except KeyError as error:
            raise malformed(member, f"the name of a member of {plan.name}") from error

    def build(self, state: Any) -> Any:
        """Build what cannot change, now that it is needed, and first what that needs.

        :raises DataError: if it contains itself with nothing between that can change.
        """
        path = [(state, self._needs(state))]
        under_way = {id(state)}
        while path:
            top, needs = path[-1]
            inner = next(needs, None)
            if inner is None:
                path.pop()
                under_way.discard(id(top))
                fill, _, _ = self.pending.pop(id(top))
                self.made[id(top)] = fill(self, None, top)
            elif id(inner) in under_way:
                raise malformed(inner, "a tuple or frozenset that does not contain itself")
            else:
                under_way.add(id(inner))
                path.append((inner, self._needs(inner)))
        return self.made[id(state)]

    def _needs(self, state: Any) -> Iterator[Any]:
        """Yield the states inside one of what cannot change and is not built yet."""
        for one in containers.states_in(state):
            inner = self.state_at(one) if type(one) is dict and "__ref__" in one else one
            entry = self.pending.get(id(inner))
            if entry is not None and entry[1] is None:
                yield inner

    def complete(self, state: Any) -> None:
        """Fill in what is to be hashed, and what its hash may depend on, before its turn."""
        if type(state) is dict and "__ref__" in state:
            state = self.state_at(state)
        entry = self.pending.get(id(state))
        if entry is None or id(state) in self._completing:
            return
        fill, target, present = entry
        if target is not None and vars(object)["__hash__"] is type(target).__hash__:
            return
        self._completing.add(id(state))
        for one in containers.states_in(present):
            self.complete(one)
        if target is None:
            self.value(state)
        elif self.pending.pop(id(state), None) is not None:
            fill(self, target, present)
        self._completing.discard(id(state))

    # -- what generated functions call -------------------------------------------------------------

    def absent(self, slot: Any, state: Any, check: Callable[[Any], Any], owner: str) -> Any:
        """Return the value of a field that is not under its name: an old one has it, or none."""
        for name in slot.old_names:
            if name in state:
                value = self.value(state[name])
                return check(value if slot.unflatten is None else slot.unflatten(value))
        if slot.make_default is None:
            expected = slot.expected or "a value"
            raise misfit(owner, slot.name, None, f"{expected}, for it has no default", "restore")
        return slot.make_default()

    def keep_unknown(self, instance: Any, state: Any) -> None:
        """Remember the fields that the class does not know, for the next time it is written."""
        extra = self.extras.get(id(instance))
        if extra is not None:
            self._kept.append((instance, {name: self.value(state[name]) for name in extra}))

    def fill_reference(self, instance: Any, slot: Any, state: Any) -> None:
        """Set a reference of a model: to the object, or, where there is none yet, to the key."""
        field = slot.field
        found = state.get(slot.name)
        if found is None:
            found = next((state[one] for one in slot.old_names if one in state), None)
        if type(found) is dict and "__key__" in found:
            model, key = self.reference(found)
            value = self.scope.get((model, key), ABSENT)
            if value is ABSENT:
                self._check_target(field, self.registry.named(found["__model__"]), found)
                field.raw.__set__(instance, key)
                return
        else:
            value = self.value(found)
        if value is None and not field.nullable:
            raise misfit(field.owner, field.name, None, field.target.name, "restore")
        if value is not None:
            self._check_target(field, type(value), value)
        setattr(instance, field.name, value)

    @staticmethod
    def _check_target(field: Any, found: type, value: Any) -> None:
        if not issubclass(found, field.type.target):
            raise misfit(field.owner, field.name, value, field.target.name, "restore")

    def _referred(self, state: Any) -> Any:
        model, key = self.reference(state)
        found = self.scope.get((model, key))
        if found is None:
            raise missing_object(model, key, "the scope")
        return found
