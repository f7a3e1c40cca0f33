"""What a write set does to each document: the writes of a commit, added up.

A commit may write a document more than once. A set writes it once, so its writes are joined: an
insert and its patch are one insert, an update guarded by what an earlier one has set is one update
with the first one's guards.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from graven._hints import Any
from graven.core.values import ABSENT
from graven.errors import UniqueError
from graven.ops.requests import Delete, Insert, Sweep, Update, Write
from graven.ops.schema import Table
from graven.ops.writesets import CHECK, DELETE, INSERT, UPDATE

__all__ = ["InTheWay", "Member", "Members", "Refused", "keys_of", "twice"]

Row = tuple[Any, ...]


class Refused(Exception):
    """A document is not as expected, or a value is taken: the set cannot be written."""

    def __init__(self, cause: UniqueError | None = None) -> None:
        """Keep the error of the store, if there was one."""
        super().__init__(cause)
        self.cause = cause


class InTheWay(Exception):
    """Another set has marked what this one needs."""

    def __init__(self, table: Table, marks: set[str]) -> None:
        """Keep the *marks*, which are on documents of *table*."""
        super().__init__()
        self.table, self.marks = table, marks


class Member:
    """One document of a set.

    ``action`` is one of :mod:`graven.ops.writesets`, ``values`` what it will have, ``guards`` what
    it must still have, both in store form. If it is not there, or not so, that refuses the set if
    it ``is_exact``; else nothing has to be done. ``held`` has the old values of unique columns that
    will have others. ``is_blind`` says that its version follows the one it is found with. ``seen``
    is what was read just before it is marked, and guards it too. ``is_numbered`` says that the
    store has made its key for it.
    """

    __slots__ = (
        "action",
        "guards",
        "held",
        "is_blind",
        "is_exact",
        "is_numbered",
        "key",
        "seen",
        "table",
        "values",
    )

    def __init__(self, table: Table, key: Row, action: str, is_exact: bool = True) -> None:
        """Begin with no values and no guards."""
        self.table, self.key, self.action, self.is_exact = table, key, action, is_exact
        self.values: dict[str, Any] = {}
        self.guards: dict[str, Any] = {}
        self.held: dict[str, Any] = {}
        self.seen: dict[str, Any] = {}
        self.is_blind = self.is_numbered = False


class Members:
    """The documents of one set, each once."""

    def __init__(self) -> None:
        """Begin with none."""
        self._tables: dict[Table, dict[Row, Member]] = {}

    def __iter__(self) -> Iterator[Member]:
        return (one for members in self._tables.values() for one in members.values())

    def __len__(self) -> int:
        return sum(map(len, self._tables.values()))

    def of(self, table: Table) -> dict[Row, Member]:
        """Return the members that are documents of *table*, by key."""
        return self._tables.setdefault(table, {})

    def by_name(self) -> dict[tuple[str, Row], Member]:
        """Return the members by the name of their table and their key."""
        return {(one.table.name, one.key): one for one in self}

    def add(self, write: Write, is_exact: bool) -> int:
        """Join a write to the set; reply with how many of its rows fit what the set does already.

        :raises UniqueError: if two rows are inserted with one key.
        """
        if isinstance(write, Insert):
            for row in write.rows:
                self._insert(write, row)
            return len(write.rows)
        if isinstance(write, Update):
            return sum(self._update(write, row, is_exact) for row in write.rows)
        return sum(self._delete(write, row, is_exact) for row in write.rows)

    def sweep(self, sweep: Sweep, keys: Iterable[Row]) -> None:
        """Delete the documents with *keys*, and the members that the sweep is about."""
        table, wanted = sweep.table, set(sweep.rows)
        for member in [one for one in self.of(table).values() if one.action == INSERT]:
            if tuple(member.values[name] for name in sweep.by) in wanted:
                del self.of(table)[member.key]
        for key in keys:
            self._delete(Delete(table, (), ()), key, False)

    def check(self, table: Table, key: Row, guards: dict[str, Any]) -> None:
        """Let the document stay as it is until the set has ended."""
        members = self.of(table)
        if key not in members:
            members[key] = Member(table, key, CHECK)
            members[key].guards = guards

    def keep(self, table: Table, key: Row) -> None:
        """Let the document stay until the set has ended, if it is there."""
        self.of(table).setdefault(key, Member(table, key, CHECK, is_exact=False))

    def _insert(self, write: Insert, row: Row) -> None:
        values = dict(zip(write.columns, row, strict=True))
        key = tuple(values[name] for name in write.table.key)
        members = self.of(write.table)
        known = members.get(key)
        if known is None:
            known = members[key] = Member(write.table, key, INSERT)
            known.is_numbered = bool(write.ordinals)
        elif known.action == DELETE:
            known.action = UPDATE
        else:
            raise twice(write.table)
        known.values.update(values)

    def _update(self, write: Update, row: Row, is_exact: bool) -> bool:
        table, first = write.table, len(write.columns)
        last = first + len(table.key)
        key, guards = row[first:last], dict(zip(write.guards, row[last:], strict=True))
        known = self._joined(table, key, guards, is_exact)
        if known is None:
            return False
        if known.action == CHECK:
            known.action = UPDATE
        version = table.version or ""
        before: Any = known.values.get(version, known.guards.get(version, ABSENT))
        known.values.update(zip(write.columns, row, strict=False))
        if version and version not in write.columns:
            known.is_blind = before is ABSENT
            if before is not ABSENT:
                known.values[version] = before + 1
        return True

    def _delete(self, write: Delete, row: Row, is_exact: bool) -> bool:
        table, last = write.table, len(write.table.key)
        key, guards = row[:last], dict(zip(write.guards, row[last:], strict=True))
        known = self._joined(table, key, guards, is_exact)
        if known is None:
            return False
        if known.action == INSERT:
            del self.of(table)[key]
        else:
            known.action, known.values, known.is_blind = DELETE, {}, False
        return True

    def _joined(
        self, table: Table, key: Row, guards: dict[str, Any], is_exact: bool
    ) -> Member | None:
        """Return the member for a key, with *guards* added, or ``None`` if they cannot hold."""
        members = self.of(table)
        known = members.get(key)
        if known is None:
            known = members[key] = Member(table, key, UPDATE, is_exact)
            known.guards = guards
            return known
        if known.action == DELETE:
            return None
        for name, value in guards.items():
            expected = known.values.get(name, known.guards.get(name, ABSENT))
            if expected is ABSENT:
                known.guards[name] = value
            elif expected != value:
                return None
        known.is_exact = known.is_exact or is_exact
        return known


def keys_of(write: Update | Delete) -> list[Row]:
    """Return the keys of the rows of a write."""
    first = len(write.columns) if isinstance(write, Update) else 0
    last = first + len(write.table.key)
    return [row[first:last] for row in write.rows]


def twice(table: Table, columns: Sequence[str] = ()) -> UniqueError:
    """Return the error for a value, or the key, that two rows of one commit want."""
    names = tuple(columns) or table.key
    return UniqueError(
        f"a commit was to write two rows of {table.name} with the same {', '.join(names)}, which "
        "must be unique; usually one of them was meant to be another object; nothing was written; "
        "choose another value",
        statement=f"write {table.name}",
        table=table.name,
        columns=names,
    )
