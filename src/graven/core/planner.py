"""From pending records to a plan: which statements have to be sent, in which order.

For which objects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from graven.core.lifecycle import DELETED, INSERTED
from graven.core.mapper import Binding, Mapper
from graven.core.ordering import in_order
from graven.core.records import ObjectRecord
from graven.core.values import ABSENT
from graven.ops.requests import Delete, Insert, Later, Sweep, Update, Write
from graven.ops.schema import Table

__all__ = ["Entry", "Plan", "Step", "make_plan"]

Bindings = Callable[[Mapper], Binding]


class Entry:
    """What is to be written of one record: an insert, an update of the fields in *bits*.

    Or a delete.

    ``version`` is the one that the store must still have, ``after`` the one it will have;
    ``image`` the captured image that is written; ``made_key`` tells that the store makes the key.
    """

    __slots__ = ("action", "after", "bits", "image", "made_key", "ordinal", "record", "version")

    def __init__(self, record: ObjectRecord, action: str, bits: int, version: int) -> None:
        """Plan *action* for *record*."""
        self.record, self.action, self.bits, self.version = record, action, bits, version
        self.after = version + 1
        self.image: tuple[Any, ...] | None = None
        self.made_key = False
        self.ordinal = -1


class Step:
    """One write, and the entries its rows come from, in order; a write of links has none."""

    __slots__ = ("entries", "write")

    def __init__(self, write: Write | Sweep, entries: Sequence[Entry]) -> None:
        """Join the two."""
        self.write = write
        self.entries = entries


class Plan:
    """All that one commit writes, as a value that can be printed.

    Compared and tested before it runs.
    """

    __slots__ = ("entries", "has_later", "ordinals", "steps")

    def __init__(self) -> None:
        """Start with nothing."""
        self.steps: list[Step] = []
        self.entries: list[Entry] = []
        self.ordinals: dict[Any, int] = {}
        self.has_later = False

    def later(self, instance: Any) -> Later:
        """Return what stands for the key that the store will make for *instance*."""
        self.has_later = True
        return Later(self.ordinals[instance])

    @property
    def is_single(self) -> bool:
        """Whether the plan is one row that nothing but itself can refuse.

        Which needs no transaction around it.
        """
        if len(self.steps) != 1:
            return False
        write = self.steps[0].write
        if isinstance(write, Sweep) or len(write.rows) != 1 or len(self.entries) != 1:
            return False
        if isinstance(write, Delete):
            return not self.entries[0].record.mapper.root.referrers
        referring = {name for reference in write.table.references for name in reference.columns}
        return referring.isdisjoint(write.columns)

    def writes(self) -> list[Write | Sweep]:
        """Return the statements, in order."""
        return [step.write for step in self.steps]


def make_plan(
    entries: Iterable[Entry], bindings: Bindings, draw_version: Callable[[], int]
) -> Plan:
    """Lay out the statements for *entries*: inserts parents first, updates, deletes children first.

    *draw_version* gives the first version of new records whose keys can come back.

    :raises DataError: if a value does not fit its field; nothing is changed then.
    """
    plan = Plan()
    plan.entries = list(entries)
    by_action: dict[str, list[Entry]] = {"insert": [], "update": [], "delete": []}
    for entry in plan.entries:
        by_action[entry.action].append(entry)
    _number(plan, by_action["insert"], draw_version)
    patches = _plan_inserts(plan, by_action["insert"], bindings)
    _plan_updates(plan, by_action["update"], bindings)
    _plan_patches(plan, patches, bindings)
    _plan_links(plan, by_action, bindings)
    _plan_deletes(plan, by_action["delete"], bindings)
    return plan


def _number(plan: Plan, inserts: Sequence[Entry], draw_version: Callable[[], int]) -> None:
    drawn = 0
    for entry in inserts:
        mapper = entry.record.mapper
        if mapper.table.graven_made:
            entry.after = 1
        else:
            entry.after = drawn = drawn or draw_version()
        if mapper.store_made and mapper.key_of(entry.record.instance) is None:
            entry.made_key = True
            entry.ordinal = plan.ordinals[entry.record.instance] = len(plan.ordinals)


def _tables_in_order(entries: Iterable[Entry]) -> dict[Table, list[Entry]]:
    groups: dict[Table, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.record.mapper.table, []).append(entry)
    names = {table.name: table for table in groups}
    needs = {
        name: [reference.table for reference in table.references] for name, table in names.items()
    }
    return {names[name]: groups[names[name]] for name in in_order(names, needs)}


def _plan_inserts(
    plan: Plan, inserts: Sequence[Entry], bindings: Bindings
) -> list[tuple[Entry, Any]]:
    patches: list[tuple[Entry, Any]] = []
    if not plan.ordinals:
        for group in _tables_in_order(inserts).values():
            _insert_group(plan, group, bindings, {})
        return patches
    levels, postponed = _levels(inserts)
    for level in levels:
        for group in _tables_in_order(level).values():
            _insert_group(plan, group, bindings, postponed)
    for entry in inserts:
        patches += [(entry, field) for field in postponed.get(entry, ())]
    return patches


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
    levels: list[list[Entry]] = []
    postponed: dict[Entry, list[Any]] = {}
    left = dict.fromkeys(inserts)
    while left:
        ready = [entry for entry in left if not any(one in left for one in needs[entry].values())]
        if not ready:
            ready = [_break_circle(left, needs, postponed)]
        for entry in ready:
            del left[entry]
        levels.append(ready)
    return levels, postponed


def _referent(field: Any, instance: Any) -> Any:
    value = field.loaded(instance)
    return None if value is ABSENT else value


def _break_circle(
    left: dict[Entry, None], needs: dict[Entry, dict[Any, Entry]], postponed: dict[Entry, list[Any]]
) -> Entry:
    for entry in left:
        waiting = [field for field, one in needs[entry].items() if one in left]
        if all(field.nullable for field in waiting):
            postponed[entry] = waiting
            return entry
    return next(iter(left))


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
        rows: list[tuple[object, ...]] = []
        for entry in entries:
            restore = _hide(entry, postponed.get(entry, ()))
            try:
                rows.append((*insert_row(entry.record.instance, later), entry.after))
            finally:
                restore()
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


def _hide(entry: Entry, fields: Sequence[Any]) -> Callable[[], None]:
    """Let postponed references be null while the row is made."""
    instance = entry.record.instance
    hidden = [(field, field.loaded(instance)) for field in fields]
    for field, _ in hidden:
        field.value.__set__(instance, None)

    def restore() -> None:
        for field, value in hidden:
            field.value.__set__(instance, value)

    return restore


def _plan_updates(plan: Plan, updates: Sequence[Entry], bindings: Bindings) -> None:
    groups: dict[tuple[Mapper, int], list[Entry]] = {}
    for entry in updates:
        groups.setdefault((entry.record.mapper, entry.bits), []).append(entry)
    order = _tables_in_order(updates)
    for (mapper, bits), entries in sorted(
        groups.items(), key=lambda item: list(order).index(item[0][0].table)
    ):
        binding = bindings(mapper)
        columns, values = binding.update(bits)
        if not columns:
            continue
        guards = guard_columns(mapper, columns)
        later, key_row = plan.later, binding.key_row
        rows = [
            (
                *values(entry.record.instance, later),
                *key_row(entry.record.key),
                *_guard_values(entry, binding),
            )
            for entry in entries
        ]
        plan.steps.append(Step(Update(mapper.table, columns, guards, rows), entries))


def guard_columns(mapper: Mapper, columns: tuple[str, ...]) -> tuple[str, ...]:
    """Return the columns that an update checks, by the guard that the model chose."""
    if mapper.guard_mode == "version":
        return (mapper.table.version,) if mapper.table.version else ()
    return columns if mapper.guard_mode == "fields" else ()


def _guard_values(entry: Entry, binding: Binding) -> tuple[object, ...]:
    mode = entry.record.mapper.guard_mode
    if mode == "version":
        return (entry.version,)
    if mode == "fields":
        base = entry.record.stored.image if entry.record.stored else entry.record.clean
        return binding.clean_row(entry.bits, base or ())
    return ()


def _plan_patches(plan: Plan, patches: Sequence[tuple[Entry, Any]], bindings: Bindings) -> None:
    """Set the references that had to wait for keys made by the store."""
    for entry, field in patches:
        mapper = entry.record.mapper
        binding = bindings(mapper)
        columns, values = binding.update(1 << mapper.field_index[field.name])
        key = (
            (plan.later(entry.record.instance),)
            if entry.made_key
            else binding.key_row(entry.record.key)
        )
        row = (*values(entry.record.instance, plan.later), *key, entry.after)
        version = (mapper.table.version,) if mapper.table.version else ()
        entry.after += 1
        plan.steps.append(Step(Update(mapper.table, columns, version, [row]), [entry]))


def _plan_links(plan: Plan, by_action: dict[str, list[Entry]], bindings: Bindings) -> None:
    """Insert and delete the rows of many-to-many lists."""
    for entry in (*by_action["insert"], *by_action["update"]):
        for field in entry.record.mapper.watched:
            if field.form == "links":
                _plan_link_field(plan, entry, field, bindings)
    sweeps: dict[tuple[Table, tuple[str, ...]], list[tuple[object, ...]]] = {}
    for entry in by_action["delete"]:
        mapper = entry.record.mapper
        for table, columns in mapper.root.link_ends:
            key_row = bindings(mapper).key_row(entry.record.key)
            sweeps.setdefault((table, columns), []).append(key_row)
    for (table, columns), rows in sweeps.items():
        plan.steps.append(Step(Sweep(table, columns, rows), ()))


def _plan_link_field(plan: Plan, entry: Entry, field: Any, bindings: Bindings) -> None:
    record = entry.record
    members = field.loaded(record.instance)
    if members is ABSENT:
        return
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

    gone = [pair(member) for member in before if id(member) not in wanted]
    added = [pair(member) for member in dict.fromkeys(members) if id(member) not in known]
    columns = (*field.owner_columns, *field.member_columns)
    if gone:
        plan.steps.append(Step(Delete(field.link_table, (), gone), ()))
    if added:
        plan.steps.append(Step(Insert(field.link_table, columns, added), ()))


def _plan_deletes(plan: Plan, deletes: Sequence[Entry], bindings: Bindings) -> None:
    for table, entries in reversed(_tables_in_order(deletes).items()):
        guards = (
            (table.version,)
            if table.version and entries[0].record.mapper.guard_mode != "none"
            else ()
        )
        rows = []
        for entry in entries:
            key_row = bindings(entry.record.mapper).key_row(entry.record.key)
            rows.append((*key_row, entry.version) if guards else key_row)
        plan.steps.append(Step(Delete(table, guards, rows), entries))


def actions_for(record: ObjectRecord, bits: int) -> Entry | None:
    """Say what has to be written so that the store has the record as it is wanted.

    ``None`` for nothing.

    *bits* are the fields to be written of a record that is changed.
    """
    stored = record.stored
    exists = stored.exists if stored is not None else record.clean is not None
    version = stored.version if stored is not None else record.version
    if record.state in (DELETED, None):
        return Entry(record, "delete", 0, version) if exists else None
    if not exists:
        return Entry(record, "insert", 0, version) if record.state == INSERTED or stored else None
    if stored is not None and stored.image is not None:
        bits = record.mapper.changed(record.instance, stored.image)
    return Entry(record, "update", bits, version) if bits else None
