"""Operations in both colours, and the models that they work on, for the tests of operations."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

from graven import Model, atomic, key, owned
from graven.ops.operating import OPERATIONS
from graven.testing.contract import rows, shape

__all__ = ["Account", "Both", "Die", "Letter", "Numbered", "Receipt", "Writer", "both", "log_of"]


class Die(BaseException):
    """The process dies here, as far as graven can tell: nothing is cleaned up."""


class Account(Model):
    owner: str
    balance: int = 0


class Receipt(Model):
    source: Account
    target: Account
    amount: int


class Writer(Model):
    name: str
    letters: list[Letter] = owned("writer")


class Letter(Model):
    writer: Writer
    text: str = ""


class Numbered(Model):
    id: int = key(store_made=True)
    size: int = 0


class Both:
    """An operation in each colour; called with the colour it returns what is to be called."""

    def __init__(self, blocking: Any, awaited: Any) -> None:
        self.blocking, self.awaited = blocking, awaited

    def __call__(self, colour: Any, *args: Any, **kwargs: Any) -> Any:
        function = self.blocking if colour.name == "blocking" else self.awaited
        return colour.call(lambda: function(*args, **kwargs))

    def of(self, colour: Any) -> Any:
        return self.blocking if colour.name == "blocking" else self.awaited


def both(body: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make *body* an operation in each colour; what it yields is awaited in the async one."""
    if body is None:
        return lambda function: both(function, **options)
    found: Callable[..., Any] = body
    is_generator = inspect.isgeneratorfunction(body)

    @wraps(found)
    def blocking(*args: Any, **kwargs: Any) -> Any:
        if not is_generator:
            return found(*args, **kwargs)
        steps, reply = found(*args, **kwargs), None
        try:
            while True:
                reply = steps.send(reply)
        except StopIteration as end:
            return end.value

    @wraps(found)
    async def awaited(*args: Any, **kwargs: Any) -> Any:
        if not is_generator:
            return found(*args, **kwargs)
        steps, reply = found(*args, **kwargs), None
        try:
            while True:
                reply = steps.send(reply)
                if inspect.isawaitable(reply):
                    try:
                        reply = await reply
                    except Exception as error:  # noqa: BLE001 - it is the body's to handle
                        reply = steps.throw(error)
        except StopIteration as end:
            return end.value

    name = options.pop("name", f"{body.__module__}.{body.__qualname__}")
    return Both(
        atomic(blocking, name=name, **options),
        atomic(awaited, name=f"{name} awaited", **_renamed(options)),
    )


def _renamed(options: dict[str, Any]) -> dict[str, Any]:
    former = options.get("renamed_from", ())
    former = (former,) if isinstance(former, str) else former
    return {**options, "renamed_from": tuple(f"{one} awaited" for one in former)}


def log_of(db: Any, *columns: str, **having: Any) -> list[Any]:
    """Return columns of all entries of the log, oldest first; single values of a single column."""
    target, caller = getattr(db, "_target", db), getattr(db, "_caller", None)

    def ask(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        def call() -> Any:
            return function(target, *args, **options)

        return call() if caller is None else caller.call(call)

    if ask(shape, OPERATIONS.name) is None:
        return []
    found = ask(rows, OPERATIONS, *columns, order="timestamp", **having)
    return [row[0] for row in found] if len(columns) == 1 else found
