"""Look at every state of a document once, and make an empty object of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graven.models.checks import shown
from graven.models.documents import containers
from graven.models.documents.faults import malformed
from graven.models.documents.kinds import DECODERS
from graven.models.documents.plans import MARKS
from graven.models.documents.registry import TypeRegistry
from graven.models.documents.states import present_state
from graven.models.documents.unknown import Opaque, Verbatim, unknown_fields

__all__ = ["Discovery", "Scope"]

#: Objects of models by the root of their family, and key.
Scope = dict[Any, Any]
Entry = tuple[Callable[[Any, Any, Any], Any], Any, Any]

_LEAVES = frozenset(DECODERS) | {"__ref__", "__enum__"}


class Discovery:
    """The way down; more documents may be discovered until everything is filled in.

    ``made`` has the object of each state, by the identity of the state; ``pending`` what has to be
    filled in or built yet, in the order of discovery; ``wanted`` the references that no scope has
    an object for, by model and key.
    """

    def __init__(
        self, registry: TypeRegistry, scope: Scope | None = None, *, force: bool = False
    ) -> None:
        """Prepare to restore; *force* fills in objects that the scope has already."""
        self.registry = registry
        self._given = scope
        self.scope: Scope = {} if scope is None else dict(scope)
        self.force = force
        self.made: dict[int, Any] = {}
        self.pending: dict[int, Entry] = {}
        self.wanted: dict[Any, dict[Any, None]] = {}
        self._ordinals: dict[int, Any] = {}
        self._own: set[tuple[Any, Any]] = set()
        self.extras: dict[int, list[str]] = {}
        self._alive: list[Any] = []
        self._fast: dict[str, Any] = {}
        self._lenient: set[int] = set()
        self.entries: dict[int, Any] = {}
        self._completing: set[int] = set()
        self._kept: list[tuple[Any, dict[str, Any]]] = []

    def take_graph(self, roots: list[Any], nodes: list[Any]) -> None:
        """Take the roots and the entries of a graph."""
        self._ordinals = dict(enumerate(nodes))
        self.discover(*roots)
        self.discover(*nodes)

    def discover(self, *states: Any, is_known: bool = True) -> None:
        """Make an empty object of every state inside *states*; with *is_known* off, of any name."""
        self._alive.append(states)
        made, pending, fast = self.made, self.pending, self._fast
        queue = list(states)
        if not is_known:
            self._lenient.update(map(id, queue))
        append, lenient = queue.append, self._lenient
        for state in queue:  # it grows while it is gone through
            inner: Any
            key = id(state)
            if type(state) is dict:
                if key in made or key in pending:
                    continue
                name = state.get("__model__")
                plan = fast.get(name) if type(name) is str else None
                if plan is not None and state.keys() <= plan.fields:
                    if "__ordinal__" in state:
                        self._enter_ordinal(state["__ordinal__"], state)
                    if plan.mapper is None:
                        made[key] = target = plan.allocate()
                        pending[key] = plan.fill, target, state
                    else:
                        self._enter(plan, state, state)
                    inner = [state[one] for one in plan.deep if one in state]
                else:
                    inner = self._discover_mapping(state, queue)
            elif type(state) is list and key not in made:
                made[key] = target = []
                pending[key] = containers.fill_list, target, state
                inner = state
            else:
                continue
            is_lenient = bool(lenient) and key in lenient
            for one in inner:
                if type(one) is list or (type(one) is dict and "__ref__" not in one):
                    append(one)
                    if is_lenient:
                        lenient.add(id(one))

    def _discover_mapping(self, state: Any, queue: list[Any]) -> Any:
        """Make the object of a mapping; return the states inside it."""
        known = id(state) not in self._lenient
        if "__ordinal__" in state:
            self._enter_ordinal(state["__ordinal__"], state)
        if "__model__" in state:
            if "__key__" in state:
                self._discover_reference(state, known)
                return ()
            return self._discover_object(state, known, queue)
        mark = next((one for one in state if one != "__ordinal__"), None)
        if type(mark) is not str or not mark.startswith("__"):
            self._allocate(state, {}, containers.fill_dict)
            return state.values()
        if mark in _LEAVES:
            if not known and mark == "__enum__" and not self._knows_enum(state):
                self.made[id(state)] = Verbatim(state)
            return ()
        return self._discover_container(mark, state)

    def _knows_enum(self, state: Any) -> bool:
        content = state["__enum__"]
        return type(content) is not list or self.registry.knows(content[0] if content else None)

    def _discover_container(self, mark: str, state: Any) -> Any:
        kind = containers.KINDS.get(mark)
        if kind is None or len(state) > 1 + ("__ordinal__" in state):
            raise malformed(state, f"a value; {mark!r} is a mark that stands for none")
        content = state[mark]
        if type(content) is not list:
            raise malformed(content, f"a list behind {mark!r}")
        make, fill = kind
        if make is None:
            self.pending[id(state)] = fill, None, state
        else:
            self._allocate(state, make(), fill)
        return containers.parts(mark, content)

    def _allocate(self, state: Any, target: Any, fill: Any) -> None:
        self.made[id(state)] = target
        self.pending[id(state)] = fill, target, state

    def _enter_ordinal(self, ordinal: Any, state: Any) -> None:
        if type(ordinal) is not int:
            raise malformed(ordinal, "a whole number behind '__ordinal__'")
        if ordinal in self._ordinals:
            raise malformed(ordinal, "an ordinal that no other object of the document has")
        self._ordinals[ordinal] = state

    def _discover_object(self, state: Any, known: bool, queue: list[Any]) -> Any:
        name = state["__model__"]
        if not known and not self.registry.knows(name):
            self._allocate(
                state, Opaque(str(name), state.get("__version__")), containers.fill_opaque
            )
            return [one for key, one in state.items() if key not in MARKS]
        plan = self.registry.plan(self.registry.named(name))
        if plan is None or plan.is_enum:
            raise malformed(name, "the name of a class whose objects have fields")
        if plan.version == 1:
            self._fast[name] = plan
        present = state
        if plan.version != 1 or "__version__" in state:
            present = present_state(plan, state)
            self._alive.append(present)
        target = self._enter(plan, state, present)
        if present.keys() <= plan.known:
            return present.values()
        extra = [one for one in present if one not in plan.known]
        marks = [one for one in extra if type(one) is not str or one.startswith("__")]
        if marks:
            raise malformed(marks[0], f"a field of {plan.name}; this is no mark of the codec")
        self.extras[id(target)] = extra
        unknown = [present[one] for one in extra]
        self._lenient.update(map(id, unknown))
        queue += unknown
        return [one for key, one in present.items() if key in plan.known]

    def _enter(self, plan: Any, state: Any, present: Any) -> Any:
        """Find or make the object of a state, to be filled in from its *present* form."""
        target, is_new = self._find_or_make(plan, present)
        self.made[id(state)] = target
        if is_new or self.force:
            self.pending[id(state)] = plan.fill, target, present
            if not is_new:
                unknown_fields.drop(target)
        return target

    def _find_or_make(self, plan: Any, state: Any) -> tuple[Any, bool]:
        """Return the object that the scope has for a state of a model, or a new one."""
        if plan.mapper is None:
            return plan.allocate(), True
        key = self.key_in(plan, state)
        root = plan.mapper.root.model
        if key is None:
            return plan.allocate(), True
        if (root, key) in self._own:
            raise malformed(key, f"a key that no other {root.__name__} of the document has")
        self._own.add((root, key))
        found = self.scope.get((root, key))
        if found is None:
            found = self.scope[root, key] = plan.allocate()
            return found, True
        if not isinstance(found, plan.cls):
            raise malformed(found, f"{plan.name} {shown(key)} in the scope")
        return found, False

    def key_in(self, plan: Any, state: Any) -> Any:
        """Return the key in the state of a model, ``None`` if there is none yet."""
        parts = []
        for slot in plan.key_slots:
            found = state.get(slot.name)
            if found is None:
                found = next((state[one] for one in slot.old_names if one in state), None)
            if type(found) is dict and "__model__" not in found and "__ref__" not in found:
                value = self.made[id(found)] = self.value(found)
            else:
                value = found
            if slot.unflatten is not None:
                value = slot.unflatten(value)
            if value is None:
                return None
            if type(value) is not slot.accepted[0]:
                plan.checks[slot.name](value)
            parts.append(value)
        return parts[0] if len(parts) == 1 else tuple(parts)

    def _discover_reference(self, state: Any, known: bool) -> None:
        if not known and not self.registry.knows(state["__model__"]):
            self._allocate(state, Opaque(str(state["__model__"]), None), containers.fill_opaque)
            return
        model, key = self.reference(state)
        if (model, key) not in self.scope:
            self.wanted.setdefault(model, {})[key] = None

    def reference(self, state: Any) -> tuple[Any, Any]:
        """Return the model, at the root of its family, and the key that a reference names."""
        if state.keys() != {"__model__", "__key__"}:
            raise malformed(state, "a reference of a model and a key")
        plan = self.registry.plan(self.registry.named(state["__model__"]))
        if plan is None or plan.mapper is None:
            raise malformed(state["__model__"], "the name of a model")
        names, key = plan.mapper.key_fields, state["__key__"]
        parts = [key] if len(names) == 1 else key
        if type(parts) is not list or len(parts) != len(names):
            raise malformed(key, f"a key of {plan.name}: {', '.join(names)}")
        found = self.key_in(plan, dict(zip(names, parts, strict=True)))
        if found is None:
            raise malformed(key, f"a key of {plan.name}")
        return plan.mapper.root.model, found

    def referrer(self, model: Any, key: Any) -> str:
        """Say in words which object of the documents refers to an object."""
        around = [(one, "it") for states in self._alive if type(states) is tuple for one in states]
        seen: set[int] = set()
        for state, owner in around:  # it grows while it is gone through
            if type(state) not in (dict, list) or id(state) in seen:
                continue
            seen.add(id(state))
            if type(state) is list:
                around += [(one, owner) for one in state]
            elif "__key__" in state:
                if self.reference(state) == (model, key):
                    return owner
            elif "__model__" in state:
                around += [
                    (one, f"{name} of a {state['__model__']}") for name, one in state.items()
                ]
            else:
                around += [(one, owner) for one in state.values()]
        return "it"

    def value(self, state: Any) -> Any:
        """Return the value of a state."""
        raise NotImplementedError
