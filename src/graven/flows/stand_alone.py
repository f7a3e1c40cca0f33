"""What flows ask, on a store that has no transactions and changes one document at a time.

Each request of a flow for such a store is given to :class:`StandAlone`, which asks in its place: a
write of one document is guarded against marks too, several are written as a set, and what is read
is read with its marks. The right to write, and then step by step, is what a commit asks for when it
was refused and wants to know why: it is *rehearsed*. Its writes are compared with what is there as
they come, collected, and at its commit written as a set.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from graven._hints import Any
from graven.errors import UniqueError, UsageError
from graven.flows.rehearsal import Rehearsal, with_keys
from graven.flows.writeset import write_whole
from graven.flows.writeset_members import Members, Refused, keys_of
from graven.flows.writeset_reading import fetch, fetch_keys, settled, with_mark
from graven.flows.writeset_resolving import recover_write_sets, resolve
from graven.flows.writeset_world import Patience, World
from graven.ops.conditions import Select
from graven.ops.requests import (
    Apply,
    Begin,
    Close,
    Commit,
    Delete,
    Documents,
    Fetch,
    FetchKeys,
    Flow,
    Insert,
    Open,
    Operation,
    Page,
    Rollback,
    Sweep,
    Update,
)
from graven.ops.schema import Table
from graven.ops.writesets import MARK, Recovered, RecoverWriteSets, guarded, marked, marks_of

__all__ = ["StandAlone", "no_transactions"]

Row = tuple[Any, ...]


def no_transactions(attempted: str) -> UsageError:
    """Return the error for what cannot be had of such a store."""
    return UsageError(
        f"cannot {attempted}: the MongoDB server stands alone, and only members of a replica set "
        "have transactions. Nothing was sent. Start it as a replica set of one member (mongod "
        "--replSet rs0, then rs.initiate() once); or do without: a commit of a session with "
        'isolation="optimistic", of any number of objects, is whole here too, by graven\'s own '
        "log; so db.transaction(), session.flush(), locks, savepoints and the isolations "
        '"snapshot" and "serializable", which db.attempts() and db.run() take unless told '
        "otherwise, are all that is missing."
    )


class StandAlone:
    """One connection to such a store."""

    def __init__(self, world: World) -> None:
        """Begin with nothing rehearsed."""
        self._world = world
        self._streams: dict[object, tuple[Table, tuple[str, ...]]] = {}
        self._rehearsal: Rehearsal | None = None
        self._performers: dict[type[Operation[Any]], Callable[[Any], Flow[Any]]] = {
            Fetch: self._fetch,
            FetchKeys: self._fetch_keys,
            Insert: self._write,
            Update: self._write,
            Delete: self._write,
            Sweep: self._write,
            Apply: self._apply,
            Begin: self._begin,
            Commit: self._commit,
            Rollback: self._rollback,
            Documents: self._documents,
            Open: self._open,
            Page: self._page,
            Close: self._close,
            RecoverWriteSets: self._recover,
        }

    def perform(self, request: Operation[Any]) -> Flow[Any]:
        """Reply to *request*; what has to do with no document is asked as it is."""
        performer = self._performers.get(type(request))
        return iter(request) if performer is None else performer(request)

    def end(self) -> bool:
        """Forget what was rehearsed; say whether something was."""
        was_open = self._rehearsal is not None
        self._rehearsal = None
        return was_open

    # ── transactions ────────────────────────────────────────────────────────────────────────

    def _begin(self, request: Begin) -> Flow[None]:
        if not request.write:
            raise no_transactions("read from one point of the store")
        if not request.tables:  # each step of making tables may be taken again
            self._rehearsal = Rehearsal(self._world, request.isolation == "serializable")
        yield from ()

    def _commit(self, _: Commit) -> Flow[None]:
        rehearsal, self._rehearsal = self._rehearsal, None
        if rehearsal is not None:
            yield from rehearsal.commit()

    def _rollback(self, _: Rollback) -> Flow[None]:
        self.end()
        yield from ()

    # ── reading ─────────────────────────────────────────────────────────────────────────────

    def _fetch(self, request: Fetch) -> Flow[list[Row]]:
        if self._rehearsal is not None:
            return self._fetch_rehearsed(request.select)
        if request.select.lock is not None:
            raise no_transactions("lock rows")
        return fetch(request.select, self._world)

    def _fetch_rehearsed(self, select: Select) -> Flow[list[Row]]:
        if select.lock is not None and self._rehearsal is not None:
            return self._rehearsal.fetch_locked(select)
        if self._rehearsal is not None and self._rehearsal.keeps:
            raise no_transactions("keep the answer of a query until the commit")
        return fetch(select, self._world)

    def _fetch_keys(self, request: FetchKeys) -> Flow[list[Row]]:
        if self._rehearsal is not None:
            return self._rehearsal.fetch_keys(request)
        return fetch_keys(request, self._world)

    def _documents(self, request: Documents) -> Flow[tuple[list[Row], tuple[str, ...]]]:
        """Ask with a filter of the caller's own, which finds documents as they are stored."""
        table, columns = request.table, request.columns
        shown = (*columns, *table.key, MARK)
        asked = Documents(marked(table), shown, request.given, request.is_pipeline)
        rows, names = yield from asked
        return (yield from settled(table, columns, rows, self._world)), names[: len(columns)]

    def _open(self, request: Open) -> Flow[object]:
        select = request.select
        handle = yield from Open(with_mark(select, select.table.key, widened=False))
        self._streams[handle] = select.table, select.columns
        return handle

    def _page(self, request: Page) -> Flow[list[Row]]:
        rows = yield from request
        stream = self._streams.get(request.handle)
        return rows if stream is None else (yield from settled(*stream, rows, self._world))

    def _close(self, request: Close) -> Flow[None]:
        self._streams.pop(request.handle, None)
        yield from request

    def _recover(self, request: RecoverWriteSets) -> Flow[Recovered]:
        return recover_write_sets(self._world, request.tables)

    # ── writing ─────────────────────────────────────────────────────────────────────────────

    def _apply(self, request: Apply) -> Flow[list[Any] | None]:
        writes, replies = [], []
        for write in request.writes:
            drawn, keys = yield from with_keys(write)
            writes.append(drawn)
            replies.append(keys if isinstance(write, Insert) else len(write.rows))
        try:
            if not (yield from self._write_all(writes, request.exact)):
                return None
        except Refused:
            return None
        return replies

    def _write_all(self, writes: Sequence[Any], exact: Sequence[bool]) -> Flow[bool]:
        """Write all of *writes* or nothing; say whether they fit together."""
        members = Members()
        for write, is_exact in zip(writes, exact, strict=True):
            if isinstance(write, Sweep):
                table = write.table
                found = FetchKeys(table, table.key, write.by, write.rows, True)
                members.sweep(write, (yield from fetch_keys(found, self._world)))
            else:
                try:
                    matched = members.add(write, is_exact)
                except UniqueError:
                    return False
                if is_exact and matched < len(write.rows):
                    return False
        yield from write_whole(members, self._world)
        return True

    def _write(self, request: Any) -> Flow[Any]:
        if self._rehearsal is not None:
            return self._rehearsal.write(request)
        if isinstance(request, Sweep) or len(request.rows) != 1:
            return self._write_several(request)
        return self._write_one(request)

    def _write_several(self, request: Any) -> Flow[Any]:
        replies = yield from self._apply(Apply([request], [False]))
        return 0 if replies is None else replies[0]

    def _write_one(self, request: Insert | Update | Delete) -> Flow[Any]:
        """Write one document, when no set has a mark on it any more."""
        write = _unmarked(request)
        patience = Patience(self._world, "write")
        while True:
            try:
                reply: Any = yield from write
            except UniqueError as error:
                names = error.columns or ()
                if not (yield from self._is_in_the_way(request, names, patience)):
                    raise
            else:
                if isinstance(request, Insert) or reply:
                    return reply
                if not (yield from self._is_in_the_way(request, (), patience)):
                    return reply

    def _is_in_the_way(
        self, request: Insert | Update | Delete, names: tuple[str, ...], patience: Patience
    ) -> Flow[bool]:
        """Say whether a mark may have kept the document from being written; wait for its set.

        It is that of the document itself, or, if *names* are those of columns in which a value is
        taken, that of the one that has it.
        """
        (row,), guards = request.rows, tuple[str, ...]()
        if names or isinstance(request, Insert):
            columns = getattr(request, "columns", ())
            if not names or not set(names) <= set(columns):
                return False
            by, key = names, tuple(row[columns.index(name)] for name in names)
        else:
            by, guards, (key,) = request.table.key, request.guards, keys_of(request)
        asked = FetchKeys(marked(request.table), (MARK, *guards), by, [key], True)
        rows = yield from asked
        marks = marks_of(found[0] for found in rows)
        if not marks:
            expected = row[len(row) - len(guards) :]
            has_ended = not names and any(found[1:] == expected for found in rows)
            yield from patience.wait(False)
            return has_ended
        live = yield from resolve(asked.table, marks, self._world)
        yield from patience.wait(bool(live))
        return True


def _unmarked(request: Insert | Update | Delete) -> Insert | Update | Delete:
    """Return the write that a document without a mark gets, and no other."""
    table = guarded(request.table)
    if isinstance(request, Insert):
        return Insert(table, request.columns, request.rows, request.ordinals)
    rows = [(*row, None) for row in request.rows]
    guards = (*request.guards, MARK)
    if isinstance(request, Delete):
        return Delete(table, guards, rows)
    return Update(table, request.columns, guards, rows)
