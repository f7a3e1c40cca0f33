"""Statements on one connection to PostgreSQL, sent together and answered together.

The connection stays in libpq's pipeline mode: what is sent goes out with the synchronisation point
that ends it, so any number of statements, *begin* and *commit* among them, is one round trip; after
the first that fails the server skips the rest. Nothing here waits: what has to wait is a generator
that yields :data:`READ` or :data:`WRITE`, the readiness of the socket that it needs, and is sent
what is ready. So the same code serves both colours.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from select import POLLERR, POLLHUP, POLLIN, POLLOUT, poll

from psycopg import Error, OperationalError
from psycopg.errors import error_from_result
from psycopg.pq import ConnStatus, ExecStatus, TransactionStatus

from graven._hints import TYPE_CHECKING, Any, TypeVar
from graven.drivers.postgres_texts import (
    Answer,
    Call,
    Shape,
    copied,
    name_of,
    shape_of,
    shape_of_callers,
)

if TYPE_CHECKING:
    from psycopg import AsyncConnection, Connection
    from psycopg.pq.abc import PGresult

__all__ = ["READ", "WRITE", "PostgresWire", "StatementFailed", "Waits"]

R = TypeVar("R")

READ = 1  #: wait until there is something to read
WRITE = 3  #: wait until there is room to write, or something to read

Waits = Generator[int, int, R]
"""Yields what to wait for, is sent what is ready, returns an ``R``."""

PREPARED_MAX = 1000
"""Statements prepared on a connection; more, of a program with very many shapes, are not kept."""

LAST_WORDS_MS = 20
"""How long a connection that has been spoken to unasked is given to turn out as closed."""

_EVENTS = {READ: POLLIN, WRITE: POLLIN | POLLOUT}
_FAILED = ExecStatus.FATAL_ERROR
_SYNC = ExecStatus.PIPELINE_SYNC


class StatementFailed(Exception):
    """The statement numbered *at* failed with *error*.

    If that *is_answer*, the server said so instead of executing it, and executed none after it.
    Otherwise the connection was lost, and nobody knows how far the server came.
    """

    def __init__(self, error: Exception, at: int, is_answer: bool) -> None:
        """Keep what is known."""
        super().__init__(str(error))
        self.error, self.at, self.is_answer = error, at, is_answer


class PostgresWire:
    """Sends statements, reads answers; used by one thread or task at a time.

    ``is_broken`` says that the connection is lost, or in a state that nobody knows.
    """

    __slots__ = ("_owed", "_pgconn", "_raw", "_shapes", "is_broken", "prepares")

    def __init__(self, raw: Connection[Any] | AsyncConnection[Any], prepares: bool) -> None:
        """Take over *raw*, which is connected; *prepares* says whether to prepare statements."""
        self._raw = raw
        self._pgconn = pgconn = raw.pgconn
        self._shapes: dict[str, Shape] = {}
        self._owed = 0
        self.prepares = prepares
        self.is_broken = False
        pgconn.nonblocking = 1
        pgconn.enter_pipeline_mode()

    @property
    def socket(self) -> int:
        """The number of the socket."""
        return self._pgconn.socket

    @property
    def has_transaction(self) -> bool:
        """Whether the server has a transaction open, failed or not, that is not to be ended."""
        return not self._owed and self._pgconn.transaction_status != TransactionStatus.IDLE

    @property
    def has_failed(self) -> bool:
        """Whether the server has a transaction open in which a statement has failed."""
        return self._pgconn.transaction_status == TransactionStatus.INERROR

    # ── statements ──────────────────────────────────────────────────────────────────────────

    def exchange(self, calls: Sequence[Call]) -> Waits[list[Answer]]:
        """Send *calls* in one go; return an answer for each.

        :raises StatementFailed: with the first of them that failed.
        """
        shapes = [self._shape(call) for call in calls]
        values = [call.spelled(shape) for call, shape in zip(calls, shapes, strict=True)]
        prepared: list[Shape | None] = []
        results: list[PGresult] = []
        try:
            for call, shape, value in zip(calls, shapes, values, strict=True):
                self._send(call, shape, value, prepared)
            self._pgconn.pipeline_sync()
            yield from self._receive(results)
        except Error as error:
            results += self._last_words()
            self.abort()
            self._check(results, prepared)
            raise StatementFailed(error, 0, False) from error
        except BaseException:
            self.abort()
            raise
        self._check(results, prepared)
        answers = zip(calls, shapes, _wanted(results, prepared), strict=False)
        return [shape.answer(call, result) for call, shape, result in answers]

    def _shape(self, call: Call) -> Shape:
        if call.is_typed:
            return shape_of_callers(call.text, call.parameters)
        if call.is_long:
            return shape_of(call.text)
        shape = self._shapes.get(call.text)
        if shape is None:
            shape = shape_of(call.text)
            if self.prepares and len(self._shapes) < PREPARED_MAX:
                self._shapes[call.text] = shape
                shape.name = name_of(shape.query)
        return shape

    def _send(self, call: Call, shape: Shape, values: Any, prepared: list[Shape | None]) -> None:
        """Send one statement; *prepared* gets an entry for each result that is to come."""
        pgconn = self._pgconn
        if shape.name and self.prepares:
            if not shape.is_prepared:
                pgconn.send_prepare(shape.name, shape.query)
                prepared.append(shape)
            pgconn.send_query_prepared(shape.name, values, None, call.is_binary)
        else:
            types, formats = shape.types, shape.formats
            pgconn.send_query_params(shape.query, values, types, formats, call.is_binary)
        prepared.append(None)

    def _receive(self, results: list[PGresult]) -> Waits[None]:
        """Read until the synchronisation point; put what comes before it into *results*."""
        pgconn = self._pgconn
        while pgconn.flush():
            if (yield WRITE) & READ:
                pgconn.consume_input()
        while True:
            while pgconn.is_busy():
                yield READ
                pgconn.consume_input()
            result = pgconn.get_result()
            if result is None:
                if pgconn.status != ConnStatus.OK:
                    raise OperationalError("the connection was lost")
            elif result.status != _SYNC:
                results.append(result)
                if pgconn.status != ConnStatus.OK:
                    return
            elif self._owed:
                self._owed -= 1
                results.clear()
            else:
                return

    def _check(self, results: list[PGresult], prepared: list[Shape | None]) -> None:
        """Note what is prepared now; raise if a statement failed."""
        for at, result in enumerate(results):
            shape = prepared[at] if at < len(prepared) else None
            if result.status == _FAILED:
                error = error_from_result(result, encoding="utf-8")
                if self._pgconn.status != ConnStatus.OK:
                    self.abort()
                place = min(prepared[:at].count(None), prepared.count(None) - 1)
                is_answer = at < len(prepared) and error.sqlstate is not None
                raise StatementFailed(error, place, is_answer or not self.is_broken)
            if shape is not None:
                shape.is_prepared = True

    def _last_words(self) -> list[PGresult]:
        """Return what has arrived of the results when the connection is lost."""
        results: list[PGresult] = []
        try:
            for _ in range(1000):
                result = self._pgconn.get_result()
                if result is not None and result.status != _SYNC:
                    results.append(result)
                if result is not None and result.status == _FAILED:
                    break
        except Error:
            pass
        return results

    # ── many rows ───────────────────────────────────────────────────────────────────────────

    def copy(self, text: str, types: Sequence[str], rows: Iterable[Sequence[Any]]) -> Waits[int]:
        """Send *rows* in the binary form of ``copy``; return their number."""
        data = copied(self._raw, types, rows)
        pgconn = self._pgconn
        try:
            yield from self._settled()
            pgconn.exit_pipeline_mode()
            pgconn.send_query(text.encode())
            results = yield from self._plain()
            if results[-1].status == ExecStatus.COPY_IN:
                for block in data:
                    pgconn.put_copy_data(block)
                    while pgconn.flush():
                        if (yield WRITE) & READ:
                            pgconn.consume_input()
                pgconn.put_copy_end()
                results = yield from self._plain()
            if pgconn.status == ConnStatus.OK:
                pgconn.enter_pipeline_mode()
        except Error as error:
            self.abort()
            raise StatementFailed(error, 0, False) from error
        except BaseException:
            self.abort()
            raise
        self._check(results, [None])
        return results[-1].command_tuples or 0

    def _settled(self) -> Waits[None]:
        """Read what is still owed."""
        while self._owed:
            self._pgconn.pipeline_sync()
            yield from self._receive([])

    def _plain(self) -> Waits[list[PGresult]]:
        """Read the results of one command outside of the pipeline mode."""
        pgconn = self._pgconn
        while pgconn.flush():
            if (yield WRITE) & READ:
                pgconn.consume_input()
        results: list[PGresult] = []
        while True:
            while pgconn.is_busy():
                yield READ
                pgconn.consume_input()
            result = pgconn.get_result()
            if result is None:
                return results
            results.append(result)
            if result.status == ExecStatus.COPY_IN or pgconn.status != ConnStatus.OK:
                return results

    # ── the connection ──────────────────────────────────────────────────────────────────────

    def ready(self, wanted: int, timeout_ms: int | None = None) -> int:
        """Wait until the socket is ready for what is *wanted*; return for what it is, or 0."""
        waiter = poll()
        waiter.register(self._pgconn.socket, _EVENTS[wanted])
        found = 0
        for _, events in waiter.poll(timeout_ms):
            found |= READ if events & (POLLIN | POLLHUP | POLLERR) else 0
            found |= WRITE - READ if events & (POLLOUT | POLLERR) else 0
        return found

    def send_soon(self, text: str) -> None:
        """Send a statement without waiting for the answer, which is read before the next one's."""
        try:
            self._pgconn.send_query_params(text.encode(), None)
            self._pgconn.pipeline_sync()
            self._owed += 1
            if self._pgconn.flush():
                self.abort()
        except Error:
            self.abort()

    def is_alive(self) -> bool:
        """Say whether the connection can be used, as far as can be seen without asking the server.

        A server that has ended a connection has said so, or has closed it, which can be read.
        """
        if self.is_broken:
            return False
        try:
            while self.ready(READ, 0):
                self._pgconn.consume_input()
                if not self._owed:
                    # The server speaks unasked before it closes; else it has news of a setting.
                    self.ready(READ, LAST_WORDS_MS)
                while self._owed and not self._pgconn.is_busy():
                    result = self._pgconn.get_result()
                    self._owed -= result is not None and result.status == _SYNC
                    if self._pgconn.status != ConnStatus.OK:
                        break
            if self._pgconn.status != ConnStatus.OK:
                self.abort()
        except (Error, OSError, ValueError):
            self.abort()
        return not self.is_broken

    def canceller(self) -> Callable[[], object]:
        """Return what asks the server to cancel what runs here; it waits, for any thread."""
        return self._pgconn.get_cancel().cancel

    def forget_prepared(self) -> None:
        """Prepare no more: somebody between here and the server does not keep what is prepared."""
        self.prepares = False

    def abort(self) -> None:
        """Close the connection at once; what it has open is rolled back by the server."""
        self.is_broken = True
        self._pgconn.finish()


def _wanted(results: list[PGresult], prepared: list[Shape | None]) -> list[PGresult]:
    """Return the results of statements, without those of their preparation."""
    if len(results) == 1:
        return results
    return [result for result, shape in zip(results, prepared, strict=False) if shape is None]
