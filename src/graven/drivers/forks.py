"""Whether this process is a forked child, which must not use its parent's connections."""

from __future__ import annotations

import os

__all__ = ["process"]


class _Process:
    """Counts how often this process was forked off since the library was imported."""

    __slots__ = ("forks",)

    def __init__(self) -> None:
        self.forks = 0

    def forked(self) -> None:
        self.forks += 1


process = _Process()
"""This process; ``forks`` differs from what it was when a connection was opened in a parent."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=process.forked)
