"""Waiting for a socket on an event loop, with no need to tell the loop of it each time.

To register a socket for one wait and to take it out again costs as much as the rest of a short
query. So it stays registered from one statement to the next, under a number of its own, which
nobody else closes or gets; and it is taken out by the first sign of life that nobody waits for.
"""

from __future__ import annotations

import os
from asyncio import AbstractEventLoop, Future, get_running_loop
from contextvars import Context

from graven.drivers.postgres_wire import READ, WRITE

__all__ = ["Watch"]


class Watch:
    """Says to one event loop when a socket is ready; for one waiting task at a time."""

    __slots__ = ("_future", "_is_echo", "_number", "loop")

    def __init__(self, socket: int) -> None:
        """Watch *socket* on the running loop."""
        self.loop: AbstractEventLoop = get_running_loop()
        self._number = os.dup(socket)
        self._future: Future[int] | None = None
        self._is_echo = False
        # A context of its own: the loop keeps it, and must not keep a caller's session with it.
        Context().run(self.loop.add_reader, self._number, self._arrived)

    @property
    def is_over(self) -> bool:
        """Whether the socket is not watched any more."""
        return self._number < 0

    async def ready(self, wanted: int) -> int:
        """Wait until the socket is ready for what is *wanted*; return for what it is.

        To be called while this is not over; who then has something to read reads it at once.
        """
        future: Future[int] = self.loop.create_future()
        self._future = future
        if wanted == WRITE:
            self.loop.add_writer(self._number, self._answer, WRITE - READ)
        try:
            return await future
        finally:
            self._future = None
            if wanted == WRITE:
                self.loop.remove_writer(self._number)

    def drop(self) -> None:
        """Watch no more; from any thread."""
        try:
            self.loop.call_soon_threadsafe(self._end)
        except RuntimeError:  # the loop is closed
            self._close()

    def _arrived(self) -> None:
        """Tell who waits that there is something to read.

        The loop says so once more before the task comes to read it. That is not believed: if there
        is more, the loop will not cease to say so.
        """
        if self._is_echo:
            self._is_echo = False
        elif self._future is None:
            self._end()
        else:
            self._is_echo = True
            self._answer(READ)

    def _answer(self, ready: int) -> None:
        if self._future is not None and not self._future.done():
            self._future.set_result(ready)

    def _end(self) -> None:
        if not self.is_over:
            self.loop.remove_reader(self._number)
            self._close()

    def _close(self) -> None:
        number, self._number = self._number, -1
        if number >= 0:
            os.close(number)

    def __del__(self) -> None:
        """Close what a loop has left behind that was closed first."""
        self._close()
