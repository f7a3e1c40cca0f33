"""Removing finished operations and old commit records, piece by piece."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

from graven._common.clock import now
from graven._hints import TYPE_CHECKING, Any
from graven.errors import UsageError
from graven.flows import retention
from graven.ops.operating import OPERATIONS
from graven.ops.recording import COMMITS

if TYPE_CHECKING:
    from graven._async.database import AsyncDatabase

__all__ = ["prune_commit_records", "prune_operations"]

LEAST, GREATEST = UUID(int=0), UUID(int=2**128 - 1)


async def prune_operations(
    db: AsyncDatabase, older_than: timedelta, states: Iterable[str] = retention.PRUNED_STATES
) -> int:
    """Remove operations that were finished longer ago; see ``db.prune_operations()``."""
    before = _before(older_than, "operations")
    wanted = tuple(states)
    if not set(wanted) <= {*retention.PRUNED_STATES, "quarantined"} or not wanted:
        raise UsageError(
            f"cannot remove operations in the states {wanted!r}: only those that are done, failed, "
            "cancelled or quarantined are finished. Nothing was removed."
        )
    if not await db.has_table(OPERATIONS.name):
        return 0
    removed = 0
    # Ids of operations with a key tell no time: most of them are greater than all the others.
    for after_id, until_id in ((LEAST, _first_id(before)), (_first_id(now()), GREATEST)):
        at: Any = after_id
        while True:
            flow = retention.prune_operations(before, wanted, at, until_id)
            keys = await db.operating.surely(lambda flow=flow: db.operating.run(flow))
            removed += len(keys)
            if len(keys) < retention.PIECE:
                break
            decode = db.pool.dialect.decoders["uuid"]
            at = keys[-1][0] if decode is None else decode(keys[-1][0])
    return removed


async def prune_commit_records(db: AsyncDatabase, older_than: timedelta) -> int:
    """Remove records of commits longer ago; see ``db.prune_commit_records()``."""
    before = _before(older_than, "commit records")
    removed = 0
    if not await db.has_table(COMMITS.name):
        return 0
    while True:
        flow = retention.prune_commit_records(before)
        piece: int = await db.operating.surely(lambda flow=flow: db.operating.run(flow))
        removed += piece
        if piece < retention.PIECE:
            return removed


def _before(older_than: Any, what: str) -> datetime:
    if not isinstance(older_than, timedelta) or older_than < timedelta():
        raise UsageError(
            f"cannot remove {what} older than {older_than!r:.100}: it has to be a timedelta that "
            "is not negative, such as timedelta(days=30). Nothing was removed."
        )
    return now() - older_than


def _first_id(at: datetime) -> UUID:
    """Return the least id of version 7 that is made at that time, or later."""
    return UUID(int=max(0, int(at.timestamp() * 1000)) << 80)
