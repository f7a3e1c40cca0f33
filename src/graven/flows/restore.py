"""Fetch what restored documents refer to: a level of a graph at once, one query per class."""

from __future__ import annotations

from collections.abc import Sequence

from graven._hints import Any
from graven.ops.requests import FetchKeys, Flow

__all__ = ["fetch_level"]


def fetch_level(questions: Sequence[FetchKeys]) -> Flow[list[Sequence[tuple[Any, ...]]]]:
    """Reply with the rows of each question."""
    answers: list[Sequence[tuple[Any, ...]]] = []
    for question in questions:
        rows = yield from question
        answers.append(rows)
    return answers
