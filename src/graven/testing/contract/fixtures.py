"""The fixtures of the contract suite, for pytest.

A ``conftest.py`` that imports them and says which backends there are runs every test below it over
all of these, in both colours::

    from graven.testing.contract.fixtures import backend, colour, new_url, open_db, over, url

    pytest_generate_tests = over([SQLiteBackend(), MemoryBackend()])

graven's own tests, which every backend has to pass, are in ``graven.testing.contract.suite``.

A test that needs what not every backend has is marked ``@pytest.mark.needs(RAW_SQL)``. A test with
``url`` and without ``colour`` is run over every backend in a colour of its own choice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest

from graven.testing.contract.backends import Backend, able
from graven.testing.contract.proxy import Colour

_BACKENDS = pytest.StashKey[list[Backend]]()
_STARTED = pytest.StashKey[set[Backend]]()


def over(backends: Sequence[Backend] | None = None) -> Callable[[pytest.Metafunc], None]:
    """Return the hook that runs each test over those of *backends* that have what it needs.

    Without *backends*, over those that the setting ``graven_backends`` names.
    """

    def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
        if "backend" in metafunc.fixturenames:
            marks = metafunc.definition.iter_markers("needs")
            needed = {capability for mark in marks for capability in mark.args}
            every = _named_in(metafunc.config) if backends is None else backends
            found = able(every, needed)
            metafunc.parametrize(
                "backend", found, ids=[one.name for one in found], indirect=True, scope="session"
            )

    return pytest_generate_tests


def _named_in(config: pytest.Config) -> list[Backend]:
    """Return the backends that the settings name, always the same ones."""
    found = config.stash.get(_BACKENDS, None)
    if found is None:
        names = config.getini("graven_backends")
        if not names:
            raise pytest.UsageError(
                "cannot run graven's contract suite: it was not said over which backends. Name "
                'them in the settings of pytest, as in graven_backends = ["mine.testing:MyBackend"]'
            )
        found = config.stash[_BACKENDS] = [resolve_name(name)() for name in names]
    return found


@pytest.fixture(scope="session")
def backend(request: pytest.FixtureRequest) -> Backend:
    """Return each backend in turn; it is started before the first test, and stopped at the end."""
    found: Backend = request.param
    started = request.config.stash.setdefault(_STARTED, set())
    if found not in started:
        found.start()
        started.add(found)
        request.config.add_cleanup(found.stop)
    return found


@pytest.fixture(params=["blocking", "async"])
def colour(request: pytest.FixtureRequest) -> Iterator[Colour]:
    """Each colour in turn."""
    found = Colour(request.param)
    yield found
    found.close()


@pytest.fixture
def new_url(backend: Backend, tmp_path: Path) -> Iterator[Callable[[], str]]:
    """Return what makes an empty store of the test's own, and returns its URL."""
    with ExitStack() as stores:
        yield lambda: stores.enter_context(backend.fresh(tmp_path))


@pytest.fixture
def url(new_url: Callable[[], str]) -> str:
    """Return the URL of the test's own store."""
    return new_url()


@pytest.fixture
def open_db(url: str, colour: Colour) -> Callable[..., Any]:
    """Open the test's own store, again and again if need be, and make the tables of models."""

    def opened(*models: type, **options: Any) -> Any:
        db = colour.open(url, **options)
        if models:
            db.create(*models)
        return db

    return opened
