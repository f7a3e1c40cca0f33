"""What a server, a network and a cancellation can do to a commit; nothing is lost or doubled."""

from __future__ import annotations

import asyncio
import os
import random
import threading
import time
import types
from collections.abc import Callable, Generator
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from graven import AsyncDatabase, Database, Model
from graven.errors import (
    BusyRetry,
    CommitUnknownError,
    ConcurrentUpdate,
    TransientError,
    UnavailableError,
)
from graven.testing.postgres import PostgresServer
from tests.postgres.wiretap import Wiretap

SHARING_S = float(os.environ.get("GRAVEN_TEST_SHARING_S", "2"))
"""How long many tasks share few connections; now and then, let it be a minute."""


class Note(Model):
    text: str


class Purse(Model):
    name: str
    coins: int


def texts(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        return [text for (text,) in connection.execute("select text from note order by text")]


def connections(url: str) -> int:
    """How many connections graven has on the server."""
    with psycopg.connect(url) as connection:
        found = connection.execute(
            "select count(*) from pg_stat_activity where application_name = 'graven'"
        ).fetchone()
    assert found is not None
    return int(found[0])


def eventually(is_so: Callable[[], bool]) -> bool:
    deadline_s = time.monotonic() + 10
    while not is_so():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.02)
    return True


class Writer(threading.Thread):
    """Commits one note after the other, and remembers what it was told of each."""

    def __init__(self, db: Database, name: str, stop: threading.Event) -> None:
        super().__init__(name=name)
        self._db, self._stop_event = db, stop
        self.acknowledged: list[str] = []
        self.unknown: list[str] = []
        self.errors: list[BaseException] = []

    def run(self) -> None:
        number = 0
        while not self._stop_event.is_set():
            number += 1
            text = f"{self.name} {number:06d}"
            try:
                with self._db.session() as session:
                    session.add(*[Note(text=f"{text} {part}") for part in range(1 + number % 3)])
            except CommitUnknownError:
                self.unknown.append(text)
            except UnavailableError:
                time.sleep(0.01)
            except BaseException as error:
                self.errors.append(error)
                raise
            else:
                self.acknowledged.append(text)


def test_a_server_killed_under_load_loses_nothing_acknowledged_and_doubles_nothing(
    mortal: PostgresServer,
) -> None:
    stop = threading.Event()
    with Database(mortal.url, pool_size=4) as db:
        db.create(Note)
        writers = [Writer(db, f"writer{n}", stop) for n in range(6)]
        for writer in writers:
            writer.start()
        time.sleep(0.5)
        mortal.stop("immediate")
        time.sleep(0.1)
        mortal.start()
        before = [len(writer.acknowledged) for writer in writers]
        assert eventually(
            lambda: all(len(w.acknowledged) > n for w, n in zip(writers, before, strict=True))
        )
        stop.set()
        for writer in writers:
            writer.join(20)
        assert not any(writer.errors for writer in writers)
        assert db.pool.out == 0
    stored: dict[str, list[str]] = {}
    for text in texts(mortal.url):
        stored.setdefault(text[:14], []).append(text)
    acknowledged = {text for writer in writers for text in writer.acknowledged}
    unknown = {text for writer in writers for text in writer.unknown}
    assert acknowledged <= stored.keys()
    assert stored.keys() <= acknowledged | unknown
    for text, parts in stored.items():
        assert parts == [f"{text} {part}" for part in range(1 + int(text[-6:]) % 3)]


def test_a_server_that_restarted_is_noticed_before_a_commit_is_sent(
    mortal: PostgresServer,
) -> None:
    with Database(mortal.url) as db:
        db.create(Note)
        with db.session() as session:
            session.add(Note(text="before"))
        mortal.stop("fast")
        with pytest.raises(UnavailableError), db.session() as session:
            session.add(Note(text="meanwhile"))
        mortal.start()
        with db.session() as session:
            session.add(Note(text="after"))
    assert texts(mortal.url) == ["after", "before"]


def terminate(url: str, condition: str = "true") -> int:
    with psycopg.connect(url, autocommit=True) as connection:
        found = connection.execute(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity "
            f"where application_name = 'graven' and {condition}"
        ).fetchone()
    assert found is not None
    return int(found[0])


def test_a_backend_terminated_between_two_commits_is_replaced(
    open_db: Callable[..., Any], url: str
) -> None:
    db = open_db(Note)
    for number in range(3):
        with db.session() as session:
            session.add(Note(text=f"note {number}"))
        assert terminate(url) == 1
        assert eventually(lambda: connections(url) == 0)
    assert texts(url) == ["note 0", "note 1", "note 2"]
    assert db.pool.out == 0


@pytest.mark.parametrize("size", [1, 2])
def test_a_backend_terminated_during_a_commit_gives_the_documented_error(
    open_db: Callable[..., Any], url: str, size: int
) -> None:
    db = open_db(Purse)
    purses = [Purse(name=f"purse {n}", coins=1) for n in range(size)]
    with db.session() as session:
        session.add(*purses)
    with psycopg.connect(url) as blocker:
        blocker.execute("select 1 from purse for update")
        helper = threading.Thread(
            target=lambda: eventually(lambda: terminate(url, "wait_event_type = 'Lock'") == 1)
        )
        helper.start()
        with db.session() as session:
            for purse in purses:
                session.get(Purse, purse.id).coins = 2
            with pytest.raises(UnavailableError, match="ended the connection"):
                session.commit()
            helper.join()
            blocker.rollback()
            session.commit()
    with db.session() as session:
        assert [purse.coins for purse in session.query(Purse).all()] == [2] * size
    assert db.pool.out == 0


def test_a_backend_terminated_inside_a_transaction_rolls_it_back(
    open_db: Callable[..., Any], url: str
) -> None:
    db = open_db(Note)
    with pytest.raises(UnavailableError), db.transaction():
        with db.session() as session:
            session.add(Note(text="lost"))
        assert terminate(url) == 1
        db.execute("select 1")
    assert texts(url) == []
    with db.session() as session:
        session.add(Note(text="kept"))
    assert texts(url) == ["kept"]
    assert db.pool.out == 0


# ── the line is cut ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("who", ["client", "server"])
def test_a_line_cut_at_any_message_of_a_commit_is_told_as_it_is(
    open_db: Callable[..., Any], url: str, wiretap: Wiretap, who: str, size: int
) -> None:
    db = open_db(Note, at=wiretap.url(url))
    seen: set[str] = set()
    for at in range(40):
        with db.session() as session:  # everything is prepared, and no line is down
            session.add(*[Note(text=f"warm {at} {part}") for part in range(size)])
        names = [f"note {at:02d} {part}" for part in range(size)]
        with db.session() as session:
            session.add(*[Note(text=name) for name in names])
            wiretap.watch((who, at))
            try:
                session.commit()
                outcome = "committed"
            except UnavailableError:
                outcome = "unavailable"
            except CommitUnknownError:
                outcome = "unknown"
                session.rollback()
            count = len(wiretap.seen[who])
            wiretap.watch()
            stored = [text for text in texts(url) if text in names]
            assert stored in ([], names)
            if outcome == "committed":
                assert stored == names
                assert not session.new
            elif outcome == "unavailable":
                assert stored == []
        seen.add(outcome)
        assert db.pool.out == 0
        if count <= at:
            break
    else:
        pytest.fail("a commit has more messages than expected")
    assert outcome == "committed"
    assert "unknown" in seen
    stored = texts(url)
    assert len(stored) == len(set(stored))


def test_a_statement_that_takes_too_long_can_be_tried_again(
    open_db: Callable[..., Any], url: str
) -> None:
    slow = url.replace("options=", "options=-cstatement_timeout%3D150%20")
    db = open_db(Note, at=slow)
    with pytest.raises(BusyRetry, match="statement_timeout"):
        db.execute("select pg_sleep(2)")
    with db.session() as session:
        session.add(Note(text="quick"))
    assert db.execute("select text from note") == [("quick",)]
    assert db.pool.out == 0


def test_a_lock_is_waited_for_as_long_as_was_said(open_db: Callable[..., Any], url: str) -> None:
    db = open_db(Purse, busy_timeout_s=0.2)
    purse = Purse(name="purse", coins=1)
    with db.session() as session:
        session.add(purse)
    with psycopg.connect(url) as blocker, db.session() as session:
        session.get(Purse, purse.id).coins = 2
        blocker.execute("select 1 from purse for update")
        with pytest.raises(BusyRetry, match="locked"):
            session.commit()
        blocker.rollback()
        session.commit()
    assert db.execute("select coins from purse") == [(2,)]


def test_a_dry_pool_says_who_holds_the_connections(open_db: Callable[..., Any]) -> None:
    db = open_db(Note, pool_size=1, pool_timeout_s=0.1)
    with db.session(isolation="snapshot") as holder:
        assert holder.query(Note).all() == []
        with pytest.raises(UnavailableError, match=r"1 of 1 .*(task|thread) .* for 0\.\d s"):
            db.session().query(Note).all()
    assert db.session().query(Note).all() == []
    assert db.pool.out == 0


# ── cancellation ────────────────────────────────────────────────────────────────────────────────


@types.coroutine
def cancelled_at(number: int, work: Any) -> Generator[Any, None, bool]:
    """Run the coroutine *work*, cancelled at await *number*; say whether it got there."""
    coroutine, at = work, 0
    try:
        future = coroutine.send(None)
        while True:
            if at == number:
                if isinstance(future, asyncio.Future):
                    future._asyncio_future_blocking = False
                    future.cancel()
                future = coroutine.throw(asyncio.CancelledError())
            else:
                yield future
                future = coroutine.send(None)
            at += 1
    except StopIteration:
        return False
    except asyncio.CancelledError:
        return True


@pytest.mark.parametrize("size", [1, 3])
def test_a_commit_cancelled_at_any_await_is_whole_or_absent_and_says_which(
    url: str, size: int
) -> None:
    async def main() -> list[str]:
        outcomes = []
        async with AsyncDatabase(url, pool_size=1) as db:
            await db.create(Note)
            for at in range(40):
                async with db.session() as warm:  # the connection is open
                    warm.add(Note(text=f"warm {at}"))
                session = db.session()
                names = [f"note {at:02d} {part}" for part in range(size)]
                session.add(*[Note(text=name) for name in names])
                was_cancelled = await cancelled_at(at, session.commit())
                stored = [text for text in await asyncio.to_thread(texts, url) if text in names]
                assert stored == (names if session.last_commit == "committed" else [])
                assert len(session.new) == (0 if stored else size)
                await session.rollback()
                assert db.pool.out == 0
                outcomes.append(str(session.last_commit))
                if not was_cancelled:
                    return outcomes
        raise AssertionError("a commit has more awaits than expected")

    outcomes = asyncio.run(main())
    assert len(outcomes) >= 2


def test_a_cancelled_read_is_interrupted_and_its_connection_is_used_again(url: str) -> None:
    async def main() -> None:
        async with AsyncDatabase(url, pool_size=1) as db:
            started = time.monotonic()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await db.execute("select pg_sleep(5)")
            assert time.monotonic() - started < 2
            assert db.pool.out == 0
            assert await db.execute("select 1") == [(1,)]

    asyncio.run(main())


def test_a_hundred_tasks_share_five_connections(url: str) -> None:
    seed = 20240501
    dice = random.Random(seed)

    async def move(db: AsyncDatabase, ids: list[Any], until_s: float) -> int:
        done = 0
        while time.monotonic() < until_s:
            source, target = dice.sample(ids, 2)
            try:
                async with asyncio.timeout(dice.choice((5, 5, 0.003))):
                    async for attempt in db.attempts(limit=50):
                        async with attempt as session:
                            giver = await session.get(Purse, source)
                            taker = await session.get(Purse, target)
                            assert giver is not None
                            assert taker is not None
                            giver.coins -= 1
                            taker.coins += 1
                done += 1
            except (TimeoutError, ConcurrentUpdate, TransientError):
                continue
        return done

    async def main() -> None:
        async with AsyncDatabase(url, pool_size=5) as db:
            await db.create(Purse)
            purses = [Purse(name=f"purse {n}", coins=100) for n in range(40)]
            async with db.session() as session:
                session.add(*purses)
            ids = [purse.id for purse in purses]
            until_s = time.monotonic() + SHARING_S
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(move(db, ids, until_s)) for _ in range(100)]
            assert sum(task.result() for task in tasks) > 20, f"seed {seed}"
            assert await db.execute("select sum(coins) from purse") == [(4000,)]
            assert db.pool.out == 0
            assert await asyncio.to_thread(connections, url) <= 5

    asyncio.run(main())
    assert eventually(lambda: connections(url) == 0)


# ── commit records ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("how", ["one row", "many rows", "flushed", "transaction"])
@pytest.mark.parametrize("who", ["client", "server"])
def test_a_commit_whose_answer_was_lost_can_be_asked_for_by_its_record(
    open_db: Callable[..., Any], url: str, wiretap: Wiretap, who: str, how: str
) -> None:
    db = open_db(Note, at=wiretap.url(url))
    told: set[bool] = set()
    for at in range(40):
        with db.session(commit_record=True) as session:  # everything is there, and prepared
            session.add(Note(text=f"warm {at}"))
        names = [f"note {at:02d} {part}" for part in range(1 if how == "one row" else 3)]
        notes = [Note(text=name) for name in names]
        try:
            if how == "transaction":
                with db.transaction(commit_record=True):
                    with db.session() as session:
                        session.add(*notes)
                    wiretap.watch((who, at))
            else:
                with db.session(commit_record=True) as session:
                    session.add(*notes)
                    if how == "flushed":
                        session.flush()
                    wiretap.watch((who, at))
                    session.commit()
            outcome = "committed"
        except UnavailableError:
            outcome = "unavailable"
        except CommitUnknownError as error:
            outcome = "unknown"
            commit_id = error.commit_id
        count = len(wiretap.seen[who])
        wiretap.watch()
        if outcome == "unknown":
            answer = db.committed(commit_id)
            assert [text for text in texts(url) if text in names] == (names if answer else [])
            assert db.committed(commit_id) is answer
            told.add(answer)
        assert db.pool.out == 0
        if count <= at:
            break
    else:
        pytest.fail("a commit has more messages than expected")
    assert (who == "server") in told


def test_a_commit_still_under_way_is_not_said_to_have_failed(
    open_db: Callable[..., Any], url: str
) -> None:
    db = open_db(Note, busy_timeout_s=0.2)
    with db.session(commit_record=True) as session:
        session.add(Note(text="first"))
    record = "insert into graven_commit values (%s, now(), true)"
    for ends in ("commit", "rollback"):
        commit_id = uuid4()
        with psycopg.connect(url) as other:
            other.execute(record, (commit_id,))
            with pytest.raises(BusyRetry):
                db.committed(commit_id)
            getattr(other, ends)()
        assert db.committed(commit_id) is (ends == "commit")
    assert db.pool.out == 0
