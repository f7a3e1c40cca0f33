"""Tables in memory: what their rows are like, and the indexes that find them.

A row is a tuple with a value for each column, under its key. An index says where a value *may* be:
the row itself has the last word. So it may be ahead of the rows, while a transaction writes, and
every view of the store can share it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from operator import itemgetter

from graven._hints import Any
from graven.dialects.memory import ENCODERS, LIMITED, check_column
from graven.ops.indexes import wanted_indexes
from graven.ops.requests import Create, TableShape
from graven.ops.schema import Column, Reference, Table

__all__ = ["Change", "Definition", "Index"]

Row = tuple[Any, ...]


def getter(positions: tuple[int, ...]) -> Callable[[Row], Any]:
    """Return what takes one value out of a row, or a tuple of any other number of them."""
    if positions:
        return itemgetter(*positions)
    return lambda _: ()


def tuple_getter(positions: tuple[int, ...], width: int) -> Callable[[Row], Row]:
    """Return what takes the values at *positions* out of a row of that *width*, as a tuple."""
    if positions == tuple(range(width)):
        return lambda row: row
    if len(positions) == 1:
        (at,) = positions
        return lambda row: (row[at],)
    return getter(positions)


class Index:
    """Where the rows with certain values in some columns may be.

    ``of`` takes the value out of a row, several columns as a tuple.
    """

    __slots__ = ("_entries", "columns", "is_unique", "of", "row_width")

    def __init__(
        self, columns: tuple[str, ...], places: tuple[int, ...], is_unique: bool, row_width: int
    ) -> None:
        self.columns, self.is_unique, self.row_width = columns, is_unique, row_width
        self.of = getter(places)
        self._entries: dict[Hashable, dict[Hashable, None]] = {}

    def is_null(self, value: Any) -> bool:
        """Say whether a part of *value* is null, so that it refers to nothing, and clashes not."""
        return value is None if len(self.columns) == 1 else None in value

    def add(self, value: Hashable, key: Hashable) -> None:
        """Note that the row at *key* may have *value*."""
        known = self._entries.get(value)
        if known is None:
            self._entries[value] = {key: None}
        else:
            known[key] = None

    def discard(self, value: Hashable, key: Hashable) -> None:
        """Note that no row at *key* has *value* any more."""
        known = self._entries.get(value)
        if known is not None:
            known.pop(key, None)
            if not known:
                self._entries.pop(value, None)

    def keys(self, value: Hashable) -> list[Any]:
        """Return the keys of the rows that may have *value*, in a list of the caller's own."""
        known = self._entries.get(value)
        return list(known) if known else []


class Definition:
    """A table as it stands in the store at one moment; a change of it makes a new one.

    ``key_of`` takes the key out of a row: a value, or a tuple of several. ``not_null`` are the
    places that must not be null.
    """

    def __init__(
        self,
        name: str,
        columns: tuple[Column, ...],
        key: tuple[str, ...],
        version: str | None,
        store_made: bool,
        references: tuple[Reference, ...],
        indexes: Iterable[tuple[tuple[str, ...], bool]],
    ) -> None:
        self.name, self.columns, self.key, self.version = name, columns, key, version
        self.store_made, self.references = store_made, references
        self.names = tuple(column.name for column in columns)
        self.positions = {column: at for at, column in enumerate(self.names)}
        self.key_of = getter(self.places(key))
        self.not_null = tuple(
            at for at, one in enumerate(columns) if one.name in key or not one.nullable
        )
        self.indexes = tuple(
            Index(names, self.places(names), is_unique, len(columns))
            for names, is_unique in indexes
        )
        self._finders = {frozenset(index.columns): index for index in self.indexes}
        self._getters: dict[tuple[str, ...], Callable[[Row], Row]] = {}
        self._kinds: dict[tuple[str, ...], tuple[str, ...] | None] = {}
        self._limited: dict[tuple[str, ...], list[tuple[int, str]]] = {}
        self._changes: dict[tuple[tuple[str, ...], tuple[str, ...]], Change] = {}

    @classmethod
    def of(cls, table: Table) -> Definition:
        """Return the definition of a table that is made as it is declared."""
        return cls(
            table.name,
            table.columns,
            table.key,
            table.version,
            table.store_made,
            table.references,
            wanted_indexes(table),
        )

    def completed(self, request: Create) -> Definition:
        """Return the definition with what *request* renames and adds.

        The references of new columns come with them.
        """
        new = dict(request.renames)
        added = tuple(request.table.column(name) for name in request.columns)
        return Definition(
            self.name,
            (*(_renamed(column, new) for column in self.columns), *added),
            _new_names(self.key, new),
            self.version,
            self.store_made,
            (
                *(_renamed_reference(one, new) for one in self.references),
                *(one for one in request.table.references if one.columns[0] in request.columns),
            ),
            (
                *((_new_names(index.columns, new), index.is_unique) for index in self.indexes),
                *request.indexes,
            ),
        )

    def places(self, columns: Iterable[str]) -> tuple[int, ...]:
        """Return where in a row the values of *columns* are."""
        return tuple(self.positions[name] for name in columns)

    def take(self, columns: tuple[str, ...]) -> Callable[[Row], Row]:
        """Return what takes the values of *columns* out of a row, as a tuple."""
        found = self._getters.get(columns)
        if found is None:
            places = self.places(columns)
            found = self._getters[columns] = tuple_getter(places, len(self.columns))
        return found

    def change(self, columns: tuple[str, ...], guards: tuple[str, ...]) -> Change:
        """Return how the rows of an update of *columns*, or of a delete, are read."""
        found = self._changes.get((columns, guards))
        if found is None:
            found = self._changes[columns, guards] = Change(self, columns, guards)
        return found

    def kinds(self, columns: tuple[str, ...]) -> tuple[str, ...] | None:
        """Return the kinds of *columns*, ``None`` if all are kept in the form they have."""
        found = self._kinds.get(columns, ())
        if found == ():
            kinds = tuple(self.columns[at].kind for at in self.places(columns))
            found = self._kinds[columns] = kinds if any(map(ENCODERS.get, kinds)) else None
        return found

    def check_fits(self, columns: tuple[str, ...], rows: Sequence[Row]) -> None:
        """Refuse what another store could not keep: see ``check_column`` of the dialect.

        A row begins with the values of *columns*.

        :raises DataError: if there is such a value.
        """
        limited = self._limited.get(columns)
        if limited is None:
            places = enumerate(self.places(columns))
            kinds = [(at, self.columns[place].kind) for at, place in places]
            limited = self._limited[columns] = [one for one in kinds if one[1] in LIMITED]
        for at, kind in limited:
            check_column(kind, [row[at] for row in rows if row[at] is not None])

    def may_hold(self, row: Row) -> bool:
        """Say whether no value is missing in *row*."""
        return all(row[at] is not None for at in self.not_null)

    def index_on(self, columns: Iterable[str]) -> Index | None:
        """Return the index on exactly these columns, in any order."""
        return self._finders.get(frozenset(columns))

    def shape(self) -> TableShape:
        """Return what the store says of the table."""
        required = set(self.not_null)
        return TableShape(
            columns=tuple(
                (one.name, one.kind, at in required) for at, one in enumerate(self.columns)
            ),
            key=self.key,
            indexes=tuple(
                (".".join((self.name, *index.columns)), index.columns, index.is_unique)
                for index in self.indexes
            ),
            kinds=tuple(frozenset({column.kind}) for column in self.columns),
            defaulted=frozenset(self.key if self.store_made else ()),
            makes_key=self.store_made,
        )


class Change:
    """How the rows of one kind of update or delete are read: what is set, key, what is expected."""

    __slots__ = ("_take", "_version", "expected_of", "guards_of", "indexes", "key_of")

    def __init__(
        self, definition: Definition, columns: tuple[str, ...], guards: tuple[str, ...]
    ) -> None:
        first, width = len(columns), len(definition.names)
        expected = first + len(definition.key)
        at = expected + len(guards)
        self.key_of = getter(tuple(range(first, expected)))
        self.expected_of: Callable[[Row], Row] = itemgetter(slice(expected, None))
        self.guards_of = definition.take(guards)
        self.indexes = [
            index for index in definition.indexes if not set(columns).isdisjoint(index.columns)
        ]
        # A new row is taken out of what was sent, the old row, and the version after its own.
        places = list(range(at, at + width))
        for place, name in enumerate(columns):
            places[definition.positions[name]] = place
        self._version: int | None = None
        if definition.version is not None and definition.version not in columns:
            self._version = definition.positions[definition.version]
            places[self._version] = at + width
        self._take = tuple_getter(tuple(places), 0)

    def new(self, old: Row, sent: Row) -> Row:
        """Return the row that takes the place of *old*."""
        if self._version is None:
            return self._take((*sent, *old))
        return self._take((*sent, *old, old[self._version] + 1))


def _new_names(columns: Iterable[str], new: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(new.get(name, name) for name in columns)


def _renamed(column: Column, new: Mapping[str, str]) -> Column:
    return Column(new.get(column.name, column.name), column.kind, column.nullable)


def _renamed_reference(reference: Reference, new: Mapping[str, str]) -> Reference:
    columns = _new_names(reference.columns, new)
    return Reference(columns, reference.table, reference.target, reference.on_delete)
