"""The operation that the calling task or thread runs in."""

from __future__ import annotations

from contextvars import ContextVar, Token
from uuid import UUID

from graven._hints import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graven.core.entries import Entry

__all__ = ["Running", "current_operation", "enter_operation", "leave_operation"]


class Running:
    """One run of an operation; :func:`current_operation` returns it inside the function's body.

    ``id`` and ``name`` are those of the operation, ``attempt`` counts its runs from 1, ``session``
    is the one that the body works in, and that is committed at its end together with the entry.
    """

    __slots__ = (
        "attempt",
        "db",
        "entry",
        "function",
        "is_logged",
        "is_lost",
        "is_running",
        "is_settled_late",
        "met",
        "result",
        "retries",
        "session",
        "steps",
        "undoes",
    )

    def __init__(self, db: Any, entry: Entry, function: Any, retries: int | None = None) -> None:
        """Prepare a run of *entry*; after a lost race *retries* more are made."""
        self.db, self.entry, self.function = db, entry, function
        self.attempt = entry.attempts
        self.retries: int = function.settings.retries if retries is None else retries
        self.session: Any = None
        self.is_running = True
        self.is_logged = False
        """Whether the entry is in the log, in the state that this run needs."""
        self.is_settled_late = False
        """Whether the answer to the commit was lost, and was found out afterwards."""
        self.result: str | None = None
        """The text of the result, once it is known."""
        self.met: dict[Any, Any] = {}
        """The models in the result, by model and key."""
        self.is_lost = False
        """Whether somebody else is known to have taken the entry over."""
        self.steps: Any = None
        """The steps of the run, once there is one."""
        self.undoes: str | None = None
        """The step that the run undoes, if it is not one of the operation itself."""

    def __repr__(self) -> str:
        return f"<operation {self.name} {self.id}, attempt {self.attempt}>"

    @property
    def id(self) -> UUID:
        """The id of the operation."""
        return self.entry.id

    @property
    def name(self) -> str:
        """The name of the function in the log."""
        return self.entry.method

    @property
    def is_first(self) -> bool:
        """Whether nobody can have run the operation before: its fence has hardly been moved."""
        return self.entry.version <= (1 if self.entry.queue is None else 2)

    def note_logged(self) -> None:
        """Take note that the entry is in the log."""
        self.is_logged = True

    @property
    def fence(self) -> int:
        """What everything is guarded by that this run writes."""
        return self.entry.version


_current: ContextVar[Running | None] = ContextVar("graven.current_operation", default=None)


def current_operation() -> Running | None:
    """Return the operation that the caller runs in, ``None`` if in none."""
    running = _current.get()
    return running if running is not None and running.is_running else None


def enter_operation(running: Running) -> Token[Running | None]:
    """Make *running* the current operation; return what :func:`leave_operation` needs."""
    running.is_running = True
    return _current.set(running)


def leave_operation(running: Running, token: Token[Running | None]) -> None:
    """End a run: whoever still knows of it is in no operation any more."""
    running.is_running = False
    try:
        _current.reset(token)
    except ValueError:  # it was entered in another context, which keeps its own
        _current.set(None)
