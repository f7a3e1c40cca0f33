"""Finding out who is to blame for a commit that was refused because of references.

SQLite checks references at the commit, says only that one failed, and keeps the transaction open:
so it can be asked, before the rollback, which rows refer to nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from graven.errors import ForeignKeyError
from graven.ops.requests import Flow, Orphan, Orphans
from graven.ops.schema import Table

__all__ = ["blame", "who_refers"]


def who_refers(tables: Iterable[Table], written: Collection[str]) -> Flow[tuple[Orphan, ...]]:
    """Return rows of *tables* that refer to rows that are not there, at most 20.

    To be run after a failed commit, while its transaction is still open. *written* names the tables
    that it wrote to: only these, and those that refer to them, are looked through.
    """
    suspects = tuple(
        table
        for table in tables
        if table.references
        and (table.name in written or any(r.table in written for r in table.references))
    )
    if not suspects:
        return ()
    return tuple((yield from Orphans(suspects)))


def blame(orphans: tuple[Orphan, ...], error: ForeignKeyError) -> ForeignKeyError:
    """Return *error* with the first of *orphans* named, or as it is if there are none.

    ``table`` and ``key`` are what is referred to and missing, ``columns`` hold the reference,
    ``referrer`` is the row that refers; keys are in store form.
    """
    if not orphans:
        return error
    first = orphans[0]
    others = f", and {len(orphans) - 1} more rows like it" if len(orphans) > 1 else ""
    referrer = f"{first.table} {_key(first.key)}"
    return ForeignKeyError(
        f"a commit was refused: {referrer} refers by {', '.join(first.columns)} to {first.target} "
        f"{_key(first.missing)}, which is not there{others}; usually what is still referred to "
        f"was deleted, "
        f"or a reference was set to something that was never stored; delete or change what refers "
        f"too, or declare the reference on_delete='cascade' or 'set_null'",
        statement=error.statement,
        model=error.model,
        table=first.target,
        key=_alone(first.missing),
        columns=first.columns,
        referrer=referrer,
    )


def _alone(key: tuple[object, ...]) -> object:
    return key[0] if len(key) == 1 else key


def _key(key: tuple[object, ...]) -> str:
    return repr(_alone(key))
