"""Many documents, one decision: how a commit is made whole on a store without transactions.

A set is *prepared*: its entry is logged, and each of its documents marked, guarded by what it must
still be. Then it is *decided*, by one change of state of the entry. Then it is *applied*: each
document gets its new values and loses its mark. At last its entry is deleted. Each step is a
write of single documents that is guarded, so that whoever does it again changes nothing. See
``docs/internals/write-sets.md``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from graven._hints import Any
from graven.errors import BusyRetry, CommitUnknownError, GravenError, UnavailableError, UniqueError
from graven.flows.writeset_checks import check_references, check_values, keep_targets
from graven.flows.writeset_holding import hold_unique_values
from graven.flows.writeset_members import InTheWay, Member, Members, Refused
from graven.flows.writeset_resolving import Outcome, finish_found, resolve
from graven.flows.writeset_world import Patience, World
from graven.ops.requests import Delete, FetchKeys, Flow, Insert, Update
from graven.ops.schema import Table
from graven.ops.writesets import (
    ABORTED,
    CHECK,
    COMMITTED,
    DELETE,
    HOLD,
    INSERT,
    MARK,
    NEXT,
    PREPARED,
    UPDATE,
    WRITE_SETS,
    guarded,
    mark,
    marked,
    marks_of,
    set_of,
)

__all__ = ["write_whole"]

Row = tuple[Any, ...]


def write_whole(members: Members, world: World) -> Flow[None]:
    """Write all of *members*, or nothing.

    Another set in the way is waited for, with everything taken back, so that no two sets ever wait
    for each other.

    :raises Refused: if a document is not as expected, or a unique value is taken.
    :raises IntegrityError: if a value is none that its column may have, or a reference would lead
        nowhere.
    :raises BusyRetry: if others are in the way for longer than *world* waits, or the set took so
        long that somebody aborted it.
    :raises CommitUnknownError: if the answer to the decision was lost, and cannot be found out.
    """
    check_values(members)
    keep_targets(members)
    patience = Patience(world, "write several documents")
    while True:
        try:
            yield from _try_once(members, world)
        except InTheWay as other:
            live = yield from resolve(other.table, other.marks, world)
            yield from patience.wait(bool(live))
        else:
            return


def _try_once(members: Members, world: World) -> Flow[None]:
    set_id = world.new_id()
    yield from hold_unique_values(members)
    try:
        yield from _log(set_id, members, world)
        yield from _mark_all(set_id, members)
        yield from check_references(set_id, members)
    except GeneratorExit:
        raise
    except BaseException as error:
        yield from _give_up(set_id, members)
        if isinstance(error, CommitUnknownError):
            raise _interrupted(error) from error.__cause__
        raise
    yield from _decide(set_id, members)
    yield from _apply(set_id, members)


# ── the log ─────────────────────────────────────────────────────────────────────────────────


def _log(set_id: str, members: Members, world: World) -> Flow[None]:
    tables = {one.table: None for one in members}
    now = world.now_ms()
    due = now + world.lease_ms + len(members) * world.lease_per_document_ms
    listed = [[table.name, list(table.key)] for table in tables]
    columns = tuple(column.name for column in WRITE_SETS.columns)
    yield from Insert(WRITE_SETS, columns, [(set_id, PREPARED, now, due, listed)])


def _decide(set_id: str, members: Members) -> Flow[None]:
    """Take the decision: from here on the new values are the truth."""
    try:
        if (yield from _move(set_id, PREPARED, COMMITTED)):
            return
        yield from _give_up(set_id, members)
    except (CommitUnknownError, UnavailableError) as error:
        if (yield from _find_out(set_id, error)):
            return
        yield from _give_up(set_id, members)
        raise _interrupted(error) from error.__cause__
    else:
        raise BusyRetry(
            f"a commit of {len(members)} documents was taken back: it took longer than its lease, "
            "and somebody who needed one of them did not want to wait; usually the server, or this "
            "process, was held up; nothing was written; try again"
        )


def _find_out(set_id: str, error: GravenError) -> Flow[bool]:
    """See what became of a decision whose answer was lost; keep it from coming true later."""
    try:
        if (yield from _move(set_id, PREPARED, ABORTED)):
            return False
        columns = ("state",)
        found = yield from FetchKeys(WRITE_SETS, columns, WRITE_SETS.key, [(set_id,)], True)
    except (GravenError, OSError):
        found = []
    if found:
        return bool(found[0][0] == COMMITTED)
    raise CommitUnknownError(
        "the answer to a commit of several documents was lost, and so was the way to find out; "
        "usually the server or the network failed just then; it is all there or not at all: look "
        "at the data, or at db.committed(error.commit_id) if the commit was to leave a record"
    ) from error


def _move(set_id: str, before: str, after: str) -> Flow[bool]:
    """Change the state of an entry; say whether it was *before*."""
    row = (after, set_id, before)
    return (yield from Update(marked(WRITE_SETS), ("state",), ("state",), [row])) == 1


# ── marking ─────────────────────────────────────────────────────────────────────────────────


def _mark_all(set_id: str, members: Members) -> Flow[None]:
    for table, alike in _by_table(members):
        for columns, new in _alike(one for one in alike if one.action == INSERT):
            yield from _insert_marked(set_id, table, columns, new)
        for _, old in _alike(one for one in alike if one.action != INSERT):
            yield from _mark(set_id, table, old)


def _insert_marked(
    set_id: str, table: Table, columns: tuple[str, ...], new: Sequence[Member]
) -> Flow[None]:
    """Insert documents that nobody sees yet, so that their keys and unique values are taken."""
    found = mark(set_id, INSERT)
    is_chosen = table.store_made and not new[0].is_numbered  # such a key must not be made later
    there = guarded(table) if is_chosen else marked(table)
    rows = [(*(one.values[name] for name in columns), found) for one in new]
    try:
        yield from Insert(there, (*columns, MARK), rows)
    except UniqueError as error:
        yield from _who_is_in_the_way(set_id, table, error.columns or (), new)
        raise Refused(error) from error


def _who_is_in_the_way(
    set_id: str, table: Table, names: tuple[str, ...], members: Sequence[Member]
) -> Flow[None]:
    wanted = [tuple(one.values.get(name) for name in names) for one in members]
    if not names:
        return
    rows = yield from FetchKeys(marked(table), (MARK,), names, wanted, True)
    others = {one for one in marks_of(row[0] for row in rows) if set_of(one) != set_id}
    if others:
        raise InTheWay(table, others)


def _mark(set_id: str, table: Table, alike: Sequence[Member]) -> Flow[None]:
    """Mark documents that are there, all with the same guards."""
    held, guards = tuple(alike[0].held), tuple(alike[0].guards | alike[0].seen)
    columns = (MARK, NEXT, *held) if alike[0].action == UPDATE else (MARK,)
    rows = [
        (*_marking(set_id, one)[: len(columns)], *one.key, None, *(one.guards | one.seen).values())
        for one in alike
    ]
    try:
        matched = yield from Update(marked(table), columns, (MARK, *guards), rows)
    except UniqueError as error:
        yield from _who_is_in_the_way(set_id, table, error.columns or (), alike)
        raise Refused(error) from error
    if matched < len(alike):
        yield from _find_unmarked(set_id, table, alike)


def _marking(set_id: str, member: Member) -> Row:
    """Return what a document gets beside its mark: what it will have, and both unique values."""
    action = HOLD if member.held else member.action
    table = member.table
    sets = [
        [name, table.column(name).kind, value]
        for name, value in member.values.items()
        if name not in table.key
    ]
    kept = [[name, table.column(name).kind, old] for name, old in member.held.items()]
    both = (
        [member.values[name]] if old is None else [old, member.values[name]]
        for name, old in member.held.items()
    )
    return (mark(set_id, action), [sets, kept], *both)


def _find_unmarked(set_id: str, table: Table, alike: Sequence[Member]) -> Flow[None]:
    """See which documents were not marked; leave those out that need not be there."""
    by_key = {one.key: one for one in alike}
    rows = yield from FetchKeys(marked(table), (*table.key, MARK), table.key, list(by_key), True)
    found = {row[:-1]: row[-1] for row in rows}
    others = {one for one in marks_of(found.values()) if set_of(one) != set_id}
    if others:
        raise InTheWay(table, others)
    for key, member in by_key.items():
        if found.get(key) is None:
            if member.is_exact:
                raise Refused
            member.action = ""


# ── the end ─────────────────────────────────────────────────────────────────────────────────


def _apply(set_id: str, members: Members) -> Flow[None]:
    """Do what was decided; what cannot be done now is left to whoever meets the marks."""
    try:
        for is_last in (False, True):  # what was only to stay is free when all else is done
            chosen = [one for one in members if (one.action == CHECK) is is_last]
            for table, alike in _by_table(chosen):
                for columns, some in _alike(alike):
                    yield from _apply_alike(set_id, table, columns, some)
        yield from Delete(marked(WRITE_SETS), ("state",), [(set_id, COMMITTED)])
    except (GravenError, OSError):
        return


def _apply_alike(
    set_id: str, table: Table, columns: tuple[str, ...], alike: Sequence[Member]
) -> Flow[None]:
    """Give documents what the set has for them, and take their marks away."""
    member = alike[0]
    if member.action == DELETE:
        found = mark(set_id, DELETE)
        yield from Delete(marked(table), (MARK,), [(*one.key, found) for one in alike])
        return
    sets: tuple[str, ...] = ()
    if member.action == UPDATE:
        sets = tuple(name for name in columns if name not in table.key)
    hidden = (MARK, NEXT) if member.action == UPDATE else (MARK,)
    found = mark(set_id, HOLD if member.held else member.action)
    empty = (None,) * len(hidden)
    rows = [(*(one.values[name] for name in sets), *empty, *one.key, found) for one in alike]
    yield from Update(marked(table), (*sets, *hidden), (MARK,), rows)


def _give_up(set_id: str, members: Members) -> Flow[None]:
    """Take the marks back and delete the entry, as far as that goes; the rest is found later.

    The entry is aborted first: while it is prepared, what it has marked must not change.
    """
    outcome = Outcome(set_id, ABORTED, [(one.name, one.key) for one, _ in _by_table(members)])
    try:
        yield from _move(set_id, PREPARED, ABORTED)
        yield from finish_found(outcome)
    except (GravenError, OSError):
        return


def _by_table(members: Iterable[Member]) -> Iterator[tuple[Table, list[Member]]]:
    """Yield the members of each table, in an order that is the same for every set."""
    tables: dict[Table, list[Member]] = {}
    for member in members:
        tables.setdefault(member.table, []).append(member)
    for table in sorted(tables, key=lambda one: one.name):
        yield table, sorted(tables[table], key=lambda one: repr(one.key))


def _alike(members: Iterable[Member]) -> Iterator[tuple[tuple[str, ...], list[Member]]]:
    """Yield members of which the same is written, and the columns of their values."""
    groups: dict[tuple[object, ...], list[Member]] = {}
    for member in members:
        if member.action:
            shape = (
                member.action,
                member.is_numbered,
                *map(tuple, (member.values, member.guards, member.seen, member.held)),
            )
            groups.setdefault(shape, []).append(member)
    for group in groups.values():
        yield tuple(group[0].values), group


def _interrupted(error: GravenError) -> UnavailableError:
    return UnavailableError(
        f"a commit of several documents was interrupted before its decision: {error} Nothing was "
        "written; what it had prepared is taken back, by whoever finds it; try again"
    )
