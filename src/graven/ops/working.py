"""The tables of those who work for queues: what limits have to remember, and what is due when."""

from __future__ import annotations

from graven.ops.schema import Column, Table

__all__ = ["QUEUES", "SCHEDULES"]

QUEUES = Table(
    "graven_queue",
    (
        Column("name", "str"),
        Column("debt", "datetime", nullable=True),
    ),
    key=("name",),
)
"""A row for each queue that has limits, whose ``debt`` is as in :mod:`graven.core.limits`. Who
claims of such a queue writes the row first, so that it is one at a time who counts what runs."""

SCHEDULES = Table(
    "graven_schedule",
    (
        Column("name", "str"),
        Column("method", "str"),
        Column("arguments", "json"),
        Column("cron", "str"),
        Column("zone", "str"),
        Column("missed", "str"),
        Column("queue", "str"),
        Column("priority", "int"),
        Column("code_version", "int"),
        Column("options", "json", nullable=True),
        Column("due", "datetime", index=True),
        Column("version", "int"),
    ),
    key=("name",),
    version="version",
)
"""A row for each schedule. ``due`` is when its next entry is to be made: whoever makes that moves
``due`` on in the same transaction, guarded by the version, so that it is made once."""
