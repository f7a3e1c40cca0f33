"""Write a plan: one transaction, every row guarded, all or nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from graven._hints import Any, TypeVar
from graven.core.conflicts import Loser, LostRace
from graven.core.mapper import Mapper
from graven.core.plan import Group, Plan, Step
from graven.core.records import ObjectRecord
from graven.errors import BusyRetry, ForeignKeyError, UniqueError
from graven.flows.diagnose import blame, suspects, take_blame, who_has, who_refers
from graven.ops.conditions import Select
from graven.ops.requests import (
    Apply,
    Begin,
    Commit,
    Delete,
    Documents,
    Execute,
    Fetch,
    FetchKeys,
    Flow,
    Insert,
    Later,
    Rollback,
    SnapshotStale,
    Sweep,
    Update,
)
from graven.ops.value import Value

__all__ = [
    "Checks",
    "Question",
    "ReadKeys",
    "checked",
    "commit",
    "commit_after_reading",
    "commit_flushed",
    "in_transaction",
    "level_for",
    "write",
    "write_after_reading",
]

R = TypeVar("R")
Row = tuple[Any, ...]
REFUSALS_MAX = 8  #: how often a refusal that names nobody is taken for one of the past


class ReadKeys(Value):
    """Records that were read: their keys, and the version each was read at.

    0 if it was not there.
    """

    mapper: Mapper
    expected: dict[Any, int]
    key_row: Callable[[Any], Row]


class Question(Value):
    """What the store was asked for the objects called *name*, and the rows that it answered.

    The rows of a :class:`FetchKeys` come in any order.
    """

    name: str
    request: Select | FetchKeys | Execute | Documents
    answer: Sequence[Row]


class Checks(Value):
    """What must still be as it was read besides what is written: records, query answers."""

    reads: Sequence[ReadKeys] = ()
    queries: Sequence[Question] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to check."""
        return not self.reads and not self.queries


def level_for(checks: Checks, isolation: str = "optimistic") -> str:
    """Return the level at which what is checked still holds when the transaction commits."""
    return isolation if checks.is_empty else "serializable"


def in_transaction(
    body: Flow[R], plan: Plan | None = None, isolation: str = "optimistic"
) -> Flow[R]:
    """Run *body* inside a transaction that may write; commit it, or roll it back.

    A commit that is refused because of references says who refers, if it is told the *plan*.
    """
    yield from Begin(True, isolation=isolation)
    return (yield from _then_commit(body, plan))


def _then_commit(body: Flow[R], plan: Plan | None = None) -> Flow[R]:
    try:
        result = yield from body
        yield from _commit(plan)
    except GeneratorExit:
        raise  # dropped, not failed: a crash never cleans up
    except BaseException:
        yield from Rollback()
        raise
    return result


def _commit(plan: Plan | None) -> Flow[None]:
    try:
        yield from Commit()
    except ForeignKeyError as error:
        if plan is None:
            raise
        tables, written = suspects(plan)
        raise blame((yield from who_refers(tables, written)), error) from error.__cause__


def commit(plan: Plan, checks: Checks, applies: bool = False) -> Flow[dict[int, object]]:
    """Check and write in one transaction.

    A plan of one plain row needs no transaction of its own. A store that *applies* is sent a whole
    plan at once; if it is refused, it is written again step by step, which finds out why.
    """
    if checks.reads or checks.queries:
        return _check_and_write(plan, checks)
    if plan.is_single:
        return write(plan)
    if applies and plan.steps and not (plan.has_later or plan.is_blind):
        return _apply_or_write(plan, checks)
    return _check_and_write(plan, checks)


def _apply_or_write(plan: Plan, checks: Checks) -> Flow[dict[int, object]]:
    made = yield from _apply(plan)
    return made if made is not None else (yield from _check_and_write(plan, checks))


def _apply(plan: Plan) -> Flow[dict[int, object] | None]:
    """Write a plan at once; reply with the keys that the store made, ``None`` if it was refused."""
    replies = yield from Apply(plan.writes(), [_is_exact(step) for step in plan.steps])
    if replies is None:
        return None
    made: dict[int, object] = {}
    for step, reply in zip(plan.steps, replies, strict=True):
        if isinstance(step.write, Insert):
            made.update(zip(step.write.ordinals, reply, strict=False))
    return made


def _is_exact(step: Step) -> bool:
    """Say whether a write that matches fewer rows than it has is a lost race."""
    if isinstance(step.write, Delete):
        return bool(step.write.guards) or step.group is None
    return isinstance(step.write, Update)


def _check_and_write(plan: Plan, checks: Checks) -> Flow[dict[int, object]]:
    """Check and write in a transaction in which the checks hold until it commits.

    A store that refuses such a transaction because of others, without saying which of them, is
    asked again: what it was refused for has then been committed, and is found by the checks.
    """
    level = level_for(checks)
    for _ in range(REFUSALS_MAX):
        try:
            return (yield from in_transaction(checked(plan, checks), plan, level))
        except SnapshotStale:
            pass
    return (yield from in_transaction(checked(plan, checks), plan, level))


def commit_after_reading(
    plan: Plan, checks: Checks, applies: bool = False
) -> Flow[dict[int, object]]:
    """Write in the transaction that was read in; if others have written since, check in a new one.

    The store lets a reading transaction go on to write only if nobody has written since it began:
    then all that was read still holds.
    """
    try:
        return (yield from _then_commit(write(plan), plan))
    except BusyRetry:
        return (yield from commit(plan, checks, applies))


def commit_flushed(plan: Plan, checks: Checks) -> Flow[dict[int, object]]:
    """Check and write in the transaction that a flush has begun, and commit it."""
    return (yield from _then_commit(checked(plan, checks), plan))


def write_after_reading(plan: Plan) -> Flow[dict[int, object]]:
    """Write in the transaction in which was read, and leave it open.

    :raises LostRace: if others have written since, so that there is no such point any more.
    """
    try:
        return (yield from write(plan))
    except SnapshotStale as stale:
        reason = (
            "the store is not any more at the point that this session reads from, and a flush can "
            "write only there"
        )
        raise LostRace([], reason) from stale


def checked(plan: Plan, checks: Checks) -> Flow[dict[int, object]]:
    """Check, then write, in the open transaction; reply as :func:`write` does."""
    yield from _check_reads(checks.reads)
    for question in checks.queries:
        yield from _check_question(question)
    return (yield from write(plan))


def _check_reads(reads: Sequence[ReadKeys]) -> Flow[None]:
    losers: list[Loser] = []
    for read in reads:
        table = read.mapper.table
        expected = {read.key_row(key): key for key in read.expected}
        columns = (*table.key, table.version or table.key[0])
        rows = yield from _rows_by_key(table, list(expected), columns)
        lost = [
            row
            for row, key in expected.items()
            if (rows[row][-1] if row in rows else 0) != read.expected[key]
        ]
        whole = (yield from _rows_by_key(table, lost)) if lost else {}
        for row in lost:
            found, key = whole.get(row), expected[row]
            version = 0 if found is None else found[-1]
            losers.append(Loser(read.mapper, key, read.expected[key], version, None, found))
    if losers:
        raise LostRace(losers)


def _check_question(question: Question) -> Flow[None]:
    request, answer = question.request, question.answer
    if isinstance(request, Select):
        is_same = (yield from Fetch(request)) == answer
    elif isinstance(request, FetchKeys):
        is_same = set((yield from request)) == set(answer)
    else:
        is_same = (yield from request)[0] == answer
    if not is_same:
        reason = f"a query of {question.name} that this work has read would now give another answer"
        raise LostRace([], reason)


def _rows_by_key(
    table: Any, keys: Sequence[Row], columns: tuple[str, ...] | None = None
) -> Flow[dict[Row, Row]]:
    """Reply with the rows that have one of *keys*, in store form, by key; the version comes last.

    All columns unless told which.
    """
    columns = columns or tuple(column.name for column in table.columns)
    rows = yield from FetchKeys(table, columns, table.key, keys, True)
    positions = [columns.index(name) for name in table.key]
    return {tuple(row[at] for at in positions): row for row in rows}


def write(plan: Plan) -> Flow[dict[int, object]]:
    """Write the steps of a plan in order; reply with the keys that the store made, by ordinal.

    :raises LostRace: if a row is not as expected any more.
    :raises UniqueError: if a value is taken, with the object that wants it.
    """
    made: dict[int, object] = {}
    for number, step in enumerate(plan.steps):
        operation = _with_keys(step.write, made) if plan.has_later else step.write
        try:
            reply = yield operation
        except UniqueError as error:
            yield from _find_taken(plan, number, operation, error)
            raise
        if isinstance(operation, Insert):
            made.update(zip(operation.ordinals, reply, strict=False))
        elif not isinstance(operation, Sweep) and reply != len(operation.rows):
            yield from _find_losers(plan, number, reply)
    if not plan.is_single:
        yield from _learn_versions(plan)
    return made


def _learn_versions(plan: Plan) -> Flow[None]:
    """Read the versions that updates made of whatever was there, for no guard has said it."""
    for step in plan.steps:
        group, update = step.group, step.write
        if group is None or not isinstance(update, Update) or not update.is_blind:
            continue
        table, first = update.table, len(update.columns)
        keys = [row[first : first + len(table.key)] for row in update.rows]
        rows = yield from _rows_by_key(table, keys, (*table.key, table.version or ""))
        group.after = [rows[key][-1] for key in keys]


def _with_keys(operation: Any, made: dict[int, object]) -> Any:
    """Put the keys that the store has made in the places that waited for them."""
    rows = [
        tuple(made[value.ordinal] if type(value) is Later else value for value in row)
        for row in operation.rows
    ]
    fields = {name: getattr(operation, name) for name in operation._fields}
    return type(operation)(**{**fields, "rows": rows})


def _find_taken(plan: Plan, number: int, operation: Any, error: UniqueError) -> Flow[None]:
    """See whose value is taken: a key that was read as free is a lost race."""
    step, table = plan.steps[number], operation.table
    group = step.group
    if group is None:
        reason = step.lost or f"a pair of {table.name} that this work would add is there already"
        raise LostRace([], reason) from error.__cause__
    taken = yield from who_has(operation, error)
    losers = [
        Loser(group.mapper, record.key, 0, row[-1], record, row)
        for record, row in ((group.records[at], row) for at, row in taken if row is not None)
        if error.columns == table.key and _was_read_as_free(group, record)
    ]
    if losers:
        losers += yield from _losers_from(plan, number)
        raise LostRace(losers) from error.__cause__
    if taken:
        raise take_blame(plan, group, taken, error) from error.__cause__


def _was_read_as_free(group: Group, record: ObjectRecord) -> bool:
    unit = record.instance._origin.unit
    return group.action == "insert" and record.key in unit.map_of(record.mapper).absent


def _find_losers(plan: Plan, number: int, matched: int) -> Flow[None]:
    """See which of the rows were not as expected, and what is there instead."""
    step = plan.steps[number]
    if step.group is None:
        gone = f"a pair of {step.write.table.name} that this work would remove is gone already"
        raise LostRace([], step.lost or gone)
    losers = yield from _losers_from(plan, number, matched)
    if losers:
        raise LostRace(losers)
    if not isinstance(step.write, Delete) or step.write.guards:
        reason = f"a row of {step.write.table.name} was changed, and changed back, meanwhile"
        raise LostRace([], reason)


def _losers_from(plan: Plan, number: int, matched: int = 0) -> Flow[list[Loser]]:
    """Look through step *number* and all after it, so that everybody who lost is named.

    *matched* rows of the first of them are written already.
    """
    losers: list[Loser] = []
    judged: set[ObjectRecord] = set()  # a row to be vacated first is told by that alone
    for step in plan.steps[number:]:
        if isinstance(step.write, Update | Delete) and step.group is not None:
            found = yield from _losers_of(step.group, step.write, matched)
            losers += (one for one in found if one.record not in judged)
            if step.group.action == "vacate":
                judged.update(step.group.records)
        matched = 0
    return losers


def _losers_of(group: Group, operation: Update | Delete, matched: int) -> Flow[list[Loser]]:
    table = operation.table
    set_columns = operation.columns if isinstance(operation, Update) else ()
    start, end = len(set_columns), len(set_columns) + len(table.key)
    rows = {
        row[start:end]: (record, expected, row)
        for record, expected, row in zip(
            group.records, group.versions, operation.rows, strict=False
        )
    }
    if not rows or (isinstance(operation, Delete) and not operation.guards):
        return []  # an object that was just made; or to be gone, whatever it was, and it is
    names = [column.name for column in table.columns]
    guards = [names.index(name) for name in operation.guards]
    values = [names.index(name) for name in set_columns]
    found = yield from _rows_by_key(table, list(rows))
    losers: list[Loser] = []
    done: list[Loser] = []
    for key, (record, expected, sent) in rows.items():
        row = found.get(key)
        if row is not None and tuple(row[at] for at in guards) == sent[end:]:
            continue
        version = 0 if row is None else row[-1]
        loser = Loser(group.mapper, record.key, expected, version, record, row)
        if isinstance(operation, Delete):
            is_done = row is None
        else:
            is_done = row is not None and tuple(row[at] for at in values) == sent[:start]
        (done if is_done and matched else losers).append(loser)
    if losers or len(done) <= matched:
        return losers
    return done  # somebody wrote the very same: it cannot be told who of them lost
