"""Take operations out of queues: by priority, then by age, within the limits of each queue."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from graven._hints import Any
from graven.core.entries import Entry, EntryRows, path
from graven.core.limits import PRIORITIES, Queue, allowance, debt_of
from graven.core.operating import COMPENSATING, PENDING, RUNNING, transition
from graven.core.rows import Rows
from graven.flows.commit import in_transaction
from graven.flows.schema import create
from graven.ops.conditions import And, Compare, Condition, In, Not, Order, Path, Select
from graven.ops.operating import OPERATIONS
from graven.ops.requests import Fetch, Flow
from graven.ops.value import Value
from graven.ops.working import QUEUES

__all__ = ["Claim", "make_queues", "take_queued"]


class QueueRow(Value):
    """What the limits of a queue have to remember; see :data:`~graven.ops.working.QUEUES`."""

    name: str
    debt: datetime | None


class Claim(Value):
    """Who claims how many entries of which *queues*: *worker*, whose lease ends at *until*.

    Operations called by one of the names *unknown* are left to others. For those called by one of
    the names *counted* the claim counts as their first attempt.
    """

    queues: Sequence[Queue]
    count: int
    unknown: tuple[str, ...]
    counted: frozenset[str]
    worker: str
    now: datetime
    until: datetime

    def of(self, entry: Entry) -> Entry:
        """Return an entry as it is when it is claimed."""
        is_first = entry.attempts == 0 and entry.method in self.counted
        return entry.but(
            state=transition("claim", entry.state, entry.id),
            due=self.until,
            worker=self.worker,
            attempts=1 if is_first else entry.attempts,
            version=entry.version + 1,
        )


def make_queues() -> Flow[None]:
    """Make the table that limits need, if it is not there."""
    yield from create([QUEUES])


def take_queued(dialect: Any, claim: Claim) -> Flow[list[Entry]]:
    """Claim entries that are due, in one transaction; reply with them as they were before.

    Each is claimed by one caller only, and no limit is exceeded, whoever claims at the same time.
    """
    return (yield from in_transaction(_take(dialect, claim)))


def _take(dialect: Any, claim: Claim) -> Flow[list[Entry]]:
    rows, found = EntryRows(dialect), list[Entry]()
    for queue in claim.queues:
        room = claim.count - len(found)
        if room <= 0:
            break
        if queue.concurrency is None and queue.rate is None:
            found += yield from _oldest(rows, claim, queue.name, room)
        else:
            found += yield from _within_limits(rows, claim, queue, room, dialect)
    if not found:
        return []
    if (yield from rows.begin([claim.of(one) for one in found])) == len(found):
        return found
    again = rows.entries((yield from rows.fetch([one.id for one in found])))
    mine = {one.id for one in again if one.worker == claim.worker}
    return [one for one in found if one.id in mine]


def _oldest(rows: EntryRows, claim: Claim, queue: str, room: int) -> Flow[list[Entry]]:
    """Reply with entries of a queue that are due: the highest priority first, then the oldest.

    Priorities are asked for one by one, so that an index has the rows in order, however many wait.
    """
    found = list[Entry]()
    for priority in reversed(PRIORITIES):
        if len(found) == room:
            break
        parts: list[Condition] = [
            Compare("==", path("queue"), queue),
            Compare("!=", path("queue"), None),
            Compare("==", path("state"), PENDING),
            Compare("==", path("priority"), priority),
            Compare("<=", path("due"), claim.now),
        ]
        if claim.unknown:
            parts.append(Not(In(path("method"), claim.unknown)))
        order, limit = (Order(path("due")),), room - len(found)
        where = And(tuple(parts))
        select = Select(OPERATIONS, rows.columns, where, order, limit, lock="skip_or_check")
        found += rows.entries((yield from Fetch(select)))
    return found


def _within_limits(
    rows: EntryRows, claim: Claim, queue: Queue, room: int, dialect: Any
) -> Flow[list[Entry]]:
    """Reply with entries of a queue, as many as may begin; others who claim of it wait until then.

    That is what the row of the queue is written for, even if nothing in it changes.
    """
    limits: Rows[QueueRow] = Rows(QUEUES, QueueRow, dialect)
    here = Compare("==", Path((), "name", "str"), queue.name)
    kept = limits.values((yield from Fetch(Select(QUEUES, limits.columns, here, lock="wait"))))
    row = kept[0] if kept else QueueRow(queue.name, None)
    if not kept:
        yield from limits.insert([row])
    if queue.concurrency is not None:
        room = min(room, queue.concurrency - (yield from _running(queue.name)))
    if queue.rate is not None:
        room = min(room, allowance(queue.rate, row.debt, claim.now))
    found = (yield from _oldest(rows, claim, queue.name, room)) if room > 0 else []
    if found:
        owed = row.debt
        if queue.rate is not None:
            owed = _kept(debt_of(queue.rate, row.debt, claim.now, len(found)))
        yield from limits.update(row, debt=owed)
    return found


def _kept(debt: datetime) -> datetime:
    """Return a debt that loses nothing when it is kept to the millisecond."""
    return debt + timedelta(microseconds=-debt.microsecond % 1000)


def _running(queue: str) -> Flow[int]:
    where = And(
        (
            Compare("==", path("queue"), queue),
            Compare("!=", path("queue"), None),
            In(path("state"), (RUNNING, COMPENSATING)),
        )
    )
    ((count,),) = yield from Fetch(Select(OPERATIONS, (), where, count=True))
    return int(str(count))
