"""Statements within transactions: when they begin, what is known of their end, whose error it is.

A transaction begins with the first statement in it, so that *begin* costs no round trip. MongoDB
undoes a transaction as soon as a statement in it fails. What a flow still has to ask then, to say
who is to blame, is asked outside of it; for everybody else the transaction stays open, and refuses
every statement, until it is ended.

Two that write the same document conflict at once. The second is sent again for a while if it was
the first of its transaction; otherwise the whole transaction has to be begun again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import random
from time import monotonic, perf_counter

from pymongo.results import InsertManyResult

from graven._hints import Any
from graven.drivers.mongo_calls import MAJORITY, SNAPSHOT, Call, Calls, MongoStore
from graven.drivers.mongo_errors import (
    FAILURES,
    busy,
    cause_of,
    has_label,
    is_conflict,
    is_out_of_time,
    is_unknown,
    raise_refusal,
    stale,
    unknown,
    was_asked_again,
)
from graven.drivers.observing import Observer
from graven.errors import GravenError, TransactionInactiveError, UsageError

__all__ = ["MongoStatements"]

PAUSE_S = 0.002  #: how long is waited after the first conflict; each time twice as long
PAUSE_S_MAX = 0.1


class MongoStatements:
    """Executes statements on one connection.

    ``store`` is where; ``writing`` says that something is written, or may be, until the transaction
    or the flow ends. *sleep* is the sleep of the colour, *leave* takes a session in which a
    transaction is open that nobody wants, and ends it behind the scenes.
    """

    __slots__ = (
        "_conflicts",
        "_dialect",
        "_due",
        "_has_failed",
        "_has_run",
        "_leave",
        "_may_look",
        "_may_not_write",
        "_observer",
        "_session",
        "_sleep",
        "busy_timeout_s",
        "isolation",
        "store",
        "writing",
    )

    def __init__(
        self,
        store: MongoStore,
        dialect: Any,
        observer: Observer,
        busy_timeout_s: float,
        sleep: Callable[[float], Any],
        leave: Callable[[Any], None],
    ) -> None:
        """Report to *observer*; wait for what others hold up to *busy_timeout_s* seconds."""
        self.store: MongoStore = store
        self.busy_timeout_s = busy_timeout_s
        self.writing = False
        self.isolation = "optimistic"
        self._dialect = dialect
        self._observer = observer
        self._sleep = sleep
        self._leave = leave
        self._session: Any = None
        self._due = False
        self._has_run = False
        self._has_failed = False
        self._may_look = False
        self._may_not_write = False
        self._conflicts = 0

    # ── transactions ────────────────────────────────────────────────────────────────────────

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open, in the eyes of who uses the connection."""
        return self._due or self._has_run or self._has_failed

    @property
    def is_serializable(self) -> bool:
        """Whether a transaction is open in which what is read has to hold until its end."""
        return self.isolation == "serializable" and not self._may_not_write and self.is_alive

    @property
    def is_due(self) -> bool:
        """Whether a transaction is open in which nothing was done yet."""
        return self._due

    @property
    def is_alive(self) -> bool:
        """Whether a transaction is open in which statements can be sent."""
        return self._due or self._has_run

    def begin(self, write: bool, isolation: str = "optimistic") -> None:
        """Begin a transaction with the next statement.

        :raises UsageError: on a stand-alone server, which has no transactions.
        """
        if not self.store.is_transactional:
            raise UsageError(
                "a transaction was to begin on MongoDB, but the server stands alone, and only "
                "members of a replica set have transactions; usually it was started without "
                "--replSet; a replica set of one member will do. Without one a session with "
                'isolation="optimistic" still commits as a whole, by graven\'s own log'
            )
        self._due = True
        self.isolation = isolation
        self._may_not_write = isolation == "serializable" and not write
        self.writing = self.writing or write

    def commit(self) -> Calls[None]:
        """Commit the open transaction.

        :raises CommitUnknownError: if nobody can say whether it is durable.
        """
        self.refuse_if_failed("commit")
        if self._has_run:
            yield from self._send_commit()
        self._forget()
        self.writing = False

    def _send_commit(self) -> Calls[None]:
        """Commit, and ask again for as long as the answer is not known.

        That there is no such transaction, said to who asks again, tells nothing: a server that was
        started anew may have made it durable, and forgotten that it did.
        """
        since, until = perf_counter(), monotonic() + self.busy_timeout_s
        while True:
            try:
                yield self._session.commit_transaction, (), {}
                break
            except FAILURES as error:
                is_in_doubt = has_label(error, "UnknownTransactionCommitResult")
                if is_in_doubt and monotonic() < until and is_unknown(error):
                    continue
                if is_in_doubt or was_asked_again(self._session):
                    yield from self._end(has_failed=True)
                    raise unknown("commit", error) from error
                raise (yield from self._judged(error, "commit")) from error
        self._report("commit", 0, since, None)

    def rollback(self) -> Calls[None]:
        """Undo the open transaction; nothing if none is open."""
        if self._has_run and self.writing:
            since = perf_counter()
            yield from self._abort()
            self._report("abort", 0, since, None)
        self.abandon()

    def abandon(self) -> None:
        """Undo what is open, without waiting for it."""
        if self._has_run:
            session, self._session = self._session, None
            self._leave(session)
        self._forget()
        self.writing = False

    def will_write(self) -> None:
        """Let a transaction that began by reading write: conflicts tell what has changed since."""
        self._may_not_write = False
        self.writing = True

    def end_run(self) -> None:
        """Note that the flow has ended in which a statement may have failed."""
        self._may_look = False
        self._conflicts = 0
        self.writing = self.writing and self.in_transaction

    def _forget(self) -> None:
        self._due = self._has_run = self._has_failed = self._may_look = False
        self._may_not_write = False
        self.isolation = "optimistic"

    def _end(self, has_failed: bool) -> Calls[None]:
        """End the transaction of the server's; for the flow it may stay open, as a failed one."""
        isolation = self.isolation
        yield from self._abort()
        self._forget()
        self._has_failed = self._may_look = has_failed
        self.isolation = isolation

    def _abort(self) -> Calls[None]:
        session = self._session
        if self._has_run and session is not None and session.in_transaction:
            yield session.abort_transaction, (), {}
        self._has_run = False

    def refuse_if_failed(self, attempted: str) -> None:
        """Refuse to go on in a transaction that the server has undone."""
        if self._has_failed:
            raise TransactionInactiveError(
                f"MongoDB was to {attempted:.200}, but an earlier statement of this transaction "
                "was refused, and MongoDB undoes a transaction then; usually the error was caught "
                "inside the block; let it leave the block, and begin again",
                statement=attempted,
            )

    # ── statements ──────────────────────────────────────────────────────────────────────────

    def look(self, text: str, call: Call, parameters: Any = None) -> Calls[Any]:
        """Make a call that only reads, and return what it returns."""
        self._refuse_to_look(text)
        return (yield from self._send(text, call, parameters))

    def go_on(self, text: str, call: Call) -> Calls[Any]:
        """Make a call of a cursor, which knows its transaction itself; return what it returns."""
        self._refuse_to_look(text)
        try:
            return (yield call)
        except FAILURES as error:
            if not self._has_run:
                raise self._translated(error, text, commits=False) from error
            raise (yield from self._judged(error, text)) from error

    def _refuse_to_look(self, text: str) -> None:
        if self._has_failed and not self._may_look:
            self.refuse_if_failed(text)

    def aside(
        self, text: str, function: Any, *arguments: Any, ignored: Sequence[int] = (), **options: Any
    ) -> Calls[Any]:
        """Make a call that is no part of the open transaction, and return what it returns.

        ``None`` for an error with one of the codes *ignored*.
        """
        since = perf_counter()
        try:
            reply = yield function, arguments, options
            if type(reply) is dict:
                raise_refusal(reply)
        except FAILURES as error:
            if getattr(error, "code", None) in ignored:
                return None
            raise self._translated(error, text, commits=False) from error
        self._report(text, _count(reply), since, None)
        return reply

    def write(self, text: str, call: Call, parameters: Any = None) -> Calls[Any]:
        """Make a call that writes, in the open transaction or as a single one.

        :raises SnapshotStale: in a transaction that began by reading. MongoDB would let it write as
            long as nobody else writes the same documents; but what was read is to be as it was
            read, so it has to be asked again, in a transaction of its own.
        """
        self.refuse_if_failed(text)
        if self._may_not_write and self.is_alive:
            raise stale(text, "it began by reading, and others may have written since")
        self.writing = True
        return (yield from self._send(text, call, parameters, commits=not self.is_alive))

    def _send(self, text: str, call: Call, parameters: Any, commits: bool = False) -> Calls[Any]:
        since, until = perf_counter(), monotonic() + self.busy_timeout_s
        while True:
            is_first = self._due
            try:
                reply = yield (yield from self._within(call))
                if commits and type(reply) is dict:
                    raise_refusal(reply)
            except FAILURES as error:
                if not self._has_run:
                    raise self._translated(error, text, commits) from error
                if not (is_first and is_conflict(error)):
                    raise (yield from self._judged(error, text)) from error
                yield from self._again(error, text, until)
            else:
                self._report(text, _count(reply), since, parameters)
                return reply

    def _within(self, call: Call) -> Calls[Call]:
        """Return *call* as a part of the transaction, if one is open; begin it if that is due."""
        if self._due:
            if self._session is None:
                self._session = self.store.client.start_session(causal_consistency=False)
            level = None if self.isolation == "optimistic" else SNAPSHOT
            self._due, self._has_run = False, True
            yield self._session.start_transaction, (level, MAJORITY), {}
        if not self._has_run:
            return call
        function, arguments, options = call
        return function, arguments, {**options, "session": self._session}

    def _again(self, error: Exception, text: str, until: float) -> Calls[None]:
        """Make ready to send the first statement of a transaction again, or say that it is over."""
        yield from self._abort()
        if monotonic() >= until:
            self._has_failed = self._may_look = True
            raise busy(text, self.busy_timeout_s) from error
        self._due = True
        yield from self.pause()

    def pause(self) -> Calls[None]:
        """Wait after a conflict, longer each time, and not as long as others do."""
        pause_s = min(PAUSE_S * 2**self._conflicts, PAUSE_S_MAX)
        self._conflicts += 1
        yield from self.sleep(pause_s * (0.5 + random()))

    def sleep(self, seconds: float) -> Calls[None]:
        """Wait."""
        yield self._sleep, (seconds,), {}

    # ── errors and reports ──────────────────────────────────────────────────────────────────

    def _judged(self, error: Exception, text: str) -> Calls[GravenError]:
        """Return our error for what failed in a transaction, which has ended by it."""
        yield from self._end(has_failed=True)
        if is_conflict(error):
            yield from self.pause()
            return stale(text, "another transaction has written the same, or is about to")
        return self._translated(error, text, commits=False)

    def _translated(self, error: Exception, text: str, commits: bool) -> GravenError:
        """Return our error; where a single write *commits*, its outcome may be unknown."""
        cause = cause_of(error)
        if commits and is_unknown(cause):
            return unknown(text, error)
        if commits and is_out_of_time(cause):
            return busy(text, self.busy_timeout_s)
        ours: GravenError | None = self._dialect.translate(cause, text)
        if ours is None:
            raise error
        return ours

    def _report(self, text: str, count: int, since: float, parameters: Any) -> None:
        """Tell the observer."""
        on_statement = self._observer.on_statement
        if on_statement is not None:
            given = parameters if self._observer.parameters else None
            on_statement(text, count, perf_counter() - since, given)


def _count(reply: Any) -> int:
    """Return how many documents a reply is about."""
    if isinstance(reply, list):
        return len(reply)
    if isinstance(reply, dict):
        return int(reply.get("n", 0))
    if isinstance(reply, InsertManyResult):
        return len(reply.inserted_ids)
    counts = ("inserted_count", "matched_count", "deleted_count", "upserted_count")
    return sum(getattr(reply, name, 0) for name in counts)
