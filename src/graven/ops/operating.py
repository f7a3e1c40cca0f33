"""The tables of durable operations: the log, and the steps of the operations in it.

An entry's ``version`` is its *fence*, the fencing token: whoever claims an entry, or takes it into
another state, adds one, and what a runner writes afterwards is guarded by the fence of its claim.
A runner whose entry somebody else has touched since can write nothing more.
"""

from __future__ import annotations

from graven.ops.schema import Column, Table

__all__ = ["OPERATIONS", "STEPS"]

OPERATIONS = Table(
    "graven_operation",
    (
        Column("id", "uuid"),
        Column("method", "str"),
        Column("arguments", "json"),
        Column("timestamp", "datetime"),
        Column("state", "str"),
        Column("due", "datetime", nullable=True),
        Column("queue", "str", nullable=True),
        Column("priority", "int"),
        Column("worker", "str", nullable=True),
        Column("attempts", "int"),
        Column("key", "str", nullable=True),
        Column("schedule", "str", nullable=True),
        Column("code_version", "int"),
        Column("options", "json", nullable=True),
        Column("outcome", "str", nullable=True),
        Column("error", "str", nullable=True),
        Column("result", "json", nullable=True),
        Column("finished", "datetime", nullable=True),
        Column("version", "int"),
    ),
    key=("id",),
    version="version",
    graven_made=True,
    sparse=(("due",), ("queue", "state", "priority", "due", "id")),
)
"""An entry for each operation.

``method`` is the stable name of the function, ``arguments`` the document of what it was called
with, at ``timestamp``. ``due`` is the instant from which somebody may take the entry: its time
while it is pending, the end of its lease while it runs, null if never: it is the one thing that is
indexed, so that what has finished costs nothing. ``queue`` is that of a
deferred one, null of one that was called; of a queue, a higher ``priority`` goes first. ``worker``
tells who has claimed it last, ``attempts`` how often it was begun. ``id`` is a UUID of version 7,
or, of an operation with a ``key`` or of a ``schedule``, one that is derived from these, so that
there is one entry of them. ``options`` are those of the call that a later runner has to know.
While it is compensating, ``outcome`` is the state that this leads to. ``error`` is the last one,
or the reason why it is parked; ``result`` the document of what the function returned."""

STEPS = Table(
    "graven_step",
    (
        Column("operation", "uuid"),
        Column("name", "str"),
        Column("ordinal", "int"),
        Column("state", "str"),
        Column("result", "json", nullable=True),
        Column("error", "str", nullable=True),
        Column("attempts", "int"),
        Column("compensation", "str", nullable=True),
        Column("code_version", "int"),
        Column("at", "datetime"),
    ),
    key=("operation", "name"),
    graven_made=True,
)
"""A row for each step of an operation that has ended: ``done``, ``failed``, or ``compensated``.

``ordinal`` counts in the order in which they ended. ``result`` is the document of what the step
returned, ``compensation`` the name of the operation that undoes it. Rows are written in
transactions that check the fence of the operation, so they need no version of their own."""
