"""The life of a record, as a table.

This file owns the states. Everything that changes a record's state asks :func:`transition`; the
diagram in the documentation is drawn from :data:`TRANSITIONS`. ``None`` as a state means that the
cache knows nothing of the record.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from graven.errors import DuplicateRecordError, StateChangeError

__all__ = [
    "CHANGED",
    "CLEAN",
    "DELETED",
    "DUPLICATE",
    "INITIALIZED",
    "INITIALIZING",
    "INSERTED",
    "REFUSED",
    "STATES",
    "TRANSITIONS",
    "diagram",
    "transition",
]

State = str | None

INITIALIZING: Final = "initializing"
INITIALIZED: Final = "initialized"
INSERTED: Final = "inserted"
CHANGED: Final = "changed"
DELETED: Final = "deleted"
CLEAN: Final = "clean"

STATES: Final[tuple[State, ...]] = (
    None,
    INITIALIZING,
    INITIALIZED,
    INSERTED,
    CHANGED,
    DELETED,
    CLEAN,
)

DUPLICATE: Final = "!duplicate"
REFUSED: Final = "!refused"


def _row(*results: State) -> Mapping[State, State]:
    return dict(zip(STATES, results, strict=True))


# fmt: off
TRANSITIONS: Final[Mapping[str, Mapping[State, State]]] = {
    #                     none          initializing initialized  inserted   changed    deleted
    # clean
    "insert_record": _row(INITIALIZING, DUPLICATE,   DUPLICATE,   DUPLICATE, DUPLICATE, CHANGED,   DUPLICATE),
    "initialized":   _row(REFUSED,      INITIALIZED, REFUSED,     REFUSED,   REFUSED,   REFUSED,   REFUSED),
    "write_dirty":   _row(CHANGED,      INITIALIZING, INSERTED,   INSERTED,  CHANGED,   REFUSED,   CHANGED),
    "write_clean":   _row(CLEAN,        INITIALIZING, INITIALIZED, INSERTED, CHANGED,   DELETED,   CLEAN),
    "delete_record": _row(DELETED,      None,        None,        None,      DELETED,   DELETED,   DELETED),
    "make_clean":    _row(None,         CLEAN,       CLEAN,       CLEAN,     CLEAN,     None,      CLEAN),
    "remove":        _row(None,         None,        None,        None,      None,      None,      None),
}
# fmt: on


def transition(call: str, state: State, table: str, row: object) -> State:
    """Return the state that *call* leads to from *state*.

    :raises DuplicateRecordError: if a record is inserted that is there already.
    :raises StateChangeError: if the state does not allow the call.
    """
    result = TRANSITIONS[call][state]
    if result == DUPLICATE:
        raise DuplicateRecordError(
            f"cannot insert record {row!r} of table {table!r}: the cache has it already, and its "
            "state is "
            f"{state!r}. Usually the same key was given to two objects, or the record was read "
            "before. "
            "Write to the record that is there, or use another key.",
            table=table,
            row=row,
            state=state,
        )
    if result == REFUSED:
        raise StateChangeError(
            f"cannot do {call} on record {row!r} of table {table!r}: its state is "
            f"{state or 'none'!r}. "
            f"{_REMEDIES[call]}",
            table=table,
            row=row,
            state=state,
            attempted=call,
        )
    return result


_REMEDIES: Final = {
    "initialized": "Only a record whose state is 'initializing', fresh from insert_record, can be initialized, once.",
    "write_dirty": "What has been deleted cannot be changed; cancel the deletion or add the object again first.",
}


def diagram() -> str:
    """Return the table as a Mermaid state diagram, for the documentation."""
    lines = ["stateDiagram-v2"]
    for call, row in TRANSITIONS.items():
        for state, result in row.items():
            if result in (DUPLICATE, REFUSED) or (result == state and call != "write_dirty"):
                continue
            lines.append(f"    {state or '[*]'} --> {result or '[*]'}: {call}")
    return "\n".join(lines)
