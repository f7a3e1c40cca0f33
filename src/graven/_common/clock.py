"""The clock and the dice of the shells."""

from __future__ import annotations

from os import urandom
from time import monotonic as now_s

__all__ = ["dice", "first_version", "now_s"]


def dice() -> float:
    """Return a random number from 0 up to 1."""
    return int.from_bytes(urandom(4), "big") / 2**32


def first_version() -> int:
    """Return a random first version for new records whose keys can come back.

    So none of them passes for an older one.
    """
    return int.from_bytes(urandom(4), "big") % (2**30 - 2) + 2
