"""Requests performed on one connection to PostgreSQL: compiled, sent, replied to.

A performer is a generator that yields what to wait for; see :mod:`graven.drivers.postgres_wire`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count

from graven._hints import Any
from graven.dialects.postgres import PostgresDialect
from graven.drivers.postgres_statements import PostgresStatements
from graven.drivers.postgres_texts import Call
from graven.drivers.postgres_wire import Waits
from graven.errors import StoreError, UsageError
from graven.ops.requests import (
    Apply,
    Begin,
    Close,
    Commit,
    Create,
    Delete,
    Execute,
    Fetch,
    FetchKeys,
    Insert,
    Inspect,
    Open,
    Operation,
    Orphan,
    Orphans,
    Page,
    Release,
    Rollback,
    RollbackTo,
    Row,
    Savepoint,
    Sweep,
    TableShape,
    Update,
    Write,
)
from graven.ops.statements import only_reads, steers_transaction

__all__ = ["PostgresRequests"]

AT_ONCE_ROWS_MAX = 500
"""Up to here all writes of a commit go in one round trip; for more that is no gain."""

COPY_ROWS_MIN = 50
"""From here on ``copy`` is quicker than arrays, though it takes two round trips."""

Performer = Callable[[Any], Waits[Any]]


class PostgresRequests:
    """Performs requests; ``performers`` has the function for each type of request."""

    __slots__ = ("_dialect", "_owns_transaction", "_statements", "_streams", "performers")

    def __init__(self, statements: PostgresStatements, dialect: PostgresDialect) -> None:
        """Perform on *statements*."""
        self._statements = statements
        self._dialect = dialect
        self._streams: set[str] = set()
        self._owns_transaction = False
        self.performers: Mapping[type[Operation[Any]], Performer] = {
            Apply: self._apply,
            Begin: self._begin,
            Commit: self._commit,
            Rollback: self._rollback,
            Savepoint: self._savepoint,
            Release: self._release,
            RollbackTo: self._rollback_to,
            Fetch: self._fetch,
            FetchKeys: self._fetch_keys,
            Insert: self._insert,
            Update: self._write,
            Delete: self._write,
            Sweep: self._write,
            Execute: self._execute,
            Inspect: self._inspect,
            Create: self._create,
            Open: self._open,
            Page: self._page,
            Close: self._close,
            Orphans: self._orphans,
        }

    # ── transactions ────────────────────────────────────────────────────────────────────────

    def _begin(self, request: Begin) -> Waits[None]:
        self._statements.begin(request.write, request.isolation)
        if request.tables:
            yield from self._statements.read(self._dialect.lock_tables, (), False)

    def _commit(self, _: Commit) -> Waits[None]:
        return self._statements.commit()

    def _rollback(self, _: Rollback) -> Waits[None]:
        self._statements.rollback()
        yield from ()

    def _savepoint(self, request: Savepoint) -> Waits[None]:
        return self._statements.savepoint(request.name)

    def _release(self, request: Release) -> Waits[None]:
        return self._statements.release(request.name)

    def _rollback_to(self, request: RollbackTo) -> Waits[None]:
        return self._statements.rollback_to(request.name)

    # ── reading ─────────────────────────────────────────────────────────────────────────────

    def _fetch(self, request: Fetch) -> Waits[list[Row]]:
        if request.select.lock is not None:
            self._statements.will_write()
        return self._statements.read(*self._dialect.fetch(request.select))

    def _fetch_keys(self, request: FetchKeys) -> Waits[list[Row]]:
        statements = self._dialect.fetch_keys(request)
        if len(statements) == 1:
            text, parameters = statements[0]
            return self._statements.read(text, parameters)
        return self._fetch_all([Call(*statement, is_binary=True) for statement in statements])

    def _fetch_all(self, calls: list[Call]) -> Waits[list[Row]]:
        answers = yield from self._statements.look(calls)
        return [row for answer in answers for row in answer.rows]

    # ── writing ─────────────────────────────────────────────────────────────────────────────

    def _insert(self, request: Insert) -> Waits[list[object]]:
        if _is_copied(request):
            text, types = self._dialect.copy(request)
            yield from self._statements.copy(text, types, request.rows)
            return []
        (answer,) = yield from self._statements.write([Call(*self._dialect.write(request))])
        return [row[0] for row in answer.rows]

    def _write(self, request: Update | Delete | Sweep) -> Waits[int]:
        (answer,) = yield from self._statements.write([Call(*self._dialect.write(request))])
        return answer.count

    # ── whole commits ───────────────────────────────────────────────────────────────────────

    def _apply(self, request: Apply) -> Waits[list[Any] | None]:
        size = sum(len(write.rows) for write in request.writes)
        is_copy = len(request.writes) == 1 and _is_copied(request.writes[0])
        try:
            if size <= AT_ONCE_ROWS_MAX and not is_copy:
                return (yield from self._apply_at_once(request))
            return (yield from self._apply_in_steps(request))
        except StoreError:
            self._statements.rollback()
            return None

    def _apply_at_once(self, request: Apply) -> Waits[list[Any]]:
        calls = [
            self._exactly(write) if is_exact else Call(*self._dialect.write(write))
            for write, is_exact in zip(request.writes, request.exact, strict=True)
        ]
        send = self._statements.write if len(calls) == 1 else self._statements.write_all
        answers = yield from send(calls)
        return [
            [row[0] for row in answer.rows] if isinstance(write, Insert) else len(write.rows)
            for write, answer in zip(request.writes, answers, strict=True)
        ]

    def _exactly(self, write: Write | Sweep) -> Call:
        """Return a statement that fails if it matches fewer rows than it has."""
        text, parameters = self._dialect.write(write)
        text = f"with w as ({text} returning 1) select 1 / (count(*) = %s)::int from w"
        return Call(text, [*parameters, len(write.rows)])

    def _apply_in_steps(self, request: Apply) -> Waits[list[Any] | None]:
        statements = self._statements
        if len(request.writes) > 1 or any(request.exact):
            statements.begin(write=True, isolation="optimistic")
        replies: list[Any] = []
        for write, is_exact in zip(request.writes, request.exact, strict=True):
            replies.append((yield from self.performers[type(write)](write)))
            if is_exact and replies[-1] != len(write.rows):
                statements.rollback()
                return None
        yield from statements.commit()
        return replies

    def _execute(self, request: Execute) -> Waits[tuple[list[Row], tuple[str, ...]]]:
        if steers_transaction(request.statement):
            raise UsageError(
                f"cannot execute {request.statement:.100}: transactions begin and end with their "
                "block, and after a commit behind its back the rest of it would be written bit by "
                "bit. Nothing was sent. Use `with db.transaction()`, and its rollback()."
            )
        given = self._dialect.parameters(request.parameters)
        call = Call(request.statement, given, is_typed=True)
        writes = not only_reads(request.statement)
        answer = yield from self._statements.execute(call, writes)
        return answer.rows, answer.columns

    # ── pages ───────────────────────────────────────────────────────────────────────────────

    def _open(self, request: Open) -> Waits[object]:
        """Declare a cursor, in a transaction of its own if none is open, and return its name."""
        statements = self._statements
        name = next(f"graven_{n}" for n in count() if f"graven_{n}" not in self._streams)
        text, parameters = self._dialect.fetch(request.select)
        if not statements.in_transaction:
            statements.begin(write=False, isolation="optimistic")
            self._owns_transaction = True
        declare = f"declare {name} no scroll cursor for {text}"
        yield from statements.look([Call(declare, parameters)])
        self._streams.add(name)
        return name

    def _page(self, request: Page) -> Waits[list[Row]]:
        if request.handle not in self._streams:
            raise UsageError(
                "a page was to be read from a stream that is closed; usually its block was left, "
                "or the connection was given back; open another"
            )
        text = f"fetch forward {request.size:d} from {request.handle}"
        return (yield from self._statements.read(text))

    def _close(self, request: Close) -> Waits[None]:
        if request.handle not in self._streams:
            return
        self._streams.discard(str(request.handle))
        if self._owns_transaction and not self._streams:
            self._owns_transaction = False
            self._statements.rollback()
        elif self._statements.in_transaction:
            yield from self._statements.look([Call(f"close {request.handle}")])

    def forget_streams(self) -> None:
        """Know of no cursor any more; the transaction that held them has ended."""
        self._streams.clear()
        self._owns_transaction = False

    # ── tables ──────────────────────────────────────────────────────────────────────────────

    def _inspect(self, request: Inspect) -> Waits[TableShape | None]:
        dialect, name = self._dialect, (request.name,)
        texts = (dialect.columns_text, dialect.indexes_text, dialect.choices_text)
        answers = yield from self._statements.look([Call(text, name) for text in texts])
        return dialect.shape(*(answer.rows for answer in answers))

    def _create(self, request: Create) -> Waits[None]:
        calls = [Call(text) for text in self._dialect.create(request)]
        if calls:
            yield from self._statements.write(calls)

    def _orphans(self, request: Orphans) -> Waits[list[Orphan]]:
        dialect = self._dialect
        found: list[Orphan] = []
        for table in request.tables:
            for reference in table.references:
                statement = dialect.orphans(table, reference, request.limit - len(found))
                for row in (yield from self._statements.read(*statement)):
                    key = dialect.decoded(table, table.key, row)
                    missing = dialect.decoded(table, reference.columns, row[len(key) :])
                    found.append(
                        Orphan(table.name, key, reference.columns, reference.table, missing)
                    )
        return found


def _is_copied(request: Write | Sweep) -> bool:
    """Say whether *request* goes by ``copy``, which tells no keys."""
    if not isinstance(request, Insert) or len(request.rows) < COPY_ROWS_MIN:
        return False
    table = request.table
    return not table.store_made or table.key[0] in request.columns
