"""Entries of the operation log as values, and the requests that read and write them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from hashlib import sha256
from operator import attrgetter
from uuid import UUID

from graven._hints import Any
from graven.core.operating import COMPENSATING, RUNNING
from graven.ops.conditions import And, Compare, Condition, In, Or, Order, Path, Select
from graven.ops.operating import OPERATIONS
from graven.ops.requests import FetchKeys, Insert, Row, Update
from graven.ops.value import Value

__all__ = ["Entry", "EntryRows", "abandoned", "derived_id", "due_select", "path"]

COLUMNS = tuple(column.name for column in OPERATIONS.columns)
KINDS = {column.name: column.kind for column in OPERATIONS.columns}


ENDED = ("state", "due", "error", "result", "finished")

_row_of = attrgetter(*COLUMNS)


class Entry(Value):
    """One entry of the log; see :data:`~graven.ops.operating.OPERATIONS` for what it holds.

    ``version`` is its fence.
    """

    id: UUID
    method: str
    arguments: str
    timestamp: datetime
    state: str
    due: datetime | None = None
    queue: str | None = None
    priority: int = 0
    worker: str | None = None
    attempts: int = 0
    key: str | None = None
    schedule: str | None = None
    code_version: int = 1
    options: str | None = None
    outcome: str | None = None
    error: str | None = None
    result: str | None = None
    finished: datetime | None = None
    version: int = 1

    def but(self, **changes: Any) -> Entry:
        """Return the entry with some columns changed."""
        return Entry(**{**{name: getattr(self, name) for name in COLUMNS}, **changes})


class EntryRows:
    """The requests for entries in the store form of one kind of backend."""

    columns = COLUMNS

    def __init__(self, dialect: Any) -> None:
        """Use the codec of *dialect*."""
        encoders, decoders = dialect.encoders, dialect.decoders
        self._encoders: dict[str, Callable[[Any], Any] | None] = {
            name: in_milliseconds(encoders[kind]) if name == "due" else encoders[kind]
            for name, kind in KINDS.items()
        }
        self._decoders: list[Callable[[Any], Any] | None] = [
            decoders[column.kind] for column in OPERATIONS.columns
        ]
        self._encoded = [
            (at, encode)
            for at, name in enumerate(COLUMNS)
            if (encode := self._encoders[name]) is not None
        ]

    def value(self, name: str, value: Any) -> Any:
        """Return a value of the column *name* in store form."""
        encode = self._encoders[name]
        return value if encode is None or value is None else encode(value)

    def row(self, entry: Entry) -> Row:
        """Return the row of an entry in store form."""
        row = list(_row_of(entry))
        for at, encode in self._encoded:
            if row[at] is not None:
                row[at] = encode(row[at])
        return tuple(row)

    def insert(self, entries: Iterable[Entry]) -> Insert:
        """Return what writes new entries."""
        return Insert(OPERATIONS, COLUMNS, [self.row(entry) for entry in entries])

    def update(self, entries: Sequence[Entry], **changes: Any) -> Update:
        """Return what sets the same columns of entries, guarded by their fences, and adds one."""
        values = tuple(self.value(name, value) for name, value in changes.items())
        rows = [(*values, self.value("id", one.id), one.version) for one in entries]
        return Update(OPERATIONS, tuple(changes), ("version",), rows)

    def finish(self, entry: Entry, state: str | None, result: str | None, at: datetime) -> Update:
        """Return what ends an entry with a result, guarded by its fence."""
        encode = self._encoders["finished"]
        row = (
            state,
            None,
            None,
            result,
            at if encode is None else encode(at),
            self.value("id", entry.id),
            entry.version,
        )
        return Update(OPERATIONS, ENDED, ("version",), (row,))

    def claim(self, entries: Sequence[Entry], worker: str, due: datetime) -> Update:
        """Return what claims entries until *due*; one that is compensating goes on with that."""
        claimed = [one.state if one.state == COMPENSATING else RUNNING for one in entries]
        rows = [
            (state, self.value("due", due), worker, self.value("id", one.id), one.version)
            for one, state in zip(entries, claimed, strict=True)
        ]
        return Update(OPERATIONS, ("state", "due", "worker"), ("version",), rows)

    def begin(self, entries: Sequence[Entry]) -> Update:
        """Return what claims entries as they are to be then: state, lease, worker and attempts."""
        columns = ("state", "due", "worker", "attempts")
        rows = [
            (
                *(self.value(name, getattr(one, name)) for name in columns),
                self.value("id", one.id),
                one.version - 1,
            )
            for one in entries
        ]
        return Update(OPERATIONS, columns, ("version",), rows)

    def touch(self, entry: Entry, **changes: Any) -> Update:
        """Return what sets columns of an entry, guarded by its fence, which stays."""
        return self.update([entry], **changes, version=entry.version)

    def fetch(self, ids: Iterable[UUID]) -> FetchKeys:
        """Return what reads the entries with these ids."""
        keys = [(self.value("id", one),) for one in ids]
        return FetchKeys(OPERATIONS, COLUMNS, OPERATIONS.key, keys, True)

    def entries(self, rows: Iterable[Row]) -> list[Entry]:
        """Return the entries of fetched rows."""
        return [Entry(*self._decoded(row)) for row in rows]

    def _decoded(self, row: Row) -> list[Any]:
        return [
            value if decode is None or value is None else decode(value)
            for value, decode in zip(row, self._decoders, strict=True)
        ]


def path(column: str) -> Path:
    """Return a column of the log, for conditions."""
    return Path((), column, KINDS[column])


def abandoned() -> Condition:
    """Return the condition of what a recovery takes when it is due.

    That is what runs though its lease has run out, and all that is in no queue.
    """
    left = In(path("state"), (RUNNING, COMPENSATING))
    return Or((left, Compare("==", path("queue"), None)))


def due_select(
    now: datetime, condition: Condition, limit: int, lock: str | None = "skip_or_check"
) -> Select:
    """Return the question for entries that are due and meet *condition*, the oldest first.

    Rows that somebody is just claiming are left out, where the backend can lock rows.
    """
    is_due = Compare("<=", path("due"), now)
    return Select(
        OPERATIONS,
        COLUMNS,
        And((is_due, condition)),
        (Order(path("due")),),
        limit,
        lock=lock,
    )


def in_milliseconds(encode: Callable[[Any], Any] | None) -> Callable[[datetime], Any]:
    """Return what brings an instant into store form, in milliseconds, which every store keeps."""

    def encoded(at: datetime) -> Any:
        rest = at.microsecond % 1000
        whole = at.replace(microsecond=at.microsecond - rest) if rest else at
        return whole if encode is None else encode(whole)

    return encoded


def derived_id(*parts: str) -> UUID:
    """Return the id of an entry of which there is one for these *parts*: method and key, say.

    It is a UUID of version 8, made of a SHA-256 hash.
    """
    text = "\0".join(f"{len(part)}:{part}" for part in parts)
    number = int.from_bytes(sha256(text.encode("utf-8", "surrogatepass")).digest()[:16], "big")
    number = number & ~(0xF000 << 64) | (8 << 76)
    return UUID(int=number & ~(0xC000 << 48) | (0x8000 << 48))
