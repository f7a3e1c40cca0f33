"""The current session of a task or thread, and the one that new objects join by themselves."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar, Token
from weakref import ref

from graven._hints import Any
from graven.models.face import places
from graven.models.model import hooks

__all__ = [
    "current",
    "current_session",
    "enter_session",
    "fall_back_on",
    "leave_session",
    "name_of",
]

current_session: ContextVar[Any] = ContextVar("graven.current_session", default=None)
"""The session whose block is being run; ``None`` outside of any."""

_fallbacks: list[Callable[[], Any]] = []


def enter_session(session: Any) -> Token[Any]:
    """Make *session* the current one; return what :func:`leave_session` needs."""
    if session.autoadd:
        hooks.autoadd += 1
    return current_session.set(session)


def leave_session(session: Any, token: Token[Any]) -> None:
    """Make the session before the current one again."""
    if session.autoadd:
        hooks.autoadd -= 1
    try:
        current_session.reset(token)
    except ValueError:  # the block was entered in another context, which keeps its own
        current_session.set(None)


def name_of(owner: Any) -> str:
    """Return the name of the task or thread that *owner* stands for."""
    found = owner() if isinstance(owner, ref) else owner
    if found is None:
        return "a task that has ended"
    return str(found.get_name() if hasattr(found, "get_name") else getattr(found, "name", found))


def fall_back_on(function: Callable[[], Any] | None) -> None:
    """Let objects that are made outside of any session's block join the session of *function*."""
    hooks.autoadd -= len(_fallbacks)
    _fallbacks[:] = [] if function is None else [function]
    hooks.autoadd += len(_fallbacks)


def current() -> Any:
    """Return the session to work with: of the block being run, else the one to fall back on."""
    session = current_session.get()
    if session is None or not session.unit.is_open:
        session = _fallbacks[0]() if _fallbacks else None
    return session


def _constructed(instance: Any) -> None:
    """Add a new object to the unit of work it is made in, if that takes new objects by itself."""
    session = current()
    if session is not None and session.autoadd:
        session.unit.add(instance)


hooks.constructed = _constructed
places.current = current
