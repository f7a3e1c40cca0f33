"""What the MongoDB drivers want of PyMongo, as data, and the place where they want it.

A performer is a generator that yields calls and receives what they return. Each colour makes the
calls in its own way, and does nothing else: blocking code calls, async code awaits.
"""

from __future__ import annotations

from collections.abc import Callable, Generator

from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference
from pymongo.write_concern import WriteConcern

from graven._hints import Any, TypeVar
from graven.dialects.mongo_codec import OPTIONS
from graven.dialects.mongo_commands import Find

__all__ = [
    "MAJORITY",
    "SNAPSHOT",
    "Call",
    "Calls",
    "MongoStore",
    "find_options",
    "found",
    "topology_of",
]

R = TypeVar("R")

Call = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]
"""A function, positional arguments, arguments by name."""

Calls = Generator[Call, Any, R]
"""Yields calls, receives what they return, and returns an ``R``."""

MAJORITY = WriteConcern("majority")
"""What is acknowledged is held by a majority of the servers."""

JOURNALED = WriteConcern("majority", j=True)
"""What a stand-alone server is asked for: nobody else has what its journal has not."""
SNAPSHOT = ReadConcern("snapshot")
"""All reads of a transaction are of one point."""

BULK_WRITE_WIRE_VERSION = 25
"""From here on, MongoDB 8.0, one command writes to several collections."""


class MongoStore:
    """One client, the database that is worked in, and what the servers say of themselves.

    ``topology`` is ``"replica set"``, ``"sharded cluster"`` or ``"stand-alone"``.
    """

    __slots__ = (
        "_collections",
        "client",
        "database",
        "has_bulk_write",
        "is_recovered",
        "known",
        "name",
        "topology",
        "write_concern",
    )

    def __init__(self, client: Any, name: str, hello: dict[str, Any]) -> None:
        """Work in the database of that *name*; *hello* is what a server has answered."""
        self.client = client
        self.name = name
        self.topology = topology_of(hello)
        self.has_bulk_write = hello.get("maxWireVersion", 0) >= BULK_WRITE_WIRE_VERSION
        self.is_recovered = False
        self.write_concern = MAJORITY if self.is_transactional else JOURNALED
        self.database = client.get_database(
            name, OPTIONS, ReadPreference.PRIMARY, self.write_concern, ReadConcern("majority")
        )
        self.known: set[str] = set()
        """Names of collections that are known to be there."""
        self._collections: dict[str, Any] = {}

    @property
    def is_transactional(self) -> bool:
        """Whether the servers have transactions."""
        return self.topology != "stand-alone"

    def collection(self, name: str) -> Any:
        """Return the collection of that *name*."""
        found = self._collections.get(name)
        if found is None:
            found = self._collections[name] = self.database[name]
        return found


def topology_of(hello: dict[str, Any]) -> str:
    """Return how the servers stand, out of what one of them answers to ``hello``.

    >>> topology_of({"setName": "main"}), topology_of({"msg": "isdbgrid"}), topology_of({})
    ('replica set', 'sharded cluster', 'stand-alone')
    """
    if hello.get("msg") == "isdbgrid":
        return "sharded cluster"
    return "replica set" if "setName" in hello else "stand-alone"


def found(collection: Any, find: Find, session: Any = None) -> Any:
    """Ask for all documents of a find at once."""
    options = find_options(find)
    return collection.find(find.filter, find.projection, session=session, **options).to_list()


def find_options(find: Find) -> dict[str, Any]:
    """Return what PyMongo takes by name."""
    return {"sort": find.sort or None, "skip": find.skip, "limit": find.limit}
