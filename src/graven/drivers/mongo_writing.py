"""Writes performed on one connection to MongoDB: singly, in the open transaction, or all at once.

A write of one document needs no transaction: MongoDB does it wholly or not at all. It waits for a
transaction of others that has written the same document, as long as it may. Everything else goes
into a transaction, which conflicts at once, and is then begun again for as long as it may.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic

from pymongo import DeleteMany, DeleteOne, InsertOne, UpdateMany, UpdateOne

from graven._hints import Any
from graven.dialects.mongo import MongoDialect
from graven.dialects.mongo_commands import Deletes, Document, Inserts, Updates
from graven.dialects.mongo_references import TOUCH
from graven.drivers.mongo_calls import Call, Calls, found
from graven.drivers.mongo_errors import DUPLICATE_KEY, busy
from graven.drivers.mongo_guards import MongoGuards
from graven.drivers.mongo_references import MongoReferences
from graven.drivers.mongo_statements import MongoStatements
from graven.drivers.mongo_tables import see_that_it_is_there
from graven.errors import BusyRetry, StoreError
from graven.ops.requests import (
    Delete,
    FetchKeys,
    Insert,
    MakeKeys,
    Row,
    SnapshotStale,
    Sweep,
    Update,
    Write,
)
from graven.ops.value import Value

__all__ = ["MongoWriting"]

AT_ONCE_DOCUMENTS_MAX = 500
"""Up to here all writes of a commit go in one command; for more that is no gain."""

_VERBS = {Inserts: "insert", Updates: "update", Deletes: "delete"}

Asked = Inserts | Updates | Deletes


class _Prepared(Value):
    """A write, what is asked for it, the keys that the store makes for it, and those it inserts."""

    write: Write | Sweep
    asked: Asked
    made: Sequence[Any]
    keys: Sequence[Row]

    @property
    def size(self) -> int:
        """How many documents it is about, as far as is known."""
        return len(self.write.rows)

    @property
    def reply(self) -> list[Any] | int:
        """What a write that has found all its rows replies with."""
        return [*self.made] if isinstance(self.write, Insert) else len(self.write.rows)


class MongoWriting:
    """Performs what writes."""

    __slots__ = ("_dialect", "_statements", "guards", "references")

    def __init__(self, statements: MongoStatements, dialect: MongoDialect) -> None:
        """Write with *statements*."""
        self._statements = statements
        self._dialect = dialect
        self.references = MongoReferences(statements, dialect)
        self.guards = MongoGuards(statements)

    # ── one write ───────────────────────────────────────────────────────────────────────────

    def write(self, write: Write | Sweep) -> Calls[Any]:
        """Perform *write* in the open transaction, or in one of its own if it needs one."""
        if not write.rows:
            return [] if isinstance(write, Insert) else 0
        if self._statements.in_transaction:
            prepared = yield from self._prepare(write)
            return (yield from self._write_within(prepared))
        if not self._statements.store.is_transactional:
            return (yield from self._write_each(write))
        replies = yield from self._write_alone([write], [False])
        assert replies is not None
        return replies[0]

    def _write_within(self, prepared: _Prepared) -> Calls[Any]:
        """Write in the open transaction; references are checked when it commits."""
        write, table = prepared.write, prepared.write.table
        if isinstance(write, Sweep):
            yield from self._note_swept(write)
        else:
            self.references.note(write, prepared.keys)
        if self._statements.is_serializable:
            yield from self.guards.pass_by(table.name)
        count = yield from self._send(prepared.asked)
        return prepared.reply if isinstance(write, Insert) else count

    def _write_each(self, write: Write | Sweep) -> Calls[Any]:
        """Write one document after the other; the first error ends it."""
        prepared = yield from self._prepare(write)
        if prepared.size == 1 and not isinstance(write, Sweep):
            replies = yield from self._write_single(prepared, is_exact=False)
            return None if replies is None else replies[0]
        count = yield from self._send(prepared.asked)
        return prepared.reply if isinstance(write, Insert) else count

    def make_keys(self, request: MakeKeys) -> Calls[Sequence[object]]:
        """Take keys for rows that are written later."""
        rows: list[Row] = [()] * request.number
        return (yield from self._make_keys(Insert(request.table, (), rows)))

    def _note_swept(self, sweep: Sweep) -> Calls[None]:
        """Remember which rows go, if anybody may refer to them."""
        table = sweep.table
        if (yield from self.references.referrers([table.name])):
            request = FetchKeys(table, table.key, sweep.by, sweep.rows, encoded=True)
            for find in self._dialect.fetch_keys(request):
                collection = self._statements.store.collection(find.collection)
                call: Call = found, (collection, find), {}
                documents = yield from self._statements.look(f"find {table.name}", call)
                self.references.note(sweep, self._dialect.key_rows(request, documents))

    def _prepare(self, write: Write | Sweep) -> Calls[_Prepared]:
        """Compile *write*; take the keys that the store makes."""
        yield from see_that_it_is_there(self._statements, [write.table.name])
        dialect = self._dialect
        if isinstance(write, Insert):
            made = yield from self._make_keys(write)
            keys = [(key,) for key in made] or _columns_of(write.columns, write.table.key, write)
            return _Prepared(write, dialect.insert(write, made), made, keys)
        if isinstance(write, Update):
            first = len(write.columns)
            keys = [row[first : first + len(write.table.key)] for row in write.rows]
            return _Prepared(write, dialect.update(write), (), keys)
        if isinstance(write, Delete):
            size = len(write.table.key)
            return _Prepared(write, dialect.delete(write), (), [row[:size] for row in write.rows])
        return _Prepared(write, dialect.sweep(write), (), ())

    def _make_keys(self, insert: Insert) -> Calls[Sequence[int]]:
        """Take keys for rows that have none; for chosen ones, see that none is made again."""
        table = insert.table
        if not table.store_made:
            return ()
        (key,) = table.key
        is_chosen = key in insert.columns
        if is_chosen:
            at, rows = insert.columns.index(key), list[Any](insert.rows)
            asked = self._dialect.given_keys(table, max(row[at] for row in rows))
        else:
            asked = self._dialect.next_keys(table, len(insert.rows))
        last = yield from self._count_on(*asked)
        return () if is_chosen else range(last - len(insert.rows) + 1, last + 1)

    def _count_on(self, name: str, wanted: Document, update: Document) -> Calls[int]:
        """Return the last key after an update of the document that counts them.

        Where two make that document at the same time, one of them has to ask again.
        """
        take = self._statements.store.collection(name).find_one_and_update
        options: dict[str, Any] = {"upsert": True, "return_document": True}
        after = None
        while after is None:
            after = yield from self._statements.aside(
                f"findAndModify {name}", take, wanted, update, ignored=(DUPLICATE_KEY,), **options
            )
        return int(after["last"])

    def _send(self, asked: Asked) -> Calls[int]:
        """Send one write as a part of the open transaction; return how many rows it found."""
        collection = self._statements.store.collection(asked.collection)
        text = f"{_VERBS[type(asked)]} {asked.collection}"
        if isinstance(asked, Inserts):
            call: Call = collection.insert_many, (asked.documents,), {}
            yield from self._statements.write(text, call, asked.documents)
            return len(asked.documents)
        options = {"bypass_document_validation": True} if _is_unchecked(asked) else {}
        call = collection.bulk_write, (_models(asked, None),), options
        result = yield from self._statements.write(text, call, _parameters(asked))
        return int(result.deleted_count if isinstance(asked, Deletes) else result.matched_count)

    # ── several, or one by itself ───────────────────────────────────────────────────────────

    def apply(self, writes: Sequence[Write | Sweep], exact: Sequence[bool]) -> Calls[Any]:
        """Write all or nothing; ``None`` if something was refused, see :class:`Apply`."""
        try:
            return (yield from self._write_alone(writes, exact))
        except BusyRetry:
            raise
        except StoreError:
            return None

    def _write_alone(
        self, writes: Sequence[Write | Sweep], exact: Sequence[bool]
    ) -> Calls[list[Any] | None]:
        """Write in a transaction of its own, or in none if there is but one document."""
        prepared = yield from self._prepare_all(writes)
        if (yield from self._is_single(prepared)):
            return (yield from self._write_single(prepared[0], exact[0]))
        until = monotonic() + self._statements.busy_timeout_s
        while True:
            try:
                return (yield from self._write_together(prepared, exact))
            except SnapshotStale as stale:
                yield from self._statements.rollback()
                if monotonic() >= until:
                    text = f"write {', '.join(_names(prepared))}"
                    raise busy(text, self._statements.busy_timeout_s) from stale.__cause__
            except BaseException:
                yield from self._statements.rollback()
                raise
            finally:
                self.references.forget()

    def _prepare_all(self, writes: Sequence[Write | Sweep]) -> Calls[list[_Prepared]]:
        prepared: list[_Prepared] = []
        for write in writes:
            prepared += [(yield from self._prepare(write))]
        return prepared

    def _is_single(self, prepared: Sequence[_Prepared]) -> Calls[bool]:
        """Say whether a single command does it: one document, and no reference to look after."""
        if len(prepared) > 1 or prepared[0].size > 1:
            return False
        write = prepared[0].write
        if isinstance(write, Insert | Update):
            columns = {*write.columns}
            return columns.isdisjoint(
                name for one in write.table.references for name in one.columns
            )
        if isinstance(write, Sweep):
            return False
        return not (yield from self.references.referrers([write.table.name]))

    def _write_single(self, prepared: _Prepared, is_exact: bool) -> Calls[list[Any] | None]:
        asked, statements = prepared.asked, self._statements
        name = asked.collection
        body: dict[str, Any] = {_VERBS[type(asked)]: name}
        if isinstance(asked, Inserts):
            body["documents"] = asked.documents
        elif isinstance(asked, Updates):
            ((wanted, update),) = asked.updates
            body["updates"] = [{"q": wanted, "u": update}]
            if asked.unchecked:
                body["bypassDocumentValidation"] = True
        else:
            body["deletes"] = [{"q": asked.filters[0], "limit": 0 if asked.many else 1}]
        body["writeConcern"] = statements.store.write_concern.document
        body["maxTimeMS"] = max(1, round(statements.busy_timeout_s * 1000))
        text = f"{_VERBS[type(asked)]} {name}"
        command = statements.store.database.command
        call: Call = command, (body,), {"codec_options": self._dialect.options}
        reply = yield from statements.write(text, call, _parameters(asked))
        if isinstance(prepared.write, Insert):
            return [prepared.reply]
        return None if is_exact and reply["n"] != 1 else [reply["n"]]

    def _write_together(
        self, prepared: Sequence[_Prepared], exact: Sequence[bool]
    ) -> Calls[list[Any] | None]:
        statements = self._statements
        statements.begin(write=True)
        if self._goes_at_once(prepared):
            replies = yield from self._write_at_once(prepared)
        else:
            replies = []
            for one in prepared:
                replies.append((yield from self._write_within(one)))
        for one, reply, is_exact in zip(prepared, replies, exact, strict=True):
            if is_exact and reply != one.reply:
                yield from statements.rollback()
                return None
        yield from self.references.check()
        yield from statements.commit()
        return replies

    def _goes_at_once(self, prepared: Sequence[_Prepared]) -> bool:
        """Say whether one command can do all of it, and saves a round trip."""
        if not self._statements.store.has_bulk_write:
            return False
        if any(isinstance(one.write, Sweep) for one in prepared):
            return False
        has_targets = any(one.write.table.references for one in prepared)
        is_small = sum(one.size for one in prepared) <= AT_ONCE_DOCUMENTS_MAX
        return is_small and (len(prepared) > 1 or has_targets)

    def _write_at_once(self, prepared: Sequence[_Prepared]) -> Calls[list[Any]]:
        """Write everything by one command; what is referred to is touched first."""
        store = self._statements.store
        models: list[Any] = []
        for one in prepared:
            self.references.note(one.write, one.keys)
        targets = self.references.targets()
        for target in targets:
            namespace = f"{store.name}.{target.reference.table}"
            wanted = {"_id": {"$in": target.ids}}
            models.append(UpdateMany(wanted, TOUCH, namespace=namespace))
        for one in prepared:
            models += _models(one.asked, f"{store.name}.{one.asked.collection}")
        text = f"bulkWrite {', '.join(_names(prepared))}"
        call: Call = store.client.bulk_write, (models,), {"verbose_results": True}
        sent = [_parameters(one.asked) for one in prepared]
        result = yield from self._statements.write(text, call, sent)
        for at, target in enumerate(targets):
            if result.update_results[at].matched_count != len(target.keys):
                yield from self.references.refuse(target)
        return _replies(prepared, result, len(targets))


def _replies(prepared: Sequence[_Prepared], result: Any, at: int) -> list[Any]:
    """Return what each write replies with; the results of the first begin *at*."""
    replies: list[Any] = []
    for one in prepared:
        asked = one.asked
        if isinstance(asked, Inserts):
            replies.append(one.reply)
            at += len(asked.documents)
        elif isinstance(asked, Updates):
            every = range(at, at + len(asked.updates))
            replies.append(sum(result.update_results[n].matched_count for n in every))
            at += len(asked.updates)
        else:
            every = range(at, at + len(asked.filters))
            replies.append(sum(result.delete_results[n].deleted_count for n in every))
            at += len(asked.filters)
    return replies


def _models(asked: Asked, namespace: str | None) -> list[Any]:
    """Return what PyMongo takes in bulk."""
    if isinstance(asked, Inserts):
        return [InsertOne(document, namespace=namespace) for document in asked.documents]
    if isinstance(asked, Updates):
        return [UpdateOne(wanted, update, namespace=namespace) for wanted, update in asked.updates]
    kind = DeleteMany if asked.many else DeleteOne
    return [kind(wanted, namespace=namespace) for wanted in asked.filters]


def _is_unchecked(asked: Asked) -> bool:
    return isinstance(asked, Updates) and asked.unchecked


def _parameters(asked: Asked) -> Any:
    if isinstance(asked, Inserts):
        return asked.documents
    return asked.updates if isinstance(asked, Updates) else asked.filters


def _names(prepared: Sequence[_Prepared]) -> dict[str, None]:
    return dict.fromkeys(one.asked.collection for one in prepared)


def _columns_of(given: tuple[str, ...], wanted: tuple[str, ...], insert: Insert) -> list[Row]:
    """Return the values that rows of *insert* have in the columns *wanted*."""
    places = [given.index(name) for name in wanted]
    return [tuple(row[at] for at in places) for row in insert.rows]
