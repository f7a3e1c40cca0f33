"""``@atomic``: functions whose calls are durable operations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import update_wrapper
from inspect import (
    Parameter,
    Signature,
    isasyncgenfunction,
    iscoroutinefunction,
    isgeneratorfunction,
    signature,
)

from graven._common.calling import Call
from graven._common.deferral import Deferrable
from graven._common.operating import current_operation
from graven._hints import Any
from graven.core.limits import checked_priority, checked_queue
from graven.core.retry import Backoff
from graven.errors import UnknownOperationError, UsageError
from graven.ops.value import Value

__all__ = ["AtomicFunction", "CallOptions", "Settings", "atomic", "function_named", "names_of"]

_functions: dict[str, AtomicFunction] = {}
"""Every function by its name in the log, and by the names that it had before."""


class Settings(Value):
    """What is said of a function where it is defined.

    After a lost race its body is run again up to *retries* times in one attempt. A recovery makes
    up to *attempts* attempts, and waits as *delays* says between them.
    """

    retries: int = 20
    attempts: int = 5
    delays: Backoff = Backoff(1.0, 2.0, 600.0)
    version: int = 1
    queue: str = "default"
    priority: int = 5
    upcast: Mapping[int, Callable[..., Any]] = {}


class CallOptions(Value):
    """What is said of one call."""

    key: str | None = None
    retries: int | None = None
    timeout_s: float | None = None
    queue: str | None = None
    priority: int | None = None


class AtomicFunction(Deferrable):
    """A function whose calls are durable operations: logged first, applied once.

    Called with objects of models, it works on the database that they are from; otherwise on that of
    the current session, or on the one that it was bound to. An async function is awaited. Called
    inside another operation, it becomes part of that.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        name: str,
        settings: Settings,
        db: Any = None,
    ) -> None:
        """Wrap *function*, which the log calls *name*; use :func:`atomic`."""
        update_wrapper(self, function)
        self.function, self.name, self.settings, self.db = function, name, settings, db
        self.is_async = iscoroutinefunction(function)
        self.call_options = CallOptions()
        self.check, self.parameters = _checker(function)
        self._bound: tuple[Any, ...] = ()

    def __repr__(self) -> str:
        return f"<atomic {self.name}>"

    def __get__(self, instance: Any, owner: Any = None) -> AtomicFunction:
        """Bind the function to an object, or to a class, as a method is."""
        return self if instance is None else self._but(_bound=(instance,))

    def _but(self, **changes: Any) -> AtomicFunction:
        made = object.__new__(type(self))
        made.__dict__.update(self.__dict__)
        made.__dict__.update(changes)
        return made

    @property
    def signature(self) -> Signature:
        """The parameters of the function."""
        return signature(self.function)

    @property
    def is_bound(self) -> bool:
        """Whether it is a method bound to an object, or to a class."""
        return bool(self._bound)

    @property
    def origin(self) -> AtomicFunction:
        """The function as the log knows it, bound to nothing and with no options."""
        return _functions.get(self.name, self)

    def on(self, db: Any) -> AtomicFunction:
        """Return the function for a given database."""
        return self._but(db=db)

    def options(
        self,
        *,
        key: str | None = None,
        retries: int | None = None,
        timeout_s: float | None = None,
        queue: str | None = None,
        priority: int | None = None,
    ) -> AtomicFunction:
        """Return the function with options for its next calls.

        Of calls with the same *key* one is done: the others return its result; one that failed is
        run again. While it is running elsewhere, it is waited for up to *timeout_s* seconds.
        After a lost race the body is run again up to *retries* times. Calls that are left to a
        worker go into *queue*; there those with a higher *priority*, from 0 to 9, go first.
        """
        given: Any = key
        if given is not None and (not isinstance(given, str) or not given):
            raise UsageError(
                f"cannot call {self.name} with the key {given!r:.100}: a key is a text that is not "
                "empty. Nothing was run. Give str(key) if it is something else."
            )
        if queue is not None:
            checked_queue(queue)
        if priority is not None:
            checked_priority(priority)
        return self._but(call_options=CallOptions(key, retries, timeout_s, queue, priority))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the function as an operation, or, inside one, as a part of it."""
        running = current_operation()
        if running is not None:
            return self._join(running, args, kwargs)
        call = Call(self, args, kwargs, self._bound)
        self._check_colour(call)
        return call.db.operating.call(call)

    def _join(self, running: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self.call_options.key is not None:
            raise UsageError(
                f"cannot call {self.name} with a key inside the operation {running.name}: a key "
                "belongs to an entry of the log, and this call becomes part of that operation's. "
                "Give the key to the outer call, or none to this one."
            )
        if self.db is not None and self.db is not running.db:
            raise UsageError(
                f"cannot call {self.name} inside the operation {running.name}: it is bound to "
                f"{self.db!r}, and an operation works on one database, here {running.db!r}."
            )
        if self.is_async and not running.db.operating.is_async:
            raise self._wrong_colour(running.db)
        return self.function(*self._bound, *args, **kwargs)

    def _wrong_colour(self, db: Any) -> UsageError:
        mine, its = ("async", "blocking") if self.is_async else ("blocking", "async")
        remedy = "AsyncDatabase, and await it" if self.is_async else "Database"
        return UsageError(
            f"cannot call {self.name} on {db!r}: the function is {mine}, and the database is {its}."
            f" Nothing was run. Define it with {'def' if self.is_async else 'async def'}, or use "
            f"an {remedy}."
        )


def _checker(function: Callable[..., Any]) -> tuple[Callable[..., None], tuple[str, ...]]:
    """Return what refuses arguments that *function* does not take, as Python would.

    And the names of the parameters.
    """
    empty, known = Parameter.empty, signature(function).parameters.values()
    plain = [
        one.replace(annotation=empty, default=empty if one.default is empty else None)
        for one in known
    ]
    namespace: dict[str, Any] = {}
    exec(f"def check{Signature(plain)}: pass", namespace)
    check = namespace["check"]
    check.__name__ = function.__name__
    check.__qualname__ = function.__qualname__
    return check, tuple(one.name for one in known)


def atomic(
    function: Any = None,
    /,
    *,
    name: str | None = None,
    renamed_from: str | Sequence[str] = (),
    retries: int = 20,
    attempts: int = 5,
    delays: Backoff | None = None,
    version: int = 1,
    upcast: Mapping[int, Callable[..., Any]] | None = None,
    queue: str = "default",
    priority: int = 5,
    db: Any = None,
) -> Any:
    """Make the calls of a function durable operations: logged first, applied once.

    ::

        @atomic
        def transfer(source: Account, target: Account, amount: int) -> Receipt:
            source.balance -= amount
            target.balance += amount
            return Receipt(source=source, target=target, amount=amount)

    A call is logged with its arguments. Then the function is run in a session of its own, and what
    it has changed is committed together with the end of its entry, in one transaction. What a crash
    has interrupted has written nothing, and is run again by ``db.recover()``.

    *name* is what the log calls the function, by default its module and its qualified name.
    *renamed_from* lists former names, which older entries have. After a lost race the body is run
    again up to *retries* times. What fails in a recovery is tried *attempts* times altogether, with
    *delays* between, and is left to a person then. *version* is that of the code, and of the
    arguments that it is called with; *upcast* has, for a version, the function that lifts the
    positional and named arguments that older code has logged to the next version:
    ``upcast={1: lambda args, kwargs: ((*args, "EUR"), kwargs)}``. Calls that are left to a worker
    go into *queue*, with *priority*, from 0, last, to 9, first. *db* is the database to work on.

    :raises UsageError: if another function has that name.
    """
    settings = Settings(
        retries,
        attempts,
        delays or Settings().delays,
        version,
        checked_queue(queue).name,
        checked_priority(priority),
        upcast or {},
    )

    def decorate(function: Any) -> Any:
        if isinstance(function, classmethod | staticmethod):
            return type(function)(decorate(function.__func__))
        if isinstance(function, AtomicFunction):
            return function.on(db)
        if isgeneratorfunction(function) or isasyncgenfunction(function):
            raise UsageError(
                f"cannot make {function.__qualname__} atomic: it is a generator, which is run bit "
                "by bit by its caller, and an operation is run as a whole. Return a list instead."
            )
        title = name or f"{function.__module__}.{function.__qualname__}"
        made = AtomicFunction(function, title, settings, db)
        former = (renamed_from,) if isinstance(renamed_from, str) else renamed_from
        for one in (title, *former):
            _register(one, made)
        return made

    return decorate if function is None else decorate(function)


def _register(name: str, made: AtomicFunction) -> None:
    """Let a function be found by a name; one that was defined anew takes its own place."""
    known = _functions.get(name)
    if known is not None and _place(known) != _place(made):
        raise UsageError(
            f"cannot define the operation {name!r} at {_place(made)}: {_place(known)} has that "
            "name already, and the log tells them apart by it. Give one of them another name, with "
            "@atomic(name=...)."
        )
    _functions[name] = made


def _place(one: AtomicFunction) -> str:
    return f"{one.function.__module__}.{one.function.__qualname__}"


def function_named(name: str) -> AtomicFunction:
    """Return the function that the log calls *name*.

    :raises UnknownOperationError: if this program does not define it.
    """
    found = _functions.get(name)
    if found is None:
        raise UnknownOperationError(
            f"the log names the operation {name!r}, and this program does not define it. Usually "
            "its module is not imported, or it was renamed: import it, or say "
            f"@atomic(renamed_from={name!r}) where it is now."
        )
    return found


def names_of(is_async: bool, attempts: int = 1) -> tuple[str, ...]:
    """Return the names in the log of all functions of one colour that this program defines.

    Only those that may be begun as many times as *attempts*.
    """
    return tuple(
        name
        for name, one in _functions.items()
        if one.is_async is is_async and one.settings.attempts >= attempts
    )
