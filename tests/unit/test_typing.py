"""Type checkers see constructors, attributes and results: each wrong line is reported."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

WRONG = """
from __future__ import annotations

from typing import assert_type

from graven import AsyncSession, Model, Session, key, owned


class Author(Model):
    name: str
    born: int | None = None
    books: list[Book] = owned("author")


class Book(Model):
    id: int = key()
    title: str
    author: Author


class Note(Model):
    id: int = key(store_made=True)
    text: str


author = Author(name="Ada")
Author()  # wrong: a field without a default is missing
Author(name=1)  # wrong: of another type
Author(name="Ada", nmae="x")  # wrong: no such field
Author("Ada")  # wrong: fields are given by name
Book(title="x", author=author)  # wrong: the key is missing
Book(id="1", title="x", author=author)  # wrong: a key of another type
Book(id=1, title="x", author="Ada")  # wrong: a reference is an object
Note(id=1, text="x")  # wrong: the store makes the key
author.name = 2  # wrong: of another type
author.nmae = "x"  # wrong: no such attribute
author.born + 1  # wrong: it may be None
author.books.append(author)  # wrong: a list of another class


def use(session: Session) -> None:
    session.get(Book, 1).title  # wrong: there may be none
    session.query(Book).first().title  # wrong: there may be none
    session.query(Book).one().nmae  # wrong: no such attribute
    found: list[Author] = session.query(Book).all()  # wrong: of another class
    session.get("Book", 1)  # wrong: not a class
    assert_type(session.get(Book, 1), Book)  # wrong: there may be none


async def use_async(session: AsyncSession) -> None:
    session.get(Book, 1).title  # wrong: not awaited
    (await session.get(Book, 1)).title  # wrong: there may be none
    found: list[Author] = await session.query(Book).all()  # wrong: of another class
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the file of errors, and the checkers' settings as the project has them."""
    made = tmp_path_factory.mktemp("typed")
    (made / "wrong.py").write_text(WRONG)
    settings = {"typeCheckingMode": "strict", "extraPaths": [str(ROOT / "src")]}
    (made / "pyrightconfig.json").write_text(json.dumps(settings))
    return made


def wrong_lines() -> set[int]:
    return {at for at, line in enumerate(WRONG.splitlines(), 1) if "# wrong" in line}


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


def test_mypy_reports_each_wrong_line_and_no_other(folder: Path) -> None:
    told = run(folder, "mypy", "--strict", "--cache-dir", str(ROOT / ".mypy_cache"), "wrong.py")

    assert {int(line) for line in re.findall(r"^wrong.py:(\d+): error", told, re.MULTILINE)} == (
        wrong_lines()
    ), told


def test_pyright_reports_each_wrong_line_and_no_other(folder: Path) -> None:
    told = json.loads(run(folder, "pyright", "--outputjson", "wrong.py"))

    found = {
        one["range"]["start"]["line"] + 1
        for one in told["generalDiagnostics"]
        if one["severity"] == "error"
    }
    unused = {"reportUnusedExpression", "reportUnusedVariable"}
    extra = {
        one["range"]["start"]["line"] + 1
        for one in told["generalDiagnostics"]
        if one.get("rule") not in unused
    }
    assert found >= wrong_lines()
    assert extra == wrong_lines(), told
