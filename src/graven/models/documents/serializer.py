"""``ModelSerializer``, and its functions for all types that are known."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from typing import Any

from graven.core.pausing import pausing_collector
from graven.errors import DataError
from graven.models.documents.faults import malformed, misfit, unwritable
from graven.models.documents.flattening import Flattener
from graven.models.documents.graphs import Found, Wanted, restoring
from graven.models.documents.registry import TypeRegistry, registry
from graven.models.documents.states import present_state
from graven.models.documents.unflattening import Unflattener

__all__ = [
    "FORMAT",
    "ModelSerializer",
    "flatten_object",
    "from_json",
    "get_object_state",
    "get_or_create",
    "serializer",
    "to_json",
    "unflatten_object",
]

#: The format of texts; a text says which one it is in.
FORMAT = 1

Scope = dict[Any, Any]


class ModelSerializer:
    """Makes documents of objects, and objects of documents.

    Without *types* it knows every model, what their fields are annotated with, and what
    :func:`document_type` marks; with *types*, these and what their fields are annotated with, and
    nothing else. Values of the *native* types stand for themselves in its documents, because what
    keeps the documents can keep these too; texts have none.

    A *scope* is a dictionary of objects by ``(model, key)``. Writing enters the models that are met
    into it, reading finds them there, and enters those that it makes.
    """

    def __init__(self, *types: type, native: Iterable[type] = ()) -> None:
        """Know *types*, or all."""
        self.registry = TypeRegistry(types) if types else registry
        self.native = frozenset(native)

    # -- documents ---------------------------------------------------------------------------------

    def flatten_object(self, obj: Any, scope: Scope | None = None) -> Any:
        """Return the document form of an object; of a model, with all its fields.

        What is met several times inside is written once. Models inside are written as references,
        and nothing is loaded for that.

        :raises DataError: if a value does not fit its field, or no document can keep it.
        """
        with pausing_collector():
            return Flattener(self.registry, self.native, scope, as_graph=False).run(obj)[0]

    def unflatten_object(
        self, state: Any, scope: Scope | None = None, *, force: bool = False
    ) -> Any:
        """Return the object of a document, new unless *scope* has it; *force* fills that in again.

        A field that refers to a model that the scope does not have keeps the key. On an error
        nothing was changed, neither the scope nor an object, unless *force* was given.

        :raises DataError: if the document names a type that is not known, or is malformed.
        :raises NotFoundError: if something other than a field of a model refers to an object that
            the scope does not have.
        """
        run = Unflattener(self.registry, scope, force=force)
        with pausing_collector():
            run.discover(state)
            run.finish()
            return run.value(state)

    def get_object_state(self, obj: Any, state: Any, scope: Scope | None = None) -> dict[str, Any]:
        """Return the fields that restore *obj*, of its document, as its class has them now.

        Former versions went through the upcasters, and renamed fields are under their new names.
        If *state* is only a reference, the fields are those of the object that *scope* has.

        :raises DataError: if the document is of another class.
        :raises NotFoundError: if the scope does not have the object.
        """
        if type(state) is dict and "__key__" in state:
            run = Unflattener(self.registry, scope)
            run.discover(state)
            state = self.flatten_object(run.value(state))
        plan = self._plan_of(state)
        if not isinstance(obj, plan.cls):
            raise misfit(type(obj).__name__, "document", state, plan.name, "restore")
        present = present_state(plan, state)
        current = {old: slot.name for slot in plan.slots for old in slot.old_names}
        fields = {name: one for name, one in present.items() if not name.startswith("__")}
        renamed = {current[name]: one for name, one in fields.items() if name in current}
        return {**renamed, **{name: one for name, one in fields.items() if name not in current}}

    def get_or_create(
        self, cls: type[Any], state: Any, scope: Scope | None = None
    ) -> tuple[Any, bool]:
        """Return the object of a document that *scope* has, or an empty one, and whether it is new.

        An empty one is entered into the scope; :meth:`unflatten_object` with ``force=True`` fills
        it in.

        :raises DataError: if the document is not one of *cls*.
        """
        plan = self._plan_of(state)
        if not issubclass(plan.cls, cls):
            raise malformed(plan.name, f"the document of a {cls.__name__}")
        if plan.mapper is None:
            return plan.allocate(), True
        root, (_, key) = plan.mapper.root.model, self.identify(state)
        found = None if scope is None else scope.get((root, key))
        if found is not None:
            return found, False
        instance = plan.allocate()
        if scope is not None and key is not None:
            scope[root, key] = instance
        return instance, True

    def identify(self, state: Any) -> tuple[type[Any], Any]:
        """Return the model that a document, or a reference, is of, and its key, ``None`` if none.

        :raises DataError: if it is neither.
        """
        plan = self._plan_of(state)
        if plan.mapper is None:
            raise malformed(plan.name, "the name of a model")
        run = Unflattener(self.registry)
        if "__key__" in state:
            return plan.cls, run.reference(state)[1]
        return plan.cls, run.key_in(plan, present_state(plan, state))

    def restoring(
        self,
        states: Sequence[Any],
        scope: Scope | None = None,
        *,
        force: bool = False,
        levels_max: int | None = None,
        objects: Iterable[Any] = (),
    ) -> Generator[Wanted, Found, list[Any]]:
        """Restore documents and what they refer to; see :func:`graven.models.documents.graphs`."""
        return restoring(
            self.registry, states, scope, force=force, levels_max=levels_max, objects=objects
        )

    def _plan_of(self, state: Any) -> Any:
        if type(state) is not dict or "__model__" not in state:
            raise malformed(state, "the document of an object, which names its type in '__model__'")
        plan = self.registry.plan(self.registry.named(state["__model__"]))
        if plan is None or plan.is_enum:
            raise malformed(state["__model__"], "the name of a class whose objects have fields")
        return plan

    # -- texts -------------------------------------------------------------------------------------

    def to_json(self, *objects: Any, follow: bool = True) -> str:
        """Return a text of *objects* and all that they lead to, however deep and circular.

        With *follow* the models that they refer to are written too, as far as they are loaded;
        otherwise only their keys are. Nothing is loaded.

        :raises DataError: if a value does not fit its field, or no text can keep it.
        """
        from msgspec.json import encode

        run = Flattener(self.registry, frozenset(), None, as_graph=True, follow=follow)
        try:
            with pausing_collector():
                roots = run.run(*objects)
                return encode({"graven": FORMAT, "roots": roots, "nodes": run.nodes}).decode()
        except UnicodeEncodeError as error:
            raise unwritable(
                error.object, "it has a lone surrogate, which is no character; use bytes."
            ) from error

    def from_json(self, text: str | bytes, scope: Scope | None = None) -> list[Any]:
        """Return the objects that a text of :meth:`to_json` was made of, in their order.

        :raises DataError: if it is no such text, or names a type that is not known.
        """
        from msgspec import DecodeError
        from msgspec.json import decode

        try:
            with pausing_collector(len(text)):
                found = decode(text)
        except (DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise DataError(
                f"cannot read a text of objects: it is no JSON that to_json has written ({error}). "
                "Usually it was cut short. Nothing was restored.",
                value=text,
                expected="a text of to_json",
            ) from error
        if type(found) is not dict or found.keys() != {"graven", "roots", "nodes"}:
            raise malformed(found, "a text of to_json, with 'graven', 'roots' and 'nodes'")
        if found["graven"] != FORMAT or type(found["graven"]) is not int:
            raise malformed(found["graven"], f"format {FORMAT}", "Use the graven that wrote it.")
        roots, nodes = found["roots"], found["nodes"]
        if type(roots) is not list or type(nodes) is not list:
            raise malformed(roots, "a list of roots and a list of nodes")
        run = Unflattener(self.registry, scope)
        with pausing_collector(len(nodes)):
            run.take_graph(roots, nodes)
            run.finish()
            return [run.value(state) for state in roots]


#: Knows every model, what their fields are annotated with, and what ``document_type`` marks.
serializer = ModelSerializer()

flatten_object = serializer.flatten_object
unflatten_object = serializer.unflatten_object
get_object_state = serializer.get_object_state
get_or_create = serializer.get_or_create
to_json = serializer.to_json
from_json = serializer.from_json
