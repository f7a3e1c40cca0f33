"""Locking rows: what is asked of the store, and what must be so of the rows that are locked."""

from __future__ import annotations

from collections.abc import Sequence

from graven._common.overlay import key_condition
from graven._hints import Any
from graven.core.conflicts import Loser, LostRace
from graven.errors import QueryError
from graven.ops.conditions import Select

__all__ = [
    "changed_of",
    "check_locked",
    "left_out_of",
    "lock_word",
    "members_select",
    "no_statement_lock",
]


def lock_word(mapper: Any, nowait: bool, skip_locked: bool) -> str:
    """Return the word of a select for how to lock.

    :raises QueryError: if both are asked for.
    """
    if nowait and skip_locked:
        raise QueryError(
            f"cannot lock rows of {mapper.name} with nowait and with skip_locked: what others have "
            "locked is either refused or left out. Choose one of them.",
            model=mapper.name,
        )
    return "nowait" if nowait else "skip_locked" if skip_locked else "wait"


def no_statement_lock(mapper: Any) -> QueryError:
    """Make the error for a query by a statement that is to lock."""
    return QueryError(
        f"cannot lock the rows of a statement for {mapper.name}: it is sent as it is. Say so in "
        "the statement, in a db.transaction(), or ask with where().",
        model=mapper.name,
    )


def members_select(mapper: Any, columns: tuple[str, ...], keys: Sequence[Any], lock: str) -> Select:
    """Return the select that locks the rows of these keys."""
    names = tuple(one.name for one in mapper.key_columns)
    kinds = [one.kind for one in mapper.key_columns]
    where = key_condition((), names, kinds, mapper.root, keys)
    return Select(mapper.table, columns, where, lock=lock)


def check_locked(unit: Any, binding: Any, rows: Sequence[tuple[Any, ...]]) -> None:
    """See that locked rows, the version last, are as the session has first read them.

    :raises LostRace: if they are not: what was worked out from them does not hold any more.
    """
    identity = unit.map_of(binding.mapper)
    losers = []
    for row in rows:
        key = binding.key_in(row)
        known = identity.version(key)
        if known and known != row[-1]:
            losers.append(Loser(binding.mapper, key, known, row[-1], None, row))
    if losers:
        raise LostRace(losers)


def changed_of(unit: Any, objects: Sequence[Any]) -> dict[Any, Any]:
    """Return those of *objects* whose rows are pending to be changed, by key."""
    found = {}
    for one in objects:
        record = unit.records.get(one)
        if record is not None and record.clean is not None and record.stored is None:
            found[record.key] = one
    return found


def left_out_of(
    unit: Any, binding: Any, changed: dict[Any, Any], rows: Sequence[tuple[Any, ...]], lock: str
) -> set[Any]:
    """Return which of the *changed* objects others have locked, where those are to be left out.

    :raises LostRace: if one of the locked *rows* is not as it was first read, or gone.
    """
    check_locked(unit, binding, rows)
    keys = {binding.key_in(row) for row in rows}
    missing = {key: one for key, one in changed.items() if key not in keys}
    if missing and lock != "skip_locked":
        versions = {key: unit.records[one].version for key, one in missing.items()}
        raise LostRace([Loser(binding.mapper, key, versions[key], 0) for key in missing])
    return set(missing.values())
