"""Steps of operations: what is kept of them, how they are named, and how often they are tried."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from uuid import UUID

from graven._hints import Any
from graven.core.retry import Backoff
from graven.errors import UsageError
from graven.ops.operating import STEPS
from graven.ops.value import Value

__all__ = ["COMPENSATED", "DONE", "FAILED", "StepCall", "StepNames", "StepRow", "lifted"]

DONE = "done"  #: its result is kept, and a replay returns it
FAILED = "failed"  #: it was given up; a replay tries it again
COMPENSATED = "compensated"  #: it was done, and was undone

COLUMNS = tuple(column.name for column in STEPS.columns)


class StepRow(Value):
    """What is kept of a step; see :data:`~graven.ops.operating.STEPS`."""

    operation: UUID
    name: str
    ordinal: int
    state: str
    result: str | None
    error: str | None
    attempts: int
    compensation: str | None
    code_version: int
    at: datetime

    def but(self, **changes: Any) -> StepRow:
        """Return the row with some columns changed."""
        return StepRow(**{**{name: getattr(self, name) for name in COLUMNS}, **changes})


class StepCall(Value):
    """A step as it is asked for: *name* is what it is called by in its operation."""

    name: str
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    compensation: str | None
    retries: int
    backoff: Backoff
    timeout_s: float | None
    upcast: Mapping[int, Callable[[Any], Any]]


class StepNames:
    """The names of the steps of one run of an operation.

    A name is said, and then unique, or it is that of the function, numbered from the second on.
    Steps of what undoes another step have its name in front.
    """

    def __init__(self, undoes: str | None = None) -> None:
        """Know none yet; *undoes* is the step that is being undone."""
        self._front = "" if undoes is None else f"undo {undoes}: "
        self._said: set[str] = set()
        self._counts: dict[str, int] = {}

    def name(self, function: Any, said: str | None) -> str:
        """Return the name of the next step.

        :raises UsageError: if it is taken, or there is none.
        """
        if said is not None:
            return self._taken(said)
        base = getattr(function, "__name__", None)
        if not isinstance(base, str):
            raise UsageError(
                f"cannot name the step {function!r:.100}: it has no name of its own, and a replay "
                "finds the result of a step by its name. Nothing was run. Say step(…, name='…')."
            )
        count = self._counts[base] = self._counts.get(base, 0) + 1
        return self._taken(base if count == 1 else f"{base} {count}")

    def _taken(self, name: Any) -> str:
        if not isinstance(name, str) or not name or name in self._said:
            why = "another step of this operation has it" if name in self._said else "it is no text"
            raise UsageError(
                f"cannot name a step {name!r:.100}: {why}, and a replay finds the result of a step "
                "by its name. Nothing was run. Put into the name what tells the step apart, such "
                "as the number in a loop."
            )
        self._said.add(name)
        return self._front + name


def lifted(value: Any, written: int, now: int, upcast: Mapping[int, Callable[[Any], Any]]) -> Any:
    """Return a value that code of version *written* has stored as that of version *now* has it.

    *upcast* has, for a version, the function that lifts a value to the next one; where it has none,
    the form did not change.

    >>> lifted("30", 1, 3, {1: int, 2: lambda cents: cents * 100})
    3000
    """
    for version in range(written, now):
        if version in upcast:
            value = upcast[version](value)
    return value
