"""Those who carry out the jobs of a worker: threads in blocking code, tasks in async code."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

__all__ = ["AsyncCrew", "Crew"]


class Crew:
    """Threads that carry out jobs, for one thread that hands them out.

    They do not keep the process from ending. A thread cannot be interrupted, so a job that is to be
    cancelled goes on; it is the store that refuses what it would write.
    """

    def __init__(self) -> None:
        """Have nobody yet; threads are started as they are needed."""
        self.busy = 0
        self._threads = 0
        self._jobs: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._events: SimpleQueue[bool] = SimpleQueue()  # its put() may interrupt its get()

    def begin(self, job: Callable[[], object]) -> Callable[[], object]:
        """Let somebody carry out *job*, which handles its own errors; return what cancels it."""
        self.busy += 1
        if self.busy > self._threads:
            self._threads += 1
            Thread(target=self._work, name=f"graven worker {self._threads}", daemon=True).start()
        self._jobs.put(job)
        return _leave_alone

    def wait(self, timeout_s: float) -> None:
        """Wait until a job has ended or somebody calls :meth:`wake`, or the time is up."""
        with suppress(Empty):
            has_ended = self._events.get(timeout=max(timeout_s, 0.0))
            while True:
                self.busy -= has_ended
                has_ended = self._events.get_nowait()

    def wake(self) -> None:
        """End the wait, from any thread or signal handler."""
        self._events.put(False)

    def close(self) -> None:
        """Let the threads end, those at work when they have finished."""
        for _ in range(self._threads):
            self._jobs.put(None)
        self._threads = 0

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            finally:
                self._events.put(True)


class AsyncCrew:
    """Tasks that carry out jobs, for one task that hands them out."""

    def __init__(self) -> None:
        """Have nobody yet."""
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def busy(self) -> int:
        """How many jobs are under way."""
        return len(self._tasks)

    def begin(self, job: Callable[[], Awaitable[object]]) -> Callable[[], object]:
        """Let somebody carry out *job*, which handles its own errors; return what cancels it."""
        task: asyncio.Task[Any] = asyncio.ensure_future(job())
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task.cancel

    async def wait(self, timeout_s: float) -> None:
        """Wait until a job has ended or somebody calls :meth:`wake`, or the time is up."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._event.wait(), max(timeout_s, 0.0))
        self._event.clear()

    def wake(self) -> None:
        """End the wait, from any thread."""
        with suppress(RuntimeError):  # the loop has ended, and with it the wait
            self._loop.call_soon_threadsafe(self._event.set)

    async def close(self) -> None:
        """Cancel what is still under way, and wait until it has ended."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        self._event.set()


def _leave_alone() -> None:
    """Do nothing."""
