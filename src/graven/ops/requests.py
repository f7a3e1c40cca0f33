"""The closed set of requests that a flow may make of the outside world.

A flow is a generator that yields requests and receives replies. ``yield from request`` evaluates
to the reply, and type checkers know its type. A new request is a conscious act: every driver has
to answer it.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence

from graven._hints import TYPE_CHECKING, Any, Generic, TypeVar
from graven.errors import BusyRetry
from graven.ops.value import Value

if TYPE_CHECKING:
    from graven.ops.conditions import Select
    from graven.ops.schema import Reference, Table

__all__ = [
    "Apply",
    "Begin",
    "Close",
    "Commit",
    "Create",
    "Delete",
    "Documents",
    "Execute",
    "Fetch",
    "FetchKeys",
    "Flow",
    "Insert",
    "Inspect",
    "Later",
    "MakeKeys",
    "Open",
    "Operation",
    "Orphan",
    "Orphans",
    "Page",
    "Referrers",
    "Release",
    "Rollback",
    "RollbackTo",
    "Savepoint",
    "Sleep",
    "SnapshotStale",
    "Sweep",
    "TableShape",
    "Update",
    "Write",
]

R = TypeVar("R")
#: A generator of requests that returns an ``R``.
Flow = Generator["Operation[Any]", Any, R]
Row = tuple[object, ...]


class Operation(Value, Generic[R]):
    """A request; its reply is an ``R``."""

    def __iter__(self) -> Generator[Operation[Any], Any, R]:
        return (yield self)  # type: ignore[no-any-return]


class Begin(Operation[None]):
    """Begin a transaction of the store; ``write`` takes the right to write at once.

    ``tables`` takes the right to make tables: others who want it wait until the transaction ends.
    ``isolation`` is what a store that knows levels keeps to: ``"optimistic"`` (each statement sees
    what is committed), ``"snapshot"`` (all see one point) or ``"serializable"``. ``nowait`` raises
    ``BusyRetry`` at once where the right to write is somebody else's, instead of waiting for it.
    """

    write: bool
    tables: bool = False
    isolation: str = "optimistic"
    nowait: bool = False


class Commit(Operation[None]):
    """Make the open transaction durable."""


class Rollback(Operation[None]):
    """Undo the open transaction; nothing if none is open."""


class Savepoint(Operation[None]):
    """Mark this place of the open transaction; *name* is an identifier."""

    name: str


class Release(Operation[None]):
    """Forget the savepoint of that *name*: what was done since stays part of the transaction."""

    name: str


class RollbackTo(Operation[None]):
    """Undo what was done since the savepoint of that *name*, and forget it.

    A transaction that refuses statements since one has failed goes on after that.
    """

    name: str


class Fetch(Operation[list[Row]]):
    """Reply with the rows of a select, in store form."""

    select: Select


class FetchKeys(Operation[list[Row]]):
    """Reply with the rows whose *by* columns hold one of *keys*, in store form, in any order.

    A key is a tuple with a value for each column of *by*: in Python form, or, if *encoded*, in
    store form. *columns* are those returned. *also* names a column of texts: rows that have one
    in it are returned too; for stores without transactions, see :mod:`graven.ops.writesets`.
    """

    table: Table
    columns: tuple[str, ...]
    by: tuple[str, ...]
    keys: Sequence[Row]
    encoded: bool = False
    also: str | None = None


class Later(Value):
    """Stands in a row for the key that the store will make for the insert numbered *ordinal*."""

    ordinal: int


class Insert(Operation[list[object]]):
    """Insert *rows*, values in store form, one for each of *columns*.

    Replies with the keys that the store made, in order; with an empty list if it makes none.
    *ordinals* numbers the rows whose keys the store makes.
    """

    table: Table
    columns: tuple[str, ...]
    rows: Sequence[Row]
    ordinals: tuple[int, ...] = ()


class Update(Operation[int]):
    """Set *columns* of single rows, and add one to the version, unless it is among the columns.

    Replies with the number of rows matched.

    A row of *rows* is: the new value of each of *columns*, the key, then the value that each of
    *guards* must still have.
    """

    table: Table
    columns: tuple[str, ...]
    guards: tuple[str, ...]
    rows: Sequence[Row]

    @property
    def is_blind(self) -> bool:
        """Whether it leaves open which version it makes: it neither checks nor sets the version."""
        version = self.table.version
        return version is not None and version not in (*self.guards, *self.columns)


class Delete(Operation[int]):
    """Delete single rows; replies with the number matched.

    A row of *rows* is the key, then the guards' values.
    """

    table: Table
    guards: tuple[str, ...]
    rows: Sequence[Row]


class Sweep(Operation[int]):
    """Delete every row of *table* whose *by* columns hold one of *rows*, in store form.

    Replies with the number deleted.
    """

    table: Table
    by: tuple[str, ...]
    rows: Sequence[Row]


#: A write of rows of a model's own table.
Write = Insert | Update | Delete


class Apply(Operation["list[Any] | None"]):
    """Write all of *writes* in a transaction of their own, in as few round trips as can be.

    Replies with what each of them replies with; or with ``None`` if one was refused, or matched
    fewer rows than it has where it must be *exact*. Then nothing was written. For stores across a
    network, whose dialect says that it ``applies``.
    """

    writes: Sequence[Write | Sweep]
    exact: Sequence[bool]


class Execute(Operation[tuple[list[Row], tuple[str, ...]]]):
    """Execute a statement in the store's own language.

    Replies with its rows and the names of its columns.
    """

    statement: str
    parameters: Sequence[object] | dict[str, object] = ()


class Documents(Operation[tuple[list[Row], tuple[str, ...]]]):
    """Ask a store of documents with a filter or a pipeline of the caller's own.

    *given* is sent as it is. Replies with the rows of *columns* of *table* that the documents found
    tell, in store form, and the names of the columns. For stores whose dialect says that it
    ``has_documents``.
    """

    table: Table
    columns: tuple[str, ...]
    given: Any
    is_pipeline: bool


class TableShape(Value):
    """What the store says of a table: ``(name, declared type, not null)`` of columns, key, indexes.

    An index is ``(name, columns, unique)``; partial ones and those on expressions are left out.
    *kinds* has, for each column, the kinds of value that it holds unchanged. *defaulted* names the
    columns that fill themselves when an insert leaves them out, *makes_key* says that the key is
    one of them. *choices* has ``(name of the rule, column, what it may hold)`` where the store
    keeps to the choices of an enumeration.
    """

    columns: tuple[tuple[str, str, bool], ...]
    key: tuple[str, ...]
    indexes: tuple[tuple[str, tuple[str, ...], bool], ...]
    kinds: tuple[frozenset[str], ...]
    defaulted: frozenset[str] = frozenset()
    makes_key: bool = False
    choices: tuple[tuple[str, str, tuple[str | int, ...]], ...] = ()


class Inspect(Operation[TableShape | None]):
    """Reply with the shape of the table of that *name*, or ``None`` if there is none."""

    name: str


class Create(Operation[None]):
    """Make *table*, or, if it is not to be made *whole*, complete one that is there.

    *indexes* are tuples of ``(columns, unique)``. *renames* are pairs ``(old name, new name)`` of
    columns. *choices* are pairs ``(name of the rule, column)``: the rule is made anew. *references*
    are added when all tables are there; a store that can refer to a table before it is there has
    them already.
    """

    table: Table
    whole: bool
    renames: tuple[tuple[str, str], ...] = ()
    columns: tuple[str, ...] = ()
    indexes: tuple[tuple[tuple[str, ...], bool], ...] = ()
    choices: tuple[tuple[str, str], ...] = ()
    references: tuple[Reference, ...] = ()


class Open(Operation[object]):
    """Begin to read the rows of a select page by page.

    Replies with a handle for :class:`Page` and :class:`Close`.

    The handle belongs to the connection, which has to be kept until the handle is closed.
    """

    select: Select


class Page(Operation[list[Row]]):
    """Reply with the next *size* rows, in store form; with fewer, or none, at the end."""

    handle: object
    size: int


class Close(Operation[None]):
    """Give up a handle; nothing if it is closed already."""

    handle: object


class Sleep(Operation[None]):
    """Wait for that many *seconds*."""

    seconds: float


class MakeKeys(Operation["Sequence[object]"]):
    """Reply with *number* keys of *table*, whose keys the store makes, that no row has ever had.

    For stores that write rows some time after they have made their keys.
    """

    table: Table
    number: int


class Referrers(Operation["Sequence[Table]"]):
    """Reply with the tables that refer to the one of that *name*, as far as the store knows.

    Each has its key, the columns that refer, and that reference. For stores that leave it to graven
    to look after references.
    """

    name: str


class Orphan(Value):
    """One row that refers to a row that is not there.

    *key* is the key of the row of *table*; *missing* is what its *columns* hold, the key that
    *target* has no row for. Both are in Python form.
    """

    table: str
    key: Row
    columns: tuple[str, ...]
    target: str
    missing: Row


class Orphans(Operation[list[Orphan]]):
    """Reply with rows of *tables* that refer to rows that are not there, not more than *limit*."""

    tables: tuple[Table, ...]
    limit: int = 20


class SnapshotStale(BusyRetry):
    """A transaction that began by reading cannot write any more: somebody else has written since.

    Waiting does not help: roll it back, and begin again with the right to write.
    """
