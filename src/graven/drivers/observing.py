"""Whom the connections of a pool tell of their statements."""

from __future__ import annotations

from collections.abc import Callable

from graven._hints import Any

__all__ = ["Observer", "OnStatement"]

OnStatement = Callable[[str, int, float, Any], object]
"""Told of every statement: its text, number of rows, seconds, and parameters if asked for."""


class Observer:
    """Whom the connections of a pool report to; shared by them, so that a change counts at once."""

    __slots__ = ("on_statement", "parameters")

    def __init__(self) -> None:
        """Report to nobody."""
        self.on_statement: OnStatement | None = None
        self.parameters = False
