"""Stop at the signals that ask a process to end, unless somebody else listens to them."""

from __future__ import annotations

import signal
from collections.abc import Callable
from threading import current_thread, main_thread
from types import TracebackType

from graven._hints import Any

__all__ = ["Stopping"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)
DEFAULTS = (signal.SIG_DFL, signal.default_int_handler)


class Stopping:
    """A block in which Ctrl-C and SIGTERM call *stop* once; the second one is as ever.

    In a thread other than the main one, and where the program listens to a signal itself, nothing
    is changed.
    """

    def __init__(self, stop: Callable[[], object]) -> None:
        """Call *stop*, which has to be fit for a signal handler."""
        self._stop = stop
        self._before: dict[int, Any] = {}

    def __enter__(self) -> None:
        """Listen."""
        if current_thread() is main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) in DEFAULTS:
                    self._before[number] = signal.signal(number, self._arrived)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Listen no more."""
        for number in [*self._before]:
            self._restore(number)

    def _arrived(self, number: int, _: object) -> None:
        self._restore(number)
        self._stop()

    def _restore(self, number: int) -> None:
        before = self._before.pop(number, None)
        if before is not None:
            signal.signal(number, before)
