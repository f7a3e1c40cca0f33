"""Running flows on one connection to a server, as a generator that yields what the driver is to do.

What it yields is the driver's own: a socket to wait for, a call to make. Both colours drive it,
each in its own way of waiting, and do nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping

from graven._hints import Any, TypeVar
from graven.drivers.forks import process
from graven.errors import UsageError
from graven.ops.requests import Flow

__all__ = ["Runner", "Settle"]

R = TypeVar("R")

Settle = Callable[[Any, BaseException | None], object]
"""Told how a flow has ended: its result, or its error."""


class Runner:
    """What both colours of connection are: statements, requests, and the flows run on them."""

    __slots__ = ("_forks", "_performers", "_requests", "statements")

    def __init__(self, statements: Any, requests: Any) -> None:
        """Perform *requests* by *statements*."""
        self.statements, self._requests = statements, requests
        self._performers: Mapping[type, Callable[[Any], Generator[Any, Any, Any]]]
        self._performers = requests.performers
        self._forks = process.forks

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        is_open: bool = self.statements.in_transaction
        return is_open

    @property
    def is_inherited(self) -> bool:
        """Whether it was opened by a parent of this process, and must not be touched."""
        return self._forks != process.forks

    def running(self, flow: Flow[R], settle: Settle | None = None) -> Generator[Any, Any, R]:
        """Drive *flow* to its end and return its result, or raise its error.

        Errors of requests are thrown into the flow first. A transaction that the flow began and
        that an error left open is rolled back; one that was open before stays. Then *settle* is
        called with result and error, exactly once.
        """
        statements = self.statements
        was_in_transaction = statements.in_transaction
        try:
            result = yield from self._driving(flow)
        except BaseException as error:
            flow.close()
            if not was_in_transaction:
                yield from self._undo(error)
            statements.end_run()
            if settle is not None:
                settle(None, error)
            raise
        statements.end_run()
        if settle is not None:
            settle(result, None)
        return result

    def _driving(self, flow: Flow[R]) -> Generator[Any, Any, R]:
        if self.is_inherited:
            raise UsageError(
                "a connection was used in a forked process, but belongs to its parent; usually a "
                "session was open while the process forked; open sessions after the fork"
            )
        flow = self._prepared(flow)
        performers = self._performers
        try:
            operation = next(flow)
            while True:
                try:
                    reply = yield from performers[type(operation)](operation)
                except GeneratorExit:
                    raise
                except BaseException as error:  # noqa: BLE001 - it is the flow's to judge
                    operation = flow.throw(error)
                else:
                    operation = flow.send(reply)
        except StopIteration as end:
            result: R = end.value
            return result

    def _prepared(self, flow: Flow[R]) -> Flow[R]:
        """Return what is run for *flow*."""
        return flow

    def _undo(self, error: BaseException) -> Generator[Any, Any, None]:
        """Undo what a flow that ended with *error* has left open."""
        self.abandon()
        yield from ()

    def abandon(self) -> None:
        """Undo what is open, without waiting for it."""
        raise NotImplementedError
