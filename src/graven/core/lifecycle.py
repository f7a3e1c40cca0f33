"""The life of a record, as a table.

This file owns the states. Everything that changes a record's state asks :func:`transition`; the
diagram in the documentation is drawn from :data:`TRANSITIONS`. ``None`` as a state means that the
cache knows nothing of the record.
"""

from __future__ import annotations

from graven._hints import TYPE_CHECKING
from graven.core.states import State, diagram_of, markdown_of, read_table, shown
from graven.errors import DuplicateRecordError, StateChangeError

if TYPE_CHECKING:
    from typing import Final

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
    "state_table",
    "transition",
]

#: New, and its defaults are still being written.
INITIALIZING: Final = "initializing"
#: New, and nobody has written to it yet: a draft.
INITIALIZED: Final = "initialized"
#: New, to be inserted.
INSERTED: Final = "inserted"
#: In the store, to be updated.
CHANGED: Final = "changed"
#: In the store, to be deleted.
DELETED: Final = "deleted"
#: As in the store.
CLEAN: Final = "clean"

#: Every state, in the order of the table's columns.
STATES: Final[tuple[State, ...]] = (
    None,
    INITIALIZING,
    INITIALIZED,
    INSERTED,
    CHANGED,
    DELETED,
    CLEAN,
)

#: Stands in the table for ``DuplicateRecordError``.
DUPLICATE: Final = "!duplicate"
#: Stands in the table for ``StateChangeError``.
REFUSED: Final = "!refused"


#: For each call, the state that it leads to from each state.
TRANSITIONS: Final = read_table(
    """
               None         initializing initialized inserted   changed    deleted  clean
insert_record  initializing !duplicate   !duplicate  !duplicate !duplicate changed  !duplicate
initialized    !refused     initialized  !refused    !refused   !refused   !refused !refused
write_dirty    changed      initializing inserted    inserted   changed    !refused changed
write_clean    clean        initializing initialized inserted   changed    deleted  clean
delete_record  deleted      None         None        None       deleted    deleted  deleted
make_clean     None         clean        clean       clean      clean      None     clean
remove         None         None         None        None       None       None     None
""",
    STATES,
    DUPLICATE,
    REFUSED,
)


def transition(call: str, state: State, table: str, row: object) -> State:
    """Return the state that *call* leads to from *state*.

    :raises DuplicateRecordError: if a record is inserted that is there already.
    :raises StateChangeError: if the state does not allow the call.
    """
    result = TRANSITIONS[call][state]
    if result == DUPLICATE:
        raise DuplicateRecordError(
            f"cannot insert record {row!r} of table {table!r}: the cache has it already, and its "
            f"state is {state!r}. Usually the same key was given to two objects, or the record was "
            "read before. Write to the record that is there, or use another key.",
            table=table,
            row=row,
            state=state,
        )
    if result == REFUSED:
        raise StateChangeError(
            f"cannot do {call} on record {row!r} of table {table!r}: its state is "
            f"{shown(state)!r}. {_REMEDIES[call]}",
            table=table,
            row=row,
            state=state,
            attempted=call,
        )
    return result


_REMEDIES: Final = {
    "initialized": "Only a record whose state is 'initializing', fresh from insert_record, can be "
    "initialized, once.",
    "write_dirty": "What has been deleted cannot be changed; cancel the deletion or add the object "
    "again first.",
}


def diagram() -> str:
    """Return the table as a Mermaid state diagram.

    ``[*]`` is both ends: a record that the cache knows nothing of.
    """
    return diagram_of(TRANSITIONS, {DUPLICATE, REFUSED})


def state_table() -> str:
    """Return the table in Markdown: the state that each call leads to, or the error it raises."""
    errors: dict[State, str] = {
        DUPLICATE: DuplicateRecordError.__name__,
        REFUSED: StateChangeError.__name__,
    }
    return markdown_of("call", TRANSITIONS, STATES, errors)
