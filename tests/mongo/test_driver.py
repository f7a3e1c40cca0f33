"""The MongoDB driver: addresses, topology, event loops, forks, reports, and what it refuses."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from graven import (
    AsyncDatabase,
    Database,
    Model,
    SessionError,
    StoreError,
    UsageError,
    field,
    key,
    many_to_many,
)
from graven.drivers.mongo_url import parse_mongo_url
from graven.testing.contract import count
from graven.testing.contract.proxy import Colour
from graven.testing.mongo import MongoServer
from tests.mongo.raw import Raw

Open = Callable[..., Any]


class Thing(Model):
    id: int = key()
    name: str = field(default="", unique=True)


class Crate(Model):
    id: int = key()
    things: list[Thing] = many_to_many()


@pytest.fixture
def open_db(url: str, colour: Colour) -> Open:
    def opened(*models: type, **options: Any) -> Any:
        db = colour.open(url, **options)
        if models:
            db.create(*models)
        return db

    return opened


# ── addresses ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("mongodb://localhost", "does not name a database"),
        ("mongodb://localhost/", "does not name a database"),
        ("mongodb+srv://example.org", "does not name a database"),
        ("mongodb://localhost/bank?colour=red", "colour"),
        ("mongodb://localhost:port/bank", "Port"),
        ("mongodb://ada:sec@ret@localhost/bank", "RFC 3986"),
        ("mongodb:bank", "URI scheme"),
    ],
)
def test_an_address_that_means_nothing_is_refused_without_its_password(
    colour: Colour, url: str, why: str
) -> None:
    with pytest.raises(UsageError, match=why) as caught:
        colour.open(url)
    assert "sec" not in str(caught.value).replace("user:password", "")


def test_the_urls_own_options_win_but_for_what_promises_rest_on() -> None:
    plain = parse_mongo_url("mongodb://one,two:27018/bank", 3.0)
    assert (plain.database, plain.place) == ("bank", "bank at one,two:27018")
    assert plain.options["serverSelectionTimeoutMS"] == 3000
    own = parse_mongo_url("mongodb://one/bank?appName=till&serverSelectionTimeoutMS=9", 3.0)
    assert not {"appname", "serverSelectionTimeoutMS"} & set(own.options)


def test_a_write_concern_in_the_url_does_not_weaken_a_commit(url: str, colour: Colour) -> None:
    db = colour.open(f"{url}?w=0&readPreference=secondary")
    db.create(Thing)
    with db.session() as session:
        session.add(Thing(id=1))
    assert count(db, Thing) == 1


# ── topology ────────────────────────────────────────────────────────────────────────────────


def test_the_topology_is_told_once_somebody_has_asked(
    open_db: Open, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="graven"):
        db = open_db()
        assert db.topology is None
        db.create(Thing)
        assert db.topology == "replica set"
        db.create(Thing)
    said = [record.getMessage() for record in caplog.records if record.name == "graven"]
    assert len(said) == 1
    assert "is a replica set" in said[0]


def test_a_server_that_stands_alone_is_said_aloud(
    colour: Colour, caplog: pytest.LogCaptureFixture
) -> None:
    server = MongoServer(standalone=True)
    server.start()
    try:
        with caplog.at_level(logging.WARNING, logger="graven"):
            db = colour.open(f"{server.url}alone")
            db.create(Thing)
        assert db.topology == "stand-alone"
        assert "no transactions" in caplog.text
        db.close()
    finally:
        server.close()


# ── what MongoDB does not have ──────────────────────────────────────────────────────────────


def test_a_savepoint_is_refused_and_the_transaction_goes_on(open_db: Open) -> None:
    db = open_db(Thing)
    with db.transaction(), db.session() as session:
        session.add(Thing(id=1))
        session.commit()
        with pytest.raises(UsageError, match="only as a whole"):
            db.transaction(savepoint=True).__enter__()
        session.add(Thing(id=2, name="b"))
        session.commit()
    assert count(db, Thing) == 2


def test_tables_are_not_made_inside_of_a_transaction(open_db: Open) -> None:
    db = open_db(Thing)
    with pytest.raises(UsageError, match="before the transaction begins"), db.transaction():
        db.create(Crate)
    db.create(Crate)
    assert count(db, Crate) == 0


def test_rows_that_others_have_locked_cannot_be_left_out(open_db: Open) -> None:
    db = open_db(Thing)
    with db.session() as session:
        with pytest.raises(UsageError, match="nowait=True"):
            session.query(Thing).for_update(skip_locked=True).all()
        assert session.query(Thing).count() == 0


def test_a_model_that_was_never_created_is_no_empty_collection(open_db: Open) -> None:
    db = open_db()
    with db.session() as session, pytest.raises(StoreError, match=r"db\.create\(\)"):
        session.query(Thing).all()
    with db.session() as session:
        session.add(Thing(id=1))
        with pytest.raises(StoreError, match=r"db\.create\(\)"):
            session.commit()
        db.create(Thing)
        session.commit()
    assert count(db, Thing) == 1


# ── reports ─────────────────────────────────────────────────────────────────────────────────


def test_commands_are_reported_by_name_and_count_and_values_only_if_asked_for(
    open_db: Open,
) -> None:
    db = open_db(Thing, Crate)
    seen: list[tuple[str, int, Any]] = []
    db.on_statement(lambda text, rows, seconds, sent: seen.append((text, rows, sent)))
    with db.session() as session:
        session.add(*[Thing(id=n, name=str(n)) for n in range(3)])
    assert seen == [("insert thing", 3, None), ("commit", 0, None)]
    seen.clear()
    db.on_statement(lambda text, rows, seconds, sent: seen.append((text, rows, sent)), True)
    with db.session() as session:
        session.get(Thing, 1).name = "new"
    (read, written) = seen
    assert read == ("find thing", 1, {"_id": {"$eq": 1}})
    assert written[:2] == ("update thing", 1)
    assert "new" in str(written[2])
    db.on_statement(None)


# ── event loops, forks, the end ─────────────────────────────────────────────────────────────


def test_one_database_serves_event_loops_one_after_the_other_and_warns_of_nothing(
    url: str,
) -> None:
    async def add(db: AsyncDatabase, number: int) -> int:
        async with db.session(isolation="serializable") as session:
            found = await session.query(Thing).count()
            session.add(Thing(id=number, name=str(number)))
        return found

    async def create(db: AsyncDatabase) -> None:
        await db.create(Thing)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        db = AsyncDatabase(url)
        asyncio.run(create(db))
        assert [asyncio.run(add(db, number)) for number in range(3)] == [0, 1, 2]
        asyncio.run(db.close())
        del db
        gc.collect()


def test_event_loops_of_several_threads_share_one_database(url: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    db = AsyncDatabase(url, pool_size=2)

    async def work(number: int) -> None:
        if number < 0:
            await db.create(Thing)
            return
        for at in range(5):
            async with db.session() as session:
                session.add(Thing(id=10 * number + at, name=f"{number}.{at}"))

    asyncio.run(work(-1))
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda number: asyncio.run(work(number)), range(4)))
    with Database(url) as other:
        assert count(other, Thing) == 20
    asyncio.run(db.close())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="only where processes fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*fork-safe:UserWarning")
def test_a_forked_child_has_connections_of_its_own(url: str) -> None:
    with Database(url, pool_timeout_s=10) as db:
        db.create(Thing)
        with db.session() as session:
            session.add(Thing(id=1))
        kept = db.session(isolation="snapshot")
        kept.query(Thing).all()
        child = os.fork()
        if not child:
            code = 1
            try:
                with db.session() as session:
                    session.add(Thing(id=2, name="child"))
                try:
                    kept.query(Thing).all()
                except (UsageError, SessionError):
                    code = 0
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        kept.close()
        with db.session() as session:
            session.add(Thing(id=3, name="parent"))
        assert count(db, Thing) == 3


def test_a_closed_database_refuses_and_what_was_open_is_undone(open_db: Open, raw: Raw) -> None:
    db = open_db(Thing, pool_size=1)
    session = db.session()
    session.add(Thing(id=1))
    session.flush()
    db.close()
    with pytest.raises(UsageError, match="closed"), db.session() as other:
        other.query(Thing).all()
    session.close()
    assert raw.client.get_default_database()["thing"].find_one() is None
