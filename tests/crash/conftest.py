"""Stores of every backend that outlives a process, and how many deaths to try."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from graven.testing.contract import Backend, SQLiteBackend
from graven.testing.mongo import MongoBackend, MongoStandaloneBackend
from graven.testing.postgres import PostgresBackend

BACKENDS = {
    "sqlite": SQLiteBackend,
    "postgresql": PostgresBackend,
    "mongodb": MongoBackend,
    "standalone": MongoStandaloneBackend,
}
SAMPLE = 3


@pytest.fixture(scope="session", params=list(BACKENDS))
def store(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """Each backend in turn, its server started."""
    backend = BACKENDS[request.param]()
    backend.start()
    yield backend
    backend.stop()


@pytest.fixture
def url(store: Backend, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty store."""
    with store.fresh(tmp_path) as found:
        yield found


@pytest.fixture
def sample() -> int | None:
    """How many moments to die at: a few, or, by ``make test-all``, every one."""
    return None if os.environ.get("GRAVEN_EVERY_POINT") else SAMPLE


@pytest.fixture
def seed() -> int:
    """The seed of what is up to chance; it is told when a test fails."""
    found = int(os.environ.get("GRAVEN_SEED") or time.time_ns() % 10**9)
    print(f"seed {found}: run again with GRAVEN_SEED={found}")
    return found
