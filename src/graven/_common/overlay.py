"""Answer a query as if the pending changes had been written, without writing them.

What is pending is left out of the store's answer, judged in memory and merged in the query's
order. Where a condition follows references to objects that are pending, the rows that lead through
them are *doubtful*: the store returns them marked, and they are judged in memory too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from graven._hints import Any
from graven.core.evaluate import judge_of, paths_in, sort_key
from graven.core.lifecycle import DELETED
from graven.core.query import QuerySpec, prefixes
from graven.core.values import ABSENT
from graven.models.reading import follow, read_path, step_field, stored_key
from graven.ops.conditions import And, Compare, Condition, In, Not, Or, Path

__all__ = ["Overlay", "all_paths", "doubtful_condition", "order_paths", "unloaded_steps"]


class Overlay:
    """The pending objects that one query is about."""

    def __init__(self, unit: Any, spec: QuerySpec) -> None:
        """Gather the pending objects of the table that *spec* asks."""
        self._unit, self._spec = unit, spec
        self._read = read_path(unit)
        root = spec.mapper.root
        records = [record for record in unit.unsettled() if record.mapper.root is root]
        self.pending = {record.instance for record in records}
        self.members = [
            record.instance
            for record in records
            if record.state not in (None, DELETED)
            and isinstance(record.instance, spec.mapper.model)
        ]
        self.keys = {record.key for record in records if record.clean or record.stored}

    @property
    def is_empty(self) -> bool:
        """Whether nothing is pending that the query is about."""
        return not self.pending

    def widened(self, limit: int | None, offset: int) -> int | None:
        """Return how many rows the store has to return, so that enough are left."""
        return None if limit is None else limit + offset + len(self.keys)

    def exclusion(self) -> Condition:
        """Return the condition that leaves the pending objects out."""
        key = self._spec.mapper.root.key_columns
        names, kinds = tuple(one.name for one in key), [one.kind for one in key]
        return Not(key_condition((), names, kinds, self._spec.mapper.root, self.keys))

    def matching(self) -> list[Any]:
        """Return the pending objects that meet the query's conditions."""
        where = self._spec.where()
        return (
            self.members
            if where is None
            else list(filter(judge_of(where, self._read), self.members))
        )

    def merge(self, found: Sequence[Any], doubted: Sequence[Any]) -> list[Any]:
        """Join the store's answer with the pending objects, in order, and cut it to size.

        What was *found* and is *doubted* is judged again.
        """
        where = self._spec.where()
        kept = [one for one in found if one not in self.pending]
        if where is not None and doubted:
            doubtful, fits = set(doubted), judge_of(where, self._read)
            kept = [one for one in kept if one not in doubtful or fits(one)]
        answer = [*kept, *self.matching()]
        answer.sort(key=sort_key(self._spec.full_order(), self._read))
        end = None if self._spec.limit is None else self._spec.offset + self._spec.limit
        return answer[self._spec.offset : end]


def key_condition(
    steps: Any, columns: Sequence[str], kinds: Sequence[str], mapper: Any, keys: Iterable[Any]
) -> Condition:
    """Return the condition that the columns hold one of *keys* of *mapper*."""
    stored = [stored_key(mapper, key) for key in keys]
    if len(columns) == 1:
        return In(Path(steps, columns[0], kinds[0]), tuple(part for (part,) in stored))
    return Or(
        tuple(
            And(
                tuple(
                    Compare("==", Path(steps, name, kind), part)
                    for name, kind, part in zip(columns, kinds, key, strict=True)
                )
            )
            for key in stored
        )
    )


def order_paths(spec: QuerySpec) -> list[Path]:
    """Return the paths that the query's order reads."""
    return [term.path for term in spec.order]


def all_paths(spec: QuerySpec) -> list[Path]:
    """Return the paths that the query's conditions and order read."""
    return [*paths_in(spec.where()), *order_paths(spec)]


def doubtful_condition(unit: Any, spec: QuerySpec) -> Condition | None:
    """Return the condition that marks the rows whose paths lead through pending objects.

    ``None`` if there are none.
    """
    chains = prefixes(all_paths(spec))
    if not chains:
        return None
    parts = []
    pending = list(unit.pending())
    for chain in chains:
        step = chain[-1]
        records = [
            one for one in pending if one.mapper.table is step.table and one.clean is not None
        ]
        if records:
            kinds = [step.table.column(name).kind for name in step.table.key]
            keys, root = [record.key for record in records], records[0].mapper.root
            parts.append(key_condition(chain[:-1], step.columns, kinds, root, keys))
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else Or(tuple(parts))


def unloaded_steps(
    unit: Any, paths: list[Path], instances: Sequence[Any]
) -> Iterator[tuple[list[Any], Any, Any]]:
    """Yield, level by level, the objects whose references have to be loaded.

    So that the *paths* can be read of the *instances* in memory. What was yielded has to be loaded
    before the next is asked for.
    """
    for chain in prefixes(paths):
        objects = list(instances)
        for step in chain[:-1]:
            objects = [
                one for one in (follow(each, step, unit) for each in objects) if one is not None
            ]
        groups: dict[Any, tuple[list[Any], Any]] = {}
        for one in objects:
            field = step_field(one, chain[-1])
            if field is None or field.loaded(one) is not ABSENT or field.key_in(one) is None:
                continue
            if follow(one, chain[-1], unit) is None:
                groups.setdefault(unit.mapper(one), ([], field))[0].append(one)
        for mapper, (members, field) in groups.items():
            yield members, mapper, field
