"""Unique values that change hands within one commit: whoever gives one up does so first.

A store compares each row with all others at once, so two objects cannot exchange a unique value by
two updates, and a new object cannot take the value of one that is deleted after it. So the rows
that give up what another row of the commit wants are *vacated* before anything else: the column
becomes null, or holds a stand-in that nothing else has, until the row's own write. The version is
checked by that already, and stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from graven._hints import Any
from graven.core.mapper import Binding, Mapper
from graven.core.plan import Group, Plan, Step
from graven.core.records import ObjectRecord
from graven.ops.indexes import wanted_indexes
from graven.ops.requests import Later, Update
from graven.ops.schema import Table

__all__ = ["Vacated", "vacate"]

Bindings = Callable[[Mapper], Binding]
Names = tuple[str, ...]
Row = dict[str, object]

Vacated = dict[ObjectRecord, Row]
"""What stands in, in store form, for the values of columns of a record, until its own write."""


def vacate(
    plan: Plan,
    written: Iterable[Group],
    given_up: Sequence[Group],
    bindings: Bindings,
    draw: Callable[[], int],
) -> Vacated:
    """Plan to vacate the rows of *given_up*, updates and deletions, that *written* ones want.

    *written* are inserts and updates. *draw* gives random numbers, of which stand-ins are made.
    """
    vacated: Vacated = {}
    wanting = list(written)
    for table in {group.mapper.table: None for group in given_up}:
        for names in _uniques(table):
            wanted = _wanted(plan, wanting, table, names, bindings)
            for group, record, row in _held(given_up, table, names, bindings) if wanted else ():
                taker = wanted.get(tuple(row[name] for name in names))
                if taker is not None and taker is not record:
                    _vacate(plan, group, record, row, names, bindings(group.mapper), draw, vacated)
    return vacated


def _uniques(table: Table) -> list[Names]:
    """Return the columns of each unique index of *table* but the key."""
    if not table.uniques and not any(column.unique for column in table.columns):
        return []
    return [columns for columns, is_unique in wanted_indexes(table) if is_unique]


def _wanted(
    plan: Plan, groups: Iterable[Group], table: Table, names: Names, bindings: Bindings
) -> dict[tuple[object, ...], ObjectRecord]:
    """Return who wants which values of the columns, in store form."""
    wanted: dict[tuple[object, ...], ObjectRecord] = {}
    for group in _touching(groups, table, names):
        columns, values = bindings(group.mapper).update(_bits(group.mapper, names))
        if not set(names) <= set(columns):
            continue
        for record in group.records:
            row = dict(zip(columns, values(record.instance, plan.later), strict=True))
            parts = tuple(row[name] for name in names)
            if not any(part is None or type(part) is Later for part in parts):
                wanted[parts] = record
    return wanted


def _held(
    groups: Iterable[Group], table: Table, names: Names, bindings: Bindings
) -> Iterator[tuple[Group, ObjectRecord, Row]]:
    """Yield the rows of the columns that the store has until the commit, in store form."""
    for group in _touching(groups, table, names):
        binding, bits = bindings(group.mapper), _bits(group.mapper, names)
        columns, _ = binding.update(bits)
        if set(names) <= set(columns):
            for record in group.records:
                image = record.stored.image if record.stored else record.clean
                yield (
                    group,
                    record,
                    dict(zip(columns, binding.clean_row(bits, image or ()), strict=True)),
                )


def _touching(groups: Iterable[Group], table: Table, names: Names) -> Iterator[Group]:
    """Yield the groups of *table* that write, or give up, a value of the columns."""
    for group in groups:
        if group.mapper.table is table and (
            group.action != "update" or group.bits & _bits(group.mapper, names)
        ):
            yield group


def _bits(mapper: Mapper, names: Names) -> int:
    return sum(
        1 << index for index, field in enumerate(mapper.fields) if set(field.columns) & set(names)
    )


def _vacate(
    plan: Plan,
    group: Group,
    record: ObjectRecord,
    row: Row,
    names: Names,
    binding: Binding,
    draw: Callable[[], int],
    vacated: Vacated,
) -> None:
    """Plan the update that vacates one of the columns; none if nothing can stand in for it."""
    mapper, table = group.mapper, group.mapper.table
    found = _stand_in(mapper, names, binding, draw)
    if found is None or not vacated.get(record, {}).keys().isdisjoint(names):
        return
    name, value = found
    version = record.stored.version if record.stored else record.version
    key = binding.key_row(record.key)
    columns: Names = (name,)
    guards: Names = ()
    if table.version and (mapper.guard_mode == "version" or group.action == "delete"):
        columns, guards = (name, table.version), (table.version,)
        sent: tuple[object, ...] = (value, version, *key, version)
    elif mapper.guard_mode == "fields":
        guards, sent = (name,), (value, *key, row[name])
    else:
        sent = (value, *key)
    vacated.setdefault(record, {})[name] = value
    write, vacating = _step_for(plan, mapper, columns, guards)
    write.rows.append(sent)
    vacating.records.append(record)
    vacating.versions.append(version)
    vacating.after.append(version)


def _step_for(plan: Plan, mapper: Mapper, columns: Names, guards: Names) -> tuple[Any, Group]:
    """Return the write, and its group, to which rows of that shape are added."""
    for step in plan.steps:
        write: Any = step.write
        known = step.group is not None and step.group.mapper is mapper
        if known and (write.columns, write.guards) == (columns, guards) and step.group:
            return write, step.group
    write = Update(mapper.table, columns, guards, [])
    group = Group(mapper, "vacate", _bits(mapper, columns[:1]))
    plan.steps.append(Step(write, group))
    return write, group


def _stand_in(
    mapper: Mapper, names: Names, binding: Binding, draw: Callable[[], int]
) -> tuple[str, object] | None:
    """Return a column that can be vacated and the value for that, in store form."""
    table = mapper.table
    fields = {name: field for field in mapper.fields for name in field.columns if name in names}
    for name in names:
        if table.column(name).nullable:
            return name, None
    for name, field in fields.items():
        is_plain = len(field.columns) == 1 and name not in table.key
        scalar = (
            field.target.field(field.target.key_fields[0]) if field.form == "reference" else field
        )
        make = _STAND_INS.get(getattr(scalar.type.python, "__name__", "")) if is_plain else None
        if make is not None and not scalar.type.choices:
            image = [None] * len(mapper.fields)
            at = mapper.field_index[field.name]
            image[at] = make(draw() << 30 | draw())
            return name, binding.clean_row(1 << at, tuple(image))[0]
    return None


def _uuid(number: int) -> Any:
    from uuid import UUID

    return UUID(int=number)


_STAND_INS: dict[str, Callable[[int], Any]] = {
    "str": lambda number: f"graven vacates {number:x}",
    "int": lambda number: -number,
    "float": lambda number: -float(number),
    "bytes": lambda number: b"graven vacates %x" % number,
    "UUID": _uuid,
}
"""What makes a value that nothing else has, for the types that have so many."""
