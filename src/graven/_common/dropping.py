"""What becomes of a session that is dropped while it keeps a connection."""

from __future__ import annotations

import sys

from graven._hints import Any

__all__ = ["give_back"]


def give_back(pool: Any, connection: Any) -> None:
    """Give the *connection* of a dropped session back; what it left open is rolled back.

    :raises ResourceWarning: as a warning, since only the garbage collector knows when.
    """
    if sys.is_finalizing():
        return
    pool.release(connection)
    import warnings

    warnings.warn(
        "a session was dropped with its transaction open, after a flush or reads from one point of "
        "the store; nothing of it was committed, and its connection was kept until now. Commit, "
        "roll back or close a session, or use it as a block",
        ResourceWarning,
        stacklevel=2,
    )
