"""What the pools of both colours share: the address, what the servers say, who holds what."""

from __future__ import annotations

import logging

from pymongo.errors import PyMongoError

from graven._hints import Any, TypeVar
from graven.dialects.mongo import MongoDialect
from graven.drivers.mongo_calls import MongoStore
from graven.drivers.mongo_running import MongoRunner
from graven.drivers.mongo_url import parse_mongo_url
from graven.drivers.pooling import (
    BUSY_TIMEOUT_S,
    POOL_SIZE,
    POOL_TIMEOUT_S,
    HeldPool,
    keep_inherited,
)

__all__ = ["MongoPooling"]

C = TypeVar("C", bound=MongoRunner)

_log = logging.getLogger("graven")


class MongoPooling(HeldPool[C]):
    """The part of a pool that never waits.

    ``topology`` is ``"replica set"``, ``"sharded cluster"`` or ``"stand-alone"``, and ``None``
    before the first connection.
    """

    def __init__(
        self,
        url: str,
        size: int = POOL_SIZE,
        timeout_s: float = POOL_TIMEOUT_S,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
    ) -> None:
        """Prepare for *url*; ``UsageError`` if it cannot be used. Nothing is opened yet."""
        super().__init__(MongoDialect(), size, timeout_s)
        self._address = parse_mongo_url(url, timeout_s)
        self._busy_timeout_s = busy_timeout_s

    def _store(self, client: Any, hello: dict[str, Any]) -> MongoStore:
        """Return the store behind *client*; note what the servers say, and say it aloud once."""
        store = MongoStore(client, self._address.database, hello)
        if self.topology is None:
            self.topology = store.topology
            if store.is_transactional:
                _log.info("%s is a %s", self._address.place, store.topology)
            else:
                _log.warning(
                    "%s is a stand-alone server, which has no transactions: commits are made whole "
                    "by graven's own log, and only isolation='optimistic' is possible",
                    self._address.place,
                )
        return store

    def release(self, connection: C) -> None:
        """Give a connection back, without waiting; what its user left open is rolled back."""
        self._held.pop(connection, None)
        if connection.is_inherited:
            keep_inherited(connection)
            return
        connection.abandon()
        if self._rack.is_closed:
            self._rack.drop()
        elif not self._rack.give(connection):
            self._rack.close()

    def _unreachable(self, error: PyMongoError) -> Exception:
        """Return our error for a server that could not be reached."""
        ours = self.dialect.translate(error, f"open {self._address.place}")
        return error if ours is None else ours
