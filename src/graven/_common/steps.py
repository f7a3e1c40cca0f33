"""``step``: calls inside an operation whose results are kept."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from graven._common.atomic import AtomicFunction
from graven._common.operating import current_operation
from graven._hints import Any, TypeVar, overload
from graven.core.retry import Backoff
from graven.core.steps import StepCall
from graven.errors import UsageError

__all__ = ["step"]

R = TypeVar("R")

WAITS = Backoff(first_s=0.1, factor=2.0, longest_s=30.0)
"""How long is waited between the tries of a step unless told otherwise."""


@overload
def step(
    function: Callable[..., Awaitable[R]],
    /,
    *args: Any,
    name: str | None = None,
    compensate: Any = None,
    retries: int = 0,
    backoff: Backoff | None = None,
    timeout_s: float | None = None,
    upcast: Mapping[int, Callable[[Any], Any]] | None = None,
    **kwargs: Any,
) -> Awaitable[R]: ...


@overload
def step(
    function: Callable[..., R],
    /,
    *args: Any,
    name: str | None = None,
    compensate: Any = None,
    retries: int = 0,
    backoff: Backoff | None = None,
    timeout_s: float | None = None,
    upcast: Mapping[int, Callable[[Any], Any]] | None = None,
    **kwargs: Any,
) -> R: ...


def step(
    function: Callable[..., Any],
    /,
    *args: Any,
    name: str | None = None,
    compensate: Any = None,
    retries: int = 0,
    backoff: Backoff | None = None,
    timeout_s: float | None = None,
    upcast: Mapping[int, Callable[[Any], Any]] | None = None,
    **kwargs: Any,
) -> Any:
    """Call *function* inside an operation, and keep its result: a replay returns that.

    ::

        @atomic
        def order(cart: Cart) -> Order:
            payment = step(charge, cart.card, cart.total, compensate=refund)
            return Order(cart=cart, payment=payment)

    A step is for what happens outside of the store. Its result is committed at once, in a
    transaction of its own, so it outlasts a crash; if the process dies before that, the function is
    called once more. In an async operation a step is awaited, and *function* may be either kind.

    A replay finds a step by its *name*, by default that of the function, numbered from the second
    on: order and number of the steps may change between attempts. When the operation fails for good
    or is cancelled, *compensate*, an ``@atomic`` function, is called with the result of each step
    that was done, the last first, and each exactly once.

    A function that raises is called again up to *retries* times, after waiting as *backoff* says.
    After *timeout_s* seconds it counts as failed: an async one is cancelled; a blocking one goes
    on in a thread of its own, because threads cannot be interrupted, and is heard no more. *upcast*
    lifts a result that older code has stored: for a version, to the next one.

    :raises UsageError: outside of an operation, or if the name is taken.
    :raises NotSerializableError: if the result cannot be stored.
    :raises OperationError: if somebody else has taken the operation over meanwhile.
    """
    running = current_operation()
    if running is None:
        raise UsageError(
            f"cannot run {function!r:.100} as a step: no operation is running here. Nothing was "
            "run. Call step() inside a function that is marked with @atomic; a thread that was "
            "started there needs its context, contextvars.copy_context()."
        )
    if retries < 0 or (timeout_s is not None and not timeout_s > 0):
        raise UsageError(
            f"cannot run {function!r:.100} as a step with retries={retries!r} and timeout_s="
            f"{timeout_s!r}: retries is 0 or more, a time limit more than 0. Nothing was run."
        )
    operating = running.db.operating
    undo = None if compensate is None else _name_of(compensate, operating.is_async)
    if running.steps is None or running.steps.session is not running.session:
        running.steps = operating.steps(running, running.steps)
    call = StepCall(
        name=running.steps.name(function, name),
        function=function,
        args=args,
        kwargs=kwargs,
        compensation=undo,
        retries=retries,
        backoff=backoff or WAITS,
        timeout_s=timeout_s,
        upcast=upcast or {},
    )
    return running.steps.run(call)


def _name_of(compensate: Any, is_async: bool) -> str:
    """Return what the log calls a compensation.

    :raises UsageError: if it is not one that a later recovery could find and run.
    """
    is_atomic = isinstance(compensate, AtomicFunction)
    if not is_atomic or compensate.is_bound or compensate.is_async is not is_async:
        kind = "async def" if is_async else "def"
        raise UsageError(
            f"cannot compensate a step with {compensate!r:.100}: it has to be a function defined "
            f"with {kind}, marked with @atomic and not bound to an object, because the process "
            "that has to call it may be another one, which finds it by its name in the log. "
            "Nothing was run."
        )
    return str(compensate.name)
