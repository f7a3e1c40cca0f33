"""Restore a graph whose objects are in the store: breadth first, one question a class and level.

The store is not asked here. :func:`restoring` is a generator that yields what it wants, and is sent
what was found, so that blocking and async code drive the same logic.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any

from graven.core.values import ABSENT
from graven.models.checks import shown
from graven.models.documents.faults import malformed, missing_object
from graven.models.documents.registry import TypeRegistry
from graven.models.documents.unflattening import Unflattener
from graven.models.model import Model, mapper_of

__all__ = ["Found", "Wanted", "restoring"]

#: The keys wanted of each model; a model is the root of its family.
Wanted = dict[type[Any], list[Any]]
#: What was found: by model and key, an object or a document. What is not there is left out.
Found = Mapping[type[Any], Mapping[Any, Any]]


def restoring(
    registry: TypeRegistry,
    states: Sequence[Any],
    scope: dict[Any, Any] | None = None,
    *,
    force: bool = False,
    levels_max: int | None = None,
    nodes: Sequence[Any] = (),
    objects: Iterable[Any] = (),
) -> Generator[Wanted, Found, list[Any]]:
    """Restore documents and what they refer to, directly or not; return their values.

    *nodes* are the entries of the table that a text has beside its roots, the *states*. What
    *objects* refer to, which are there already, is loaded too.

    Yields the keys wanted, once a level: each model stands for one query. A reference of a field
    that is further away than *levels_max* levels stays a key.

    :raises NotFoundError: if something that is referred to was not found.
    :raises DataError: if a document cannot be restored.
    """
    graph = _Graph(registry, scope, force)
    graph.run.take_graph([*states], [*nodes])
    for one in objects:
        mapper = mapper_of(type(one))
        graph.take(mapper.root.model, mapper.key_of(one), one)
    level = 0
    while (levels_max is None or level < levels_max) and (wanted := graph.take_wanted()):
        found = yield wanted
        for model, keys in wanted.items():
            answers = found.get(model, {})
            for key in keys:
                graph.take(model, key, answers.get(key))
        level += 1
    graph.run.finish()
    graph.join()
    return [graph.run.value(state) for state in states]


class _Graph:
    """What has arrived so far, and the references between it that are to be set at the end."""

    def __init__(self, registry: TypeRegistry, scope: dict[Any, Any] | None, force: bool) -> None:
        self.run = Unflattener(registry, scope, force=force)
        self._seen: set[int] = set()
        self._open: list[tuple[Any, Any, tuple[Any, Any]]] = []

    def take_wanted(self) -> Wanted:
        """Return the keys of the next level, each once."""
        wanted, self.run.wanted = self.run.wanted, {}
        scope = self.run.scope
        lacking = {
            model: [key for key in keys if (model, key) not in scope]
            for model, keys in wanted.items()
        }
        return {model: keys for model, keys in lacking.items() if keys}

    def take(self, model: Any, key: Any, answer: Any) -> None:
        """Take an object, or its document."""
        if answer is None:
            raise missing_object(model, key, "the store", self._referrer(model, key))
        if isinstance(answer, Model):
            self.run.scope[model, key] = answer
            self._look(answer)
            return
        self.run.discover(answer)
        if (model, key) not in self.run.scope:
            raise malformed(answer, f"the document of {model.__name__} {key!r}")

    def _look(self, instance: Any) -> None:
        """Find what an object of the store, or one that it has loaded already, refers to."""
        around = [instance]
        for one in around:  # it grows while it is gone through
            if id(one) in self._seen:
                continue
            self._seen.add(id(one))
            for field in mapper_of(type(one)).references:
                value = field.loaded(one)
                if isinstance(value, Model):
                    around.append(value)
                elif value is ABSENT and (key := field.raw.__get__(one)) is not None:
                    target = field.target.root.model
                    self._open.append((one, field, (target, key)))
                    if (target, key) not in self.run.scope:
                        self.run.wanted.setdefault(target, {})[key] = None

    def _referrer(self, model: Any, key: Any) -> str:
        """Say in words who refers to an object, as far as that is known."""
        for instance, field, at in self._open:
            if at == (model, key):
                mapper = mapper_of(type(instance))
                return f"{field.name} of {mapper.name} {shown(mapper.key_of(instance))}"
        return self.run.referrer(model, key)

    def join(self) -> None:
        """Let references that were keys be the objects that have arrived."""
        for instance, field, at in self._open:
            found = self.run.scope.get(at)
            if found is not None and field.loaded(instance) is ABSENT:
                field.value.__set__(instance, found)
