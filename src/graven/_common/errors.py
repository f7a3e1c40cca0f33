"""Say which object an error of the store is about."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graven.core.conflicts import concurrent_update
from graven.core.planner import Entry, Plan
from graven.errors import Conflict, DataError, GravenError, IntegrityError, UniqueError
from graven.models.checks import refuse, unstorable
from graven.ops.requests import Delete, Sweep

__all__ = ["name_culprit"]


def name_culprit(error: GravenError, plan: Plan, bindings: Callable[[Any], Any]) -> GravenError:
    """Return the error with the model and key of the object it is about.

    As far as that can be told.
    """
    if isinstance(error, UniqueError):
        return _unique(error, plan)
    if isinstance(error, DataError) and error.model is None:
        return _unstorable(plan) or error
    if isinstance(error, IntegrityError) and error.model is None:
        written = [entry for entry in plan.entries if entry.record.mapper.table.name == error.table]
        if len(written) == 1:
            error.model = written[0].record.mapper.name
            error.key = written[0].record.mapper.key_of(written[0].record.instance)
    return error


def _unstorable(plan: Plan) -> DataError | None:
    """Find the value that the driver could not take.

    Nothing else looks at the size of every number.
    """
    for entry in plan.entries:
        record = entry.record
        for field in record.mapper.fields:
            if field.form != "scalar" or entry.action == "delete":
                continue
            value = field.capture(record.instance)
            why = "" if value is None else _why(field, value)
            if why:
                key = record.mapper.key_of(record.instance)
                expected = getattr(field.type.python, "__name__", "")
                return refuse(record.mapper.name, key, field.name, value, expected, why)
    return None


def _why(field: Any, value: Any) -> str:
    return unstorable(field.type.kind, value) if type(value) is field.type.python else ""


def _unique(error: UniqueError, plan: Plan) -> GravenError:
    """Name the object whose value is taken; a key that was read as free is a lost race."""
    entries = [
        entry
        for step in plan.steps
        if not isinstance(step.write, Delete | Sweep) and step.write.table.name == error.table
        for entry in step.entries
    ]
    table = entries[0].record.mapper.table if entries else None
    is_key = table is not None and error.columns == table.key
    raced = [entry for entry in entries if is_key and _was_read_as_free(entry)]
    if raced:
        conflicts = [
            Conflict(entry.record.mapper.name, entry.record.key, 0, None) for entry in raced
        ]
        return concurrent_update(conflicts)
    culprit = _culprit(error, entries)
    if culprit is not None:
        mapper = culprit.record.mapper
        error.model, error.key = mapper.name, mapper.key_of(culprit.record.instance)
    return error


def _was_read_as_free(entry: Entry) -> bool:
    record = entry.record
    unit = record.instance._origin.unit
    return entry.action == "insert" and record.key in unit.map_of(record.mapper).absent


def _culprit(error: UniqueError, entries: list[Entry]) -> Entry | None:
    """Return the only entry that can be meant, or the second one with the same value."""
    if len(entries) == 1:
        return entries[0]
    seen: dict[Any, Entry] = {}
    for entry in entries:
        fields = [
            field
            for field in entry.record.mapper.fields
            if set(field.columns) & set(error.columns or ())
        ]
        value = tuple(field.shown(field.capture(entry.record.instance)) for field in fields)
        try:
            if value in seen:
                return entry
            seen[value] = entry
        except TypeError:
            return None
    return None
