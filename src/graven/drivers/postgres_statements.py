"""Statements within transactions: when they begin, what is known of their end, whose error it is.

A transaction begins with the first statement in it, so that *begin* costs no round trip. Once a
statement has failed, the server refuses all others until the rollback. What a flow still has to ask
then, to say who is to blame, is asked after a rollback, to the last savepoint or of the whole; for
everybody else the transaction stays open, and refuses every statement, until it is ended, or rolled
back to the savepoint.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from time import perf_counter

from psycopg import Error

from graven._hints import Any
from graven.dialects.postgres import PostgresDialect
from graven.drivers.observing import Observer
from graven.drivers.postgres_texts import Answer, Call
from graven.drivers.postgres_wire import PostgresWire, StatementFailed, Waits
from graven.errors import (
    CommitUnknownError,
    GravenError,
    TransactionInactiveError,
    UnavailableError,
)
from graven.ops.requests import Row, SnapshotStale

__all__ = ["FAILURES", "PostgresStatements"]

FAILURES = (Error, OverflowError, ValueError)
"""What a statement can raise before it is sent: psycopg's errors, and those of its values."""

_LEVELS = {
    "optimistic": "read committed",
    "snapshot": "repeatable read",
    "serializable": "serializable",
}
_CHECKED = (Call("savepoint graven"), Call("set constraints all immediate"))
_COMMIT = Call("commit")
_ROLLBACK = Call("rollback")
_BACK = Call("rollback to savepoint graven")
_GOES_BACK = re.compile(r"\s*rollback(?:\s+(?:work|transaction))?\s+to\b", re.IGNORECASE)

_POOLER = frozenset({"26000", "42P05"})
"""A prepared statement is not there, or is there already: somebody changes the server below."""

_OUTDATED = "0A000"
"""What was prepared has other columns now, because a table was altered."""


class PostgresStatements:
    """Executes statements on one connection.

    ``writing`` says that something is written, or may be, until the transaction or the flow ends;
    ``is_outdated`` that the connection must not be used for anybody else.
    """

    __slots__ = (
        "_begin",
        "_dialect",
        "_has_failed",
        "_may_look",
        "_may_not_write",
        "_observer",
        "_savepoints",
        "_setting",
        "is_outdated",
        "wire",
        "writing",
    )

    def __init__(
        self,
        wire: PostgresWire,
        dialect: PostgresDialect,
        observer: Observer,
        setting: str | None = None,
    ) -> None:
        """Execute on *wire*, and report to *observer*; *setting* is sent in each transaction."""
        self.wire = wire
        self.writing = False
        self.is_outdated = False
        self._dialect = dialect
        self._observer = observer
        self._setting = setting
        self._begin: list[Call] = []
        self._savepoints: list[str] = []
        self._has_failed = False
        self._may_look = False
        self._may_not_write = False

    # ── transactions ────────────────────────────────────────────────────────────────────────

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open, in the eyes of who uses the connection."""
        return bool(self._begin) or self._has_failed or self._is_open

    @property
    def _is_open(self) -> bool:
        return not self.wire.is_broken and self.wire.has_transaction

    def begin(self, write: bool, isolation: str) -> None:
        """Begin a transaction with the next statement."""
        self._begin = [Call(f"begin isolation level {_LEVELS[isolation]}")]
        self._may_not_write = isolation == "serializable" and not write
        if self._setting is not None:
            self._begin.append(Call(self._setting))
        self.writing = self.writing or write

    def commit(self) -> Waits[None]:
        """Commit the open transaction.

        References are checked first, while it can still be asked who refers; if that fails the
        transaction stays open.
        """
        self._refuse_if_failed("commit")
        self._may_not_write = False
        if self._begin or not self._is_open:
            self._begin.clear()
        else:
            calls = [*_CHECKED, _COMMIT] if self.writing else [_COMMIT]
            try:
                yield from self.send(calls, commits=True)
            except BaseException:
                if self._has_failed and not self.wire.is_broken:
                    yield from self.send([_BACK])
                    self._has_failed = False
                raise
        self._savepoints.clear()
        self.writing = False

    def rollback(self) -> None:
        """Undo the open transaction, without waiting for it; nothing if none is open."""
        if self._is_open:
            self.wire.send_soon(_ROLLBACK.text)
            self._report([_ROLLBACK], [0], perf_counter())
        self.forget()

    def savepoint(self, name: str) -> Waits[None]:
        """Mark a place of the open transaction."""
        text = f"savepoint {name}"
        self._refuse_if_failed(text)
        yield from self.send([Call(text)])
        self._savepoints.append(name)

    def release(self, name: str) -> Waits[None]:
        """Forget the last savepoint, which has that *name*."""
        text = f"release savepoint {name}"
        self._refuse_if_failed(text)
        yield from self.send([Call(text)])
        self._savepoints.pop()

    def rollback_to(self, name: str) -> Waits[None]:
        """Undo what was done since the savepoint of that *name*; forget it, and those in it.

        Where the transaction is lost with its connection it goes on to refuse every statement.
        """
        if self._is_open:
            texts = f"rollback to savepoint {name}", f"release savepoint {name}"
            yield from self.send([Call(text) for text in texts])
            self._has_failed = self._may_look = False
            while self._savepoints.pop() != name:
                pass

    def will_write(self) -> None:
        """Let a transaction that began by reading write: PostgreSQL judges it alone."""
        self._may_not_write = False

    def forget(self) -> None:
        """Know of no transaction any more."""
        self._begin.clear()
        self._savepoints.clear()
        self._has_failed = self._may_look = self._may_not_write = self.writing = False

    def end_run(self) -> None:
        """Note that the flow has ended in which a statement may have failed."""
        self._may_look = False
        self.writing = self.writing and self.in_transaction

    def _refuse_if_failed(self, attempted: str) -> None:
        if self._has_failed:
            raise TransactionInactiveError(
                f"PostgreSQL was to {attempted:.200}, but an earlier statement of this transaction "
                f"was refused, and after that it can only be rolled back; usually the error was "
                f"caught inside the block; let it leave the block, or use a savepoint of your own",
                statement=attempted,
            )

    # ── statements ──────────────────────────────────────────────────────────────────────────

    def read(
        self, text: str, parameters: Sequence[Any] = (), is_binary: bool = True
    ) -> Waits[list[Row]]:
        """Return all rows of a statement of the dialect's."""
        (answer,) = yield from self.look([Call(text, parameters, is_binary)])
        return answer.rows

    def look(self, calls: Sequence[Call]) -> Waits[list[Answer]]:
        """Execute statements that only read."""
        if self._has_failed:
            if not self._may_look:
                self._refuse_if_failed(calls[0].text)
            if self._savepoints:
                yield from self.send([Call(f"rollback to savepoint {self._savepoints[-1]}")])
            else:
                self.rollback()
            self._has_failed = self._may_look = True
        return (yield from self.send(calls))

    def write(self, calls: Sequence[Call]) -> Waits[list[Answer]]:
        """Execute statements that write.

        :raises SnapshotStale: in a serializable transaction that began by reading. PostgreSQL would
            let it write, as if it had come before those who have written since; but what was read
            is to be as it was read, so it has to be asked again, in a transaction of its own.
        """
        self._refuse_if_failed(calls[0].text)
        if self._may_not_write:
            raise SnapshotStale(
                f"PostgreSQL was to {calls[0].text:.200} in a transaction that began by reading; "
                f"others may have written since; begin again, and look whether they have"
            )
        self.writing = True
        return (yield from self.send(calls, commits=not self.in_transaction))

    def write_all(self, calls: Sequence[Call]) -> Waits[list[Answer]]:
        """Execute statements that write in a transaction of their own, in one round trip."""
        self.begin(write=True, isolation="optimistic")
        answers = yield from self.send([*calls, _COMMIT], commits=True)
        self.writing = False
        return answers[:-1]

    def execute(self, call: Call, writes: bool) -> Waits[Answer]:
        """Execute a statement of the caller's own."""
        if self._has_failed and not _GOES_BACK.match(call.text):
            self._refuse_if_failed(call.text)
        self.writing = self.writing or writes
        self._may_not_write = self._may_not_write and not writes
        is_alone = writes and not self.in_transaction
        (answer,) = yield from self.send([call], commits=is_alone)
        self._has_failed = self._may_look = self._is_open and self.wire.has_failed
        return answer

    def copy(self, text: str, types: Sequence[str], rows: Sequence[Row]) -> Waits[int]:
        """Send *rows* with the ``copy`` in *text*; return their number."""
        self._refuse_if_failed(text)
        self.writing = True
        is_alone = not self.in_transaction
        if self._begin:
            yield from self.send([])
        since = perf_counter()
        try:
            count = yield from self.wire.copy(text, types, rows)
        except StatementFailed as failed:
            self._has_failed = self._may_look = not is_alone
            raise self._judged(failed, [Call(text)], is_alone) from failed.error
        except FAILURES as error:
            raise self._translated(error, text) from error
        self._report([Call(text)], [count], since)
        return count

    def send(self, calls: Sequence[Call], commits: bool = False) -> Waits[list[Answer]]:
        """Send *calls*, after the *begin* that is due; *commits* says that the last one commits."""
        due = len(self._begin)
        if due:
            calls = [*self._begin, *calls]
        is_within = due or self.in_transaction
        since = perf_counter()
        try:
            answers = yield from self.wire.exchange(calls)
        except StatementFailed as failed:
            self._begin.clear()
            self._has_failed = self._may_look = bool(
                is_within and (self.wire.is_broken or self.wire.has_failed)
            )
            raise self._judged(failed, calls, commits) from failed.error
        except FAILURES as error:
            raise self._translated(error, calls[-1].text) from error
        if due:
            self._begin.clear()
            del answers[:due]
        if self._observer.on_statement is not None:
            self._report(calls, [0] * due + [answer.count for answer in answers], since)
        return answers

    def _report(self, calls: Sequence[Call], counts: Iterable[int], since: float) -> None:
        """Tell the observer; statements that go together take the time that they take together."""
        on_statement = self._observer.on_statement
        if on_statement is None:
            return
        seconds = perf_counter() - since
        for call, count in zip(calls, counts, strict=True):
            given = call.parameters if self._observer.parameters else None
            on_statement(call.text, max(count, 0), seconds, given)

    # ── errors ──────────────────────────────────────────────────────────────────────────────

    def _judged(self, failed: StatementFailed, calls: Sequence[Call], commits: bool) -> GravenError:
        """Return our error for a statement that failed, and note what it means."""
        error, text = failed.error, calls[failed.at].text
        state = getattr(error, "sqlstate", None)
        if self.wire.is_broken:
            # What is answered with an error was not executed, but for a commit, which may be done.
            is_known = failed.is_answer and calls[failed.at] is not _COMMIT
            if commits and not is_known:
                return _unknown(calls[-1].text, error)
            ours = self._translated(error, text)
            return ours if isinstance(ours, UnavailableError) else UnavailableError(str(ours))
        if state in _POOLER:
            self.wire.prepares = False
            return UnavailableError(
                f"at {text:.200}: a prepared statement was lost between graven and PostgreSQL "
                f"({error}); usually a pooler in transaction mode is in between; say so in the URL "
                f"with ?pgbouncer=true. On this connection nothing is prepared any more; try again"
            )
        self.is_outdated = self.is_outdated or state == _OUTDATED
        return self._translated(error, text)

    def _translated(self, error: Exception, text: str) -> GravenError:
        ours = self._dialect.translate(error, text)
        if ours is None:
            raise error
        return ours


def _unknown(text: str, error: Exception) -> CommitUnknownError:
    return CommitUnknownError(
        f"PostgreSQL was asked to {text:.200}, which commits, and the connection was lost before "
        f"the answer came ({' '.join(str(error).split())}): it may be durable or not; usually the "
        f"server was restarted, or the network failed; look whether it is there before you do it "
        f"again"
    )
