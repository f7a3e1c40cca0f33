"""The table of commit records: which commits have happened, for who has not heard."""

from __future__ import annotations

from graven.ops.schema import Column, Table

__all__ = ["COMMITS"]

COMMITS = Table(
    "graven_commit",
    (
        Column("id", "uuid"),
        Column("at", "datetime", index=True),
        Column("happened", "bool"),
    ),
    key=("id",),
    graven_made=True,
)
"""A row is written by a commit, as a part of it, with ``happened`` true; or by who asks for a
commit that is not there, with ``happened`` false, so that it cannot happen any more."""
