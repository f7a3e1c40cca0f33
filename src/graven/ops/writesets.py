"""The log of write sets, and the marks that they leave on documents until they have ended.

A store without transactions changes one document at a time. A commit of several is made whole by
an entry of the log, whose one change of state decides over all of it, and by a *mark* on each of
its documents, which says of which entry it is a part. ``docs/internals/write-sets.md`` is the
protocol and its proof.
"""

from __future__ import annotations

from collections.abc import Iterable

from graven._hints import Any
from graven.ops.requests import Operation
from graven.ops.schema import Column, Table
from graven.ops.value import Value

__all__ = [
    "ABORTED",
    "CHECK",
    "COMMITTED",
    "DELETE",
    "HOLD",
    "INSERT",
    "MARK",
    "NEXT",
    "PREPARED",
    "UPDATE",
    "WRITE_SETS",
    "RecoverWriteSets",
    "Recovered",
    "action_of",
    "guarded",
    "mark",
    "marked",
    "marks_of",
    "plain",
    "set_of",
]

MARK = "_graven_mark"
"""The hidden column with the mark: the id of the entry, a colon, and one letter: the action."""

NEXT = "_graven_next"
"""The hidden column with what an update will set, and what it holds: two lists of column, kind, and
value in store form. A held column has its old and its new value, as a list, so that a unique index
gives neither to anybody else; the second list has the old ones."""

INSERT = "i"  #: The document will be there.
UPDATE = "u"  #: It will have new values.
HOLD = "h"  #: It will have new values, unique ones among them.
DELETE = "d"  #: It will be gone.
CHECK = "c"  #: It must only stay.

PREPARED = "prepared"  #: The old values are the truth.
COMMITTED = "committed"  #: The new values are the truth.
ABORTED = "aborted"  #: The old values are the truth, and stay it.

WRITE_SETS = Table(
    "graven_writeset",
    (
        Column("id", "str"),
        Column("state", "str"),
        Column("started", "int"),
        Column("due", "int"),
        Column("tables", "any"),
    ),
    key=("id",),
    graven_made=True,
)
"""An entry for each write set under way: ``prepared``, then ``committed`` or ``aborted``.

``started`` and ``due`` are milliseconds since 1970: whoever meets an entry that is still prepared
when it is ``due`` may abort it. ``tables`` has a list of name and key columns for each table that
the set marks documents of."""


class Recovered(Value):
    """What a recovery did: how many sets it finished and took back, and how many are under way."""

    committed: int = 0
    aborted: int = 0
    under_way: int = 0

    def __bool__(self) -> bool:
        return bool(self.committed or self.aborted)


class RecoverWriteSets(Operation[Recovered]):
    """Finish the write sets that were interrupted, and those that left marks in *tables*.

    For stores without transactions.
    """

    tables: tuple[Table, ...] = ()


_marked: dict[tuple[Table, bool], Table] = {}
_plain: dict[tuple[str, tuple[str, ...], tuple[tuple[str, str], ...]], Table] = {}


def marked(table: Table) -> Table:
    """Return *table* with its hidden columns, and with nothing that happens by itself.

    No version is counted up, no reference checked, no key made or noted.
    """
    return _with_hidden(table, False)


def guarded(table: Table) -> Table:
    """Return *table* with its hidden columns; its versions and keys are looked after as ever."""
    return _with_hidden(table, True)


def _with_hidden(table: Table, is_versioned: bool) -> Table:
    found = _marked.get((table, is_versioned))
    if found is None:
        hidden = (Column(MARK, "str", nullable=True), Column(NEXT, "any", nullable=True))
        found = _marked[table, is_versioned] = Table(
            table.name,
            (*table.columns, *hidden),
            table.key,
            version=table.version if is_versioned else None,
            store_made=table.store_made and is_versioned,
            graven_made=table.graven_made,
            uniques=table.uniques,
        )
    return found


def plain(name: str, key: tuple[str, ...], columns: tuple[tuple[str, str], ...] = ()) -> Table:
    """Return a marked table of which no more is known than its key, and that it has *columns*.

    These are pairs of a name and a kind; the key is of any kind.
    """
    found = _plain.get((name, key, columns))
    if found is None:
        every = (*((one, "any") for one in key), *columns)
        kinds = tuple(Column(one, kind) for one, kind in every)
        hidden = (Column(MARK, "str", nullable=True), Column(NEXT, "any", nullable=True))
        found = _plain[name, key, columns] = Table(name, (*kinds, *hidden), key)
    return found


def mark(set_id: str, action: str) -> str:
    """Return the mark of a document of the set.

    >>> mark("7f", INSERT)
    '7f:i'
    """
    return f"{set_id}:{action}"


def marks_of(found: Iterable[Any]) -> set[str]:
    """Return the marks among what the hidden column holds, each once."""
    return {one for one in found if one is not None}


def set_of(found: str) -> str:
    """Return the id of the set that left the mark."""
    return found[:-2]


def action_of(found: str) -> str:
    """Return the action that a mark announces."""
    return found[-1]
