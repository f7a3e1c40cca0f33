"""Tables of MongoDB: looked at, made, and missed.

MongoDB takes a collection that is not there for an empty one. So each is looked for once before it
is first used, or a model that was never created, or a wrong name of the database, would pass for
no data.
"""

from __future__ import annotations

from collections.abc import Iterable

from graven._hints import Any
from graven.dialects.mongo import MongoDialect
from graven.dialects.mongo_commands import OWN, Command
from graven.dialects.mongo_writesets import mark_index
from graven.drivers.mongo_calls import Calls
from graven.drivers.mongo_references import MongoReferences
from graven.drivers.mongo_statements import MongoStatements
from graven.errors import StoreError, UsageError
from graven.ops.operating import OPERATIONS, STEPS
from graven.ops.recording import COMMITS
from graven.ops.requests import Create, Inspect, TableShape
from graven.ops.working import SCHEDULES

__all__ = ["MongoTables", "see_that_it_is_there"]

OURS = (COMMITS, OPERATIONS, STEPS, SCHEDULES)  #: what others make in a transaction of the user's
_OURS = OWN.removeprefix("_")


class MongoTables:
    """Performs what is about tables, outside of any transaction."""

    __slots__ = ("_dialect", "_references", "_statements")

    def __init__(
        self, statements: MongoStatements, dialect: MongoDialect, references: MongoReferences
    ) -> None:
        """Work with *statements*; *references* keeps who refers to whom."""
        self._statements = statements
        self._dialect = dialect
        self._references = references

    def inspect(self, request: Inspect) -> Calls[TableShape | None]:
        """Return the shape of a table."""
        name = request.name
        found = yield from _listed(self._statements, name)
        if not found or found[0].get("type", "collection") != "collection":
            return self._dialect.shape(found[0] if found else None, ())
        self._statements.store.known.add(name)
        reply = yield from _command(self._statements, {"listIndexes": name})
        return self._dialect.shape(found[0], reply["cursor"]["firstBatch"])

    def create(self, request: Create) -> Calls[None]:
        """Make a table, or complete it; what was done before an error stays, and does no harm.

        Only those that graven keeps for itself are made while a transaction is open.
        """
        name, store = request.table.name, self._statements.store
        if self._statements.in_transaction and not name.startswith(_OURS):
            raise UsageError(
                f"table {name} was to be made inside of a transaction: MongoDB makes collections "
                "and indexes outside of them, so they could not be undone. Nothing was made. Call "
                "db.create() before the transaction begins."
            )
        for command in self._dialect.create(request):
            yield from self._carry_out(command)
        if not store.is_transactional:
            yield from self._carry_out(mark_index(request.table))
        store.known.add(name)
        yield from self._references.note_for_all(request.table, request.references)

    def make_ours(self) -> Calls[None]:
        """Make the tables that graven keeps for itself: a transaction could not when it is open.

        What is made after a transaction has begun is not there for it.
        """
        known = self._statements.store.known
        names = [table.name for table in OURS if table.name not in known]
        if names:
            body = {"listCollections": 1, "filter": {"name": {"$in": names}}, "nameOnly": True}
            reply = yield from _command(self._statements, body)
            known.update(one["name"] for one in reply["cursor"]["firstBatch"])
        for table in OURS:
            if table.name not in known:
                yield from self.create(Create(table, whole=True))

    def _carry_out(self, command: Command) -> Calls[None]:
        body = {**command.body, "writeConcern": self._statements.store.write_concern.document}
        reply = yield from _command(self._statements, body, command.ignored)
        if reply is None and command.instead is not None:
            yield from self._carry_out(command.instead)


def see_that_it_is_there(statements: MongoStatements, names: Iterable[str]) -> Calls[None]:
    """See that these collections are there, unless that is known.

    :raises StoreError: if one is not.
    """
    known = statements.store.known
    for name in names:
        if name in known or name.startswith(_OURS):
            continue
        if not (yield from _listed(statements, name)):
            raise StoreError(
                f"MongoDB was asked for {name}: there is no such collection in the database "
                f"{statements.store.name!r}; usually the model was not created on this database, "
                "or on another one; call db.create() with the model",
                statement=f"find {name}",
            )
        known.add(name)


def _listed(statements: MongoStatements, name: str) -> Calls[list[dict[str, Any]]]:
    """Return what is said of the collection of that *name*, if there is one."""
    body = {"listCollections": 1, "filter": {"name": name}}
    reply = yield from _command(statements, body)
    return list(reply["cursor"]["firstBatch"])


def _command(
    statements: MongoStatements, body: dict[str, Any], ignored: Iterable[int] = ()
) -> Calls[Any]:
    (verb, *_) = body
    subject = body[verb] if isinstance(body[verb], str) else "of the database"
    return (
        yield from statements.aside(
            f"{verb} {subject}",
            statements.store.database.command,
            body,
            codec_options=statements.store.database.codec_options,
            ignored=tuple(ignored),
        )
    )
