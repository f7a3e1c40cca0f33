"""Which object is this row? One object per key and session, and the version first read of each.

Objects are held weakly; what is changed is held by the unit of work. The version first read stays
known when the object is gone, and so does the fact that a key was not there: an object that was
dropped and loaded again must not carry a newer version into its guard, or an update of somebody
else would be lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from weakref import ref

from graven._hints import Any

__all__ = ["IdentityMap", "Origin"]


class Origin:
    """Where the clean values of an object come from: the unit of work, and the version read.

    Objects of one result and version share one. ``peers`` are weak references to the objects of
    the same result.
    """

    __slots__ = ("peers", "unit", "version")

    def __init__(self, unit: Any, version: int, peers: list[ref[Any]] | None = None) -> None:
        """Keep the three."""
        self.unit, self.version, self.peers = unit, version, peers


class IdentityMap:
    """The objects of one table, by key.

    Most rows of a table usually have the same version, so only the others' versions are kept,
    beside that one. Objects whose deletion is pending are ``buried``: they are not found any more,
    and the rows that they still have in the store are not made into objects again.
    """

    __slots__ = ("absent", "buried", "entries", "usual", "versions")

    def __init__(self) -> None:
        """Start with no object."""
        self.entries: dict[Any, ref[Any]] = {}
        self.versions: dict[Any, int] = {}
        self.usual: int | None = None
        self.absent: set[Any] = set()
        self.buried: dict[Any, Any] = {}

    def get(self, key: Any) -> Any:
        """Return the object with that key, ``None`` if there is none alive."""
        found = self.entries.get(key)
        return None if found is None else found()

    def enter(self, key: Any, instance: Any) -> None:
        """Enter an object whose version is known."""
        self.entries[key] = ref(instance)
        if self.buried:
            self.buried.pop(key, None)

    def put(self, key: Any, instance: Any, version: int) -> None:
        """Enter an object, read or written with that *version*."""
        self.enter(key, instance)
        self.remember(key, version)

    def bury(self, key: Any, instance: Any) -> None:
        """Take out an object that is to be deleted."""
        self.entries.pop(key, None)
        self.buried[key] = instance

    def remember(self, key: Any, version: int) -> None:
        """Remember the version of a record that was read or written."""
        if self.usual is None:
            self.usual = version
        if version == self.usual:
            self.versions.pop(key, None)
        else:
            self.versions[key] = version
        self.absent.discard(key)

    def remember_all(self, keys: Sequence[Any], versions: Sequence[int]) -> None:
        """Remember the versions of many records; see :meth:`remember`."""
        if self.usual is None and versions:
            self.usual = versions[0]
        if self.absent:
            self.absent.difference_update(keys)
        distinct = set(versions)
        if distinct - {self.usual}:
            self.versions.update(zip(keys, versions, strict=True))
        if self.usual in distinct and self.versions:
            for key, version in zip(keys, versions, strict=True):
                if version == self.usual:
                    self.versions.pop(key, None)

    def version(self, key: Any) -> int | None:
        """Return the version first read: 0 if the key was not there.

        ``None`` if it was never looked for.
        """
        if key in self.absent:
            return 0
        if key not in self.entries:
            return None
        return self.versions.get(key, self.usual)

    def forget(self, key: Any) -> None:
        """Forget a key altogether."""
        self.entries.pop(key, None)
        self.versions.pop(key, None)
        self.buried.pop(key, None)
        self.absent.discard(key)

    def lose(self, keys: Sequence[Any]) -> None:
        """Take note that the records with these keys are not there any more."""
        for known in (self.entries, self.versions, self.buried):
            for key in keys if known else ():
                known.pop(key, None)
        self.absent.update(keys)

    def known(self) -> dict[Any, int]:
        """Return the version first read of every key that was looked for."""
        usual = self.usual or 0
        known = {key: self.versions.get(key, usual) for key in self.entries}
        return {**known, **dict.fromkeys(self.absent, 0)}
