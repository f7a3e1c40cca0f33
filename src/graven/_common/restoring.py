"""Join the restoring of documents with a session: its questions to the store, and the answers.

A shell drives the two like this, and awaits the reading in the async colour::

    steps = serializer.restoring(states, scope)
    wanted = next(steps)
    while True:
        rows = self._read(fetch_level(questions_for(bindings, wanted)))
        wanted = steps.send(answers_of(unit, bindings, wanted, rows))
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from graven._common.arriving import objects_of
from graven._hints import Any
from graven.models.model import mapper_of
from graven.ops.requests import FetchKeys

__all__ = ["answers_of", "questions_for"]

Bindings = Callable[[Any], Any]


def questions_for(bindings: Bindings, wanted: dict[Any, list[Any]]) -> list[FetchKeys]:
    """Return what the store is asked for the keys wanted: one question per model."""
    questions = []
    for model, keys in wanted.items():
        binding = bindings(mapper_of(model).root)
        table = binding.mapper.table
        rows = [binding.key_row(key) for key in keys]
        questions.append(FetchKeys(table, binding.columns, table.key, rows, True))
    return questions


def answers_of(
    unit: Any, bindings: Bindings, wanted: dict[Any, list[Any]], rows: Sequence[Any]
) -> dict[Any, dict[Any, Any]]:
    """Return the objects of the unit for fetched rows, by model and key."""
    answers = {}
    for model, found in zip(wanted, rows, strict=True):
        mapper = mapper_of(model).root
        objects = objects_of(unit, bindings(mapper), mapper, found)
        answers[model] = {mapper.key_of(one): one for one in objects}
    return answers
