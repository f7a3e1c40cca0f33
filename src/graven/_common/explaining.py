"""A plan in words."""

from __future__ import annotations

from collections.abc import Iterator

from graven._hints import Any
from graven.core.plan import Group, Plan
from graven.core.planner import guard_columns
from graven.core.records import ObjectRecord
from graven.ops.requests import Insert, Sweep, Update

__all__ = ["explain_plan"]


def explain_plan(plan: Plan) -> str:
    """Return a line for each row that the plan writes, in order.

    ``nothing to write`` for an empty plan.
    """
    lines: list[str] = []
    for step in plan.steps:
        write = step.write
        if step.group is not None:
            lines += _group_lines(step.group, write)
        else:
            lines += [_link_line(write, row) for row in write.rows]
    return "\n".join(lines) or "nothing to write"


def _values(record: ObjectRecord, columns: tuple[str, ...]) -> str:
    parts = []
    for field in record.mapper.fields:
        if field.columns and set(field.columns) <= set(columns):
            shown = field.shown(field.capture(record.instance))
            parts.append(f"{', '.join(field.columns)} {shown!r}")
    return ", ".join(parts)


def _group_lines(group: Group, write: Any) -> Iterator[str]:
    mapper, table = group.mapper, group.mapper.table
    for at, record in enumerate(group.records):
        where = f"where {', '.join(table.key)} {mapper.key_of(record.instance)!r}"
        if isinstance(write, Insert):
            values = _values(record, write.columns)
            yield f"insert {table.name} {values}, version {group.after[at]}"
            continue
        if group.action == "vacate":
            yield f"vacate {table.name} {', '.join(_vacated(group, write))} {where}"
            continue
        version = write.rows[at][-1]
        if isinstance(write, Update):
            guard = _guard_words(record, guard_columns(mapper, write.columns), version)
            yield f"update {table.name} set {_values(record, write.columns)} {where}{guard}"
        else:
            guard = f" and version {version}" if write.guards else ""
            yield f"delete {table.name} {where}{guard}"


def _vacated(group: Group, write: Update) -> list[str]:
    return [name for name in write.columns if name != group.mapper.table.version]


def _guard_words(record: ObjectRecord, guards: tuple[str, ...], version: object) -> str:
    if guards == (record.mapper.table.version,):
        return f" and version {version}"
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
