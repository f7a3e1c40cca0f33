"""Lets a test written in blocking style drive the async colour.

Everything is run in one task of an event loop in a thread of its own, so that scopes, which belong
to the task that began them, see a single caller. Objects of the async shell come back wrapped;
everything else comes back as it is.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any

from graven import AsyncDatabase, AsyncSession, Database

__all__ = ["Caller", "Colour", "Proxy"]

REPLY_TIMEOUT_S = 120.0


class Caller:
    """One task that carries out calls, one after the other."""

    def __init__(self) -> None:
        """Start the task."""
        self._ready: SimpleQueue[Any] = SimpleQueue()
        self._thread = threading.Thread(target=asyncio.run, args=(self._work(),), daemon=True)
        self._thread.start()
        self._loop, self._jobs = self._ready.get()

    async def _work(self) -> None:
        jobs: asyncio.Queue[Any] = asyncio.Queue()
        self._ready.put((asyncio.get_running_loop(), jobs))
        while (job := await jobs.get()) is not None:
            function, reply = job
            try:
                result = function()
                if inspect.isawaitable(result):
                    result = await result
                reply.put((result, None))
            except BaseException as error:  # noqa: BLE001 - it is raised in the test
                reply.put((None, error))

    def call(self, function: Callable[[], Any]) -> Any:
        """Carry out *function* in the task, await its result, and return that."""
        reply: SimpleQueue[Any] = SimpleQueue()
        self._loop.call_soon_threadsafe(self._jobs.put_nowait, (function, reply))
        result, error = reply.get(timeout=REPLY_TIMEOUT_S)
        if error is not None:
            raise error
        return self.wrapped(result)

    def wrapped(self, value: Any) -> Any:
        """Wrap what belongs to the async shell."""
        if isinstance(value, AsyncSession):
            value.unit.owner = lambda: "contract"
        if type(value).__module__.startswith("graven._async") or inspect.isasyncgen(value):
            return Proxy(self, value)
        return value

    def close(self) -> None:
        """End the task and its thread."""
        self._loop.call_soon_threadsafe(self._jobs.put_nowait, None)
        self._thread.join(timeout=10)


class Proxy:
    """An object of the async shell with the face of the blocking one."""

    def __init__(self, caller: Caller, target: Any) -> None:
        """Let *caller* do whatever *target* is asked for."""
        self.__dict__.update(_caller=caller, _target=target)

    def __getattr__(self, name: str) -> Any:
        caller, target = self._caller, self._target
        value = caller.call(lambda: getattr(target, name))
        if not callable(value) or isinstance(value, Proxy):
            return value

        def method(*arguments: Any, **options: Any) -> Any:
            plain = [_unwrapped(one) for one in arguments]
            return caller.call(lambda: value(*plain, **options))

        return method

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._target, name, value)

    def __enter__(self) -> Any:
        return self._caller.call(self._target.__aenter__)

    def __exit__(self, *details: object) -> Any:
        return self._caller.call(lambda: self._target.__aexit__(*details))

    def __iter__(self) -> Iterator[Any]:
        if hasattr(self._target, "__anext__"):
            return self
        return self._caller.call(self._target.__aiter__)  # type: ignore[no-any-return]

    def __next__(self) -> Any:
        try:
            return self._caller.call(self._target.__anext__)
        except StopAsyncIteration:
            raise StopIteration from None


def _unwrapped(value: Any) -> Any:
    return value._target if isinstance(value, Proxy) else value


class Colour:
    """One colour of graven, ``blocking`` or ``async``: opens databases, runs code as they do."""

    def __init__(self, name: str) -> None:
        """Prepare the colour of that *name*."""
        self.name = name
        self._caller = Caller() if name == "async" else None
        self._opened: list[Any] = []

    def open(self, url: str, **options: Any) -> Any:
        """Open a database, with the face of the blocking one; :meth:`close` closes it."""
        if self._caller is None:
            db: Any = Database(url, **options)
        else:
            db = Proxy(self._caller, AsyncDatabase(url, **options))
        self._opened.append(db)
        return db

    def call(self, function: Callable[[], Any]) -> Any:
        """Run *function* in the task or thread that the sessions belong to."""
        return function() if self._caller is None else self._caller.call(function)

    def close(self) -> None:
        """Close what was opened."""
        for db in self._opened:
            db.close()
        if self._caller is not None:
            self._caller.close()
