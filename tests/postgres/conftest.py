"""A PostgreSQL server for the tests of its drivers; one of their own for those that kill it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from graven.testing.contract.proxy import Colour
from graven.testing.postgres import PostgresServer, schema_in
from tests.postgres.raw import Raw
from tests.postgres.wiretap import Wiretap


@pytest.fixture(scope="session")
def server() -> Iterator[PostgresServer]:
    """A server that nobody kills."""
    found = PostgresServer()
    found.start()
    yield found
    found.close()


@pytest.fixture
def mortal() -> Iterator[PostgresServer]:
    """A server of the test's own, which keeps what it has acknowledged."""
    found = PostgresServer(durable=True)
    found.start()
    yield found
    found.close()


@pytest.fixture
def url(server: PostgresServer) -> Iterator[str]:
    """The URL of an empty schema."""
    with schema_in(server.url) as found:
        yield found


@pytest.fixture
def raw(url: str) -> Iterator[Raw]:
    """A connection of psycopg's own to an empty schema."""
    with closing(Raw(url)) as found:
        yield found


@pytest.fixture(scope="module")
def raw_kept(server: PostgresServer) -> Iterator[Raw]:
    """A connection of psycopg's own to a schema that all tests of a module share."""
    with schema_in(server.url) as url, closing(Raw(url)) as found:
        yield found


@pytest.fixture
def wiretap(server: PostgresServer) -> Iterator[Wiretap]:
    """A socket between graven and the server."""
    with tempfile.TemporaryDirectory(prefix="graven-tap-") as folder:
        found = Wiretap(Path(folder), server.folder)
        yield found
        found.close()


@pytest.fixture(params=["blocking", "async"])
def colour(request: pytest.FixtureRequest) -> Iterator[Colour]:
    """Each colour in turn."""
    found = Colour(request.param)
    yield found
    found.close()


@pytest.fixture
def open_db(colour: Colour, url: str) -> Callable[..., Any]:
    """Open the test's schema, in the colour's face of the blocking one, and make the tables."""

    def opened(*models: type, at: str = url, **options: Any) -> Any:
        db = colour.open(at, **options)
        if models:
            db.create(*models)
        return db

    return opened
