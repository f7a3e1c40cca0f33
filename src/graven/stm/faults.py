"""What the store says when it refuses."""

from __future__ import annotations

from collections.abc import Callable
from types import CoroutineType
from typing import Any, Final, NoReturn, TypeAlias

from graven.errors import BusyRetry, ConcurrentUpdate, Conflict, DataError, UsageError

__all__ = [
    "CLOSED",
    "Lost",
    "closed",
    "coroutine",
    "ended",
    "foreign",
    "lost_race",
    "no_history",
    "nothing_read",
    "refuse_bad",
    "unchanged",
    "uncopyable",
]

Lost: TypeAlias = tuple[Any, Any, Any, Any]
"""Who lost a race: space, key, the cell that was expected and the one that was found."""


def _version(cell: Any) -> int:
    return 0 if cell is None else int(cell[1])


def lost_race(lost: list[Lost], copy: Callable[[Any, Any], Any]) -> ConcurrentUpdate:
    """Return the error for a commit whose reads have been overwritten."""
    space, key, expected, found = lost[0] if lost else (None, None, None, None)
    if space is None:
        return ConcurrentUpdate(
            "cannot commit to the store: what was read has changed meanwhile, and back again. "
            "Nothing was written. Run the work again."
        )
    if key is None and expected is found is None:
        return ConcurrentUpdate(
            f"cannot commit to the store: {space.name!r} was scanned, and somebody else has "
            "committed to it since. Nothing was written. Read again, and run the work again on "
            "what is there now."
        )
    more = f", and {len(lost) - 1} more keys have changed" if len(lost) > 1 else ""
    return ConcurrentUpdate(
        f"cannot commit to the store: key {key!r} was read at version {_version(expected)}, but is "
        f"at version {_version(found)} now{more}. Nothing was written. Somebody else was faster. "
        "Read again, and run the work again on what is there now; store.atomically() does that by "
        "itself.",
        conflicts=tuple(
            Conflict(str(one.name), at, _version(was), _version(now)) for one, at, was, now in lost
        ),
        key=key,
        expected=_version(expected),
        found=_version(found),
        value=None if found is None else _shown(key, found[0], copy),
    )


def _shown(key: Any, value: Any, copy: Callable[[Any, Any], Any]) -> Any:
    """Return a copy for an error, ``None`` if there can be none: the race is lost all the same."""
    try:
        return copy(key, value)
    except DataError:
        return None


class _Closed:
    """Stands in for the cells of a store that is closed."""

    def get(self, key: object) -> NoReturn:
        raise closed()


CLOSED: Final = _Closed()
"""The cells of a store that is closed."""


def closed() -> UsageError:
    """Return the error for a store that has been closed."""
    return UsageError(
        "cannot use the store: it is closed. Nothing was read or written. Usual cause: a thread or "
        "task that outlives it. End what uses the store before you close it, or make a new one."
    )


def ended() -> UsageError:
    """Return the error for a transaction that is over."""
    return UsageError(
        "cannot use this transaction: it has ended. Nothing was read or written. Usual cause: `tx` "
        "was kept beyond the function that it was given to, which may have been run again since. "
        "Use `tx` inside that function only, and return what you need."
    )


def refuse_bad(error: TypeError, *keys: Any) -> None:
    """Refuse those of *keys* that no dictionary would take, *error* being what it said.

    :raises UsageError: if there is one; otherwise *error* has another reason.
    """
    for key in keys:
        try:
            hash(key)
        except TypeError:
            raise UsageError(
                f"cannot use {key!r} as a key of the store: it is of type {type(key).__name__}, "
                "which has no hash. Nothing was written. Use a key that cannot change, such as a "
                "string, a number or a tuple of them."
            ) from error


def uncopyable(key: object, value: object) -> DataError:
    """Return the error for a value of which no copy can be made."""
    kind = type(value).__name__
    return DataError(
        f"cannot copy the value of key {key!r}, of type {kind}. Nothing was written. The store "
        "keeps copies, so that nobody changes what others read; locks, files and generators cannot "
        "be copied. Store plain data, or give the store a copier: Store(copier=…).",
        key=key,
        value=value,
        expected="a value that can be copied",
    )


def foreign(found: object, why: str) -> UsageError:
    """Return the error for what is no handle of this store and key."""
    return UsageError(
        f"cannot commit {found!r}: {why}. Nothing was written. Commit handles that usevar() or "
        "using() of the same store has given, under their own keys."
    )


def no_history(number: object, first: int, last: int) -> UsageError:
    """Return the error for a moment that is not remembered."""
    return UsageError(
        f"cannot show the store as of version {number!r}: its history reaches from {first} to "
        f"{last}. Nothing was read. A longer history is kept with Store(history=…), and a moment "
        "for as long as you like by a snapshot taken in time: store.as_of()."
    )


def coroutine(function: object, made: CoroutineType[Any, Any, Any]) -> UsageError:
    """Return the error for a coroutine function where nobody awaits what it has *made*."""
    made.close()
    return UsageError(
        f"cannot run {function!r} as a transaction of a blocking store: it is a coroutine "
        "function. Nothing was read or written. Give it to "
        "an AsyncStore: AsyncStore(store).atomically(…)."
    )


def nothing_read() -> UsageError:
    """Return the error for a wait that nothing could end."""
    return UsageError(
        "cannot wait for a change: the transaction called tx.retry() and has read nothing, so "
        "nothing could ever wake it. Nothing was written. Read what it waits for with tx[key] or "
        "tx.get(key) first."
    )


def unchanged(waited_s: float, keys: list[Any]) -> BusyRetry:
    """Return the error for a wait that has taken too long."""
    shown = ", ".join(map(repr, keys[:5])) + (", …" if len(keys) > 5 else "")
    return BusyRetry(
        f"waited {waited_s:.3g} s for a change of {shown} in the store, and there was none. "
        "Nothing was written. Usual causes: nobody is left to make the change, or it takes longer. "
        "Wait again, or longer.",
        waited_s=waited_s,
    )
