"""What the shells write into the table of commit records."""

from __future__ import annotations

from uuid import UUID

from graven._common.clock import now
from graven._hints import Any
from graven.errors import UsageError
from graven.models.keys import uuid7
from graven.ops.recording import COMMITS
from graven.ops.requests import Row

__all__ = ["checked_id", "commit_row"]


def commit_row(
    dialect: Any, commit_id: UUID | None = None, happened: bool = True
) -> tuple[UUID, Row]:
    """Return the id of a commit, a new one unless it is given, and its record in store form.

    The time in it is told to the millisecond, which every store keeps.
    """
    commit_id = uuid7() if commit_id is None else commit_id
    at = now()
    values = (commit_id, at.replace(microsecond=at.microsecond // 1000 * 1000), happened)
    row = []
    for column, value in zip(COMMITS.columns, values, strict=True):
        encode = dialect.encoders[column.kind]
        row.append(value if encode is None else encode(value))
    return commit_id, tuple(row)


def checked_id(commit_id: object) -> UUID:
    """Return *commit_id* if it is one.

    :raises UsageError: if it is not.
    """
    if isinstance(commit_id, UUID):
        return commit_id
    raise UsageError(
        f"cannot look for the commit {commit_id!r:.100}: it is no id of a commit. Usually the "
        "commit was not to leave a record, and nobody can say whether it has happened; ask for one "
        "beforehand, as in db.session(commit_record=True)."
    )
