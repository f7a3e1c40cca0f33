"""Every error that graven raises, in one tree.

::

    GravenError
    ├── UsageError            StateChangeError, DuplicateRecordError, ScopeError, SessionError,
    │                         NotLoadedError, MappingError, QueryError
    ├── NotFoundError         (also a LookupError)
    ├── MultipleFoundError
    ├── TransientError        ConcurrentUpdate; BusyRetry (DeadlockError, UnavailableError)
    ├── StoreError            DataError, TransactionInactiveError,
    │                         IntegrityError (UniqueError, ForeignKeyError, CheckError,
    │                         NotNullError)
    ├── CommitUnknownError
    ├── OperationError        QuarantinedError, NotSerializableError, UnknownOperationError
    └── InvariantError        a bug in graven

A message says what was attempted, what was found, the usual cause, and what to do. What it says is
also there as attributes, ``None`` where it is not known. An error of a vendor's driver stays as
``__cause__``. One question decides whether to try again: is it a :class:`TransientError`? If it is
a :class:`BusyRetry`, the same call may be sent again; if it is a :class:`ConcurrentUpdate`, run
the work again on fresh data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from graven._hints import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import ClassVar

__all__ = [
    "BusyRetry",
    "CheckError",
    "CommitUnknownError",
    "ConcurrentUpdate",
    "Conflict",
    "DataError",
    "DeadlockError",
    "DuplicateRecordError",
    "FieldConflict",
    "ForeignKeyError",
    "GravenError",
    "IntegrityError",
    "InvariantError",
    "MappingError",
    "MultipleFoundError",
    "NotFoundError",
    "NotLoadedError",
    "NotNullError",
    "NotSerializableError",
    "OperationError",
    "QuarantinedError",
    "QueryError",
    "ScopeError",
    "SessionError",
    "StateChangeError",
    "StoreError",
    "TransactionInactiveError",
    "TransientError",
    "UnavailableError",
    "UniqueError",
    "UnknownOperationError",
    "UsageError",
]

_SCALARS = (type(None), bool, int, float, complex, str, bytes)
_CONTAINERS: tuple[Any, ...] = (tuple, list, set, frozenset)
_VALUE_MODULES = ("datetime", "decimal", "uuid")


def _restore(kind: type[GravenError], message: str, attributes: dict[str, Any]) -> GravenError:
    return kind(message, **attributes)


def _portable(value: Any) -> Any:
    """Return an attribute as it goes into a pickle: data as they are, anything else as its repr.

    A session, a scope or an object of the caller's own need not pickle; an error always does.
    """
    kind = value.__class__
    if kind in _SCALARS or kind.__module__ in _VALUE_MODULES:
        return value
    if kind in _CONTAINERS:
        return kind(map(_portable, value))
    if kind is dict:
        return {_portable(key): _portable(one) for key, one in value.items()}
    if kind is FieldConflict:
        return FieldConflict(*map(_portable, (value.base, value.mine, value.theirs)))
    if kind is Conflict:
        parts = (value.model, value.key, value.expected, value.found, value.fields)
        return Conflict(*map(_portable, parts))
    return repr(value)


class GravenError(Exception):
    """The base of every error of graven.

    Errors are made as ``Kind(message, name=value, …)``; the names are those in ``_fields``. They
    pickle; an attribute that is no plain data arrives as its ``repr``.
    """

    _fields: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        """Collect the attribute names of the bases, so that a subclass lists only its own."""
        if own := cls.__dict__.get("_fields"):
            inherited = (name for base in cls.__mro__[1:] for name in getattr(base, "_fields", ()))
            cls._fields = tuple(dict.fromkeys((*inherited, *own)))

    def __init__(self, message: str = "", **attributes: Any) -> None:
        """Keep *message* and the *attributes*; those not given are ``None``."""
        super().__init__(message)
        if unknown := attributes.keys() - set(self._fields):
            raise TypeError(f"{type(self).__name__} has no attribute {', '.join(sorted(unknown))}")
        for name in self._fields:
            setattr(self, name, attributes.get(name))

    def __str__(self) -> str:
        return str(self.args[0])

    def __reduce__(self) -> tuple[Callable[..., GravenError], tuple[Any, ...]]:
        attributes: dict[str, Any] = {}
        for name in self._fields:
            value = getattr(self, name)
            try:
                attributes[name] = _portable(value)
            except RecursionError:
                attributes[name] = repr(value)
        return _restore, (type(self), self.args[0], attributes)


class UsageError(GravenError):
    """The caller asked for something that cannot be asked for, now or ever."""


class StateChangeError(UsageError):
    """A record is in a state that does not allow the call."""

    _fields: ClassVar[tuple[str, ...]] = ("table", "row", "state", "attempted")
    table: str | None
    row: object
    state: str | None
    attempted: str | None


class DuplicateRecordError(UsageError):
    """A record was to be inserted under a key that the cache, or the session, knows already."""

    _fields: ClassVar[tuple[str, ...]] = ("table", "row", "state")
    table: str | None
    row: object
    state: str | None


class ScopeError(UsageError):
    """A scope was ended twice, out of order, or by a task that did not begin it."""

    _fields: ClassVar[tuple[str, ...]] = ("scope",)
    scope: object


class SessionError(UsageError):
    """A session was used after its end, or left with work under way."""

    _fields: ClassVar[tuple[str, ...]] = ("session",)
    session: object


class NotLoadedError(UsageError):
    """An attribute was read that is not loaded, where reading must not query."""

    _fields: ClassVar[tuple[str, ...]] = ("model", "key", "field")
    model: str | None
    key: object
    field: str | None


class MappingError(UsageError):
    """A model is declared in a way that cannot be stored, or does not fit its table."""

    _fields: ClassVar[tuple[str, ...]] = ("model", "field", "table")
    model: str | None
    field: str | None
    table: str | None


class QueryError(UsageError):
    """A query is built of things that do not go together."""

    _fields: ClassVar[tuple[str, ...]] = ("model", "field")
    model: str | None
    field: str | None


class NotFoundError(GravenError, LookupError):
    """Exactly one object was asked for, and there is none."""

    _fields: ClassVar[tuple[str, ...]] = ("model", "key")
    model: str | None
    key: object


class MultipleFoundError(GravenError):
    """Exactly one object was asked for, and there are more."""

    _fields: ClassVar[tuple[str, ...]] = ("model", "count")
    model: str | None
    count: int | None


class TransientError(GravenError):
    """It did not work this time; nothing was written; it may work at another try."""

    _fields: ClassVar[tuple[str, ...]] = ("attempts",)
    attempts: int | None


class FieldConflict:
    """One field of an object that lost a race.

    ``base`` is the value that was read, ``mine`` the one to be written, ``theirs`` the one found
    in the store.
    """

    __slots__ = ("base", "mine", "theirs")

    def __init__(self, base: object, mine: object, theirs: object) -> None:
        """Keep the three values."""
        self.base, self.mine, self.theirs = base, mine, theirs

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FieldConflict):
            return NotImplemented
        return (self.base, self.mine, self.theirs) == (other.base, other.mine, other.theirs)

    def __hash__(self) -> int:
        return hash(FieldConflict)

    def __repr__(self) -> str:
        return f"FieldConflict(base={self.base!r}, mine={self.mine!r}, theirs={self.theirs!r})"


class Conflict:
    """One object that lost a race.

    ``model`` is the name of its class, ``key`` its key; ``expected`` is the version it was read at
    and ``found`` the version in the store, 0 meaning that it is not there. ``fields`` has a
    :class:`FieldConflict` for each field that either side changed.
    """

    __slots__ = ("expected", "fields", "found", "key", "model")

    def __init__(
        self,
        model: str,
        key: object,
        expected: int | None,
        found: int | None,
        fields: Mapping[str, FieldConflict] | None = None,
    ) -> None:
        """Keep what is known of the conflict."""
        self.model, self.key, self.expected, self.found = model, key, expected, found
        self.fields: dict[str, FieldConflict] = dict(fields or {})

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Conflict):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    def __hash__(self) -> int:
        return hash((self.model, self.expected, self.found))

    def __repr__(self) -> str:
        return (
            f"Conflict(model={self.model!r}, key={self.key!r}, expected={self.expected!r}, "
            f"found={self.found!r}, fields={self.fields!r})"
        )


class ConcurrentUpdate(TransientError):
    """Somebody else was faster: what this work was based on has changed. Nothing was written.

    Run the work again on fresh data; sending the same writes again would undo the other's.
    """

    _fields: ClassVar[tuple[str, ...]] = ("conflicts", "key", "expected", "found", "value")
    conflicts: tuple[Conflict, ...] | None
    key: object
    expected: int | None
    found: int | None
    value: object


class BusyRetry(TransientError):
    """The store could not answer now (a lock, a deadlock, a lost connection).

    The same call may be sent again.
    """

    _fields: ClassVar[tuple[str, ...]] = ("waited_s",)
    waited_s: float | None


class DeadlockError(BusyRetry):
    """The store broke a deadlock by refusing this transaction."""


class UnavailableError(BusyRetry):
    """The store cannot be reached, or has no connection free."""


class StoreError(GravenError):
    """The store refused."""

    _fields: ClassVar[tuple[str, ...]] = ("statement",)
    statement: str | None


class IntegrityError(StoreError):
    """A write would break a rule that the store keeps. Nothing was written."""

    _fields: ClassVar[tuple[str, ...]] = ("model", "key", "table", "columns", "constraint")
    model: str | None
    key: object
    table: str | None
    columns: tuple[str, ...] | None
    constraint: str | None


class UniqueError(IntegrityError):
    """A value, or a key, that must be unique is taken."""


class ForeignKeyError(IntegrityError):
    """A reference would lead nowhere, or what is still referred to would go."""

    _fields: ClassVar[tuple[str, ...]] = ("referrer",)
    referrer: str | None


class CheckError(IntegrityError):
    """A check of the store failed."""


class NotNullError(IntegrityError):
    """A value is missing where one is required."""


class DataError(StoreError):
    """A value does not fit its field, or the store cannot hold it unchanged.

    Nothing was written.
    """

    _fields: ClassVar[tuple[str, ...]] = ("model", "key", "field", "value", "expected")
    model: str | None
    key: object
    field: str | None
    value: object
    expected: str | None


class TransactionInactiveError(StoreError):
    """The transaction was rolled back; every statement is refused until its block is left."""


class CommitUnknownError(GravenError):
    """The answer to a commit was lost: it may be durable or not.

    It is neither retried nor called failed.
    """

    _fields: ClassVar[tuple[str, ...]] = ("commit_id",)
    commit_id: object


class OperationError(GravenError):
    """A durable operation could not be run."""

    _fields: ClassVar[tuple[str, ...]] = ("operation_id",)
    operation_id: object


class QuarantinedError(OperationError):
    """An operation failed too often and waits for a person."""


class NotSerializableError(OperationError):
    """An argument of an operation cannot be stored."""


class UnknownOperationError(OperationError):
    """The log names an operation that this program does not define."""


class InvariantError(GravenError):
    """A bug in graven: please report it with this message."""
