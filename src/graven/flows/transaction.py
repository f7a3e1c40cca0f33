"""The ends of a transaction of the store, as flows."""

from __future__ import annotations

from graven._hints import TypeVar
from graven.errors import GravenError
from graven.ops.requests import (
    Begin,
    Commit,
    Flow,
    Release,
    Rollback,
    RollbackTo,
    Savepoint,
)

__all__ = [
    "begin",
    "begin_first",
    "commit_open",
    "in_savepoint",
    "release",
    "rollback",
    "rollback_first",
    "rollback_to",
    "savepoint",
]

R = TypeVar("R")


def begin(write: bool) -> Flow[None]:
    """Begin a transaction."""
    yield from Begin(write)


def commit_open() -> Flow[None]:
    """Commit the open transaction."""
    yield from Commit()


def rollback() -> Flow[None]:
    """Undo the open transaction."""
    yield from Rollback()


def savepoint(name: str) -> Flow[None]:
    """Mark a place of the open transaction."""
    yield from Savepoint(name)


def release(name: str) -> Flow[None]:
    """Forget a savepoint, and keep what was done since."""
    yield from Release(name)


def rollback_to(name: str) -> Flow[None]:
    """Undo what was done since a savepoint."""
    yield from RollbackTo(name)


def in_savepoint(body: Flow[R]) -> Flow[R]:
    """Run *body* in the open transaction, which goes on as if it had not begun if it is refused."""
    yield from Savepoint("graven_attempt")
    try:
        result = yield from body
    except GravenError:
        yield from RollbackTo("graven_attempt")
        raise
    yield from Release("graven_attempt")
    return result


def begin_first(
    write: bool, body: Flow[R], isolation: str = "optimistic", nowait: bool = False
) -> Flow[R]:
    """Begin a transaction, run *body* in it, and leave it open."""
    yield from Begin(write, isolation=isolation, nowait=nowait)
    return (yield from body)


def rollback_first(body: Flow[R]) -> Flow[R]:
    """End the transaction that was read in, then run *body*."""
    yield from Rollback()
    return (yield from body)
