"""What is logged of operations: entries made of calls, arguments read back, errors in words."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Generator, Sequence
from datetime import timedelta
from functools import partial

from graven._common.arriving import objects_of
from graven._common.atomic import AtomicFunction
from graven._common.calling import Call, class_named
from graven._common.clock import now
from graven._common.restoring import Level
from graven._hints import Any, TypeVar
from graven.core.entries import Entry, derived_id
from graven.core.grave import Grave
from graven.core.operating import RUNNING
from graven.core.steps import lifted
from graven.errors import InvariantError, NotFoundError, NotSerializableError, OperationError
from graven.models.documents.calls import Met, read_text
from graven.models.documents.graphs import Found, Wanted, restoring
from graven.models.documents.registry import placed_registry
from graven.models.keys import uuid7
from graven.models.model import Model, mapper_of
from graven.ops.requests import FetchKeys

__all__ = [
    "FreshCall",
    "Given",
    "LoggedCall",
    "LostArgumentError",
    "check_storable",
    "described",
    "last",
    "new_entry",
    "same_call",
    "value_of",
    "worker_name",
]

R = TypeVar("R")

Bindings = Callable[[Any], Any]

ERROR_LENGTH_MAX = 4000
"""How much of an error is logged."""

Given = tuple[tuple[Any, ...], dict[str, Any]]
"""The positional and the named arguments of a call, with what it is bound to in front."""


class LostArgumentError(NotFoundError):
    """An argument of an operation is not there any more."""


_names: dict[int, str] = {}


def worker_name() -> str:
    """Return what the log calls this process; a forked child has a name of its own."""
    pid = os.getpid()
    if pid not in _names:
        _names[pid] = f"{socket.gethostname()}/{pid}/{os.urandom(3).hex()}"
    return _names[pid]


def new_entry(call: Call, lease_s: float, **more: Any) -> Entry:
    """Return the entry of a call: running now, unless *more* says something else."""
    at, function = now(), call.function
    key = function.call_options.key
    made = Entry(
        uuid7() if key is None else derived_id("key", function.name, key),
        function.name,
        call.text.text,
        at,
        RUNNING,
        at + timedelta(seconds=lease_s),
        None,
        0,
        worker_name(),
        1,
        key,
        None,
        function.settings.version,
    )
    return made.but(**more) if more else made


def described(error: BaseException) -> str:
    """Return an error as it is logged: its type and its message."""
    text = f"{type(error).__qualname__}: {error}".encode("utf-8", "replace").decode()
    return text.replace("\0", "\\0")[:ERROR_LENGTH_MAX]


class LoggedCall:
    """The arguments of an entry, as they are read back."""

    def __init__(self, entry: Entry, function: AtomicFunction | None) -> None:
        """Read the arguments of *entry* for *function*; without one, no class is looked for."""
        self._entry, self._function = entry, function
        self.bound = 0
        """How many of the arguments read are what the function is bound to."""
        self._steps: Generator[Wanted, Found, Given] | None = None
        self._level: Level | None = None
        self._given: Given | None = None

    def questions(self, unit: Any, bindings: Bindings) -> list[FetchKeys]:
        """Return what is asked for the objects that *unit* needs.

        :raises DataError: if the text is not what the log wrote.
        """
        self._steps = self._read()
        try:
            wanted = next(self._steps)
        except StopIteration as end:
            self._given, self._steps = end.value, None
            return []
        self._level = Level(unit, bindings, wanted)
        return self._level.questions

    def given(self, rows: Sequence[Any]) -> Given:
        """Return the arguments, with the objects of *rows*, the answers to the questions.

        :raises LostArgumentError: if an object is not there any more.
        """
        if self._steps is not None and self._level is not None:
            self._given = last(self._steps, self._level.answers(rows))
        args, kwargs = self._given or ((), {})
        return args, kwargs

    def _read(self) -> Generator[Wanted, Found, Given]:
        roots, nodes = read_text(self._entry.arguments)
        try:
            args, kwargs, bound, owner = yield from restoring(
                placed_registry, roots, levels_max=1, nodes=nodes
            )
        except NotFoundError as error:
            raise LostArgumentError(
                f"an operation cannot be run, for what it was called with is gone: {error}",
                model=error.model,
                key=error.key,
            ) from error
        if owner is not None and self._function is not None:
            bound = [class_named(owner, self._function)]
        self.bound = len(bound)
        args, kwargs = self._lifted(args, kwargs)
        return (*bound, *args), kwargs

    def _lifted(self, args: Any, kwargs: Any) -> Any:
        """Return arguments that older code has logged as the function takes them now."""
        if self._function is None:
            return args, kwargs
        settings = self._function.settings
        upcast = {version: partial(_spread, one) for version, one in settings.upcast.items()}
        return lifted((args, kwargs), self._entry.code_version, settings.version, upcast)


def _spread(function: Any, given: Any) -> Any:
    return function(*given)


class FreshCall:
    """The arguments of a call that is being made, whose models are arguments themselves."""

    def __init__(self, call: Call) -> None:
        """Take the arguments of *call*."""
        self._call = call
        self._unit: Any = None
        self._bindings: list[Any] = []

    def questions(self, unit: Any, bindings: Bindings) -> list[FetchKeys]:
        """Return what is asked for the objects that *unit*, which is new, needs."""
        self._unit = unit
        wanted: dict[Any, list[Any]] = {}
        for model, key in self._call.text.met:
            wanted.setdefault(model, []).append(key)
        self._bindings = [bindings(mapper_of(model)) for model in wanted]
        return [
            FetchKeys(
                binding.mapper.table,
                binding.columns,
                binding.mapper.table.key,
                list(map(binding.key_row, keys)),
                True,
            )
            for binding, keys in zip(self._bindings, wanted.values(), strict=True)
        ]

    def given(self, rows: Sequence[Any]) -> Given:
        """Return the arguments, with the objects of *rows* in place of the caller's.

        :raises LostArgumentError: if one is not there any more.
        """
        call = self._call
        held = [
            objects_of(self._unit, binding, binding.mapper, found)
            for binding, found in zip(self._bindings, rows, strict=True)
        ]
        args = [self._in_place_of(one) for one in (*call.bound, *call.args)]
        if call.owner is not None:
            args.insert(0, call.owner)
        kwargs = {name: self._in_place_of(one) for name, one in call.kwargs.items()}
        held.clear()
        return tuple(args), kwargs

    def _in_place_of(self, value: Any) -> Any:
        if not isinstance(value, Model):
            return value
        mapper = mapper_of(value.__class__)
        key = mapper.key_of(value)
        one = self._unit.find(mapper, key)
        if one is None:
            raise LostArgumentError(
                f"cannot run {self._call.function.name}: {mapper.name} {key!r}, an argument, is "
                "not in the store any more. Somebody has deleted it since it was loaded.",
                model=mapper.name,
                key=key,
            )
        return one


def last(steps: Generator[Any, Any, R], answer: Any) -> R:
    """Send the *answer* to the last question of *steps*; return their result."""
    try:
        steps.send(answer)
    except StopIteration as end:
        result: R = end.value
        return result
    raise InvariantError("more was asked for than one level of a graph")


def value_of(text: str | None) -> Generator[Wanted, Found, Any]:
    """Read the result of an entry back; yields the keys wanted, once.

    :raises NotFoundError: if an object is not there any more.
    """
    if text is None:
        return None
    roots, nodes = read_text(text)
    (value,) = yield from restoring(placed_registry, roots, levels_max=1, nodes=nodes)
    return value


def check_storable(met: Met, unit: Any, name: str) -> None:
    """See that the models in a result will be in the store.

    :raises NotSerializableError: if one of them will not.
    """
    for one in met.values():
        origin = one._origin
        held = None if origin is None else origin.unit
        if held is None or type(held) is Grave or (origin is held.fresh and held is not unit):
            raise NotSerializableError(
                f"cannot store what {name} returned: {one!r:.200} is in it, which the store will "
                "not have. The operation failed, and nothing of it was written. Usually it was "
                "deleted, or taken out of the session; return something else."
            )


def same_call(entry: Entry, found: Entry, function: AtomicFunction) -> None:
    """See that two calls with one key have the same arguments, however they were given.

    :raises OperationError: if they do not.
    """
    if entry.code_version == found.code_version and _bound(entry, function) != _bound(
        found, function
    ):
        raise OperationError(
            f"cannot call {function.name} with the key {entry.key!r}: there is an operation of "
            f"that key, {found.id}, and it was called with other arguments. Nothing was run. A key "
            "stands for one call; give each its own.",
            operation_id=found.id,
        )


def _bound(entry: Entry, function: AtomicFunction) -> Any:
    (args, kwargs, bound, owner), nodes = read_text(entry.arguments)
    self_like = bound or ([owner] if owner is not None else [])
    given = function.signature.bind(*self_like, *args, **kwargs)
    return dict(given.arguments), nodes
