"""``NaiveDatetime``, in a module of its own because making it takes ``typing``."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

__all__ = ["Naive", "NaiveDatetime"]


class Naive:
    """Marks a ``datetime`` annotation as a wall-clock time without a zone."""


NaiveDatetime = Annotated[datetime, Naive]
"""A wall-clock time: a ``datetime`` without a zone. A plain ``datetime`` field has one."""
