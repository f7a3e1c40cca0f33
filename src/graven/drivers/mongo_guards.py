"""Guards: what a serializable transaction has read holds until it commits, queries included.

MongoDB sees a conflict only where two transactions write the same document. So a document that was
read by its key is touched. For what was asked in any other way, and for what was not there, each
collection has a few guard documents: who reads so touches all of them, who writes into the
collection touches one, taken by chance. Two that write seldom meet, one that reads meets everybody.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import randrange

from pymongo import UpdateOne

from graven.dialects.mongo_references import TOUCH
from graven.drivers.mongo_calls import Call, Calls
from graven.drivers.mongo_statements import MongoStatements

__all__ = ["GUARDS", "MongoGuards"]

GUARDS = "graven_guard"
"""The collection of the guard documents."""

GUARDS_PER_COLLECTION = 16


class MongoGuards:
    """Sees to it that what the open transaction reads stays as it is."""

    __slots__ = ("_passed", "_statements")

    def __init__(self, statements: MongoStatements) -> None:
        """Begin with nothing read."""
        self._statements = statements
        self.forget()

    def forget(self) -> None:
        """Know of no transaction any more."""
        self._passed: set[tuple[str, bool]] = set()

    def keep(self, name: str, ids: Sequence[object]) -> Calls[None]:
        """Let nobody else write these documents of a collection."""
        collection = self._statements.store.collection(name)
        call: Call = collection.update_many, ({"_id": {"$in": [*ids]}}, TOUCH), {}
        yield from self._statements.write(f"update {name} touched", call)

    def close(self, name: str) -> Calls[None]:
        """Let no serializable transaction write into a collection."""
        yield from self._touch(name, range(GUARDS_PER_COLLECTION), is_whole=True)

    def pass_by(self, name: str) -> Calls[None]:
        """Let no serializable transaction that writes into a collection miss one that asks it."""
        if (name, True) not in self._passed:
            yield from self._touch(name, [randrange(GUARDS_PER_COLLECTION)], is_whole=False)

    def _touch(self, name: str, numbers: Sequence[int], is_whole: bool) -> Calls[None]:
        if (name, is_whole) in self._passed:
            return
        collection = self._statements.store.collection(GUARDS)
        touches = [UpdateOne({"_id": f"{name}:{n}"}, TOUCH, upsert=True) for n in numbers]
        call: Call = collection.bulk_write, (touches,), {}
        yield from self._statements.write(f"update {GUARDS} of {name}", call)
        self._passed.add((name, is_whole))
