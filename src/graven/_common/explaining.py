"""A plan in words."""

from __future__ import annotations

from typing import Any

from graven.core.plan import Entry, Plan
from graven.core.planner import guard_columns
from graven.ops.requests import Delete, Insert, Sweep, Update

__all__ = ["explain_plan"]


def explain_plan(plan: Plan) -> str:
    """Return a line for each row that the plan writes, in order.

    ``nothing to write`` for an empty plan.
    """
    lines: list[str] = []
    for step in plan.steps:
        write = step.write
        if step.entries:
            lines += [_entry_line(entry, write) for entry in step.entries]
        else:
            lines += [_link_line(write, row) for row in write.rows]
    return "\n".join(lines) or "nothing to write"


def _values(entry: Entry, columns: tuple[str, ...]) -> list[str]:
    parts = []
    for field in entry.record.mapper.fields:
        if field.columns and set(field.columns) <= set(columns):
            shown = field.shown(field.capture(entry.record.instance))
            parts.append(f"{', '.join(field.columns)} {shown!r}")
    return parts


def _entry_line(entry: Entry, write: Any) -> str:
    record = entry.record
    name = record.mapper.table.name
    key = record.mapper.key_of(record.instance)
    columns = record.mapper.table.key
    where = f"where {', '.join(columns)} {key!r}"
    if isinstance(write, Insert):
        return f"insert {name} {', '.join(_values(entry, write.columns))}, version {entry.after}"
    if isinstance(write, Update):
        guard = _guard_words(entry, guard_columns(record.mapper, write.columns))
        return f"update {name} set {', '.join(_values(entry, write.columns))} {where}{guard}"
    guard = f" and version {entry.version}" if isinstance(write, Delete) and write.guards else ""
    return f"delete {name} {where}{guard}"


def _guard_words(entry: Entry, guards: tuple[str, ...]) -> str:
    record = entry.record
    if guards == (record.mapper.table.version,):
        return f" and version {entry.version}"
    clean = record.clean or ()
    words = []
    for index, field in enumerate(record.mapper.fields):
        if field.columns and set(field.columns) <= set(guards):
            words.append(f" and {', '.join(field.columns)} {field.shown(clean[index])!r}")
    return "".join(words)


def _link_line(write: Any, row: tuple[Any, ...]) -> str:
    columns = write.by if isinstance(write, Sweep) else write.table.key
    kinds = [write.table.column(name).kind for name in columns]
    pairs = ", ".join(
        f"{name} {_shown(kind, value)!r}"
        for name, kind, value in zip(columns, kinds, row, strict=True)
    )
    verb = "insert" if isinstance(write, Insert) else "delete"
    return f"{verb} {write.table.name} {pairs}"


def _shown(kind: str, value: Any) -> Any:
    """Return a key in the form that its owner shows it in."""
    if kind == "uuid" and isinstance(value, bytes):
        from uuid import UUID

        return UUID(bytes=value)
    return value
