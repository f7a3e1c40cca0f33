"""What a part of the demo has measured, and what it found to differ."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

SHOWN_MAX = 20  # differences are counted to the last, and this many of them are spelled out


@dataclass(slots=True)
class Outcome:
    """The figures of one part, by name, and what differs from what should be."""

    name: str
    figures: dict[str, int | float | str] = field(default_factory=dict[str, int | float | str])
    differences: list[str] = field(default_factory=list[str])

    def as_data(self) -> dict[str, Any]:
        """Return the outcome as JSON knows it."""
        return {
            "name": self.name,
            "figures": self.figures,
            "differences": self.differences[:SHOWN_MAX],
            "difference_count": len(self.differences),
        }


def first_word(statement: str) -> str:
    """Return what a statement does: its first word, in small letters."""
    return statement.split(maxsplit=1)[0].lower()


def rate(count: int, seconds: float) -> int:
    """Return how many there were per second, to three digits: more would not be measured."""
    if not seconds:
        return 0
    return int(float(f"{count / seconds:.3g}"))
