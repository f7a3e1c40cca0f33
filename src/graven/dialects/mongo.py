"""MongoDB: requests as documents, and documents as rows.

The dialect says *what* to ask, as values of :mod:`graven.dialects.mongo_commands`; a driver asks,
and gives the documents that come back to :meth:`MongoDialect.rows`.

===============  ==============================================================================
request          what is asked
===============  ==============================================================================
``Fetch``        one ``Find`` or ``Aggregate``; the reply is ``rows(select, documents)``
``FetchKeys``    several ``Find``; the reply is ``key_rows(request, documents)`` of all of them
``Insert``       ``Inserts``; where the store makes the key, keys are taken beforehand by
                 ``next_keys`` and given to ``insert``
``Update``       ``Updates``, one for each row; the reply is how many were matched
``Delete``       ``Deletes``; the reply is how many were deleted
``Sweep``        ``Deletes`` of many; the reply is how many were deleted
``Create``       ``Command``, in order, outside of any transaction; a reply may tell of
                 ``writeErrors``
``Inspect``      ``shape`` of what ``listCollections`` and ``listIndexes`` say
``Orphans``      one ``Aggregate`` for each reference; each document is ``orphan``
===============  ==============================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from graven._hints import TYPE_CHECKING, Any
from graven.dialects.base import Codec, Dialect
from graven.dialects.mongo_codec import COLUMN_ENCODERS, DECODERS, ENCODERS, OPTIONS
from graven.dialects.mongo_commands import (
    OWN,
    SEQUENCES,
    Aggregate,
    Command,
    Deletes,
    Document,
    Find,
    Inserts,
    Updates,
)
from graven.dialects.mongo_fields import KEY, field_of, filter_of_key, key_of
from graven.dialects.mongo_json import from_text
from graven.dialects.mongo_rows import Reader
from graven.dialects.mongo_select import COUNT, DOUBTFUL, compile_select, looked_up, projection_of
from graven.dialects.mongo_sizes import check_sizes
from graven.dialects.mongo_tables import create, shape
from graven.dialects.mongo_writesets import changes_of
from graven.errors import GravenError, QueryError
from graven.ops.requests import Orphan, Row, TableShape
from graven.ops.writesets import MARK

if TYPE_CHECKING:
    from graven.ops.conditions import Select
    from graven.ops.requests import Create, Delete, FetchKeys, Insert, Sweep, Update
    from graven.ops.schema import Reference, Table

__all__ = ["MongoDialect"]

KEYS_PER_FIND = 10_000
"""How many values one ``$in`` has at most."""

ALTERNATIVES_PER_FIND = 500
"""How many branches one ``$or`` has at most."""

MakeUpdate = Callable[[Row], tuple[Document, Document]]


class MongoDialect(Dialect):
    """Compiles requests into documents; ``options`` are the codec options of the client."""

    encoders: Mapping[str, Codec | None] = ENCODERS
    decoders: Mapping[str, Codec | None] = DECODERS
    column_encoders: Mapping[str, Callable[[list[Any]], list[Any] | None]] = COLUMN_ENCODERS
    options = OPTIONS
    applies = True
    savepoints = False
    undoes_tables = False
    has_documents = True

    def __init__(self) -> None:
        """Begin with nothing compiled."""
        self._readers: dict[tuple[object, ...], Reader] = {}
        self._updates: dict[tuple[object, ...], MakeUpdate] = {}
        self._finds: dict[tuple[object, ...], tuple[list[str], Document]] = {}
        self._keys: dict[str, tuple[str, ...]] = {}

    def translate(self, error: Exception, statement: str) -> GravenError | None:
        """Return our error for *error* at *statement*; ``None`` if it is not the store's."""
        from graven.dialects.mongo_errors import translate

        return translate(error, statement, self._keys)

    # ── reading ─────────────────────────────────────────────────────────────────────────────

    def fetch(self, select: Select) -> Find | Aggregate:
        """Return what answers *select*."""
        return compile_select(select, self.encode)

    def rows(self, select: Select, documents: Iterable[Document]) -> list[Row]:
        """Return the rows of *select* that the *documents* of its answer tell."""
        if select.count:
            return [(sum(one[COUNT] for one in documents),)]
        extra = None if select.doubtful is None else DOUBTFUL
        return self.reader(select.table, select.columns, extra).rows(documents)

    def reader(self, table: Table, columns: tuple[str, ...], extra: str | None = None) -> Reader:
        """Return what makes rows of *columns*, and of one *extra* field, of documents."""
        shape = table, columns, extra
        found = self._readers.get(shape)
        if found is None:
            found = self._readers[shape] = Reader(table, columns, extra)
        return found

    def fetch_keys(self, request: FetchKeys) -> list[Find]:
        """Return the finds that together answer *request*; a key with null in it finds nothing."""
        table, by, keys = request.table, request.by, request.keys
        shape = table, request.columns, by
        kinds, shown = self._finds.get(shape) or self._find_shape(*shape)
        if kinds and not request.encoded:
            keys = [tuple(map(self.encode, kinds, key)) for key in keys]
        filters = self.holding(table, by, [key for key in keys if None not in key])
        if request.also is not None and filters:
            filters[0] = {"$or": [filters[0], {request.also: {"$gt": ""}}]}
        return [Find(table.name, one, shown) for one in filters]

    def _find_shape(
        self, table: Table, columns: tuple[str, ...], by: tuple[str, ...]
    ) -> tuple[list[str], Document]:
        """Return the kinds of a key, none if all stay as they are, and what is fetched."""
        kinds = [table.column(name).kind for name in by]
        needed = kinds if any(self.encoders[kind] for kind in kinds) else []
        found = self._finds[table, columns, by] = needed, projection_of(table, columns)
        return found

    def key_rows(self, request: FetchKeys, documents: Iterable[Document]) -> list[Row]:
        """Return the rows of *request* that the *documents* of its answers tell."""
        return self.reader(request.table, request.columns).rows(documents)

    def holding(self, table: Table, by: tuple[str, ...], keys: Sequence[Row]) -> list[Document]:
        """Return filters that together are passed by the documents that hold one of *keys*.

        Keys are in store form, a value for each column of *by*.
        """
        fields = [field_of(table, name) for name in by]
        if len(fields) == 1:
            return _among(fields[0], [key[0] for key in keys])
        if set(by) != set(table.key):
            return _alternatives(fields, keys)
        places = [by.index(name) for name in table.key]
        return _among(KEY, [key_of(table.key, [key[at] for at in places]) for key in keys])

    # ── writing ─────────────────────────────────────────────────────────────────────────────

    def insert(self, request: Insert, keys: Sequence[int] = ()) -> Inserts:
        """Return the documents of *request*; *keys* are the keys that the store makes, in order."""
        table, columns, rows = request.table, request.columns, request.rows
        self._keys[table.name] = table.key
        if table.store_made and table.key[0] not in columns:
            columns = (*table.key, *columns)
            rows = [(key, *row) for key, row in zip(keys, rows, strict=True)]
        names = [KEY if len(table.key) == 1 and n in table.key else n for n in columns]
        texts = [name for name in columns if table.column(name).kind == "json"]
        documents = [dict(zip(names, row, strict=True)) for row in rows]
        for document in documents if texts or len(table.key) > 1 else ():
            for name in texts:
                document[name] = _kept(document[name])
            if len(table.key) > 1:
                key = {name: document.pop(name) for name in table.key}
                document[KEY] = key
        check_sizes(table, columns, rows, documents)
        return Inserts(table.name, documents)

    def update(self, request: Update) -> Updates:
        """Return an update for each row of *request*; the version goes up by one in it."""
        shape = request.table, request.columns, request.guards
        make = self._updates.get(shape)
        if make is None:
            make = self._updates[shape] = _updater(*shape)
        updates = [make(row) for row in request.rows]
        changes = [change["$set"] for _, change in updates if "$set" in change]
        check_sizes(request.table, request.columns, request.rows, changes)
        return Updates(request.table.name, updates, MARK in request.columns)

    def delete(self, request: Delete) -> Deletes:
        """Return what deletes the rows of *request*: singly, or, without guards, many at once."""
        table, guards, rows = request.table, request.guards, request.rows
        size = len(table.key)
        if not guards and len(rows) > 1:
            keys = [key_of(table.key, row[:size]) for row in rows]
            return Deletes(table.name, _among(KEY, keys), many=True)
        guarded = _guard(table, guards)
        filters = [guarded(key_of(table.key, row[:size]), row[size:]) for row in rows]
        return Deletes(table.name, filters)

    def sweep(self, request: Sweep) -> Deletes:
        """Return what deletes every row that holds one of those of *request*."""
        filters = self.holding(request.table, request.by, request.rows)
        return Deletes(request.table.name, filters, many=True)

    def next_keys(self, table: Table, count: int) -> tuple[str, Document, Document]:
        """Return collection, filter and update that take *count* keys of *table*.

        The update upserts; ``last`` of the document after it is the last of these keys.
        """
        return SEQUENCES, filter_of_key(table.name), {"$inc": {"last": count}}

    def given_keys(self, table: Table, last: int) -> tuple[str, Document, Document]:
        """Return collection, filter and update, which upserts, after which keys follow *last*."""
        return SEQUENCES, filter_of_key(table.name), {"$max": {"last": last}}

    # ── tables ──────────────────────────────────────────────────────────────────────────────

    def create(self, request: Create) -> list[Command]:
        """Return the commands that make what *request* asks for, in order."""
        return create(request)

    def shape(self, collection: Document | None, indexes: Iterable[Document]) -> TableShape | None:
        """Return the shape that ``listCollections`` and ``listIndexes`` tell, or ``None``."""
        return shape(collection, indexes)

    # ── what leads nowhere ──────────────────────────────────────────────────────────────────

    def orphans(self, table: Table, reference: Reference, limit: int) -> Aggregate:
        """Return the pipeline for rows of *table* that refer to no row; see :meth:`orphan`."""
        fields = [field_of(table, name) for name in reference.columns]
        alias = f"{OWN}_target"
        stages: list[Document] = [{"$match": {"$and": [{f: {"$ne": None}} for f in fields]}}]
        local = fields[0]
        if len(fields) > 1:
            parts = zip(reference.target, fields, strict=True)
            stages.append({"$set": {alias: {name: f"${field}" for name, field in parts}}})
            local = alias
        stages += [
            looked_up(reference.table, local, alias)[0],
            {"$match": {alias: {"$size": 0}}},
            {"$sort": {KEY: 1}},
            {"$limit": limit},
            {"$project": projection_of(table, (*table.key, *reference.columns))},
        ]
        return Aggregate(table.name, stages)

    def orphan(self, table: Table, reference: Reference, document: Document) -> Orphan:
        """Return the orphan that a document of :meth:`orphans` tells."""
        columns = (*table.key, *reference.columns)
        (row,) = self.reader(table, columns).rows([document])
        found = self.decoded(table, columns, row)
        size = len(table.key)
        return Orphan(table.name, found[:size], reference.columns, reference.table, found[size:])

    def decoded(self, table: Table, columns: tuple[str, ...], row: Row) -> Row:
        """Return the values of *columns* in Python form."""
        decoders = [self.decoders[table.column(name).kind] for name in columns]
        return tuple(
            decode(value) if decode is not None and value is not None else value
            for decode, value in zip(decoders, row, strict=True)
        )

    # ── the caller's own filters ────────────────────────────────────────────────────────────

    def from_filter(self, table: Table, columns: tuple[str, ...], given: object) -> Find:
        """Return the find of a filter of the caller's own, which is sent as it is."""
        if not isinstance(given, dict) or not all(isinstance(name, str) for name in given):
            raise _no_query("a filter is a dictionary of fields and operators", given)
        return Find(table.name, given, projection_of(table, columns))

    def from_pipeline(self, table: Table, columns: tuple[str, ...], given: object) -> Aggregate:
        """Return a pipeline of the caller's own, which is sent as it is, cut to *columns*."""
        stages: list[Any] = list(given) if isinstance(given, list | tuple) else [None]
        if not all(isinstance(stage, dict) and len(stage) == 1 for stage in stages):
            raise _no_query("a pipeline is a list of stages, each {operator: …}", given)
        if any(name in ("$out", "$merge") for stage in stages for name in stage):
            raise _no_query("a pipeline of a query only reads, so it has no $out or $merge", given)
        return Aggregate(table.name, [*stages, {"$project": projection_of(table, columns)}])


def _no_query(why: str, given: object) -> QueryError:
    return QueryError(
        f"cannot ask MongoDB {given!r:.100}: {why}. Nothing was sent. Names of fields are those of "
        "the store: a reference's ends in _id, the key's is _id."
    )


def _among(field: str, values: Sequence[Any]) -> list[Document]:
    """Return filters for documents whose *field* is one of *values*."""
    if len(values) == 1:
        return [{field: {"$eq": values[0]}}]
    size = KEYS_PER_FIND
    pages = (values[at : at + size] for at in range(0, len(values), size))
    return [{field: {"$in": list(page)}} for page in pages]


def _alternatives(fields: list[str], keys: Sequence[Row]) -> list[Document]:
    """Return filters for documents whose *fields* hold one of *keys*."""
    branches = [
        {name: {"$eq": value} for name, value in zip(fields, key, strict=True)} for key in keys
    ]
    size = ALTERNATIVES_PER_FIND
    return [{"$or": branches[at : at + size]} for at in range(0, len(branches), size)]


def _kept(text: Any) -> Any:
    return None if text is None else from_text(text)


def _guard(table: Table, guards: tuple[str, ...]) -> Callable[[Any, Sequence[Any]], Document]:
    """Return what makes the filter of a key and of what the *guards* must still hold."""
    texts = frozenset(name for name in guards if table.column(name).kind == "json")
    fields = [field_of(table, name) for name in guards if name not in texts]

    def plain(key: Any, expected: Sequence[Any]) -> Document:
        found: Document = {KEY: {"$eq": key}}
        for field, value in zip(fields, expected, strict=True):
            found[field] = {"$eq": value}
        return found

    def with_texts(key: Any, expected: Sequence[Any]) -> Document:
        held = dict(zip(guards, expected, strict=True))
        found = plain(key, [value for name, value in held.items() if name not in texts])
        same = [
            {"$eq": [{"$ifNull": [f"${name}", None]}, {"$literal": _kept(held[name])}]}
            for name in guards
            if name in texts
        ]
        return {**found, "$expr": {"$and": same}}

    return with_texts if texts else plain


def _updater(table: Table, columns: tuple[str, ...], guards: tuple[str, ...]) -> MakeUpdate:
    """Return what makes filter and update of one row."""
    fields = [field_of(table, name) for name in columns]
    texts = [at for at, name in enumerate(columns) if table.column(name).kind == "json"]
    size, key_end = len(columns), len(columns) + len(table.key)
    guarded = _guard(table, guards)
    bumped = table.version is not None and table.version not in columns
    inc = {"$inc": {table.version: 1}} if bumped else {}
    is_marked = MARK in columns

    def make(row: Row) -> tuple[Document, Document]:
        values = list(row[:size])
        for at in texts:
            values[at] = _kept(values[at])
        key = key_of(table.key, row[size:key_end])
        if is_marked:
            return guarded(key, row[key_end:]), changes_of(fields, values)
        changes = {"$set": dict(zip(fields, values, strict=True)), **inc} if fields else inc
        return guarded(key, row[key_end:]), changes

    return make
