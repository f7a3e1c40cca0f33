"""Waiting, written once: flows yield steps, threads block on them and tasks await them."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Generator
from contextlib import suppress
from threading import Event, Lock
from time import monotonic
from typing import Any, Protocol, TypeVar

__all__ = ["Call", "Deadline", "Pause", "Step", "Steps", "Waiter", "arun", "run"]

T = TypeVar("T")


class Step(Protocol):
    """What a flow asks of its colour."""

    def block(self) -> Any:
        """Do it in a thread."""

    async def arrive(self) -> Any:
        """Do it in a task."""


Steps = Generator[Step, Any, T]
"""A generator that yields steps, is sent what they gave, and returns a result."""


class Waiter:
    """One who waits. :meth:`wake` may come at any time, from any thread, also before the waiting.

    ``is_woken`` says whether it has come.
    """

    __slots__ = ("__weakref__", "_lock", "_notify", "is_woken")

    def __init__(self) -> None:
        self.is_woken = False
        self._notify: Callable[[], object] | None = None
        self._lock = Lock()

    def wake(self) -> None:
        """End the wait; what is awake stays awake."""
        with self._lock:
            self.is_woken = True
            notify = self._notify  # kept: who is interrupted in calling it will call it again
        if notify is not None:
            notify()

    def arm(self, notify: Callable[[], object] | None) -> bool:
        """Have *notify* called by :meth:`wake`; say whether there is something left to wait for."""
        with self._lock:
            self._notify = notify
            return not self.is_woken


class Deadline:
    """A moment after which nobody waits any more; *timeout_s* is ``None`` for no end."""

    __slots__ = ("began", "ends")

    def __init__(self, timeout_s: float | None) -> None:
        self.began = monotonic()
        self.ends = None if timeout_s is None else self.began + timeout_s

    @property
    def left_s(self) -> float | None:
        """The seconds that are left, 0 if none; ``None`` if there is no end."""
        return None if self.ends is None else max(0.0, self.ends - monotonic())

    @property
    def waited_s(self) -> float:
        """The seconds since the deadline was set."""
        return monotonic() - self.began

    @property
    def is_past(self) -> bool:
        """Whether nothing is left."""
        return self.left_s == 0.0


class Pause:
    """A step: wait for *waiter*, at most *timeout_s* seconds; gives whether it was woken."""

    __slots__ = ("timeout_s", "waiter")

    def __init__(self, waiter: Waiter, timeout_s: float | None) -> None:
        self.waiter, self.timeout_s = waiter, timeout_s

    def block(self) -> bool:
        """Wait in a thread."""
        event = Event()
        try:
            if self.waiter.arm(event.set):
                event.wait(self.timeout_s)
        finally:
            self.waiter.arm(None)
        return self.waiter.is_woken

    async def arrive(self) -> bool:
        """Wait in a task; the event loop goes on meanwhile."""
        from asyncio import get_running_loop, wait

        loop = get_running_loop()
        arrived = loop.create_future()

        def arrive() -> None:
            if not arrived.done():
                arrived.set_result(None)

        def notify() -> None:
            try:
                loop.call_soon_threadsafe(arrive)
            except RuntimeError:  # the loop was closed: nobody waits there any more
                pass

        try:
            if self.waiter.arm(notify):
                await wait([arrived], timeout=self.timeout_s)
        finally:
            self.waiter.arm(None)
        return self.waiter.is_woken


class Call:
    """A step: call *function* of the caller's; a task awaits what it gives, if that can be."""

    __slots__ = ("arguments", "function", "named")

    def __init__(
        self,
        function: Callable[..., Any],
        arguments: tuple[Any, ...] = (),
        named: dict[str, Any] | None = None,
    ) -> None:
        self.function, self.arguments, self.named = function, arguments, named or {}

    def block(self) -> Any:
        """Call it in a thread."""
        return self.function(*self.arguments, **self.named)

    async def arrive(self) -> Any:
        """Call it in a task."""
        found: Any = self.function(*self.arguments, **self.named)
        return await found if isinstance(found, Awaitable) else found


_abandoned: deque[Steps[Any]] = deque()


def run(flow: Steps[T]) -> T:
    """Run *flow* in this thread, to its end."""
    if _abandoned:
        _close_abandoned()
    try:
        step = next(flow)
        while True:
            try:
                reply = step.block()
            except BaseException as error:  # noqa: BLE001 - the flow raises it, or deals with it
                step = flow.throw(error)
            else:
                step = flow.send(reply)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
    finally:
        flow.close()


async def arun(flow: Steps[T]) -> T:
    """Run *flow* in this task, to its end.

    The flow of a task that is thrown away is closed later, by the next who runs one: the garbage
    collector may throw it away in the middle of anything, also while a lock is held that the flow
    needs for its end.
    """
    if _abandoned:
        _close_abandoned()
    try:
        step = next(flow)
        while True:
            try:
                reply = await step.arrive()
            except GeneratorExit:
                _abandoned.append(flow)
                raise
            except BaseException as error:  # noqa: BLE001 - the flow raises it, or deals with it
                step = flow.throw(error)
            else:
                step = flow.send(reply)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]


def _close_abandoned() -> None:
    while _abandoned:
        with suppress(IndexError):  # another thread was faster
            _abandoned.popleft().close()
