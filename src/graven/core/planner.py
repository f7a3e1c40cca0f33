"""From what is to be written to a plan: which statements are sent, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from graven._hints import Any
from graven.core.keys import given_keys
from graven.core.mapper import Binding, Mapper
from graven.core.ordering import in_levels, in_order
from graven.core.plan import Group, Groups, Plan, Step
from graven.core.records import ObjectRecord
from graven.core.vacating import Vacated, vacate
from graven.core.values import ABSENT
from graven.errors import DataError, MappingError
from graven.ops.requests import Delete, Insert, Sweep, Update
from graven.ops.schema import Table

__all__ = ["Bindings", "guard_columns", "make_plan"]

Bindings = Callable[[Mapper], Binding]
"""Joins a mapper with the backend."""
Postponed = dict[ObjectRecord, list[Any]]
"""References that have to wait until the store has made a key, by the record that refers."""


def make_plan(groups: Iterable[Group], bindings: Bindings, draw_version: Callable[[], int]) -> Plan:
    """Lay out the statements for *groups*: inserts parents first, updates, deletes children first.

    *draw_version* gives the first version of new records whose keys can come back.

    :raises DataError: if a value does not fit its field; nothing is changed then.
    :raises MappingError: if new objects refer to each other in a circle that cannot be broken.
    """
    plan = Plan()
    by_action: dict[str, list[Group]] = {"insert": [], "update": [], "delete": []}
    for group in groups:
        by_action[group.action].append(group)
    inserts, updates, deletes = by_action.values()
    if inserts:
        inserts = _number(plan, inserts, draw_version)
    vacated: Vacated = {}
    if (updates or deletes) and _are_several([*inserts, *updates, *deletes]):
        written, given_up = (*inserts, *updates), (*updates, *deletes)
        vacated = vacate(plan, written, given_up, bindings, draw_version)
    if inserts:
        inserts, postponed = _plan_inserts(plan, inserts, bindings)
    else:
        postponed = {}
    plan.groups = [*inserts, *updates, *deletes]
    for group in _in_order(updates):
        _plan_updates(plan, group, bindings, vacated)
    if postponed:
        _plan_patches(plan, postponed, bindings)
    if any(group.mapper.watched or group.mapper.root.link_ends for group in plan.groups):
        _plan_links(plan, bindings)
    for group in reversed(_in_order(deletes)):
        _plan_deletes(plan, group, bindings)
    plan.is_single = _is_single(plan)
    return plan


def _is_single(plan: Plan) -> bool:
    """Say whether the plan is one row that needs no transaction: only its write can refuse it."""
    if len(plan.steps) != 1 or len(plan.groups) != 1:
        return False
    write, group = plan.steps[0].write, plan.groups[0]
    if isinstance(write, Sweep) or len(write.rows) != 1 or len(group.records) != 1:
        return False
    if plan.is_blind:
        return False
    if isinstance(write, Delete):
        return not group.mapper.root.referrers
    referring = {name for reference in write.table.references for name in reference.columns}
    return referring.isdisjoint(write.columns)


def _number(plan: Plan, inserts: Iterable[Group], draw_version: Callable[[], int]) -> list[Group]:
    """Give new records their first versions, and numbers to those whose keys the store makes."""
    numbered: list[Group] = []
    drawn = 0
    for group in inserts:
        count = len(group.records)
        if not group.mapper.table.graven_made:
            drawn = drawn or draw_version()
            group.after = [drawn] * count
            numbered.append(group)
            continue
        group.after = [1] * count
        if not group.mapper.store_made:
            if places := given_keys(group):
                drawn = drawn or draw_version()
                for at in places:
                    group.after[at] = drawn
            numbered.append(group)
            continue
        keys = [group.mapper.key_of(instance) for instance in group.objects]
        given = group.part(at for at, key in enumerate(keys) if key is not None)
        made = group.part(at for at, key in enumerate(keys) if key is None)
        made.ordinals = range(len(plan.ordinals), len(plan.ordinals) + len(made.records))
        plan.ordinals.update(zip(made.objects, made.ordinals, strict=True))
        if given.records:
            drawn = drawn or draw_version()
            given.after = [drawn] * len(given.records)
        numbered += (one for one in (given, made) if one.records)
    return numbered


def _in_order(groups: Sequence[Group]) -> list[Group]:
    """Return groups so that those of a table come after those of the tables that it refers to."""
    if len(groups) < 2:
        return list(groups)
    tables: dict[Table, list[Group]] = {}
    for group in groups:
        tables.setdefault(group.mapper.table, []).append(group)
    names = {table.name: table for table in tables}
    needs = {
        name: [reference.table for reference in table.references] for name, table in names.items()
    }
    return [group for name in in_order(names, needs) for group in tables[names[name]]]


def _plan_inserts(
    plan: Plan, inserts: Sequence[Group], bindings: Bindings
) -> tuple[list[Group], Postponed]:
    """Plan the inserts; return their groups, and the references that have to wait for keys."""
    levels, postponed = _levels(inserts) if plan.ordinals else ([list(inserts)], {})
    ordered = [group for level in levels for group in _in_order(level)]
    for group in ordered:
        _insert_group(plan, group, bindings, postponed)
    return ordered, postponed


def _levels(inserts: Sequence[Group]) -> tuple[list[list[Group]], Postponed]:
    """Put what waits for a key made by the store on a later level.

    Postpone a nullable reference where needs run in a circle.
    """
    places = {
        record: (number, at)
        for number, group in enumerate(inserts)
        for at, record in enumerate(group.records)
    }
    by_instance = {
        record.instance: record for group in inserts if group.ordinals for record in group.records
    }
    needs: dict[ObjectRecord, dict[Any, ObjectRecord]] = {}
    for record in places:
        needs[record] = {}
        for field in record.mapper.references:
            needed = by_instance.get(_referent(field, record.instance))
            if needed is not None:
                needs[record][field] = needed
    levels, postponed = in_levels(needs, lambda field: bool(field.nullable), _unbreakable)
    parted: list[list[Group]] = []
    for level in levels:
        chosen: dict[int, list[int]] = {}
        for record in level:
            number, at = places[record]
            chosen.setdefault(number, []).append(at)
        parted.append([inserts[number].part(ats) for number, ats in chosen.items()])
    return parted, postponed


def _referent(field: Any, instance: Any) -> Any:
    value = field.loaded(instance)
    return None if value is ABSENT else value


def _unbreakable(circle: list[tuple[ObjectRecord, Any]]) -> MappingError:
    names = [f"{record.mapper.name}.{field.name}" for record, field in circle]
    record, field = circle[0]
    return MappingError(
        f"cannot insert a circle of {len(circle)} new objects, which refer to each other by "
        f"{', '.join(dict.fromkeys(names))}: the store makes their keys, none of these references "
        "may be null, and so none of the objects can be inserted first. Let one of these fields be "
        "optional (`| None`), or let graven make the keys, as it does when no key is declared. "
        "Nothing was written.",
        model=record.mapper.name,
        field=field.name,
    )


def _insert_group(plan: Plan, group: Group, bindings: Bindings, postponed: Postponed) -> None:
    mapper, objects = group.mapper, group.objects
    binding = bindings(mapper)
    columns = binding.insert_columns
    hidden = [
        (instance, field, field.loaded(instance))
        for instance, record in zip(objects, group.records if postponed else (), strict=False)
        for field in postponed.get(record, ())
    ]
    for instance, field, _ in hidden:
        field.value.__set__(instance, None)
    try:
        rows = binding.insert_rows(objects, plan.later, group.after)
    finally:
        for instance, field, value in hidden:
            field.value.__set__(instance, value)
    if mapper.store_made and not group.ordinals:
        columns = (*mapper.table.key, *columns)
        rows = [
            (*binding.key_row(mapper.key_of(instance)), *row)
            for instance, row in zip(objects, rows, strict=True)
        ]
    insert = Insert(mapper.table, columns, rows, tuple(group.ordinals))
    plan.steps.append(Step(insert, group))


def _are_several(groups: Sequence[Group]) -> bool:
    return len(groups) > 1 or len(groups[0].records) > 1


def _plan_updates(plan: Plan, group: Group, bindings: Bindings, vacated: Vacated) -> None:
    mapper, bits = group.mapper, group.bits
    _check_keys_kept(mapper, bits, group.records[0])
    binding = bindings(mapper)
    columns, _ = binding.update(bits)
    if not columns:
        group.after = group.versions  # a list has changed, which other rows hold
        return
    group.after = [version + 1 for version in group.versions]
    if mapper.guard_mode == "version":
        keys = [record.key for record in group.records]
        rows = binding.update_rows(bits, group.objects, plan.later, keys, group.versions)
    else:
        rows = [
            _unversioned_row(plan, record, bits, binding, vacated.get(record, {}))
            for record in group.records
        ]
    guards = guard_columns(mapper, columns)
    plan.steps.append(Step(Update(mapper.table, columns, guards, rows), group))


def _unversioned_row(
    plan: Plan,
    record: ObjectRecord,
    bits: int,
    binding: Binding,
    vacated: Mapping[str, object],
) -> tuple[object, ...]:
    """Make the row of an update that is guarded by clean values of its fields, or by nothing."""
    columns, values = binding.update(bits)
    guards: Sequence[object] = ()
    if record.mapper.guard_mode == "fields":
        base = record.stored.image if record.stored else record.clean
        clean = zip(columns, binding.clean_row(bits, base or ()), strict=True)
        guards = [vacated.get(name, value) for name, value in clean]
    return (*values(record.instance, plan.later), *binding.key_row(record.key), *guards)


def _check_keys_kept(mapper: Mapper, bits: int, record: ObjectRecord) -> None:
    for name in mapper.key_fields:
        if bits >> mapper.field_index[name] & 1:
            value = getattr(record.instance, name)
            raise DataError(
                f"cannot change {mapper.name}.{name} of the stored {mapper.name} {record.key!r} to "
                f"{value!r:.100}: the key says which object it is, and others refer to it by the "
                "key. Set it back, and make a new object with the other key. Nothing was written.",
                model=mapper.name,
                key=record.key,
                field=name,
                value=value,
                expected=repr(record.key),
            )


def guard_columns(mapper: Mapper, columns: tuple[str, ...]) -> tuple[str, ...]:
    """Return the columns that an update checks, by the guard that the model chose."""
    if mapper.guard_mode == "version":
        return (mapper.table.version,) if mapper.table.version else ()
    return columns if mapper.guard_mode == "fields" else ()


def _plan_patches(plan: Plan, postponed: Postponed, bindings: Bindings) -> None:
    """Set the references that had to wait for keys made by the store; the version stays."""
    groups = Groups()
    patches: dict[Group, list[tuple[object, ...]]] = {}
    for group in plan.groups:
        binding = bindings(group.mapper)
        for at, record in enumerate(group.records):
            fields = postponed.get(record)
            if not fields:
                continue
            bits = record.bits_of(tuple(field.name for field in fields))
            _, values = binding.update(bits)
            instance = record.instance
            key = (plan.later(instance),) if group.ordinals else binding.key_row(record.key)
            patch = groups.group(group.mapper, "patch", bits)
            patch.records.append(record)
            row = (*values(instance, plan.later), group.after[at], *key, group.after[at])
            patches.setdefault(patch, []).append(row)
    for patch, rows in patches.items():
        table = patch.mapper.table
        version = (table.version or "",)
        columns, _ = bindings(patch.mapper).update(patch.bits)
        plan.steps.append(Step(Update(table, (*columns, *version), version, rows), patch))


def _plan_links(plan: Plan, bindings: Bindings) -> None:
    """Insert and delete the rows of many-to-many lists."""
    gone: dict[Any, list[tuple[object, ...]]] = {}
    added: dict[Any, list[tuple[object, ...]]] = {}
    sweeps: dict[tuple[Table, tuple[str, ...]], list[tuple[object, ...]]] = {}
    for group in plan.groups:
        if group.action == "delete":
            key_row = bindings(group.mapper).key_row
            for end in group.mapper.root.link_ends:
                sweeps.setdefault(end, []).extend(key_row(record.key) for record in group.records)
            continue
        for field in group.mapper.watched:
            if field.form == "links":
                for record in group.records:
                    before, after = _changed_pairs(plan, group, record, field, bindings)
                    gone.setdefault(field, []).extend(before)
                    added.setdefault(field, []).extend(after)
    for field, rows in gone.items():
        if rows:
            plan.steps.append(Step(Delete(field.link_table, (), rows)))
    for field, rows in added.items():
        if rows:
            columns = (*field.owner_columns, *field.member_columns)
            plan.steps.append(Step(Insert(field.link_table, columns, rows)))
    for (table, columns), rows in sweeps.items():
        plan.steps.append(Step(Sweep(table, columns, rows)))


def _changed_pairs(
    plan: Plan, group: Group, record: ObjectRecord, field: Any, bindings: Bindings
) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    """Return the rows of the link table that one list has lost, and those that it has gained."""
    members = field.loaded(record.instance)
    if members is ABSENT:
        return [], []
    base = record.stored.image if record.stored else record.clean
    before = (base[record.mapper.field_index[field.name]] if base is not None else None) or ()
    known, wanted = {id(one) for one in before}, {id(one) for one in members}
    own = (
        (plan.later(record.instance),)
        if group.ordinals
        else bindings(record.mapper).key_row(record.mapper.key_of(record.instance))
    )

    def pair(member: Any) -> tuple[object, ...]:
        if member in plan.ordinals:
            return (*own, plan.later(member))
        return (*own, *bindings(field.target).key_row(field.target.key_of(member)))

    return (
        [pair(member) for member in before if id(member) not in wanted],
        [pair(member) for member in dict.fromkeys(members) if id(member) not in known],
    )


def _plan_deletes(plan: Plan, group: Group, bindings: Bindings) -> None:
    mapper, table = group.mapper, group.mapper.table
    key_row = bindings(mapper).key_row
    guards: tuple[str, ...] = ()
    rows = [key_row(record.key) for record in group.records]
    if table.version and mapper.guard_mode != "none":
        guards = (table.version,)
        rows = [(*row, version) for row, version in zip(rows, group.versions, strict=True)]
    plan.steps.append(Step(Delete(table, guards, rows), group))
