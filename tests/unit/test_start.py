"""What a program that uses graven imports before its first session: little."""

import subprocess
import sys
import typing
from pathlib import Path
from typing import Any

import pytest

from graven import Query, _hints
from graven.ops.requests import Flow

PROGRAM = """
import datetime, sqlite3, sys
before = set(sys.modules)
from graven import Database, Model, key, owned

class Author(Model):
    id: int = key()
    name: str | None = None
    joined: datetime.datetime
    books: "list[Book]" = owned("author")

class Book(Model):
    author: Author

db = Database("sqlite:///" + sys.argv[1])
db.create(Author, Book)
print(*(set(sys.modules) - before))
"""

DEAR = {
    "asyncio",
    "contextlib",
    "contextvars",
    "dataclasses",
    "decimal",
    "enum",
    "importlib",
    "inspect",
    "linecache",
    "logging",
    "msgspec",
    "pathlib",
    "random",
    "re",
    "threading",
    "typing",
    "warnings",
    "weakref",
}


def start(program: str, path: Path) -> set[str]:
    command = [sys.executable, "-c", program, str(path)]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """What is imported by a program until its tables are there; the second time they all are."""
    path = tmp_path_factory.mktemp("start") / "start.db"
    program = PROGRAM.replace("class Book(Model):", "class Book(Model):\n    id: int = key()")
    start(program, path)
    return start(program, path)


def test_a_store_is_open_without_what_takes_long_to_import(imported: set[str]) -> None:
    assert "graven.drivers.sqlite" in imported
    assert imported & DEAR == set()


def test_a_store_is_open_without_what_only_a_session_needs(imported: set[str]) -> None:
    later = {"session", "query", "attempts", "transaction", "codegen", "expressions", "binding"}

    assert {name for name in imported if name.rpartition(".")[2] in later} == set()


def test_a_uuid_key_brings_what_makes_it(tmp_path: Path) -> None:
    assert "uuid" in start(PROGRAM, tmp_path / "uuid.db")


@pytest.mark.parametrize("name", _hints.__all__)
def test_what_stands_for_typing_has_the_names_of_typing(name: str) -> None:
    assert hasattr(typing, name)
    assert hasattr(_hints, name)


def test_what_has_parameters_can_be_subscripted_at_run_time() -> None:
    assert Query[int].__args__ == (int,)  # type: ignore[attr-defined, type-var, unused-ignore]
    flow: Any = Flow
    assert flow[str].__args__[2] is str


def test_stand_ins_change_nothing() -> None:
    def function() -> None: ...

    decorate: Any = _hints.dataclass_transform(frozen_default=True)

    assert decorate(function) is function
    assert _hints.final(function) is function  # type: ignore[type-var, unused-ignore]
    assert _hints.cast(int, "1") == "1"  # type: ignore[comparison-overlap, unused-ignore]
