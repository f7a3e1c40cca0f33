"""The ends of a transaction of the store, as flows."""

from __future__ import annotations

from typing import TypeVar

from graven.ops.requests import Begin, Commit, Flow, Rollback

__all__ = ["begin", "commit_open", "rollback", "rollback_first", "then_commit"]

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


def then_commit(body: Flow[R]) -> Flow[R]:
    """Run *body* in the open transaction and commit it, or undo it."""
    try:
        result = yield from body
        yield from Commit()
    except GeneratorExit:
        raise
    except BaseException:
        yield from Rollback()
        raise
    return result


def rollback_first(body: Flow[R]) -> Flow[R]:
    """End the transaction that was read in, then run *body*."""
    yield from Rollback()
    return (yield from body)
