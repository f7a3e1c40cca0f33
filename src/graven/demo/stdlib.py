"""Part one: the standard library in one commit, reopened in a fresh process, compared."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

from graven import Database
from graven.demo.children import Child
from graven.demo.display import Display
from graven.demo.library import Import, Module, objects_of
from graven.demo.outcome import Outcome, first_word, rate
from graven.demo.sources import Source, places, read

FILE = "library.db"
REOPENING_S_MAX = 300.0


def show(folder: Path, display: Display, limit: int | None = None) -> Outcome:
    """Store the standard library in a database in *folder*, and have a fresh process compare it.

    With *limit*, only its first *limit* modules.
    """
    outcome = Outcome("standard library")
    url = library_url(folder)
    sources = read_all(display, limit)
    store(url, sources, display, outcome)
    compare(url, folder, display, outcome, limit)
    return outcome


def library_url(folder: Path) -> str:
    """Return the URL of the database of this part."""
    return f"sqlite:///{folder / FILE}"


def read_all(display: Display, limit: int | None) -> dict[str, Source]:
    """Read every module of the standard library; return the sources by name."""
    known = places(limit)
    with display.task("reading the standard library", len(known)) as task:
        return {name: task.counted(read(place, known)) for name, place in known.items()}


def store(url: str, sources: dict[str, Source], display: Display, outcome: Outcome) -> None:
    """Make an object of every module and every import, and commit them all at once."""
    statements: list[str] = []

    def note(text: str, *_: object) -> None:
        statements.append(first_word(text))

    with Database(url) as db, display.task("committing them, once") as task:
        db.create(Module, Import)
        modules = objects_of(sources)
        with db.session() as session:
            session.add(*modules)
            db.on_statement(note)
            began = perf_counter()
            session.commit()
            seconds = perf_counter() - began
            db.on_statement(None)
        imports = sum(len(module.imports) for module in modules)
        links = sum(len(module.needs) for module in modules)
        count = len(modules) + imports
        task.say(f"{count:,} objects and {links:,} links")
    transactions = statements.count("commit")
    if transactions != 1:
        outcome.differences.append(f"the commit took {transactions} transactions, should be 1")
    outcome.figures |= {
        "modules": len(modules),
        "imports": imports,
        "links between modules": links,
        "transactions": transactions,
        "statements in it": len(statements) - 2 * transactions,
        "seconds to commit": round(seconds, 3),
        "objects committed per second": rate(count, seconds),
    }


def compare(
    url: str, folder: Path, display: Display, outcome: Outcome, limit: int | None = None
) -> None:
    """Let a fresh process load the database, read the sources again, and compare the two."""
    total = int(outcome.figures["modules"])
    with (
        display.task("a fresh process loads and compares", total) as task,
        Child("graven.demo.reopened", url, limit or 0, errors=folder / "reopened.txt") as child,
    ):
        answer = _answer(child, task.reach)
        if answer is None:
            status = child.wait(REOPENING_S_MAX)
            outcome.differences.append(
                f"the fresh process ended with status {status}: {child.last_words()}"
            )
            return
        task.say(f"{answer['figures']['values compared']:,} values")
    outcome.figures |= answer["figures"]
    outcome.differences += answer["differences"]


def _answer(child: Child, reach: Callable[[int], object]) -> dict[str, Any] | None:
    """Return what the child has found; ``None`` if it ended without a word."""
    for line in child.lines():
        said = json.loads(line)
        if "figures" in said:
            return dict(said)
        reach(said["at"])
    return None
