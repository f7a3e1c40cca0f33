"""From what is to be written to a plan: which statements are sent, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from graven.core.mapper import Binding, Mapper
from graven.core.ordering import in_levels, in_order
from graven.core.plan import Entry, Plan, Step
from graven.core.records import ObjectRecord
from graven.core.values import ABSENT
from graven.errors import DataError, MappingError
from graven.ops.requests import Delete, Insert, Sweep, Update
from graven.ops.schema import Table

__all__ = ["guard_columns", "make_plan"]

Bindings = Callable[[Mapper], Binding]


def make_plan(
    entries: Iterable[Entry], bindings: Bindings, draw_version: Callable[[], int]
) -> Plan:
    """Lay out the statements for *entries*: inserts parents first, updates, deletes children first.

    *draw_version* gives the first version of new records whose keys can come back.

    :raises DataError: if a value does not fit its field; nothing is changed then.
    :raises MappingError: if new objects refer to each other in a circle that cannot be broken.
    """
    plan = Plan()
    plan.entries = list(entries)
    by_action: dict[str, list[Entry]] = {"insert": [], "update": [], "delete": []}
    for entry in plan.entries:
        by_action[entry.action].append(entry)
    inserts, updates, deletes = by_action.values()
    postponed: dict[Entry, list[Any]] = {}
    if inserts:
        _number(plan, inserts, draw_version)
        postponed = _plan_inserts(plan, inserts, bindings)
    if updates:
        _plan_updates(plan, updates, bindings)
    if postponed:
        _plan_patches(plan, postponed, bindings)
    if any(mapper.watched or mapper.root.link_ends for mapper in _mappers(plan)):
        _plan_links(plan, by_action, bindings)
    if deletes:
        _plan_deletes(plan, deletes, bindings)
    return plan


def _mappers(plan: Plan) -> set[Mapper]:
    return {entry.record.mapper for entry in plan.entries}


def _number(plan: Plan, inserts: Sequence[Entry], draw_version: Callable[[], int]) -> None:
    drawn = 0
    for entry in inserts:
        mapper = entry.record.mapper
        if mapper.table.graven_made:
            entry.after = 1
            if mapper.store_made and mapper.key_of(entry.record.instance) is None:
                entry.made_key = True
                entry.ordinal = plan.ordinals[entry.record.instance] = len(plan.ordinals)
        else:
            entry.after = drawn = drawn or draw_version()


def _tables_in_order(entries: Iterable[Entry]) -> dict[Table, list[Entry]]:
    groups: dict[Table, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.record.mapper.table, []).append(entry)
    if len(groups) < 2:
        return groups
    names = {table.name: table for table in groups}
    needs = {
        name: [reference.table for reference in table.references] for name, table in names.items()
    }
    return {names[name]: groups[names[name]] for name in in_order(names, needs)}


def _plan_inserts(
    plan: Plan, inserts: Sequence[Entry], bindings: Bindings
) -> dict[Entry, list[Any]]:
    """Plan the inserts; return the references that have to wait for keys made by the store."""
    if not plan.ordinals:
        for group in _tables_in_order(inserts).values():
            _insert_group(plan, group, bindings, {})
        return {}
    levels, postponed = _levels(inserts)
    for level in levels:
        for group in _tables_in_order(level).values():
            _insert_group(plan, group, bindings, postponed)
    return postponed


def _levels(inserts: Sequence[Entry]) -> tuple[list[list[Entry]], dict[Entry, list[Any]]]:
    """Put what waits for a key made by the store on a later level.

    Postpone a nullable reference where needs run in a circle.
    """
    by_instance = {entry.record.instance: entry for entry in inserts if entry.made_key}
    needs: dict[Entry, dict[Any, Entry]] = {}
    for entry in inserts:
        needs[entry] = {}
        for field in entry.record.mapper.references:
            needed = by_instance.get(_referent(field, entry.record.instance))
            if needed is not None:
                needs[entry][field] = needed
    return in_levels(needs, lambda field: bool(field.nullable), _unbreakable)


def _referent(field: Any, instance: Any) -> Any:
    value = field.loaded(instance)
    return None if value is ABSENT else value


def _unbreakable(circle: list[tuple[Entry, Any]]) -> MappingError:
    names = [f"{entry.record.mapper.name}.{field.name}" for entry, field in circle]
    entry, field = circle[0]
    return MappingError(
        f"cannot insert a circle of {len(circle)} new objects, which refer to each other by "
        f"{', '.join(dict.fromkeys(names))}: the store makes their keys, none of these references "
        "may be null, and so none of the objects can be inserted first. Let one of these fields be "
        "optional (`| None`), or let graven make the keys, as it does when no key is declared. "
        "Nothing was written.",
        model=entry.record.mapper.name,
        field=field.name,
    )


def _insert_group(
    plan: Plan, group: list[Entry], bindings: Bindings, postponed: dict[Entry, list[Any]]
) -> None:
    by_class: dict[tuple[Mapper, bool], list[Entry]] = {}
    for entry in group:
        by_class.setdefault((entry.record.mapper, entry.made_key), []).append(entry)
    for (mapper, made_key), entries in by_class.items():
        binding = bindings(mapper)
        insert_row, later = binding.insert_row, plan.later
        columns = binding.insert_columns
        if postponed:
            rows = [_row_without(entry, insert_row, later, postponed) for entry in entries]
        else:
            rows = [insert_row(entry.record.instance, later, entry.after) for entry in entries]
        ordinals: tuple[int, ...] = ()
        if made_key:
            ordinals = tuple(entry.ordinal for entry in entries)
        elif mapper.store_made:
            columns = (*mapper.table.key, *columns)
            rows = [
                (*binding.key_row(mapper.key_of(entry.record.instance)), *row)
                for entry, row in zip(entries, rows, strict=True)
            ]
        plan.steps.append(Step(Insert(mapper.table, columns, rows, ordinals), entries))


def _row_without(
    entry: Entry,
    insert_row: Callable[..., tuple[object, ...]],
    later: Callable[[Any], Any],
    postponed: dict[Entry, list[Any]],
) -> tuple[object, ...]:
    """Make the row of an entry with its postponed references null."""
    instance = entry.record.instance
    hidden = [(field, field.loaded(instance)) for field in postponed.get(entry, ())]
    for field, _ in hidden:
        field.value.__set__(instance, None)
    try:
        return insert_row(instance, later, entry.after)
    finally:
        for field, value in hidden:
            field.value.__set__(instance, value)


def _plan_updates(plan: Plan, updates: Sequence[Entry], bindings: Bindings) -> None:
    for table, group in _tables_in_order(updates).items():
        alike: dict[tuple[Mapper, int], list[Entry]] = {}
        for entry in group:
            alike.setdefault((entry.record.mapper, entry.bits), []).append(entry)
        for (mapper, bits), entries in alike.items():
            _check_keys_kept(mapper, bits, entries[0].record)
            binding = bindings(mapper)
            columns, values = binding.update(bits)
            if not columns:
                for entry in entries:
                    entry.after = entry.version  # a list has changed, which other rows hold
                continue
            guards = guard_columns(mapper, columns)
            if mapper.guard_mode == "version":
                row, later = binding.update_row(bits), plan.later
                rows = [
                    row(entry.record.instance, later, entry.record.key, entry.version)
                    for entry in entries
                ]
            else:
                rows = [_unversioned_row(plan, entry, binding, values) for entry in entries]
            plan.steps.append(Step(Update(table, columns, guards, rows), entries))


def _unversioned_row(
    plan: Plan, entry: Entry, binding: Binding, values: Callable[..., tuple[object, ...]]
) -> tuple[object, ...]:
    """Make the row of an update that is guarded by clean values of its fields, or by nothing."""
    record = entry.record
    guards: tuple[object, ...] = ()
    if record.mapper.guard_mode == "fields":
        base = record.stored.image if record.stored else record.clean
        guards = binding.clean_row(entry.bits, base or ())
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


def _plan_patches(plan: Plan, postponed: dict[Entry, list[Any]], bindings: Bindings) -> None:
    """Set the references that had to wait for keys made by the store."""
    groups: dict[tuple[Mapper, int], list[Entry]] = {}
    for entry, fields in postponed.items():
        bits = entry.record.bits_of(tuple(field.name for field in fields))
        groups.setdefault((entry.record.mapper, bits), []).append(entry)
    for (mapper, bits), entries in groups.items():
        binding = bindings(mapper)
        columns, values = binding.update(bits)
        version = (mapper.table.version,) if mapper.table.version else ()
        rows: list[tuple[object, ...]] = []
        for entry in entries:
            instance = entry.record.instance
            key = (plan.later(instance),) if entry.made_key else binding.key_row(entry.record.key)
            rows.append((*values(instance, plan.later), *key, entry.after))
            entry.after += 1
        plan.steps.append(Step(Update(mapper.table, columns, version, rows), entries))


def _plan_links(plan: Plan, by_action: dict[str, list[Entry]], bindings: Bindings) -> None:
    """Insert and delete the rows of many-to-many lists."""
    gone: dict[Any, list[tuple[object, ...]]] = {}
    added: dict[Any, list[tuple[object, ...]]] = {}
    for entry in (*by_action["insert"], *by_action["update"]):
        for field in entry.record.mapper.watched:
            if field.form == "links":
                before, after = _changed_pairs(plan, entry, field, bindings)
                gone.setdefault(field, []).extend(before)
                added.setdefault(field, []).extend(after)
    for field, rows in gone.items():
        if rows:
            plan.steps.append(Step(Delete(field.link_table, (), rows), ()))
    for field, rows in added.items():
        if rows:
            columns = (*field.owner_columns, *field.member_columns)
            plan.steps.append(Step(Insert(field.link_table, columns, rows), ()))
    sweeps: dict[tuple[Table, tuple[str, ...]], list[tuple[object, ...]]] = {}
    for entry in by_action["delete"]:
        mapper = entry.record.mapper
        for table, columns in mapper.root.link_ends:
            key_row = bindings(mapper).key_row(entry.record.key)
            sweeps.setdefault((table, columns), []).append(key_row)
    for (table, columns), rows in sweeps.items():
        plan.steps.append(Step(Sweep(table, columns, rows), ()))


def _changed_pairs(
    plan: Plan, entry: Entry, field: Any, bindings: Bindings
) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    """Return the rows of the link table that one list has lost, and those that it has gained."""
    record = entry.record
    members = field.loaded(record.instance)
    if members is ABSENT:
        return [], []
    base = record.stored.image if record.stored else record.clean
    before = (base[record.mapper.field_index[field.name]] if base is not None else None) or ()
    known, wanted = {id(one) for one in before}, {id(one) for one in members}
    own = (
        (plan.later(record.instance),)
        if entry.made_key
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


def _plan_deletes(plan: Plan, deletes: Sequence[Entry], bindings: Bindings) -> None:
    for table, entries in reversed(_tables_in_order(deletes).items()):
        mapper = entries[0].record.mapper
        key_row = bindings(mapper).key_row
        guards: tuple[str, ...] = ()
        if table.version and mapper.guard_mode != "none":
            guards = (table.version,)
            rows = [(*key_row(entry.record.key), entry.version) for entry in entries]
        else:
            rows = [key_row(entry.record.key) for entry in entries]
        plan.steps.append(Step(Delete(table, guards, rows), entries))
