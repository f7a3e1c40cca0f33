"""A MongoDB server for the tests of its drivers; one of their own for those that kill it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from graven.testing.contract.proxy import Colour
from graven.testing.mongo import MongoServer, database_at
from tests.mongo.raw import Raw


@pytest.fixture(scope="session")
def server() -> Iterator[MongoServer]:
    """A server that nobody kills."""
    found = MongoServer()
    found.start()
    yield found
    found.close()


@pytest.fixture
def mortal() -> Iterator[MongoServer]:
    """A server of the test's own, which keeps what it has acknowledged."""
    found = MongoServer(durable=True)
    found.start()
    yield found
    found.close()


@pytest.fixture
def url(server: MongoServer) -> str:
    """The URL of an empty database."""
    return database_at(server.url)


@pytest.fixture
def raw(url: str) -> Iterator[Raw]:
    """A client of PyMongo's own, on an empty database."""
    with closing(Raw(url)) as found:
        yield found


@pytest.fixture(scope="module")
def raw_kept(server: MongoServer) -> Iterator[Raw]:
    """A client of PyMongo's own, on a database that all tests of a module share."""
    with closing(Raw(database_at(server.url))) as found:
        yield found


@pytest.fixture(params=["blocking", "async"])
def colour(request: pytest.FixtureRequest) -> Iterator[Colour]:
    """Each colour in turn."""
    found = Colour(request.param)
    yield found
    found.close()


@pytest.fixture
def open_db(colour: Colour, url: str) -> Callable[..., Any]:
    """Open the test's database, in the colour's face of the blocking one, and make the tables."""

    def opened(*models: type, at: str = url, **options: Any) -> Any:
        db = colour.open(at, **options)
        if models:
            db.create(*models)
        return db

    return opened
