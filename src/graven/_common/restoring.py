"""Join the restoring of documents with a session: its questions to the store, and the answers.

A shell drives the two like this, and awaits the reading in the async colour::

    steps = serializer.restoring(states, scope)
    wanted = next(steps)
    while True:
        level = Level(unit, bindings, wanted)
        rows = self._read(fetch_level(level.questions))
        wanted = steps.send(level.answers(rows))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from graven._common.arriving import objects_of
from graven._hints import Any
from graven.errors import DataError, NotFoundError, UsageError
from graven.models.checks import shown
from graven.models.model import mapper_of
from graven.ops.requests import FetchKeys

__all__ = ["Level", "Wish", "checked_row", "key_to_load", "nothing_there", "of_another_class"]

Bindings = Callable[[Any], Any]


class Wish:
    """What is to be restored: an object of ``model`` by its key, or out of a document.

    ``key`` is that of the object, ``None`` if the document has none yet; ``document`` is ``None``
    if only the key was given.
    """

    __slots__ = ("document", "key", "model")

    def __init__(self, serializer: Any, model: Any, state: Any) -> None:
        """Look at a key, a reference, or a document.

        :raises DataError: if it is the document of another class, or none at all.
        """
        self.model, self.document, self.key = model, None, state
        if isinstance(state, dict) and "__model__" in state:
            found, self.key = serializer.identify(state)
            if not issubclass(found, model):
                raise of_another_class(model, found, state)
            self.model = found
            self.document = None if "__key__" in state else state
        elif isinstance(state, Mapping):
            self.key = _raw_key(model, state)


def _raw_key(model: Any, state: Mapping[str, Any]) -> Any:
    """Return the key of a document as MongoDB has it: its ``_id``."""
    if "_id" not in state:
        raise DataError(
            f"cannot restore a {model.__name__}: found {shown(state)}, expected a key or the "
            "document of an object, which names its type in '__model__'. Usually it was written by "
            "something else. Give what flatten_object has made. Nothing was restored.",
            model=model.__name__,
            value=state,
            expected="a key or a document",
        )
    key = state["_id"]
    return tuple(key.values()) if isinstance(key, Mapping) else key


def of_another_class(model: Any, found: Any, state: Any) -> DataError:
    """Make the error for the document of a *found* class where one of *model* is wanted."""
    return DataError(
        f"cannot restore a {model.__name__}: the document is that of a {found.__name__}. Usually "
        f"it was taken for another one; restore it with {found.__name__}.restore. Nothing was "
        "restored.",
        model=model.__name__,
        value=state,
        expected=f"the document of a {model.__name__}",
    )


class Level:
    """The objects that one level of a graph wants: those that the unit has, and the others.

    What the unit has is held until it is handed over. What is to be deleted counts as not there.
    """

    __slots__ = ("_bindings", "_found", "_lacking", "_unit")

    def __init__(self, unit: Any, bindings: Bindings, wanted: dict[Any, list[Any]]) -> None:
        """Look up in *unit* the keys *wanted* of each model."""
        self._unit, self._bindings = unit, bindings
        self._found: dict[Any, dict[Any, Any]] = {}
        self._lacking: dict[Any, list[Any]] = {}
        for model, keys in wanted.items():
            identity = unit.map_of(mapper_of(model).root)
            found = {key: one for key in keys if (one := identity.get(key)) is not None}
            lacking = [key for key in keys if key not in found and key not in identity.buried]
            self._found[model] = found
            if lacking:
                self._lacking[model] = lacking

    @property
    def questions(self) -> list[FetchKeys]:
        """What the store is asked: at most one question per model."""
        questions = []
        for model, keys in self._lacking.items():
            binding = self._bindings(mapper_of(model).root)
            table = binding.mapper.table
            rows = [binding.key_row(key) for key in keys]
            questions.append(FetchKeys(table, binding.columns, table.key, rows, True))
        return questions

    def answers(self, rows: Sequence[Any]) -> dict[Any, dict[Any, Any]]:
        """Return the objects, by model and key, now that the rows have arrived.

        The unit remembers what was not there.
        """
        for (model, keys), found in zip(self._lacking.items(), rows, strict=True):
            mapper = mapper_of(model).root
            arrived = objects_of(self._unit, self._bindings(mapper), mapper, found)
            self._found[model].update({mapper.key_of(one): one for one in arrived})
            identity = self._unit.map_of(mapper)
            identity.absent.update(key for key in keys if key not in identity.entries)
        return self._found


def nothing_there(model: Any, key: Any) -> NotFoundError:
    """Make the error for an object that the store does not have."""
    return NotFoundError(
        f"cannot restore {model.__name__} {shown(key)}: there is none with that key. It may have "
        "been deleted, or never committed. Nothing was restored.",
        model=model.__name__,
        key=key,
    )


def key_to_load(instance: Any) -> Any:
    """Return the key of a new object that is to be the stored one.

    :raises UsageError: if it has none.
    """
    mapper = mapper_of(type(instance))
    key = mapper.key_of(instance)
    if key is None or (isinstance(key, tuple) and None in key):
        raise UsageError(
            f"cannot load {instance!r:.200}: it has no key yet, so it is not known which object of "
            "the store is meant. Set its key first, or get the object with session.get."
        )
    return key


def checked_row(binding: Any, instance: Any, key: Any, rows: Sequence[Any]) -> Any:
    """Return the row of a key, which is that of an object of the same class.

    :raises NotFoundError: if there is none. :raises DataError: if it is of another class.
    """
    mapper = mapper_of(type(instance))
    if not rows:
        raise NotFoundError(
            f"cannot load {mapper.name} {shown(key)}: it is not in the store. It was never "
            "committed, or somebody has deleted it.",
            model=mapper.name,
            key=key,
        )
    kind = mapper.root.discriminator_column
    found = mapper.discriminator if kind is None else rows[0][binding.columns.index(kind)]
    if found != mapper.discriminator:
        raise DataError(
            f"cannot load {mapper.name} {shown(key)}: the object of that key is a {found}. Get it "
            f"with session.get({mapper.root.name}, key).",
            model=mapper.name,
            key=key,
            value=found,
            expected=mapper.discriminator,
        )
    return rows[0]
