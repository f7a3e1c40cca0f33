"""A call of an ``@atomic`` function: checked, and brought to what is logged of it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence

from graven._common.current import current
from graven._hints import Any
from graven.core.grave import Grave
from graven.core.lifecycle import CLEAN
from graven.errors import OperationError, UsageError
from graven.models.documents.calls import CallText, call_text
from graven.models.model import models_named

__all__ = ["Call", "class_named", "place_of", "refuse_flushed", "refuse_pending"]


class Call:
    """What is called with what, and for whom.

    ``units`` are the units of work of the caller that have to be brought up to date afterwards.
    """

    __slots__ = ("args", "bound", "db", "function", "kwargs", "owner", "text", "units")

    def __init__(
        self,
        function: Any,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        bound: tuple[Any, ...] = (),
    ) -> None:
        """Check a call and bring its arguments to a text.

        :raises TypeError: if the function does not take such arguments.
        :raises NotSerializableError: if an argument cannot be stored, naming it.
        :raises OperationError: if an argument has changes that are not committed.
        :raises UsageError: if no database is known, or more than one.
        """
        function.check(*bound, *args, **kwargs)
        if not bound and args and isinstance(args[0], type):
            bound, args = args[:1], args[1:]
        self.owner: type[Any] | None = None
        if bound and isinstance(bound[0], type):
            self.owner, bound = bound[0], ()
        self.function, self.args, self.kwargs, self.bound = function, args, kwargs, bound
        is_bound = bool(bound) or self.owner is not None
        names = function.parameters[1:] if is_bound else function.parameters
        owner = None if self.owner is None else place_of(self.owner)
        self.text: CallText = call_text(args, kwargs, bound, owner, names)
        models = self.text.met.values()
        self._refuse_pending(models, function.name)
        self.db = _database_for(models, function)
        self.units = _units_of(models, self.db)

    def _refuse_pending(self, models: Iterable[Any], name: str) -> None:
        for one in models:
            refuse_pending(one, name)


def refuse_pending(instance: Any, name: str) -> None:
    """See that the store has an argument as it is here.

    :raises OperationError: if it does not.
    """
    origin = instance._origin
    unit: Any = None if origin is None else origin.unit
    if unit is not None and not isinstance(unit, Grave) and origin is not unit.fresh:
        mapper = unit.mapper(instance)
        is_guarded = type(instance) is mapper.guard and instance not in unit.watched
        if (is_guarded and instance not in unit.records) or unit.state(instance) == CLEAN:
            return
    if isinstance(unit, Grave):
        found = "is deleted"
    else:
        found = "is new" if unit is None or origin is unit.fresh else "has changes"
    raise OperationError(
        f"cannot call {name} with {instance!r:.200}: it {found}, which is not committed, and an "
        "operation works with what the store has, now and when it is repeated after a crash. "
        "Nothing was run. Commit first, with session.commit()."
    )


def _home_of(instance: Any) -> tuple[Any, Any]:
    """Return the unit of work of an object, and its database, if that is still there."""
    unit = instance._origin.unit
    return unit, None if unit.home is None else unit.home[1]()


def _database_for(models: Iterable[Any], function: Any) -> Any:
    """Return the database to work on: the one of the arguments, of the session, of the function.

    :raises UsageError: if none is known, or several are.
    """
    found = {id(db): db for one in models if (db := _home_of(one)[1]) is not None}
    if function.db is not None:
        found[id(function.db)] = function.db
    if not found:
        session = current()
        if session is not None:
            return session._db
        raise UsageError(
            f"cannot call {function.name}: it is not known which database is meant, for there is "
            "neither a model among the arguments nor a current session. Nothing was run. Call it "
            "in the block of a session, `with db.session():`, or name the database, as in "
            "db.atomic(function)(...)."
        )
    if len(found) > 1:
        raise UsageError(
            f"cannot call {function.name}: its arguments belong to {len(found)} databases, and an "
            "operation is logged in one. Nothing was run. Load all of them from one database."
        )
    return next(iter(found.values()))


def _units_of(models: Iterable[Any], db: Any) -> list[Any]:
    """Return the open units of work that arguments are part of, and the current one."""
    units = {id(unit): unit for unit, _ in map(_home_of, models) if unit.is_open}
    session = current()
    if session is not None and session._db is db:
        units[id(session.unit)] = session.unit
    return list(units.values())


def refuse_flushed(call: Call) -> None:
    """See that no session of the caller holds a transaction that writes.

    The operation would wait for that, and it for the operation.

    :raises OperationError: if one does.
    """
    for unit in call.units:
        session = unit.home[0]() if unit.home is not None else None
        if session is not None and session.holds_writes:
            raise OperationError(
                f"cannot call {call.function.name}: the session of its caller has flushed, or has "
                "locked rows, in a transaction that is still open, and the operation, which has "
                "one of its own, would wait for that forever. Nothing was run. Commit or roll back "
                "first, or make the call a part of a transaction, in `with db.transaction():`."
            )


def place_of(cls: type[Any]) -> str:
    """Return what a class is found by again."""
    return f"{cls.__module__}:{cls.__qualname__}"


def class_named(place: str, function: Any) -> type[Any]:
    """Return the class that a class method was called on; nothing is imported for that.

    :raises OperationError: if there is none, or it does not have the method.
    """
    module, _, name = place.partition(":")
    found: Any = next(
        (one for one in models_named(name.rpartition(".")[2]) if place_of(one) == place), None
    )
    if found is None:
        found = sys.modules.get(module)
        for part in name.split("."):
            found = getattr(found, part, None)
    if isinstance(found, type) and _has(found, function):
        return found
    raise OperationError(
        f"cannot call {function.name} of the class {place}: there is no such class here that has "
        "this method. Usually it was renamed, or its module is not imported yet."
    )


def _has(cls: type[Any], function: Any) -> bool:
    members: Sequence[Any] = [one for base in cls.__mro__ for one in vars(base).values()]
    return any(getattr(one, "__func__", one) is function for one in members)
