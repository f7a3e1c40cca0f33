"""Stores in memory, by their URLs.

===================  ==========================================================================
``memory:``          a store of its own for each ``Database``
``memory:name``      the store of that name, shared by all who open it in this process; it ends
                     when the last of them is closed, or let go of
===================  ==========================================================================
"""

from __future__ import annotations

from _thread import allocate_lock
from weakref import WeakValueDictionary

from graven.drivers.forks import process
from graven.errors import StoreError, UsageError
from graven.stm.timeline import Timeline

__all__ = ["MemoryStore", "open_store"]


class MemoryStore:
    """One store, which belongs to the process that made it."""

    __slots__ = ("__weakref__", "_forks", "timeline")

    def __init__(self) -> None:
        """Begin with no tables."""
        self.timeline = Timeline()
        self._forks = process.forks

    @property
    def is_inherited(self) -> bool:
        """Whether it is the copy of a parent's store that a forked process has."""
        return self._forks != process.forks

    def check_is_ours(self) -> None:
        """Refuse to work on a copy.

        :raises StoreError: if this process was forked since the store was made.
        """
        if self._forks != process.forks:
            raise StoreError(
                "a store in memory was to be used in a forked process: it belongs to the process "
                "that made it, and changes of a copy would be lost; make the Database after the "
                "fork, or use a file"
            )


_named: WeakValueDictionary[str, MemoryStore] = WeakValueDictionary()
_lock = allocate_lock()


def open_store(url: str) -> MemoryStore:
    """Return the store that *url* means; ``UsageError`` if it means none."""
    scheme, mark, name = url.partition(":")
    if scheme != "memory" or not mark:
        raise UsageError(
            f"the URL {url!r} was to be opened in memory, but does not begin with memory:; write "
            "memory: for a store of its own, or memory:name for one that is shared"
        )
    if name.startswith("/") or "?" in name:
        raise UsageError(
            f"the URL {url!r} has a path or options, but a store in memory has only a name; write "
            "memory: for a store of its own, or memory:name for one that is shared"
        )
    if not name:
        return MemoryStore()
    with _lock:
        store = _named.get(name)
        if store is None or store.is_inherited:
            store = _named[name] = MemoryStore()
        return store
