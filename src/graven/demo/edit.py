"""Part four: an edit, what it would write, its cancel, and that nothing was written."""

from __future__ import annotations

import hashlib
import sqlite3
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from graven import Database
from graven.demo.display import Display
from graven.demo.library import MODULE_FIELDS, Import, Kind, Module
from graven.demo.outcome import Outcome, first_word

EXPECTED = Counter({"insert module": 1, "insert import": 1, "update module": 1, "delete import": 1})
WIDTH = 96
WRITING = ("insert", "update", "delete", "replace", "commit")


def show(path: Path, display: Display) -> Outcome:
    """Edit what part one has stored in the file at *path*, look at the plan, and cancel it."""
    outcome = Outcome("edit and cancel")
    statements: list[str] = []

    def note(text: str, *_: object) -> None:
        statements.append(first_word(text))

    with _unwritten(path, outcome), Database(f"sqlite:///{path}") as db, db.session() as session:
        one = session.query(Import).include(Import.importer, Import.imported).first()
        if one is None:
            outcome.differences.append("there is no import that could be edited")
            return outcome
        module = one.importer
        before = image(module)
        db.on_statement(note)
        scope = session.begin()
        edit(session, module, one)
        lines = session.explain().splitlines()
        for line in lines:
            display.line(line if len(line) <= WIDTH else line[: WIDTH - 1] + "…")
        if Counter(" ".join(line.split()[:2]) for line in lines) != EXPECTED:
            outcome.differences.append(f"the plan is not what was edited: {lines!r:.300}")
        scope.cancel()
        outcome.differences += leftovers(session, module, before)
    written = [word for word in statements if word in WRITING]
    if written:
        outcome.differences.append(f"the cancelled edit sent {', '.join(written)}")
    outcome.figures |= {"writes explained": len(lines), "writes sent": len(written)}
    return outcome


def edit(session: Any, module: Module, one: Import) -> None:
    """Change a module, delete an import of it, and add a module that imports it."""
    module.docstring = f"{module.name}, edited by the demo"
    module.lines += 1
    session.delete(one)
    addition = Module(
        name="graven.demo",
        kind=Kind.SOURCE,
        path=None,
        size_bytes=0,
        sha256=None,
        lines=0,
        docstring=None,
        is_package=True,
    )
    session.add(Import(importer=addition, imported=module, line=1, column=0, deferred=False))


def image(module: Module) -> dict[str, object]:
    """Return the values of a module's fields."""
    return {name: getattr(module, name) for name in MODULE_FIELDS if name != "package"}


def leftovers(session: Any, module: Module, before: dict[str, object]) -> Iterator[str]:
    """Yield what a cancelled edit has left behind in memory."""
    for name, value in image(module).items():
        if value != before[name]:
            yield f"after the cancel, {name} is {value!r:.80}, should be {before[name]!r:.80}"
    for name in ("new", "dirty", "deleted"):
        if left := list(getattr(session, name)):
            yield f"after the cancel, {len(left)} objects are still {name}"
    if (plan := session.explain()) != "nothing to write":
        yield f"after the cancel, the session would still write: {plan!r:.200}"


@contextmanager
def _unwritten(path: Path, outcome: Outcome) -> Generator[None]:
    """See, with another connection and without graven, that the block writes nothing to a file."""
    with closing(sqlite3.connect(path)) as watcher:
        before = fingerprint(watcher)
        yield
        if fingerprint(watcher) != before:
            outcome.differences.append("the cancelled edit was written to the file")


def fingerprint(watcher: sqlite3.Connection) -> tuple[int, str]:
    """Return what tells whether the file was written to: its change counter, and all its rows."""
    ((changes,),) = watcher.execute("pragma data_version").fetchall()
    digest = hashlib.sha256()
    for line in watcher.iterdump():
        digest.update(line.encode())
    return changes, digest.hexdigest()
