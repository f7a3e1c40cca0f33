"""Waiting for a socket on an event loop: nothing is missed, nothing is left behind."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from threading import Thread

import pytest

from graven import AsyncDatabase, Model, key
from graven.drivers.postgres_watch import Watch
from graven.drivers.postgres_wire import READ, WRITE

PATIENCE_S = 10.0

Pair = tuple[socket.socket, socket.socket]


class Page(Model):
    number: int = key()
    text: str = ""


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Two ends of one socket."""
    mine, theirs = socket.socketpair()
    mine.setblocking(False)
    with mine, theirs:
        yield mine, theirs


def numbers() -> set[str]:
    """The descriptors that this process has open, without the one that lists them."""
    return {found.name for found in Path("/dev/fd").iterdir() if found.exists()}


async def read(watch: Watch, mine: socket.socket) -> bytes:
    """Wait until there is something to read, and read it."""
    while True:
        assert await watch.ready(READ) & READ
        try:
            return mine.recv(100)
        except BlockingIOError:
            pass


async def until_over(watch: Watch) -> None:
    """Wait until a watch has ended."""
    async with asyncio.timeout(PATIENCE_S):
        while not watch.is_over:  # noqa: ASYNC110  (it tells nobody)
            await asyncio.sleep(0.001)


def test_every_arrival_is_noticed_however_soon_it_follows_the_one_before(pair: Pair) -> None:
    mine, theirs = pair

    async def work() -> list[bytes]:
        watch = Watch(mine.fileno())
        found = []
        for number in range(50):
            theirs.send(b"%d" % number)
            found.append(await read(watch, mine))
            if number % 3 == 0:
                await asyncio.sleep(0)
        watch.drop()
        return found

    assert asyncio.run(asyncio.wait_for(work(), PATIENCE_S)) == [
        b"%d" % number for number in range(50)
    ]


def test_a_wait_for_room_to_write_ends_while_nothing_can_be_read(pair: Pair) -> None:
    mine, _ = pair

    async def work() -> int:
        watch = Watch(mine.fileno())
        ready = await asyncio.wait_for(watch.ready(WRITE), PATIENCE_S)
        watch.drop()
        return ready

    assert not asyncio.run(work()) & READ


def test_a_wait_that_was_cancelled_leaves_the_next_one_its_arrival(pair: Pair) -> None:
    mine, theirs = pair

    async def work() -> bytes:
        watch = Watch(mine.fileno())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(watch.ready(READ), 0.01)
        theirs.send(b"late")
        found = await read(watch, mine)
        watch.drop()
        return found

    assert asyncio.run(asyncio.wait_for(work(), PATIENCE_S)) == b"late"


def test_a_watch_ends_by_itself_when_something_arrives_that_nobody_waits_for(pair: Pair) -> None:
    mine, theirs = pair
    before = numbers()

    async def work() -> bool:
        watch = Watch(mine.fileno())
        theirs.send(b"x")
        await until_over(watch)
        return numbers() <= before | loop_numbers

    async def only_loop() -> set[str]:
        return numbers()

    with asyncio.Runner() as runner:
        loop_numbers = runner.run(only_loop())
        assert runner.run(work())


def test_a_watch_can_be_dropped_by_another_thread(pair: Pair) -> None:
    mine, _ = pair

    async def work() -> None:
        watch = Watch(mine.fileno())
        thread = Thread(target=watch.drop)
        thread.start()
        await until_over(watch)
        thread.join()

    asyncio.run(work())


def test_a_watch_whose_loop_is_closed_can_be_dropped(pair: Pair) -> None:
    mine, _ = pair
    before = numbers()

    async def work() -> Watch:
        return Watch(mine.fileno())

    watch = asyncio.run(work())
    watch.drop()
    assert watch.is_over
    assert numbers() == before


def test_a_watch_keeps_nothing_of_the_context_it_was_made_in(pair: Pair) -> None:
    mine, theirs = pair
    seen: list[str | None] = []
    variable: ContextVar[str | None] = ContextVar("variable", default=None)

    class Spying(Watch):
        def _arrived(self) -> None:
            seen.append(variable.get())
            super()._arrived()

    async def work() -> None:
        variable.set("a session")
        watch = Spying(mine.fileno())
        theirs.send(b"x")
        await read(watch, mine)
        watch.drop()

    asyncio.run(work())
    assert seen
    assert set(seen) == {None}


def test_one_database_serves_one_event_loop_after_the_other(url: str) -> None:
    db = AsyncDatabase(url)

    async def begin() -> None:
        await db.create(Page)
        async with db.session() as session:
            session.add(Page(number=1))

    async def edit(text: str) -> str:
        async with db.session() as session:
            page = await session.get(Page, 1)
            assert page is not None
            before, page.text = page.text, text
        return before

    async def end() -> None:
        await db.close()

    asyncio.run(begin())
    assert [asyncio.run(edit(text)) for text in ("a", "b", "c")] == ["", "a", "b"]
    with asyncio.Runner() as one, asyncio.Runner() as other:
        found = [runner.run(edit(text)) for text in "de" for runner in (one, other)]
        one.run(end())
    assert found == ["c", "d", "d", "e"]


def test_a_database_that_was_closed_leaves_no_descriptor_open(url: str) -> None:
    before = numbers()

    async def work() -> None:
        db = AsyncDatabase(url)
        await db.create(Page)
        async with db.session() as session:
            session.add(Page(number=1))
        await db.close()

    asyncio.run(work())
    assert numbers() == before
