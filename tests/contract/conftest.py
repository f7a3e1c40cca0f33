"""The contract: one behaviour, written once in blocking style, run in both colours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import graven
from tests.contract.proxy import Caller, Proxy


class Colour:
    """One colour of graven: how to open a database, and how to run code where its caller is."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._caller = Caller() if name == "async" else None
        self._opened: list[Any] = []

    def open(self, url: str, **options: Any) -> Any:
        """Open a database; it is closed when the test ends."""
        if self._caller is None:
            db: Any = graven.Database(url, **options)
        else:
            db = Proxy(self._caller, graven.AsyncDatabase(url, **options))
        self._opened.append(db)
        return db

    def call(self, function: Callable[[], Any]) -> Any:
        """Run *function* in the task or thread that the sessions belong to."""
        return function() if self._caller is None else self._caller.call(function)

    def close(self) -> None:
        """Close what was opened."""
        for db in self._opened:
            db.close()
        if self._caller is not None:
            self._caller.close()


@pytest.fixture(params=["blocking", "async"])
def colour(request: pytest.FixtureRequest) -> Iterator[Colour]:
    """Each colour in turn."""
    found = Colour(request.param)
    yield found
    found.close()


@pytest.fixture
def url(tmp_path: Path) -> str:
    """The address of a database file of the test's own."""
    return f"sqlite:///{tmp_path}/contract.db"


@pytest.fixture
def open_db(colour: Colour, url: str) -> Callable[..., Any]:
    """Open the test's database, again and again if need be, and make the tables of models."""

    def opened(*models: type, **options: Any) -> Any:
        db = colour.open(url, **options)
        if models:
            db.create(*models)
        return db

    return opened
