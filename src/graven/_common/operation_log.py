"""``OperationLog``, ``ReferenceMapping`` and ``Operation``: the log as objects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any

from graven._common.atomic import AtomicFunction, function_named
from graven._common.calling import Call
from graven._common.clock import now
from graven._common.current import current
from graven._common.operating import current_operation
from graven.core.entries import COLUMNS, Entry
from graven.core.operating import PENDING
from graven.errors import InvariantError, NotLoadedError, UsageError
from graven.models.documents.calls import call_text, read_text
from graven.models.documents.registry import placed_registry
from graven.models.documents.splitting import split
from graven.models.documents.unflattening import Unflattener
from graven.models.model import Model, mapper_of
from graven.ops.operating import OPERATIONS

__all__ = ["Operation", "OperationLog", "ReferenceMapping"]


class ReferenceMapping:
    """Maps a name to an object: an argument of an operation, or something inside one.

    ``key`` is its place: ``"0"`` is the first argument, ``"amounts/ada"`` is inside the one called
    *amounts*. ``model`` and ``id`` say which object is meant, ``value`` is the object itself.
    """

    __slots__ = ("_unit", "_value", "id", "key", "model")

    def __init__(self, key: str, model: type[Model], id: Any, value: Any = None) -> None:
        """Map *key* to the object of *model* with that *id*."""
        self.key, self.model, self.id = key, model, id
        self._value, self._unit = value, None

    def __repr__(self) -> str:
        return f"ReferenceMapping(key={self.key!r}, model={self.model.__name__}, id={self.id!r})"

    @property
    def reference(self) -> dict[str, Any]:
        """What stands for the object in a document."""
        return reference_to(self.model, self.id)

    @property
    def value(self) -> Any:
        """The object; in blocking code it is loaded when it is first asked for.

        :raises NotLoadedError: in async code, if no session has it.
        """
        if self._value is None:
            self._value = _find(self.model, self.id, self._unit)
        return self._value


def reference_to(model: type[Model], id: Any) -> dict[str, Any]:
    """Return what stands in a document for the object of *model* with that *id*."""
    from graven.models.documents.flattening import Flattener

    written: dict[str, Any] = Flattener(
        placed_registry, frozenset(), None, as_graph=False
    ).key_reference(model, id)
    return written


def _find(model: type[Model], key: Any, unit: Any) -> Any:
    """Return an object of the session of *unit*, or of the current one, which may load it."""
    session = unit.home[0]() if unit is not None and unit.is_open and unit.home else None
    session = current() if session is None else session
    if session is None:
        raise NotLoadedError(
            f"cannot load {model.__name__} {key!r} of an operation: there is no session to load it "
            "with. Do it in the block of a session, `with db.session():`."
        )
    found = session.unit.find(mapper_of(model), key)
    if found is None and session._db.operating.is_async:
        raise NotLoadedError(
            f"cannot read {model.__name__} {key!r} of an operation: it is not loaded, and in async "
            "code an attribute never queries. Load it with `await session.get(model, id)`."
        )
    return session.get(model, key) if found is None else found


def _mappings(references: Mapping[str, Any]) -> list[ReferenceMapping]:
    run = Unflattener(placed_registry)
    return [
        ReferenceMapping(place, *run.reference(reference))
        for place, reference in references.items()
    ]


class OperationLog(Model, table=OPERATIONS.name):
    """A log of an operation: what was called with what, and what became of it.

    Its entries can be queried like those of any model, and are not to be changed.
    """

    method: str
    arguments: dict[str, Any]
    timestamp: datetime
    state: str = PENDING
    due: datetime | None = None
    queue: str | None = None
    priority: int = 0
    worker: str | None = None
    attempts: int = 0
    key: str | None = None
    schedule: str | None = None
    code_version: int = 1
    options: dict[str, Any] | None = None
    outcome: str | None = None
    error: str | None = None
    result: dict[str, Any] | None = None
    finished: datetime | None = None

    # -- the arguments -----------------------------------------------------------------------------

    @property
    def instance(self) -> Any:
        """The object that a method was called on, ``None`` of a function.

        In blocking code it is loaded when it is first asked for.
        """
        bound = self.arguments["roots"][2]
        if not bound:
            return None
        (mapping,) = self._placed({"self": bound[0]}) or (None,)
        return None if mapping is None else mapping.value

    @property
    def arg_references(self) -> list[ReferenceMapping]:
        """The objects among the positional arguments."""
        return self._placed(split(_numbered(self.arguments["roots"][0]))[0])

    @property
    def arg_others(self) -> dict[str, Any]:
        """The other positional arguments in document form, by their places."""
        return split(_numbered(self.arguments["roots"][0]))[1]

    @property
    def kwarg_references(self) -> list[ReferenceMapping]:
        """The objects among the named arguments."""
        return self._placed(split(self.arguments["roots"][1])[0])

    @property
    def kwarg_others(self) -> dict[str, Any]:
        """The other named arguments in document form."""
        return split(self.arguments["roots"][1])[1]

    def _placed(self, references: Mapping[str, Any]) -> list[ReferenceMapping]:
        made = _mappings({place: one for place, one in references.items() if "__key__" in one})
        for one in made:
            one._unit = None if self._origin is None else self._origin.unit
        return made

    @classmethod
    def from_args(cls, args: Sequence[Any]) -> tuple[list[ReferenceMapping], dict[str, Any]]:
        """Return the objects among positional arguments, at any depth, and the others by places.

        :raises NotSerializableError: if an argument cannot be stored.
        """
        (found, _, _, _), _ = read_text(call_text(tuple(args), {}).text)
        references, others = split(_numbered(found))
        return _mappings(references), others

    @classmethod
    def from_kwargs(
        cls, kwargs: Mapping[str, Any]
    ) -> tuple[list[ReferenceMapping], dict[str, Any]]:
        """Return the objects among named arguments, at any depth, and the others.

        :raises NotSerializableError: if an argument cannot be stored.
        """
        (_, found, _, _), _ = read_text(call_text((), kwargs).text)
        references, others = split(found)
        return _mappings(references), others

    def to_args(self) -> Any:
        """Return the positional arguments, as a list; of an async database it is to be awaited.

        :raises NotFoundError: if an object is not there any more.
        """
        return self._operating().restored(self.entry(), 0)

    def to_kwargs(self) -> Any:
        """Return the named arguments; of an async database that is to be awaited."""
        return self._operating().restored(self.entry(), 1)

    # -- the log -----------------------------------------------------------------------------------

    @classmethod
    def create(cls, op: Operation) -> OperationLog:
        """Return a new entry for *op*; once it is committed, whoever recovers will run it."""
        at = now()
        text = op.call().text.text
        return cls(
            method=op.function.name,
            arguments=_decoded(text),
            timestamp=at,
            due=at,
            code_version=op.function.settings.version,
        )

    def recover(self) -> Any:
        """Run this operation if it was interrupted; return the report, to be awaited if async.

        Nothing happens if it has ended, or if somebody is at it.
        """
        return self._operating().recover_one(self.id)

    @classmethod
    def recover_all(cls, db: Any = None) -> Any:
        """Run recovery on all interrupted operations; return the report, to be awaited if async.

        Without *db* it is the database of the current session.
        """
        if db is None:
            session = current()
            if session is None:
                raise UsageError(
                    "cannot recover operations: there is no current session, so it is not known of "
                    "which database. Give it, as in OperationLog.recover_all(db)."
                )
            db = session._db
        return db.recover()

    def _operating(self) -> Any:
        unit = (
            None if self._origin is None else getattr(self._origin.unit, "unit", self._origin.unit)
        )
        db = unit.home[1]() if unit is not None and unit.home is not None else None
        if db is None:
            raise UsageError(
                f"cannot work with the entry of operation {self.id}: it is of no session, so its "
                "database is not known. Load it with a session."
            )
        return db.operating

    @classmethod
    def of_entry(cls, entry: Entry) -> OperationLog:
        """Return a new object for an entry that is not in the log yet."""
        found = {name: getattr(entry, name) for name in COLUMNS if name != "version"}
        for name in ("arguments", "options", "result"):
            found[name] = None if found[name] is None else _decoded(found[name])
        return cls(**found)

    def entry(self) -> Entry:
        """Return the entry as a value."""
        from msgspec.json import encode

        found = {name: getattr(self, name) for name in COLUMNS if name != "version"}
        for name in ("arguments", "options", "result"):
            found[name] = None if found[name] is None else encode(found[name]).decode()
        version = 1 if self._origin is None else self._origin.version
        return Entry(**found, version=version)


def _decoded(text: str) -> Any:
    from msgspec.json import decode

    return decode(text)


def _numbered(values: Iterable[Any]) -> dict[str, Any]:
    return {str(at): value for at, value in enumerate(values)}


def _share_table() -> None:
    """Let the model have the very table that the log is written to."""
    mapper = mapper_of(OperationLog)
    mine = {(one.name, one.kind, one.nullable) for one in mapper.table.columns}
    if mine != {(one.name, one.kind, one.nullable) for one in OPERATIONS.columns}:
        raise InvariantError("the model of the log of operations does not fit its table")
    mapper.table = OPERATIONS


_share_table()


class Operation:
    """A call whose body is a block: ``with Operation(ada, Account.deposit, 30) as operation:``.

    The call is logged first. The block works in a session of its own, with the objects in
    ``operation.instance``, ``operation.args`` and ``operation.kwargs``, and is committed at its end
    together with the end of the entry. If a crash interrupts it, whoever recovers calls *method*,
    an ``@atomic`` function, or the name of one, with the arguments. In async code it is ``async
    with``. The block is run once: if it loses a race, the operation has failed.
    """

    def __init__(self, instance: Any, method: Any, *args: Any, **kwargs: Any) -> None:
        """Prepare a call of *method* on *instance*; ``None`` if it is a function.

        :raises UsageError: if *method* is not atomic.
        """
        self.instance, self.args, self.kwargs = instance, args, kwargs
        self.function = _function(instance, method)
        self.method = self.function.name
        self.session: Any = None
        """The session that the block works in."""
        self._block: Any = None

    @property
    def id(self) -> Any:
        """The id of the entry, ``None`` before it is written."""
        return None if self._block is None else self._block.run.id

    def call(self) -> Call:
        """Return the call with its arguments checked."""
        bound = () if self.instance is None else (self.instance,)
        return Call(self.function, self.args, self.kwargs, bound)

    def __enter__(self) -> Operation:
        """Log the call and begin."""
        self._block = self._prepared(is_async=False)
        self._take(self._block.__enter__())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Commit, or log that it has failed."""
        self._block.__exit__(kind, error, trace)

    async def __aenter__(self) -> Operation:
        """Log the call and begin."""
        self._block = self._prepared(is_async=True)
        self._take(await self._block.__aenter__())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Commit, or log that it has failed."""
        await self._block.__aexit__(kind, error, trace)

    def _prepared(self, is_async: bool) -> Any:
        outer = current_operation()
        if outer is not None:
            raise UsageError(
                f"cannot begin the operation {self.method} as a block inside {outer.name}: an "
                "operation is one call, and this one has its own entry. Call the function itself, "
                "which becomes a part of the outer one."
            )
        call = self.call()
        operating = call.db.operating
        if operating.is_async is not is_async:
            word = "async with" if operating.is_async else "with"
            raise UsageError(
                f"cannot begin the operation {self.method} on {call.db!r} like this: write "
                f"`{word} Operation(...)`."
            )
        return operating.block(call)

    def _take(self, given: Any) -> None:
        """Take the arguments as the session of the block has them."""
        args, self.kwargs = given
        if self.instance is not None:
            self.instance, *args = args
        self.args, self.session = tuple(args), self._block.run.session


def _function(instance: Any, method: Any) -> AtomicFunction:
    """Return the atomic function that *method* is, or names."""
    found = method
    if isinstance(method, str):
        found = getattr(type(instance), method, None) if instance is not None else None
        found = function_named(method) if found is None else found
    if not isinstance(found, AtomicFunction):
        raise UsageError(
            f"cannot log {method!r:.100} as an operation: it is not atomic, so nobody could run it "
            "again after a crash. Mark it with @atomic, and give it, or its name."
        )
    return found.origin
