"""One transaction on the store in memory: what it reads, what it has written, how it ends."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

from graven._hints import TYPE_CHECKING, Any
from graven.core.values import ABSENT
from graven.drivers.memory_tables import Definition, Index, Row
from graven.errors import ForeignKeyError, NotNullError, StoreError, UniqueError
from graven.ops.requests import Orphan
from graven.ops.schema import Reference

if TYPE_CHECKING:
    from graven.stm.cells import Space, View
    from graven.stm.timeline import Timeline
    from graven.stm.turns import Turn

__all__ = ["CATALOGUE", "Work"]

CATALOGUE = None
"""The space of the definitions, by the names of their tables."""

COUNTERS = ("keys made",)
"""The space of the highest key that was made for each table."""


class Work:
    """Reads at one point of the store, with what it has written itself on top.

    Only who has the turn writes. What is written is in the indexes at once, and in the store with
    :meth:`commit`.
    """

    __slots__ = ("_noted", "_savepoints", "_timeline", "_writes", "turn", "view")

    def __init__(self, timeline: Timeline, turn: Turn | None = None) -> None:
        """Read at the point that *timeline* has reached now."""
        self._timeline = timeline
        self.turn = turn
        self.view: View = timeline.view()
        self._writes: dict[Space, dict[Any, Any]] = {}
        self._noted: list[tuple[Index, Hashable, Space, Hashable]] = []
        self._savepoints: list[tuple[str, dict[Space, dict[Any, Any]]]] = []

    # ── reading ─────────────────────────────────────────────────────────────────────────────

    def definition(self, name: str) -> Definition | None:
        """Return the definition of a table, ``None`` if there is none of that name."""
        found: Definition | None = self._value(self._timeline.space(CATALOGUE), name)
        return found

    def table(self, name: str, attempted: str) -> Definition:
        """Return the definition of a table that has to be there.

        :raises StoreError: if it is not.
        """
        found = self.definition(name)
        if found is None:
            statement = f"{attempted} {name}"
            raise StoreError(
                f"the store in memory was asked to {statement}: no such table; usually the model "
                "was not created on this database, or on another one; call db.create() with the "
                "model",
                statement=statement,
            )
        return found

    def row(self, definition: Definition, key: Hashable) -> Row | None:
        """Return the row at *key*, ``None`` if there is none."""
        found: Row | None = self._value(self._timeline.space(definition.name), key)
        return found

    def _value(self, space: Space, key: Hashable) -> Any:
        pending = self._writes.get(space)
        if pending is not None and key in pending:
            found = pending[key]
            return None if found is ABSENT else found
        cell = self.view.cell(space, key)
        return None if cell is None else cell[0]

    def rows(self, definition: Definition) -> list[Row]:
        """Return all rows of a table, in no order."""
        return list(self._items(definition).values())

    def _items(self, definition: Definition) -> dict[Any, Row]:
        space = self._timeline.space(definition.name)
        found = {key: cell[0] for key, cell in self.view.scan(space).items()}
        for key, row in self._writes.get(space, {}).items():
            if row is ABSENT:
                found.pop(key, None)
            else:
                found[key] = row
        return found

    def find(
        self, definition: Definition, columns: tuple[str, ...], values: Iterable[Row]
    ) -> Iterator[Row]:
        """Yield the rows that hold one of *values* in *columns*; each of *values* comes once."""
        if columns == definition.key or set(columns) == set(definition.key):
            for key in _ordered(values, columns, definition.key):
                row = self.row(definition, key)
                if row is not None:
                    yield row
            return
        index = definition.index_on(columns)
        if index is not None:
            for value in _ordered(values, columns, index.columns):
                yield from self.having(definition, index, value)
            return
        take, wanted = definition.take(columns), set(values)
        yield from (row for row in self.rows(definition) if take(row) in wanted)

    def having(self, definition: Definition, index: Index, value: Hashable) -> Iterator[Row]:
        """Yield the rows that have *value* in the columns of *index*."""
        of = index.of
        keys = index.keys(value)
        if not self.view.is_current:
            # An index forgets what others have replaced since; the view remembers.
            space = self._timeline.space(definition.name)
            keys = [*dict.fromkeys((*keys, *self.view.replaced(space)))]
        for key in keys:
            row = self.row(definition, key)
            if row is not None and of(row) == value:
                yield row

    # ── writing ─────────────────────────────────────────────────────────────────────────────

    def insert(self, definition: Definition, rows: Sequence[Row]) -> None:
        """Insert whole rows.

        :raises UniqueError: if a key, or a value that must be unique, is taken.
        :raises NotNullError: if a value is missing.
        """
        keys = list(map(definition.key_of, rows))
        fresh = dict(zip(keys, rows, strict=True))
        space = self._timeline.space(definition.name)
        if len(fresh) < len(keys) or not self._are_free(space, fresh):
            raise _taken(definition, definition.key)
        self._check_not_null(definition, rows)
        self._put(definition, space, fresh, definition.indexes)

    def _are_free(self, space: Space, keys: dict[Any, Row]) -> bool:
        pending = self._writes.get(space)
        if pending is not None:
            return all(self._value(space, key) is None for key in keys)
        return space.cells.keys().isdisjoint(keys)

    def replace(
        self, definition: Definition, key: Hashable, old: Row, new: Row, changed: Iterable[Index]
    ) -> None:
        """Put *new* in the place of *old*; only the indexes *changed* can tell them apart.

        :raises UniqueError: if a value that must be unique is taken.
        :raises NotNullError: if a value is missing.
        """
        self._check_not_null(definition, (new,))
        space = self._timeline.space(definition.name)
        moved = [index for index in changed if index.of(old) != index.of(new)]
        self._put(definition, space, {key: new}, moved)
        for index in moved:
            self._noted.append((index, index.of(old), space, key))

    def _put(
        self, definition: Definition, space: Space, rows: dict[Any, Row], indexes: Iterable[Index]
    ) -> None:
        """Write rows and enter them into *indexes*: all of it, or, after an error, nothing."""
        pending = self._pending(space)
        before = {key: pending[key] for key in rows if key in pending}
        pending.update(rows)
        try:
            for index in indexes:
                for key, row in rows.items():
                    self._note(definition, space, index, key, index.of(row))
        except BaseException:
            for key in rows:
                del pending[key]
            pending.update(before)
            raise

    def remove(self, definition: Definition, row: Row) -> None:
        """Delete a row."""
        key = definition.key_of(row)
        space = self._timeline.space(definition.name)
        self._pending(space)[key] = ABSENT
        for index in definition.indexes:
            self._noted.append((index, index.of(row), space, key))

    def define(self, definition: Definition, widen: Callable[[Row], Row] | None = None) -> None:
        """Put a definition in its place; rows that are there are passed through *widen*."""
        space = self._timeline.space(definition.name)
        old = {} if widen is None else self._items(definition)
        self._pending(self._timeline.space(CATALOGUE))[definition.name] = definition
        for key, row in old.items():
            new = widen(row) if widen is not None else row
            self._pending(space)[key] = new
            for index in definition.indexes:
                self._note(definition, space, index, key, index.of(new))

    def make_keys(self, definition: Definition, number: int) -> range:
        """Return *number* keys that no committed row has ever had, in order."""
        counters = self._timeline.space(COUNTERS)
        last = self._value(counters, definition.name) or 0
        self._pending(counters)[definition.name] = last + number
        return range(last + 1, last + number + 1)

    def keep_above(self, definition: Definition, keys: Iterable[Any]) -> None:
        """See that no key is made again that somebody has chosen."""
        counters = self._timeline.space(COUNTERS)
        last = self._value(counters, definition.name) or 0
        self._pending(counters)[definition.name] = max(last, *keys)

    def _pending(self, space: Space) -> dict[Any, Any]:
        found = self._writes.get(space)
        if found is None:
            found = self._writes[space] = {}
        return found

    def _note(
        self, definition: Definition, space: Space, index: Index, key: Hashable, value: Any
    ) -> None:
        """Enter a value into an index, unless it is taken."""
        if index.is_null(value):
            return
        if index.is_unique and any(
            definition.key_of(row) != key for row in self.having(definition, index, value)
        ):
            raise _taken(definition, index.columns)
        index.add(value, key)
        self._noted.append((index, value, space, key))

    @staticmethod
    def _check_not_null(definition: Definition, rows: Sequence[Row]) -> None:
        for row in rows:
            if None in row:
                for at in definition.not_null:
                    if row[at] is None:
                        raise _missing(definition, definition.names[at])

    # ── savepoints ──────────────────────────────────────────────────────────────────────────

    def savepoint(self, name: str) -> None:
        """Remember what is written by now."""
        written = {space: dict(rows) for space, rows in self._writes.items()}
        self._savepoints.append((name, written))

    def release(self, name: str) -> dict[Space, dict[Any, Any]]:
        """Forget the savepoint of that name, and those after it; return what it remembered."""
        while True:
            found, written = self._savepoints.pop()
            if found == name:
                return written

    def rollback_to(self, name: str) -> None:
        """Undo what was written since; what indexes still have of it is left out until the end."""
        self._writes = self.release(name)

    # ── the end ─────────────────────────────────────────────────────────────────────────────

    def commit(self) -> None:
        """Write everything, and let the next one write.

        :raises ForeignKeyError: if a reference would lead nowhere; the transaction stays open.
        """
        if self._writes:
            self._check_references()
            self._timeline.commit(self._writes, turn=self.turn)
        self.end()

    def end(self) -> None:
        """Let go: what was not committed is gone, and the next one may write."""
        self._writes = {}
        for index, value, space, key in self._noted:
            cell = space.cells.get(key)
            if cell is None or len(cell[0]) != index.row_width or index.of(cell[0]) != value:
                index.discard(value, key)
        self._noted = []
        if self.turn is not None:
            self.turn.release()
            self.turn = None

    def _check_references(self) -> None:
        for space, written in self._writes.items():
            definition = None
            if type(space.name) is str:
                definition = self.definition(space.name)
            if definition is None:
                continue
            rows = [row for row in written.values() if row is not ABSENT]
            for orphan in self.orphans(definition, rows):
                raise _leads_nowhere(orphan)
            if len(rows) < len(written):
                gone = [key for key, row in written.items() if row is ABSENT]
                self._check_nobody_refers(definition, gone)

    def _check_nobody_refers(self, parent: Definition, gone: list[Any]) -> None:
        for child in self.definitions():
            for reference in child.references:
                if reference.table == parent.name:
                    keys = [key if len(parent.key) > 1 else (key,) for key in gone]
                    left = _ordered_tuples(keys, parent.key, _target(reference, parent))
                    rows = self.find(child, reference.columns, left)
                    for orphan in self.orphans(child, rows):
                        raise _leads_nowhere(orphan)

    def definitions(self) -> list[Definition]:
        """Return the definitions of all tables."""
        space = self._timeline.space(CATALOGUE)
        names: dict[Any, None] = dict.fromkeys(
            (*self.view.scan(space), *self._writes.get(space, ()))
        )
        return [found for name in names if (found := self.definition(name)) is not None]

    def orphans(self, child: Definition, rows: Iterable[Row]) -> Iterator[Orphan]:
        """Yield what of *rows* refers to rows that are not there."""
        checks = []
        for reference in child.references:
            parent = self.definition(reference.table)
            target = reference.target if parent is None else _target(reference, parent)
            checks.append((reference, child.take(reference.columns), parent, target))
        known: set[tuple[int, Row]] = set()
        for row in rows:
            for number, (reference, take, parent, target) in enumerate(checks):
                value = take(row)
                if None in value or (number, value) in known:
                    continue
                if parent is None or not any(self.find(parent, target, (value,))):
                    key = child.take(child.key)(row)
                    yield Orphan(child.name, key, reference.columns, reference.table, value)
                else:
                    known.add((number, value))


def _target(reference: Reference, parent: Definition) -> tuple[str, ...]:
    """Return the columns that are referred to, which may have other names by now."""
    known = all(name in parent.positions for name in reference.target)
    return reference.target if known else parent.key


def _ordered_tuples(
    values: Iterable[Row], given: tuple[str, ...], wanted: tuple[str, ...]
) -> Iterable[Row]:
    """Return *values* of the columns *given* with their parts in the order of *wanted*."""
    if given == wanted:
        return values
    places = [given.index(name) for name in wanted]
    return [tuple(value[at] for at in places) for value in values]


def _ordered(
    values: Iterable[Row], given: tuple[str, ...], wanted: tuple[str, ...]
) -> Iterable[Any]:
    """Return *values* as keys: a single part by itself, several in the order of *wanted*."""
    if len(given) == 1:
        return [value[0] for value in values]
    return _ordered_tuples(values, given, wanted)


def _taken(definition: Definition, columns: tuple[str, ...]) -> UniqueError:
    named = ", ".join(columns)
    return UniqueError(
        f"the store in memory was asked to write to {definition.name}: {named} must be unique, and "
        "another row has the same; usually that row or session was first; choose another value, "
        "or change that row",
        statement=f"write {definition.name}",
        table=definition.name,
        columns=columns,
    )


def _missing(definition: Definition, column: str) -> NotNullError:
    return NotNullError(
        f"the store in memory was asked to write to {definition.name}: {column} must not be null; "
        "usually the value was never set; give the field a value, or declare it optional",
        statement=f"write {definition.name}",
        table=definition.name,
        columns=(column,),
    )


def _leads_nowhere(orphan: Orphan) -> ForeignKeyError:
    return ForeignKeyError(
        f"the store in memory was asked to commit: {orphan.table} {orphan.key!r} refers by "
        f"{', '.join(orphan.columns)} to {orphan.target} {orphan.missing!r}, which is not there; "
        "usually what is still referred to was deleted; keep it, or delete what refers as well",
        statement="commit",
        table=orphan.target,
        columns=orphan.columns,
    )
