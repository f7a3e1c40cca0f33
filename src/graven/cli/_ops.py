"""``graven ops``: look at operations, and change what becomes of them."""

import json as json_format
from typing import Annotated, Any
from uuid import UUID

import typer

from graven import Database, OperationLog, desc, in_, like
from graven.cli._common import AsJSON, Url, opened, print_json, show_table
from graven.core.entries import COLUMNS
from graven.core.operating import STATES
from graven.ops.operating import OPERATIONS

__all__ = ["add_commands"]

LISTED = ("id", "method", "state", "queue", "priority", "timestamp", "due", "attempts", "error")

Id = Annotated[UUID, typer.Argument(help="The id of the operation.", show_default=False)]
Ids = Annotated[list[UUID], typer.Argument(help="The ids of the operations.", show_default=False)]


def add_commands(application: typer.Typer) -> None:
    """Add the commands to the application."""
    ops = typer.Typer(no_args_is_help=True, help="Look at operations, and change them.")
    for name, command in (("ls", _ls), ("show", _show), ("rerun", _rerun)):
        ops.command(name)(command)
    for name, what in CHANGES.items():
        ops.command(name, help=what)(_changing(name))
    application.add_typer(ops, name="ops")


CHANGES = {
    "retry": "Try failed or quarantined operations again.",
    "cancel": "Let operations not be done; undo the steps that they have done.",
    "pause": "Let nobody begin operations, or go on with them.",
    "resume": "Let paused operations be done.",
}


def _ls(
    db: Url,
    state: Annotated[list[str] | None, typer.Option(help="Only in this state; repeat it.")] = None,
    queue: Annotated[str | None, typer.Option(help="Only of this queue.")] = None,
    name: Annotated[str | None, typer.Option(help="Only called so; % is any text.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 50,
    json: AsJSON = False,
) -> None:
    """List operations, the newest first."""
    unknown = set(state or ()) - set(STATES)
    if unknown:
        known = ", ".join(filter(None, STATES))
        raise typer.BadParameter(f"there is no state {', '.join(unknown)}; there are {known}.")
    with opened(db) as found:
        entries = _found(found, state, queue, name, limit)
    rows = [tuple(getattr(one, column) for column in LISTED) for one in entries]
    if json:
        print_json([dict(zip(LISTED, row, strict=True)) for row in rows])
    else:
        show_table(LISTED, rows)


def _found(
    db: Database, states: list[str] | None, queue: str | None, name: str | None, limit: int
) -> list[OperationLog]:
    if not db.has_table(OPERATIONS.name):
        return []
    with db.session() as session:
        query = session.query(OperationLog).order_by(desc(OperationLog.timestamp)).limit(limit)
        if states:
            query = query.where(in_(OperationLog.state, states))
        if queue is not None:
            query = query.where(OperationLog.queue == queue)
        if name is not None:
            query = query.where(like(OperationLog.method, name))
        return query.all()


def _show(id: Id, db: Url, json: AsJSON = False) -> None:
    """Show one operation: what it was called with, its steps, and what became of it."""
    with opened(db) as found:
        handle = found.operation(id)
    entry = handle.entry
    data: dict[str, Any] = {name: getattr(entry, name) for name in COLUMNS}
    for name in ("arguments", "options", "result"):
        data[name] = None if data[name] is None else json_format.loads(data[name])
    data["steps"] = [
        {name: getattr(row, name) for name in ("name", "state", "attempts", "at", "error")}
        for row in handle.steps
    ]
    data["history"] = handle.history
    if json:
        print_json(data)
        return
    kept = [(name, value) for name, value in data.items() if value not in (None, [])]
    details = {"steps", "history"}
    show_table(("field", "value"), [pair for pair in kept if pair[0] not in details])
    show_table(("time", "what happened"), handle.history)
    if handle.steps:
        columns = ("name", "state", "attempts", "at", "error")
        show_table(columns, [tuple(row.values()) for row in data["steps"]])


def _changing(name: str) -> Any:
    """Return the command that asks the same of several operations."""

    def change(ids: Ids, db: Url, json: AsJSON = False) -> None:
        with opened(db) as found:
            changed = []
            for one in ids:
                handle = found.operation(one)
                getattr(handle, name)()
                changed.append((one, handle.state))
        _tell(changed, json)

    return change


def _rerun(
    id: Id,
    db: Url,
    step: Annotated[str | None, typer.Option("--from", help="The first step to repeat.")] = None,
    json: AsJSON = False,
) -> None:
    """Do an ended operation once more, from its beginning or from a step on."""
    with opened(db) as found:
        handle = found.operation(id)
        handle.rerun(step)
    _tell([(id, handle.state)], json)


def _tell(changed: list[tuple[UUID, str]], as_json: bool) -> None:
    if as_json:
        print_json([{"id": one, "state": state} for one, state in changed])
    else:
        for one, state in changed:
            print(f"{one} is {state}")
