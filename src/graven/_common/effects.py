"""Calls of the user's own functions, whose effects are outside the store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import copy_context
from inspect import isawaitable, iscoroutinefunction
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

from graven.errors import UsageError

__all__ = ["AsyncEffect", "Effect"]


class AsyncEffect:
    """Calls in async code: what they return is awaited."""

    @staticmethod
    def check(function: Callable[..., Any]) -> None:
        """Find nothing wrong: plain functions are called, and coroutine functions awaited."""

    @staticmethod
    async def call(function: Callable[[], Any], timeout_s: float | None) -> Any:
        """Return what *function* returns; it is cancelled after *timeout_s* seconds.

        :raises TimeoutError: if it was cancelled.
        """
        async with asyncio.timeout(timeout_s):
            result = function()
            return await result if isawaitable(result) else result


class Effect:
    """Calls in blocking code."""

    @staticmethod
    def check(function: Callable[..., Any]) -> None:
        """Refuse what would have to be awaited.

        :raises UsageError: for a coroutine function.
        """
        if iscoroutinefunction(function):
            raise UsageError(
                f"cannot call {function!r:.100} in blocking code: it is a coroutine function. "
                "Nothing was run. Give a plain function, or make the operation async."
            )

    @staticmethod
    def call(function: Callable[[], Any], timeout_s: float | None) -> Any:
        """Return what *function* returns, if it does so within *timeout_s* seconds.

        With a time limit it is called in a thread of its own, in the caller's context. A thread
        cannot be interrupted: after the limit it goes on, and nobody looks at what becomes of it.

        :raises TimeoutError: if it takes longer.
        """
        if timeout_s is None:
            return function()
        ended: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()
        run = copy_context().run

        def work() -> None:
            try:
                ended.put((run(function), None))
            except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
                ended.put((None, error))

        Thread(target=work, name="graven step", daemon=True).start()
        try:
            result, error = ended.get(timeout=timeout_s)
        except Empty:
            raise TimeoutError(f"it took longer than {timeout_s} seconds") from None
        if error is not None:
            raise error
        return result
