"""Ctrl-C and SIGTERM, noted by the demo itself, so that neither can get lost.

Python raises ``KeyboardInterrupt`` wherever the main thread happens to be. If that is a callback,
of the garbage collector for instance, it is reported there and forgotten.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager


class _Noted:
    """Whether a signal has come since the block began."""

    is_set = False


@contextmanager
def interruptible() -> Generator[None]:
    """Let both signals raise ``KeyboardInterrupt`` in the block, at once or at the next check.

    So that child processes are ended and files removed. Outside of the main thread, where signals
    do not come, it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> None:
        _Noted.is_set = True
        raise KeyboardInterrupt

    _Noted.is_set = False
    before = {one: signal.signal(one, interrupt) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        _Noted.is_set = False
        for one, handler in before.items():
            signal.signal(one, handler)


def check() -> None:
    """Raise ``KeyboardInterrupt`` if a signal has come, and whoever got it has forgotten it."""
    if _Noted.is_set and threading.current_thread() is threading.main_thread():
        raise KeyboardInterrupt
