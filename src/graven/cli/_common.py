"""What the commands on operations share: their options, the database, errors, tables and JSON."""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from importlib import import_module
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.console import Console
from rich.table import Table

from graven import Database, GravenError
from graven.cli._status import DIFFERS, USAGE

__all__ = ["AsJSON", "Modules", "Url", "imported", "opened", "plain", "print_json", "show_table"]

Url = Annotated[
    str,
    typer.Option("--db", envvar="GRAVEN_DB", help="The URL of the database.", show_default=False),
]
AsJSON = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Modules = Annotated[
    list[str],
    typer.Argument(help="The modules that define the operations.", show_default=False),
]


@contextmanager
def opened(url: str) -> Iterator[Database]:
    """Open a database for a command; an error of graven is told, and ends the command with 1."""
    try:
        with Database(url) as db:
            yield db
    except GravenError as error:
        Console(stderr=True, soft_wrap=True).print(str(error), markup=False, highlight=False)
        raise typer.Exit(DIFFERS) from error


def imported(modules: Iterable[str]) -> None:
    """Import modules, from the folder at hand too; one that cannot be imported ends with 2."""
    if os.getcwd() not in sys.path:  # noqa: PTH109 - as a text, to be compared
        sys.path.insert(0, os.getcwd())  # noqa: PTH109
    for name in modules:
        try:
            import_module(name)
        except ImportError as error:
            Console(stderr=True, soft_wrap=True).print(
                f"cannot import {name!r}, which is to define operations: {error}. Name a module as "
                "in an import statement, and call graven where Python finds it.",
                markup=False,
                highlight=False,
            )
            raise typer.Exit(USAGE) from error


def plain(value: Any) -> Any:
    """Return a value of an entry as JSON has it."""
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    print(json.dumps(value, indent=2, default=plain))


def show_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print rows as a table."""
    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*("" if one is None else _shown(one) for one in row))
    console = Console()
    if not console.is_terminal:  # nothing is cut where a program may read it
        console = Console(width=10_000, soft_wrap=True)
    console.print(table)


def _shown(value: Any) -> str:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    return str(value).replace("[", "\\[")
