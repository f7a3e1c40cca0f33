"""Backends as the contract suite sees them: where a fresh store is, and what it is able to do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from itertools import count
from pathlib import Path

__all__ = [
    "BULK",
    "BYTE_ORDER",
    "EXCHANGES",
    "MICROSECONDS",
    "ONE_WRITER",
    "PLAIN",
    "RAW_SQL",
    "SAVEPOINTS",
    "SKIPS_LOCKED",
    "SURVIVES",
    "TABLE_UNDO",
    "TRANSACTIONS",
    "WAITS",
    "Backend",
    "MemoryBackend",
    "SQLiteBackend",
    "able",
    "as_kept",
]

RAW_SQL = "raw SQL"  #: statements of one's own, in plain SQL
WAITS = "waits"  #: an awaited call takes more than one turn of the event loop
SURVIVES = "survives"  #: what was committed is there after every ``Database`` was closed
ONE_WRITER = "one writer"  #: a transaction that writes keeps all others from writing, until it ends
SAVEPOINTS = "savepoints"  #: a part of a transaction can be undone by itself
TABLE_UNDO = "table undo"  #: tables can be made in a transaction, and are undone with it
SKIPS_LOCKED = "skips locked"  #: rows that others have locked can be left out
TRANSACTIONS = "transactions"  #: that outlast a call: flush, locks, all levels of isolation
BULK = "bulk"  #: a thousand rows are written in a moment
EXCHANGES = "exchanges"  #: unique values may change hands within one commit
MICROSECONDS = "microseconds"  #: an instant is kept to the microsecond, not the millisecond
BYTE_ORDER = "byte order"  #: bytes compare by order as they do in Python

PLAIN = frozenset(
    {
        BULK,
        BYTE_ORDER,
        EXCHANGES,
        MICROSECONDS,
        SAVEPOINTS,
        SKIPS_LOCKED,
        TABLE_UNDO,
        TRANSACTIONS,
    }
)
"""What every backend of tables is able to do."""


class Backend:
    """A backend that the suite is run over. Derive a class for each, and give one of it.

    ``name`` is its part of the names of tests, ``capabilities`` is what it is able to do beyond
    what every backend is.
    """

    name: str
    capabilities: frozenset[str] = frozenset()

    def start(self) -> None:
        """Start what all its tests share, a server for example; called once, before the first."""

    def stop(self) -> None:
        """Stop what :meth:`start` has started."""

    def fresh(self, folder: Path) -> AbstractContextManager[str]:
        """Make an empty store, which may keep files in *folder*; the block is given its URL.

        Several are asked of one folder. At the end of the block the store may be removed.
        """
        raise NotImplementedError

    def parameter(self, name: str = "") -> str:
        """Return what stands for a parameter in a statement of one's own: by name, or in order."""
        return f":{name}" if name else "?"


class SQLiteBackend(Backend):
    """SQLite, each store in a file of its own."""

    name = "sqlite"
    capabilities = PLAIN | {ONE_WRITER, RAW_SQL, SURVIVES, WAITS}

    def __init__(self) -> None:
        """Begin to number the files."""
        self._serial = count(1)

    @contextmanager
    def fresh(self, folder: Path) -> Iterator[str]:
        """Yield the URL of a file that is not there yet."""
        yield f"sqlite:///{folder}/contract{next(self._serial)}.db?synchronous=off"


class MemoryBackend(Backend):
    """The store in memory: a name is one store for all who open it."""

    name = "memory"
    capabilities = PLAIN | {ONE_WRITER}

    def __init__(self) -> None:
        """Begin to number the names."""
        self._serial = count(1)

    @contextmanager
    def fresh(self, folder: Path) -> Iterator[str]:
        """Yield a URL with a name that nobody else uses."""
        yield f"memory:contract{next(self._serial)}"


def as_kept(backend: Backend, instant: datetime) -> datetime:
    """Return *instant*, or what is left of it where it is kept to the millisecond only."""
    if MICROSECONDS in backend.capabilities:
        return instant
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)


def able(backends: Iterable[Backend], needed: Iterable[str]) -> list[Backend]:
    """Return those of *backends* that have every capability *needed*."""
    wanted = frozenset(needed)
    return [backend for backend in backends if wanted <= backend.capabilities]
