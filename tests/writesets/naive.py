"""A store that does one thing at a time to one document at a time, and processes that may die.

It is what the write sets are made for, as naive as can be: documents are dictionaries, and every
request is done at once or not at all. Processes take turns, a request each.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

from graven.core.evaluate import judge_of, sort_key
from graven.drivers.mongo_alone import stand_alone
from graven.errors import UniqueError
from graven.flows.stand_alone import StandAlone
from graven.flows.writeset_world import World
from graven.ops.conditions import Order, Path
from graven.ops.indexes import wanted_indexes
from graven.ops.requests import (
    Delete,
    Fetch,
    FetchKeys,
    Insert,
    MakeKeys,
    Operation,
    Referrers,
    Sleep,
    Sweep,
    Update,
)
from graven.ops.schema import Table

Row = tuple[Any, ...]
Document = dict[str, Any]


def parts(value: Any) -> list[Any]:
    """What a unique index, or a comparison, sees of a value: of a list, its elements."""
    return value if isinstance(value, list) else [value]


class NaiveStore:
    """Tables of documents; ``now_ms`` is its clock, which only sleeping moves."""

    def __init__(self, *tables: Table) -> None:
        self.documents: dict[str, dict[Row, Document]] = {}
        self.uniques = {
            table.name: [columns for columns, unique in wanted_indexes(table) if unique]
            for table in tables
        }
        self.tables = tables
        self.now_ms = 1_000_000
        self.made = 0
        self._serial = count(1)

    def world(self, dice: float = 0.5, busy_timeout_s: float = 60.0) -> World:
        return World(
            lambda: self.now_ms,
            lambda: f"set{next(self._serial)}",
            lambda: dice,
            busy_timeout_s,
        )

    def perform(self, request: Operation[Any]) -> Any:
        match request:
            case Fetch(select):
                return self._fetch(select)
            case FetchKeys(table, columns, by, keys, _, also):
                wanted = set(keys)
                return [
                    self._row(one, columns)
                    for one in self._all(table)
                    if not wanted.isdisjoint(_values(one, by)) or one.get(also)
                ]
            case Insert(table, columns, rows, _):
                for row in rows:
                    self._insert(table, dict(zip(columns, row, strict=True)))
                return []
            case Update() | Delete():
                return sum(self._change(request, row) for row in request.rows)
            case Sweep():
                raise AssertionError("sweeps are written by their keys")
            case MakeKeys(_, number):
                self.made += number
                return [*range(self.made - number + 1, self.made + 1)]
            case Referrers(name):
                return [one for one in self.tables if any(r.table == name for r in one.references)]
            case Sleep(seconds):
                self.now_ms += max(1, round(seconds * 1000))
                return None
        raise AssertionError(request)

    def _all(self, table: Table) -> list[Document]:
        return list(self.documents.setdefault(table.name, {}).values())

    @staticmethod
    def _row(document: Document, columns: tuple[str, ...]) -> Row:
        return tuple(document.get(name) for name in columns)

    def _fetch(self, select: Any) -> list[Row]:
        def read(document: Document, path: Path) -> Any:
            value = document.get(path.column)
            return None if isinstance(value, list) else value

        found = self._all(select.table)
        if select.where is not None:
            found = list(filter(judge_of(select.where, read), found))
        keys = [Order(Path((), name, "any")) for name in select.table.key]
        found.sort(key=sort_key((*select.order, *keys), read))
        last = None if select.limit is None else select.offset + select.limit
        rows = [self._row(one, select.columns) for one in found[select.offset : last]]
        return [(len(rows),)] if select.count else rows

    def _insert(self, table: Table, document: Document) -> None:
        key = self._row(document, table.key)
        there = self.documents.setdefault(table.name, {})
        if key in there:
            raise UniqueError("taken", table=table.name, columns=table.key)
        self._check_unique(table, key, document)
        there[key] = document

    def _change(self, request: Update | Delete, row: Row) -> bool:
        table = request.table
        columns = request.columns if isinstance(request, Update) else ()
        first, last = len(columns), len(columns) + len(table.key)
        document = self.documents.setdefault(table.name, {}).get(row[first:last])
        if document is None or self._row(document, request.guards) != row[last:]:
            return False
        if isinstance(request, Delete):
            del self.documents[table.name][row[:last]]
            return True
        new = {**document, **dict(zip(columns, row, strict=False))}
        if table.version is not None and table.version not in columns:
            new[table.version] += 1
        self._check_unique(table, row[first:last], new)
        self.documents[table.name][row[first:last]] = new
        return True

    def _check_unique(self, table: Table, key: Row, new: Document) -> None:
        for columns in self.uniques.get(table.name, ()):
            wanted = set(_values(new, columns))
            for other, document in self.documents[table.name].items():
                if other != key and not wanted.isdisjoint(_values(document, columns)):
                    raise UniqueError("taken", table=table.name, columns=columns)


def _values(document: Document, columns: tuple[str, ...]) -> Iterator[Row]:
    """All values of the columns; those with null in them are no values."""
    found: list[Row] = [()]
    for name in columns:
        found = [(*row, part) for row in found for part in parts(document.get(name))]
    return (row for row in found if None not in row)


def _singly(request: Any) -> Iterator[Any]:
    """The writes of single documents that a write of several is."""
    if not isinstance(request, Insert | Update | Delete):
        yield request
        return
    fields = {name: getattr(request, name) for name in request._fields}
    for row in request.rows:
        yield type(request)(**{**fields, "rows": [row]})


class Process:
    """A flow on the store, a request at a time."""

    def __init__(self, store: NaiveStore, flow: Any, world: World | None = None) -> None:
        self.store = store
        self._flow = stand_alone(flow, StandAlone(world or store.world()))
        self._reply: Any = None
        self._error: BaseException | None = None
        self._request: Any = None
        self._parts: list[Any] = []
        self._replies: list[Any] = []
        self.requests = 0
        self.result: Any = None
        self.failure: BaseException | None = None
        self.is_done = False
        self._advance()

    def _advance(self) -> None:
        try:
            if self._error is not None:
                error, self._error = self._error, None
                self._request = self._flow.throw(error)
            else:
                self._request = self._flow.send(self._reply)
        except StopIteration as end:
            self.is_done, self.result = True, end.value
        except Exception as error:  # noqa: BLE001 - whatever it is, it is looked at later
            self.is_done, self.failure = True, error
        self._parts, self._replies = list(_singly(self._request)), []

    def step(self, error: Exception | None = None, is_done: bool = True) -> None:
        """Let one request be performed; of a write of several documents, that of the next one.

        With an *error*, that is the answer, and what was asked *is_done* all the same, or not.
        """
        self.requests += 1
        try:
            part = self._parts.pop(0)
            if error is None or is_done:
                self._replies.append(self.store.perform(part))
            if error is not None:
                self._error, self._parts = error, []
        except UniqueError as refusal:
            self._error, self._parts = refusal, []
        if self._parts:
            return
        is_counted = isinstance(self._request, Update | Delete)
        self._reply = sum(self._replies) if is_counted else self._replies[-1:] and self._replies[-1]
        self._advance()

    @property
    def request(self) -> Any:
        """What is asked next."""
        return self._request

    def kill(self) -> None:
        self._flow.close()
        self.is_done = True

    def run(self, before: int | None = None) -> Any:
        """Run to the end, or until request number *before* would be performed."""
        while not self.is_done:
            if self.requests == before:
                self.kill()
                return None
            self.step()
        if self.failure is not None:
            raise self.failure
        return self.result
