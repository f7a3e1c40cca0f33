"""Requests performed on the store in memory, for one connection."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from time import perf_counter

from graven._hints import TYPE_CHECKING, Any
from graven.dialects.memory import MemoryDialect, no_statements
from graven.drivers.memory_select import answer
from graven.drivers.memory_tables import Definition, Row
from graven.drivers.memory_work import CATALOGUE, Work
from graven.errors import InvariantError, StoreError, UsageError
from graven.ops.requests import (
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
    Savepoint,
    Sweep,
    TableShape,
    Update,
)

if TYPE_CHECKING:
    from graven.drivers.observing import Observer
    from graven.stm.timeline import Timeline

__all__ = ["WRITES", "MemoryRequests"]

WRITES = frozenset({Insert, Update, Delete, Sweep, Create})
"""The requests that only who has the turn may perform."""


_PARTS = frozenset({Page, Close})
"""Parts of what was reported when it began."""


class MemoryRequests:
    """Performs requests; ``performers`` has the function for each type of request.

    ``work`` is the open transaction, ``None`` if there is none. Without one a request reads, or
    writes and commits, by itself.
    """

    __slots__ = (
        "_catalogue",
        "_dialect",
        "_observer",
        "_streams",
        "_timeline",
        "_work",
        "performers",
        "work",
    )

    def __init__(self, timeline: Timeline, dialect: MemoryDialect, observer: Observer) -> None:
        self._timeline, self._dialect, self._observer = timeline, dialect, observer
        self._catalogue = timeline.space(CATALOGUE)
        self._streams: dict[object, list[Row]] = {}
        self.work: Work | None = None
        self.performers: dict[type[Operation[Any]], Callable[[Any], Any]] = {
            Begin: self._begin,
            Commit: self._commit,
            Rollback: self._rollback,
            Savepoint: self._savepoint,
            Release: self._release,
            RollbackTo: self._rollback_to,
            Fetch: self._fetch,
            FetchKeys: self._fetch_keys,
            Insert: self._insert,
            Update: self._update,
            Delete: self._delete,
            Sweep: self._sweep,
            Execute: self._execute,
            Inspect: self._inspect,
            Create: self._create,
            Open: self._open,
            Page: self._page,
            Close: self._close,
            Orphans: self._orphans,
        }

    def perform(self, request: Operation[Any]) -> Any:
        """Perform one request, and report it."""
        performer = self.performers[type(request)]
        if self._observer.on_statement is None or type(request) in _PARTS:
            return performer(request)
        since = perf_counter()
        reply = performer(request)
        self._report(request, reply, perf_counter() - since)
        return reply

    def _report(self, request: Any, reply: Any, seconds: float) -> None:
        on_statement = self._observer.on_statement
        if on_statement is not None:
            sent = getattr(request, "rows", None) or getattr(request, "keys", None)
            found = self._streams.get(reply) if type(request) is Open else reply
            rows = found if type(found) is int else len(found or ()) or len(sent or ())
            on_statement(_text(request), rows, seconds, sent if self._observer.parameters else None)

    def alone(self, request: Operation[Any], work: Work) -> Any:
        """Perform one request that writes in a transaction of its own, and commit that."""
        self.work = work
        try:
            reply = self.perform(request)
            work.commit()
        finally:
            self.work = None
            work.end()
        return reply

    def at_once(self, request: Operation[Any]) -> int | None:
        """Update one row by itself, where only that row can refuse it; ``None`` where more can.

        Nobody has to wait for his turn for that.
        """
        if type(request) is not Update or len(request.rows) != 1 or self._observer.on_statement:
            return None
        timeline, name, (sent,) = self._timeline, request.table.name, request.rows
        known = self._catalogue.cells.get(name)
        if known is None:
            return None
        definition: Definition = known[0]
        change = definition.change(request.columns, request.guards)
        space, key = timeline.space(name), change.key_of(sent)
        cell = space.cells.get(key)
        if change.indexes or cell is None or change.guards_of(cell[0]) != change.expected_of(sent):
            return None
        definition.check_fits(request.columns, request.rows)
        new = change.new(cell[0], sent)
        if None in new and not definition.may_hold(new):
            return None
        return None if timeline.try_replace(space, key, new, cell) is None else 1

    def reset(self) -> None:
        """Undo what is open, and give up what is read page by page."""
        self._streams.clear()
        self._rollback(None)

    @property
    def is_clean(self) -> bool:
        """Whether nothing is open."""
        return self.work is None and not self._streams

    # ── transactions ────────────────────────────────────────────────────────────────────────

    def _begin(self, _: Begin) -> None:
        if self.work is None:
            self.work = Work(self._timeline)

    def _commit(self, _: Commit) -> None:
        if self.work is not None:
            self.work.commit()
            self.work = None

    def _rollback(self, _: Rollback | None) -> None:
        if self.work is not None:
            self.work.end()
            self.work = None

    def _savepoint(self, request: Savepoint) -> None:
        self._open_work().savepoint(request.name)

    def _release(self, request: Release) -> None:
        self._open_work().release(request.name)

    def _rollback_to(self, request: RollbackTo) -> None:
        self._open_work().rollback_to(request.name)

    def _open_work(self) -> Work:
        if self.work is None:
            raise InvariantError("a savepoint was asked for with no transaction: a bug in graven")
        return self.work

    def _reading(self) -> Work:
        return self.work or Work(self._timeline)

    def _writing(self, request: Any) -> tuple[Work, Definition]:
        work = self.work
        if work is None or work.turn is None:
            raise InvariantError("a write was performed out of turn: a bug in graven")
        return work, work.table(request.table.name, _VERBS[type(request)])

    # ── reading ─────────────────────────────────────────────────────────────────────────────

    def _fetch(self, request: Fetch) -> list[Row]:
        return answer(self._reading(), self._dialect, request.select)

    def _fetch_keys(self, request: FetchKeys) -> list[Row]:
        keys = request.keys
        known = self._catalogue.cells.get(request.table.name)
        if self.work is None and len(keys) == 1 and known is not None:
            definition: Definition = known[0]
            if request.by == definition.key and definition.kinds(request.by) is None:
                return self._fetch_one(definition, request.columns, keys[0])
        work = self._reading()
        definition = work.table(request.table.name, "select from")
        kinds = None if request.encoded else definition.kinds(request.by)
        if kinds is not None:
            encode = self._dialect.encode
            keys = [tuple(map(encode, kinds, key)) for key in keys]
        take = definition.take(request.columns)
        return [take(row) for row in work.find(definition, request.by, dict.fromkeys(keys))]

    def _fetch_one(self, definition: Definition, columns: tuple[str, ...], key: Row) -> list[Row]:
        """Return the row at a key as it is now; one row is always whole."""
        cells = self._timeline.space(definition.name).cells
        cell = cells.get(key[0] if len(key) == 1 else key)
        return [] if cell is None else [definition.take(columns)(cell[0])]

    def _open(self, request: Open) -> object:
        handle = object()
        self._streams[handle] = self._fetch(Fetch(request.select))[::-1]
        return handle

    def _page(self, request: Page) -> list[Row]:
        left = self._streams.get(request.handle)
        if left is None:
            raise UsageError(
                "a page was to be read from a stream that is closed; usually its block was left, "
                "or the connection was given back; open another"
            )
        page = left[: -request.size - 1 : -1]
        del left[-request.size :]
        return page

    def _close(self, request: Close) -> None:
        self._streams.pop(request.handle, None)

    # ── writing ─────────────────────────────────────────────────────────────────────────────

    def _insert(self, request: Insert) -> list[object]:
        work, definition = self._writing(request)
        rows: Sequence[Row] = request.rows
        columns = request.columns
        made: list[object] = []
        if definition.store_made:
            (key,) = definition.key
            if key in columns:
                at = columns.index(key)
                work.keep_above(definition, [row[at] for row in rows])
            else:
                made = [*work.make_keys(definition, len(rows))]
                columns = (*columns, key)
                rows = [(*row, number) for row, number in zip(rows, made, strict=True)]
        definition.check_fits(columns, rows)
        work.insert(definition, _whole(definition, columns, rows))
        return made

    def _update(self, request: Update) -> int:
        work, definition = self._writing(request)
        change = definition.change(request.columns, request.guards)
        definition.check_fits(request.columns, request.rows)
        matched = 0
        for sent in request.rows:
            key = change.key_of(sent)
            old = work.row(definition, key)
            if old is not None and change.guards_of(old) == change.expected_of(sent):
                work.replace(definition, key, old, change.new(old, sent), change.indexes)
                matched += 1
        return matched

    def _delete(self, request: Delete) -> int:
        work, definition = self._writing(request)
        change = definition.change((), request.guards)
        matched = 0
        for sent in request.rows:
            old = work.row(definition, change.key_of(sent))
            if old is not None and change.guards_of(old) == change.expected_of(sent):
                work.remove(definition, old)
                matched += 1
        return matched

    def _sweep(self, request: Sweep) -> int:
        work, definition = self._writing(request)
        rows = list(work.find(definition, request.by, dict.fromkeys(request.rows)))
        for row in rows:
            work.remove(definition, row)
        return len(rows)

    def _execute(self, request: Execute) -> Any:
        raise no_statements(request.statement)

    # ── tables ──────────────────────────────────────────────────────────────────────────────

    def _inspect(self, request: Inspect) -> TableShape | None:
        definition = self._reading().definition(request.name)
        return None if definition is None else definition.shape()

    def _create(self, request: Create) -> None:
        work, name = self.work, request.table.name
        if work is None or work.turn is None:
            raise InvariantError("a table was made out of turn: a bug in graven")
        if not request.whole:
            empty = (None,) * len(request.columns)
            definition = work.table(name, "change").completed(request)
            work.define(definition, lambda row: (*row, *empty))
        elif work.definition(name) is not None:
            raise StoreError(
                f"the store in memory was asked to make table {name}: it is there already; usually "
                "somebody else was first; call db.create() again"
            )
        else:
            work.define(Definition.of(request.table))

    def _orphans(self, request: Orphans) -> list[Orphan]:
        work = self._reading()
        found: list[Orphan] = []
        for table in request.tables:
            definition = work.definition(table.name)
            if definition is not None:
                found += work.orphans(definition, work.rows(definition))
        return found[: request.limit]


def _whole(definition: Definition, columns: tuple[str, ...], rows: Sequence[Row]) -> Sequence[Row]:
    """Return *rows* with a value for every column of the table, null where none is given."""
    if columns == definition.names:
        return rows
    given = {name: place for place, name in enumerate(columns)}
    take = itemgetter(*(given.get(name, len(columns)) for name in definition.names))
    if len(definition.names) == 1:
        return [(take(row),) for row in rows]
    return [take((*row, None)) for row in rows]


_VERBS: dict[type[Operation[Any]], str] = {
    Insert: "insert into",
    Update: "update",
    Delete: "delete from",
    Sweep: "delete from",
}


def _text(request: Any) -> str:
    """Return what is reported of a request: a verb, the table, the columns."""
    if isinstance(request, Fetch | Open):
        select = request.select
        shown = "count(*)" if select.count else ", ".join(select.columns)
        return f"select {shown} from {select.table.name}"
    if isinstance(request, FetchKeys):
        shown = ", ".join(request.columns)
        return f"select {shown} from {request.table.name} by {', '.join(request.by)}"
    verb = _VERBS.get(type(request))
    if verb is not None:
        return f"{verb} {request.table.name}"
    return type(request).__name__.lower()
