"""Write and read the log of operations: every change of an entry is guarded by its fence."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from graven._hints import TypeVar
from graven.errors import CommitUnknownError, GravenError
from graven.flows.commit import in_transaction
from graven.flows.schema import create
from graven.ops.conditions import Select
from graven.ops.operating import OPERATIONS, STEPS
from graven.ops.requests import (
    Begin,
    Commit,
    Fetch,
    FetchKeys,
    Flow,
    Insert,
    Rollback,
    Row,
    Update,
)

__all__ = [
    "FenceLost",
    "begin_call",
    "change",
    "end_at_once",
    "fetch_entries",
    "guarded",
    "insert_entries",
    "make_log",
    "take",
    "with_log",
]

R = TypeVar("R")


class FenceLost(Exception):
    """Raised inside a flow for an entry that somebody else has claimed, or changed, meanwhile."""


def with_log(body: Flow[R], is_within: bool = False) -> Flow[R]:
    """Make the tables of the log if they are not there, and run *body*.

    *is_within* says that a transaction is open, of which this becomes a part.
    """
    yield from create([OPERATIONS, STEPS], is_within)
    return (yield from body)


def make_log(is_within: bool = False) -> Flow[None]:
    """Make the tables of the log if they are not there; *is_within* is as in :func:`with_log`."""
    yield from create([OPERATIONS, STEPS], is_within)


def insert_entries(insert: Insert) -> Flow[None]:
    """Write new entries.

    :raises UniqueError: if one of them is there already.
    """
    yield from insert


def fetch_entries(question: FetchKeys | Select) -> Flow[list[Row]]:
    """Reply with the rows of entries."""
    return (yield from Fetch(question) if isinstance(question, Select) else question)


def change(update: Update) -> Flow[bool]:
    """Change one entry; reply whether its fence was still the one expected."""
    return (yield from update) == len(update.rows)


def begin_call(
    write: Insert | Update | None,
    questions: Sequence[FetchKeys],
    isolation: str,
    logged: Callable[[], object],
) -> Flow[list[list[Row]]]:
    """Write that an operation runs, and read its arguments in a transaction that stays open.

    Replies with the rows of each question; without a question no transaction is begun, and neither
    is an optimistic one. What is written is durable before anything is read, and then *logged* is
    called.

    :raises FenceLost: if the entry to be changed is somebody else's by now.
    :raises UniqueError: if the entry to be written is there already.
    """
    if write is not None:
        matched = yield write
        if isinstance(write, Update) and matched != len(write.rows):
            raise FenceLost
    logged()
    answers: list[list[Row]] = []
    if questions:
        if isolation != "optimistic":
            yield Begin(False, isolation=isolation)
        for question in questions:
            rows = yield question
            answers.append(rows)
    return answers


def end_at_once(writes: Sequence[Update]) -> Flow[bool]:
    """Write in the open transaction, and commit it; reply whether that was possible.

    If it was not, for whatever reason, the transaction is rolled back.
    """
    try:
        for write in writes:
            if (yield write) != len(write.rows):
                break
        else:
            yield Commit()
            return True
    except CommitUnknownError:
        raise
    except GravenError:
        pass  # who is to blame, the long way finds out
    yield Rollback()
    return False


def take(
    select: Select,
    claim: Callable[[list[Row]], Update | None],
    mine: Callable[[list[Row]], tuple[FetchKeys, Callable[[Row], bool]]],
) -> Flow[list[Row]]:
    """Claim entries by compare-and-set; reply with the rows that are claimed, as they were before.

    *claim* makes, of the rows found, what claims them; *mine*, what reads them again, and what
    tells by such a row whether the claim was ours. That is asked only if not all of them were.
    """
    return (yield from in_transaction(_take(select, claim, mine)))


def _take(
    select: Select,
    claim: Callable[[list[Row]], Update | None],
    mine: Callable[[list[Row]], tuple[FetchKeys, Callable[[Row], bool]]],
) -> Flow[list[Row]]:
    found = yield from Fetch(select)
    update = claim(found)
    if update is None:
        return []
    matched = yield from update
    if matched == len(found):
        return found
    question, is_mine = mine(found)
    rows = yield from question
    keys = {row[0] for row in rows if is_mine(row)}
    return [row for row in found if row[0] in keys]


def guarded(update: Update, body: Flow[R]) -> Flow[R]:
    """Run *body* in a transaction in which the fence of an entry is checked first, by *update*.

    :raises FenceLost: if the fence is another one; nothing was written then.
    """

    def both() -> Flow[R]:
        if (yield from update) != len(update.rows):
            raise FenceLost
        return (yield from body)

    return (yield from in_transaction(both()))
