"""Let the garbage collector wait while many objects are made that all live on.

What a load or a commit makes holds no garbage in cycles, so the collector would only go through
all of it again and again: measured, a third of the time of loading 100,000 objects.
"""

from __future__ import annotations

import gc
from _thread import allocate_lock  # starts no thread, and takes no time to import
from types import TracebackType

from graven._hints import TYPE_CHECKING

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

__all__ = ["pausing_collector"]

ENOUGH = 200
"""From how many objects on it pays."""


class _Pause:
    """A block in which the collector waits; blocks of several threads may overlap."""

    __slots__ = ()
    _lock = allocate_lock()
    _depth = 0
    _was_enabled = False

    def __enter__(self) -> None:
        with _Pause._lock:
            if _Pause._depth == 0:
                _Pause._was_enabled = gc.isenabled()
                gc.disable()
            _Pause._depth += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with _Pause._lock:
            _Pause._depth -= 1
            if _Pause._depth == 0 and _Pause._was_enabled:
                gc.enable()


class _NoPause:
    """A block in which nothing is different."""

    __slots__ = ()

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass


_PAUSE, _NO_PAUSE = _Pause(), _NoPause()


def pausing_collector(count: int = ENOUGH) -> AbstractContextManager[None]:
    """Return a block in which the collector waits, if *count* objects are enough for it to pay."""
    return _PAUSE if count >= ENOUGH else _NO_PAUSE
