"""The ends of a transaction of the store, as flows."""

from __future__ import annotations

from typing import TypeVar

from graven.ops.requests import Begin, Commit, Flow, Rollback

__all__ = ["begin", "begin_first", "commit_open", "rollback", "rollback_first"]

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


def begin_first(write: bool, body: Flow[R]) -> Flow[R]:
    """Begin a transaction, run *body* in it, and leave it open."""
    yield from Begin(write)
    return (yield from body)


def rollback_first(body: Flow[R]) -> Flow[R]:
    """End the transaction that was read in, then run *body*."""
    yield from Rollback()
    return (yield from body)
