"""The current session of a task or thread."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

__all__ = ["current_session"]

current_session: ContextVar[Any] = ContextVar("graven.current_session", default=None)
"""The session whose block is being run; ``None`` outside of any."""
