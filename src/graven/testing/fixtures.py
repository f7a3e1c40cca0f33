"""The fixtures that pytest has wherever graven is installed.

=====================  =========================================================================
``db``                 an empty ``Database("memory:")``, closed after the test
``async_db``           an empty ``AsyncDatabase("memory:")``
``graven_db``          ``graven_db(url, *models, **options)`` opens a database on a real store;
                       whatever the test commits is rolled back at its end
``async_graven_db``    the same for ``AsyncDatabase``, as a block: ``async with
                       async_graven_db(url) as db``
``crashpoints``        ``crashpoints(url, function, invariant, …)`` kills a function at each of its
                       writes; see :func:`graven.testing.crashing.crashpoints`
``virtual_clock``      a :class:`~graven.testing.clock.VirtualClock` that graven goes by in the test
=====================  =========================================================================

The async ones are plain fixtures, so that they work with every plug-in that runs async tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from graven import AsyncDatabase, Database
    from graven.testing import CrashReport, VirtualClock

__all__ = ["async_db", "async_graven_db", "crashpoints", "db", "graven_db", "virtual_clock"]


@pytest.fixture
def db() -> Iterator[Database]:
    """Open an empty store in memory, with the test as its only user."""
    from graven import Database

    with Database("memory:") as opened:
        yield opened


@pytest.fixture
def async_db() -> Iterator[AsyncDatabase]:
    """Open an empty store in memory for async code."""
    import asyncio

    from graven import AsyncDatabase

    opened = AsyncDatabase("memory:")
    yield opened
    asyncio.run(opened.close())


@pytest.fixture
def graven_db() -> Iterator[Callable[..., Database]]:
    """Return what opens a database whose commits are taken back at the end of the test."""
    from graven.testing import rolled_back

    with ExitStack() as blocks:
        yield lambda url, *models, **options: blocks.enter_context(
            rolled_back(url, *models, **options)
        )


@pytest.fixture
def async_graven_db() -> Callable[..., AbstractAsyncContextManager[Any]]:
    """Return what opens an ``AsyncDatabase`` for a block, whose commits are taken back after it."""
    from graven.testing import rolled_back_async

    return rolled_back_async


@pytest.fixture
def crashpoints() -> Callable[..., CrashReport]:
    """Return what kills a function at each of its writes, and checks an invariant each time."""
    from graven.testing.crashing import crashpoints

    return crashpoints


@pytest.fixture
def virtual_clock() -> Iterator[VirtualClock]:
    """Let graven go by a clock that stands still until the test moves it."""
    from graven.testing.clock import VirtualClock

    with VirtualClock() as clock:
        yield clock
