"""Selects answered in memory: the rows that meet a condition, in order, cut to size."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import attrgetter, itemgetter

from graven._hints import Any
from graven.core.evaluate import judge_of, sort_key
from graven.dialects.memory import MemoryDialect
from graven.drivers.memory_tables import Definition, Row
from graven.drivers.memory_work import Work
from graven.ops.conditions import And, Compare, Condition, In, Not, Or, Path, Select, Step

__all__ = ["answer"]

_BY_INT = attrgetter("int")


def answer(work: Work, dialect: MemoryDialect, select: Select) -> list[Row]:
    """Return the rows of *select* as *work* sees the store."""
    definition = work.table(select.table.name, "select from")
    reader = _Reader(work, definition)
    where = None if select.where is None else _encoded(dialect, select.where)
    doubtful = None if select.doubtful is None else _encoded(dialect, select.doubtful)
    found = _candidates(work, definition, where if doubtful is None else None)
    judges = [judge_of(one, reader.read) for one in (where, doubtful) if one is not None]
    if where is not None:
        found = [row for row in found if any(judge(row) for judge in judges)]
    if select.count:
        return [(_cut_count(len(found), select),)]
    found = _ordered(found, select, definition, reader)
    end = None if select.limit is None else select.offset + select.limit
    if select.offset or end is not None:
        found = found[select.offset : end]
    shown = list(map(definition.take(select.columns), found))
    if doubtful is None:
        return shown
    doubts = judges[-1]
    return [(*row, int(doubts(whole))) for row, whole in zip(shown, found, strict=True)]


def _cut_count(found: int, select: Select) -> int:
    left = max(0, found - select.offset)
    return left if select.limit is None else min(left, select.limit)


class _Reader:
    """Reads the values that paths lead to."""

    def __init__(self, work: Work, definition: Definition) -> None:
        self._work, self._definition = work, definition
        self._routes: dict[int, tuple[Path, Callable[[Row], Any]]] = {}

    def read(self, row: Row, path: Path) -> Any:
        """Return the value at *path* of *row*; null if the way there is broken."""
        route = self._routes.get(id(path))
        if route is None:
            # The path is kept, so that its address stays its own.
            route = self._routes[id(path)] = path, self._route(path)
        return route[1](row)

    def _route(self, path: Path) -> Callable[[Row], Any]:
        definition = self._definition
        hops = []
        for step in path.steps:
            target = self._work.table(step.table.name, "select from")
            hops.append((definition.take(step.columns), target, step))
            definition = target
        column = _column(definition, path.column)
        return (lambda row: self._follow(row, hops, column)) if hops else column

    def _follow(
        self,
        row: Row,
        hops: list[tuple[Callable[[Row], Row], Definition, Step]],
        column: Callable[[Row], Any],
    ) -> Any:
        for take, target, step in hops:
            held = take(row)
            if None in held:
                return None
            found = next(self._work.find(target, step.table.key, (held,)), None)
            if found is None:
                return None
            row = found
        return column(row)


def _column(definition: Definition, name: str) -> Callable[[Row], Any]:
    return itemgetter(*definition.places((name,)))


def _encoded(dialect: MemoryDialect, condition: Condition) -> Condition:
    """Return *condition* with its values in store form."""
    match condition:
        case Not(inner):
            return Not(_encoded(dialect, inner))
        case And(parts):
            return And(tuple(_encoded(dialect, part) for part in parts))
        case Or(parts):
            return Or(tuple(_encoded(dialect, part) for part in parts))
        case Compare(sign, left, right) if not isinstance(right, Path):
            return Compare(sign, left, dialect.encode(left.kind, right))
        case In(path, values):
            return In(path, tuple(dialect.encode(path.kind, value) for value in values))
        case _:
            return condition


# ── finding without looking at every row ────────────────────────────────────────────────────


def _candidates(work: Work, definition: Definition, where: Condition | None) -> list[Row]:
    """Return rows among which are all that meet *where*."""
    parts = where.conditions if isinstance(where, And) else (where,)
    for part in parts:
        wanted = _equal_to(part)
        if wanted is None:
            continue
        column, values = wanted
        if definition.key == (column,) or definition.index_on((column,)) is not None:
            return list(work.find(definition, (column,), [(value,) for value in values]))
    return work.rows(definition)


def _equal_to(condition: Condition | None) -> tuple[str, Iterable[Any]] | None:
    """Return the column of which *condition* demands one of a few values, and these."""
    match condition:
        case Compare("==", Path((), column), right) if not isinstance(right, Path):
            values: Iterable[Any] = (right,)
        case In(Path((), column), among):
            values = dict.fromkeys(among)
        case _:
            return None
    return None if None in values else (column, values)


# ── order ───────────────────────────────────────────────────────────────────────────────────


def _ordered(rows: list[Row], select: Select, definition: Definition, reader: _Reader) -> list[Row]:
    """Return *rows* in the order asked for, completed by the key."""
    rows = sorted(rows, key=_key_order(definition))
    if select.order:
        rows.sort(key=sort_key(select.order, reader.read))
    return rows


def _key_order(definition: Definition) -> Callable[[Row], Any]:
    """Return the sort key for the order of the key; a UUID compares faster as a number."""
    names = definition.key
    kinds = [definition.columns[at].kind for at in definition.places(names)]
    if "uuid" not in kinds:
        return definition.key_of
    if len(names) == 1:
        of = definition.key_of
        return lambda row: _BY_INT(of(row))
    return definition.take(names)
