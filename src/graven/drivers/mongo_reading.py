"""Reads performed on one connection to MongoDB: finds, pipelines, locks, pages."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic

from graven._hints import Any
from graven.dialects.mongo import MongoDialect
from graven.dialects.mongo_commands import Aggregate, Document, Find
from graven.dialects.mongo_fields import key_of
from graven.drivers.mongo_calls import Call, Calls, find_options, found
from graven.drivers.mongo_errors import busy
from graven.drivers.mongo_guards import MongoGuards
from graven.drivers.mongo_statements import MongoStatements
from graven.drivers.mongo_tables import see_that_it_is_there
from graven.errors import UsageError
from graven.ops.conditions import Select
from graven.ops.requests import Close, Documents, FetchKeys, Open, Page, Row, SnapshotStale

__all__ = ["MongoReading"]


class MongoReading:
    """Performs what reads; what a serializable transaction reads is guarded until it commits."""

    __slots__ = ("_dialect", "_guards", "_statements", "_streams")

    def __init__(
        self, statements: MongoStatements, dialect: MongoDialect, guards: MongoGuards
    ) -> None:
        """Read with *statements*."""
        self._statements = statements
        self._dialect = dialect
        self._guards = guards
        self._streams: dict[object, tuple[Select, Any]] = {}

    def fetch(self, select: Select) -> Calls[list[Row]]:
        """Return the rows of a select; lock them, if that is asked for."""
        if select.lock is not None and select.lock != "skip_or_check":
            return (yield from self._fetch_locked(select))
        asked = self._dialect.fetch(select)
        documents = yield from self.ask(asked)
        yield from self._close(asked)
        return self._dialect.rows(select, documents)

    def fetch_keys(self, request: FetchKeys) -> Calls[list[Row]]:
        """Return the rows that hold one of the keys."""
        documents: list[Document] = []
        for find in self._dialect.fetch_keys(request):
            documents += yield from self.ask(find)
        if self._statements.is_serializable:
            yield from self._guard_keys(request, documents)
        return self._dialect.key_rows(request, documents)

    def _guard_keys(self, request: FetchKeys, documents: Sequence[Document]) -> Calls[None]:
        """Let what was found by its key stay; where something was not there, let nothing come."""
        table = request.table
        is_by_key = set(request.by) == set(table.key)
        if not is_by_key or len(documents) < len(set(request.keys)):
            yield from self._guards.close(table.name)
        elif documents:
            places = [request.by.index(name) for name in table.key]
            kinds = [table.column(name).kind for name in table.key]
            keys = [tuple(key[at] for at in places) for key in request.keys]
            if not request.encoded:
                keys = [tuple(map(self._dialect.encode, kinds, key)) for key in keys]
            yield from self._guards.keep(table.name, [key_of(table.key, key) for key in keys])

    def documents(self, request: Documents) -> Calls[tuple[list[Row], tuple[str, ...]]]:
        """Return the rows that answer a filter or pipeline of the caller's own."""
        table, columns = request.table, request.columns
        dialect = self._dialect
        ask_for = dialect.from_pipeline if request.is_pipeline else dialect.from_filter
        asked = ask_for(table, columns, request.given)
        documents = yield from self.ask(asked)
        yield from self._close(asked)
        return self._dialect.reader(table, columns).rows(documents), columns

    def _close(self, asked: Find | Aggregate) -> Calls[None]:
        """Let nothing come to what was asked for, where that has to hold."""
        if self._statements.is_serializable:
            for name in _collections(asked):
                yield from self._guards.close(name)

    def ask(self, asked: Find | Aggregate) -> Calls[list[Document]]:
        """Return the documents that answer a find or a pipeline."""
        yield from see_that_it_is_there(self._statements, [asked.collection])
        collection = self._statements.store.collection(asked.collection)
        text = f"{_VERBS[type(asked)]} {asked.collection}"
        if isinstance(asked, Find):
            call: Call = (found, (collection, asked), {})
            return (yield from self._statements.look(text, call, asked.filter))  # type: ignore[no-any-return]
        cursor = yield from self._cursor(asked)
        call = cursor.to_list, (), {}
        return (yield from self._statements.go_on(text, call))  # type: ignore[no-any-return]

    def _cursor(self, asked: Find | Aggregate) -> Calls[Any]:
        """Return a cursor over the documents that answer a find or a pipeline."""
        yield from see_that_it_is_there(self._statements, [asked.collection])
        collection = self._statements.store.collection(asked.collection)
        text = f"{_VERBS[type(asked)]} {asked.collection}"
        if isinstance(asked, Find):
            call: Call = (collection.find, (asked.filter, asked.projection), find_options(asked))
            return (yield from self._statements.look(text, call, asked.filter))
        call = collection.aggregate, (asked.pipeline,), {}
        return (yield from self._statements.look(text, call, asked.pipeline))

    # ── locks ───────────────────────────────────────────────────────────────────────────────

    def _fetch_locked(self, select: Select) -> Calls[list[Row]]:
        """Return rows that nobody else writes until the transaction ends: they are touched.

        Those that have them are waited for, unless something else was done in the transaction.
        """
        if select.lock == "skip_locked":
            raise UsageError(
                f"rows of {select.table.name} were to be locked, and those that others have locked "
                "left out: MongoDB undoes a transaction that meets what others have written, so it "
                "cannot leave anything out. Nothing was asked. Use for_update(nowait=True) for one "
                "row after the other, or change rows without a lock, which is checked."
            )
        statements = self._statements
        isolation, is_first = statements.isolation, statements.is_due
        until = monotonic() + (0 if select.lock == "nowait" else statements.busy_timeout_s)
        while True:
            statements.will_write()
            try:
                return (yield from self._touched(select))
            except SnapshotStale as stale:
                if not is_first:
                    raise
                if monotonic() >= until:
                    text = f"lock {select.table.name}"
                    raise busy(text, statements.busy_timeout_s) from stale.__cause__
                yield from statements.rollback()
                statements.begin(write=True, isolation=isolation)

    def _touched(self, select: Select) -> Calls[list[Row]]:
        """Return rows, and touch them."""
        table, columns = select.table, select.columns
        more = tuple(name for name in table.key if name not in columns)
        fields = {name: getattr(select, name) for name in Select.__match_args__}
        whole = Select(**{**fields, "columns": columns + more, "lock": None})
        rows: list[Row] = yield from self.fetch(whole)
        if rows:
            places = [whole.columns.index(name) for name in table.key]
            ids = [key_of(table.key, [row[at] for at in places]) for row in rows]
            yield from self._guards.keep(table.name, ids)
        return [row[: len(columns)] + row[len(whole.columns) :] for row in rows] if more else rows

    # ── pages ───────────────────────────────────────────────────────────────────────────────

    def open(self, request: Open) -> Calls[object]:
        """Begin to read page by page; the handle is the connection's."""
        handle = object()
        cursor = yield from self._cursor(self._dialect.fetch(request.select))
        self._streams[handle] = request.select, cursor
        return handle

    def page(self, request: Page) -> Calls[list[Row]]:
        """Return the next rows of a stream."""
        stream = self._streams.get(request.handle)
        if stream is None:
            raise UsageError(
                "a page was to be read from a stream that is closed; usually its block was left, "
                "or the connection was given back; open another"
            )
        select, cursor = stream
        call: Call = cursor.to_list, (request.size,), {}
        documents = yield from self._statements.go_on(f"getMore {select.table.name}", call)
        return self._dialect.rows(select, documents)

    def close(self, request: Close) -> Calls[None]:
        """Give up a stream."""
        stream = self._streams.pop(request.handle, None)
        if stream is not None:
            select, cursor = stream
            call: Call = cursor.close, (), {}
            yield from self._statements.go_on(f"killCursors {select.table.name}", call)

    def forget_streams(self) -> None:
        """Know of no cursor any more; PyMongo ends those that are dropped."""
        self._streams.clear()


_VERBS: dict[type, str] = {Find: "find", Aggregate: "aggregate"}


def _collections(asked: Find | Aggregate) -> list[str]:
    """Return the collections that an answer is made of."""
    names = [asked.collection]
    if isinstance(asked, Aggregate):
        names += [stage["$lookup"]["from"] for stage in asked.pipeline if "$lookup" in stage]
    return list(dict.fromkeys(names))
