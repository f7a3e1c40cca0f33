"""Requests performed on one connection to MongoDB: compiled, asked, replied to.

A performer is a generator that yields calls; see :mod:`graven.drivers.mongo_calls`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from graven._hints import Any
from graven.dialects.mongo import MongoDialect
from graven.drivers.mongo_calls import Calls
from graven.drivers.mongo_reading import MongoReading
from graven.drivers.mongo_statements import MongoStatements
from graven.drivers.mongo_tables import MongoTables
from graven.drivers.mongo_writing import MongoWriting
from graven.errors import UsageError
from graven.ops.requests import (
    Apply,
    Begin,
    Close,
    Commit,
    Create,
    Delete,
    Documents,
    Execute,
    Fetch,
    FetchKeys,
    Insert,
    Inspect,
    MakeKeys,
    Open,
    Operation,
    Orphan,
    Orphans,
    Page,
    Referrers,
    Release,
    Rollback,
    RollbackTo,
    Savepoint,
    Sleep,
    Sweep,
    Update,
)
from graven.ops.schema import Table

__all__ = ["MongoRequests"]

Performer = Callable[[Any], Calls[Any]]


class MongoRequests:
    """Performs requests; ``performers`` has the function for each type of request."""

    __slots__ = ("_dialect", "_statements", "_tables", "performers", "reading", "writing")

    def __init__(self, statements: MongoStatements, dialect: MongoDialect) -> None:
        """Perform on *statements*."""
        self._statements = statements
        self._dialect = dialect
        self.writing = MongoWriting(statements, dialect)
        self.reading = MongoReading(statements, dialect, self.writing.guards)
        self._tables = MongoTables(statements, dialect, self.writing.references)
        self.performers: Mapping[type[Operation[Any]], Performer] = {
            Apply: self._apply,
            Begin: self._begin,
            Commit: self._commit,
            Rollback: self._rollback,
            Savepoint: self._no_savepoint,
            Release: self._no_savepoint,
            RollbackTo: self._no_savepoint,
            Fetch: self._fetch,
            FetchKeys: self.reading.fetch_keys,
            Insert: self.writing.write,
            Update: self.writing.write,
            Delete: self.writing.write,
            Sweep: self.writing.write,
            Documents: self.reading.documents,
            Execute: self._execute,
            Inspect: self._tables.inspect,
            Create: self._tables.create,
            Open: self.reading.open,
            Page: self.reading.page,
            Close: self.reading.close,
            Sleep: self._sleep,
            MakeKeys: self.writing.make_keys,
            Referrers: self._referrers,
            Orphans: self._orphans,
        }

    def forget(self) -> None:
        """Know of nothing any more that belongs to a transaction."""
        self.reading.forget_streams()
        self.writing.references.forget()
        self.writing.guards.forget()

    # ── transactions ────────────────────────────────────────────────────────────────────────

    def _begin(self, request: Begin) -> Calls[None]:
        """Begin a transaction, but not for making tables: MongoDB makes them in none."""
        if not request.tables:
            if request.write and self._statements.store.is_transactional:
                yield from self._tables.make_ours()
            self._statements.begin(request.write, request.isolation)

    def _commit(self, _: Commit) -> Calls[None]:
        if self._statements.is_alive:
            yield from self.writing.references.check()
        yield from self._statements.commit()
        self.forget()

    def _rollback(self, _: Rollback) -> Calls[None]:
        yield from self._statements.rollback()
        self.forget()

    def _no_savepoint(self, request: Savepoint | Release | RollbackTo) -> Calls[None]:
        raise UsageError(
            "a part of a transaction was to be marked, so that it can be undone by itself: MongoDB "
            "undoes a transaction only as a whole. Nothing was done. Leave savepoint=True away, or "
            "commit the parts one by one."
        )

    def _apply(self, request: Apply) -> Calls[list[Any] | None]:
        return self.writing.apply(request.writes, request.exact)

    def _fetch(self, request: Fetch) -> Calls[Any]:
        return self.reading.fetch(request.select)

    def _execute(self, request: Execute) -> Calls[Any]:
        raise UsageError(
            f"cannot execute {request.statement:.100}: commands of MongoDB have no text. Nothing "
            "was sent. Ask with query(Model).from_filter({…}) or .from_pipeline([…]), and for "
            "everything else use PyMongo."
        )

    def _sleep(self, request: Sleep) -> Calls[None]:
        return self._statements.sleep(request.seconds)

    def _referrers(self, request: Referrers) -> Calls[list[Table]]:
        return self.writing.references.referrers([request.name])

    # ── tables ──────────────────────────────────────────────────────────────────────────────

    def _orphans(self, request: Orphans) -> Calls[list[Orphan]]:
        dialect = self._dialect
        found: list[Orphan] = []
        for table in request.tables:
            for reference in table.references:
                asked = dialect.orphans(table, reference, request.limit - len(found))
                documents = yield from self.reading.ask(asked)
                found += [dialect.orphan(table, reference, one) for one in documents]
                if len(found) >= request.limit:
                    return found
        return found
