"""The life of a durable operation, as a table.

This file owns the states. Whatever changes the state of an entry of the log asks
:func:`transition`; the diagram in the documentation is drawn from :data:`TRANSITIONS`. ``None`` as
a state means that there is no entry.
"""

from __future__ import annotations

from graven._hints import TYPE_CHECKING
from graven.core.states import State, diagram_of, markdown_of, read_table, shown
from graven.errors import OperationError

if TYPE_CHECKING:
    from typing import Final

__all__ = [
    "CANCELLED",
    "COMPENSATING",
    "DONE",
    "FAILED",
    "FINISHED",
    "PAUSED",
    "PENDING",
    "QUARANTINED",
    "REFUSED",
    "RUNNING",
    "STATES",
    "TRANSITIONS",
    "diagram",
    "state_table",
    "transition",
]

#: To be begun, or begun again, when it is due.
PENDING: Final = "pending"
#: Somebody runs it, as long as his lease lasts.
RUNNING: Final = "running"
#: It will fail or be cancelled, and the steps that it has done are being undone.
COMPENSATING: Final = "compensating"
#: Not to be begun before somebody says so.
PAUSED: Final = "paused"
#: Its writes are committed.
DONE: Final = "done"
#: It has written nothing, and somebody was told.
FAILED: Final = "failed"
#: It has written nothing, because somebody did not want it any more.
CANCELLED: Final = "cancelled"
#: It failed too often, and waits for a person.
QUARANTINED: Final = "quarantined"

#: Every state, in the order of the table's columns.
STATES: Final[tuple[State, ...]] = (
    None,
    PENDING,
    RUNNING,
    COMPENSATING,
    PAUSED,
    DONE,
    FAILED,
    CANCELLED,
    QUARANTINED,
)

#: The states that an entry stays in unless a person takes it up again.
FINISHED: Final = frozenset({DONE, FAILED, CANCELLED, QUARANTINED})

#: Stands in the table for :exc:`~graven.OperationError`.
REFUSED: Final = "!"


_BY_RUNNERS: Final = read_table(
    """
            None     pending      running      compensating  failed    paused        quarantined
call        running  !            !            !             running   !             !
defer       pending  !            !            !             !         !             !
claim       !        running      running      compensating  !         !             !
finish      !        !            done         !             !         !             !
fail        !        !            failed       failed        !         !             !
undo        !        compensating compensating compensating  !         compensating  compensating
drop        !        !            cancelled    cancelled     !         !             !
put_back    !        pending      pending      compensating  !         !             !
quarantine  !        quarantined  quarantined  quarantined   !         !             !
""",
    STATES,
    REFUSED,
)

_BY_PERSONS: Final = read_table(
    """
            pending    running    paused     done     failed   cancelled  quarantined
cancel      cancelled  cancelled  cancelled  !        !        cancelled  cancelled
pause       paused     paused     paused     !        !        !          !
resume      pending    !          pending    !        !        !          !
retry       !          !          !          !        pending  !          pending
rerun       !          !          pending    pending  pending  pending    pending
""",
    STATES,
    REFUSED,
)

#: For each event, the state that it leads to from each state.
TRANSITIONS: Final = {**_BY_RUNNERS, **_BY_PERSONS}
"""``call`` begins an operation at once, ``defer`` leaves it to a worker; ``claim`` takes it when it
is due. A run ends by ``finish`` or ``fail``; by ``undo`` if steps have to be undone first, after
which it ends by ``fail`` or ``drop``. ``put_back`` leaves it to whoever comes later, ``quarantine``
to a person. The others are what a person asks for."""


def transition(event: str, state: State, operation: object = None) -> State:
    """Return the state that *event* leads to from *state*.

    :raises OperationError: if the state does not allow it; *operation* is the id it tells.
    """
    result = TRANSITIONS[event][state]
    if result == REFUSED:
        allowed = [shown(one) for one, to in TRANSITIONS[event].items() if to != REFUSED]
        raise OperationError(
            f"cannot {event.replace('_', ' ')} operation {operation}: its state is "
            f"{shown(state)!r}, and this is possible only from {', '.join(allowed)}. Nothing was "
            "changed. Usually it has gone on since it was looked at; look again with "
            "db.operation(id).",
            operation_id=operation,
        )
    return result


def diagram() -> str:
    """Return the table as a Mermaid state diagram; ``[*]`` is where there is no entry yet."""
    return diagram_of(TRANSITIONS, {REFUSED})


def state_table() -> str:
    """Return the table in Markdown: the state that each event leads to, ``–`` where refused."""
    return markdown_of("event", TRANSITIONS, STATES, {REFUSED: "–"})
