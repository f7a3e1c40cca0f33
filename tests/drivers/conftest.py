"""Fixtures of the tests of drivers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from graven.drivers.sqlite import SQLiteConnection, SQLitePool
from graven.flows.schema import create
from tests.drivers.sqlite_things import AUTHOR, BOOK, url


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[SQLitePool]:
    pool = SQLitePool(url(tmp_path), size=3, timeout_s=0.05, busy_timeout_s=0.05)
    yield pool
    pool.close()


@pytest.fixture
def connection(pool: SQLitePool) -> SQLiteConnection:
    connection = pool.acquire()
    connection.run(create([AUTHOR, BOOK]))
    return connection
