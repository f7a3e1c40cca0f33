"""The store in memory: its URLs, its turns, its views and indexes, and what it reports."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from graven import (
    AsyncDatabase,
    BusyRetry,
    ConcurrentUpdate,
    Database,
    Model,
    UniqueError,
    UsageError,
    field,
    key,
)
from graven.drivers.memory_tables import Definition, Index
from graven.errors import ForeignKeyError, NotNullError, StoreError
from graven.models.model import mapper_of
from graven.testing.contract import count, delete, insert, rows, shape, update


class Club(Model):
    id: int = key()
    name: str = field(default="", unique=True)


class Member(Model):
    id: int = key(store_made=True)
    name: str = field(default="", index=True)
    club: Club | None = None


@pytest.fixture
def db() -> Iterator[Database]:
    with Database("memory:", busy_timeout_s=0.2, pool_size=10) as found:
        found.create(Club, Member)
        with found.session() as session:
            one, two = Club(id=1, name="chess"), Club(id=2, name="go")
            session.add(one, two, *(Member(name=f"m{n}", club=one) for n in range(3)))
        yield found


# -- addresses -------------------------------------------------------------------------------------


def test_stores_without_a_name_are_strangers(db: Database) -> None:
    with Database("memory:") as other, pytest.raises(StoreError, match=r"db\.create"):
        count(other, Club)


def test_a_name_is_one_store_until_the_last_of_it_is_closed() -> None:
    first, second = Database("memory:named"), Database("memory:named")
    first.create(Club)
    insert(second, Club, id=1, name="chess")
    first.close()
    assert rows(second, Club, "name") == [("chess",)]
    third = Database("memory:named")
    second.close()
    assert count(third, Club) == 1
    third.close()
    gc.collect()
    with Database("memory:named") as anew:
        assert shape(anew, "club") is None


def test_both_colours_share_a_named_store() -> None:
    async def read() -> Any:
        async with AsyncDatabase("memory:both") as other:
            return await rows(other, Club, "name")

    with Database("memory:both") as db:
        db.create(Club)
        insert(db, Club, id=1, name="chess")
        assert asyncio.run(read()) == [("chess",)]


@pytest.mark.parametrize("url", ["memory://", "memory:///file", "memory:name?size=3"])
def test_a_url_with_a_path_or_options_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="has only a name"):
        Database(url)


FORK = """
import os
from graven import Database, Model, key
from graven.errors import StoreError, UsageError

class Page(Model):
    id: int = key()

db = Database("memory:")
db.create(Page)
child = os.fork()
if child == 0:
    status = 1
    try:
        with db.session() as session:
            session.add(Page(id=1))
    except StoreError as error:
        status = 0 if "after the fork" in str(error) else 2
    finally:
        os._exit(status)
_, status = os.waitpid(child, 0)
print(os.waitstatus_to_exitcode(status))
"""


def test_a_forked_child_is_refused_instead_of_writing_into_a_copy() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORK], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout.strip(), done.stderr) == ("0", "")


def test_a_closed_database_is_refused(db: Database) -> None:
    db.close()
    with pytest.raises(UsageError, match="closed"):
        count(db, Club)


# -- what it has no words for ----------------------------------------------------------------------


def test_statements_are_refused_and_the_session_goes_on(db: Database) -> None:
    with db.session() as session:
        session.add(Club(id=9, name="new"))
        with pytest.raises(UsageError, match="no language for statements"):
            session.execute("update club set name = 'x'")
        with pytest.raises(UsageError, match="no language"):
            session.query(Club).from_sql("select * from club").all()
    with pytest.raises(UsageError, match="no language"):
        db.execute("select 1")
    assert rows(db, Club, "name", id=9) == [("new",)]


def test_what_is_reported_tells_the_request_the_rows_and_the_parameters_if_asked(
    db: Database,
) -> None:
    told: list[Any] = []
    db.on_statement(lambda text, number, _, sent: told.append((text, number, sent)))
    with db.session() as session:
        session.get_one(Club, 1).name = "chess!"
        session.query(Club).where(Club.name > "a").count()
        assert len(list(session.query(Club).stream())) == 2
    assert told == [
        ("select id, name, version from club by id", 1, None),
        ("select count(*) from club", 1, None),
        ("select id, name, version from club", 2, None),
        ("update club", 1, None),
    ]
    told.clear()
    db.on_statement(lambda text, number, _, sent: told.append((text, sent)), parameters=True)
    delete(db, Club, 2)
    db.on_statement(None)
    assert told == [("delete from club", [(2,)])]


# -- rules -----------------------------------------------------------------------------------------


def test_rules_are_kept_by_the_store_itself(db: Database) -> None:
    with pytest.raises(UniqueError) as taken:
        insert(db, Club, id=1, name="other")
    assert (taken.value.table, taken.value.columns) == ("club", ("id",))
    with pytest.raises(UniqueError) as clash:
        update(db, Club, 2, name="chess")
    assert clash.value.columns == ("name",)
    with pytest.raises(NotNullError) as missing:
        update(db, Club, 2, name=None)
    assert (missing.value.table, missing.value.columns) == ("club", ("name",))
    with pytest.raises(ForeignKeyError):
        delete(db, Club, 1)
    with pytest.raises(ForeignKeyError):
        update(db, Member, 1, club_id=77)
    assert rows(db, Club, "id", "name") == [(1, "chess"), (2, "go")]
    assert rows(db, Member, "club_id") == [(1,), (1,), (1,)]


def test_a_write_that_is_refused_leaves_nothing_in_its_transaction(db: Database) -> None:
    with db.transaction():
        delete(db, Club, 2)
        for refused in (
            lambda: insert(db, Club, id=2, name="chess"),
            lambda: insert(db, Club, id=5, name="chess"),
            lambda: update(db, Club, 1, name=None),
        ):
            with pytest.raises((UniqueError, NotNullError)):
                refused()
        insert(db, Club, id=6, name="go")
        with pytest.raises(UniqueError):
            update(db, Club, 6, name="chess")
    assert rows(db, Club, "id", "name") == [(1, "chess"), (6, "go")]
    insert(db, Club, id=2, name="bridge")


def test_a_value_that_was_let_go_of_is_free_at_once_and_after_a_rollback_taken_again(
    db: Database,
) -> None:
    with pytest.raises(ZeroDivisionError), db.transaction():
        update(db, Club, 1, name="bridge")
        insert(db, Club, id=3, name="chess")
        raise ZeroDivisionError
    with pytest.raises(UniqueError):
        insert(db, Club, id=3, name="chess")
    insert(db, Club, id=3, name="bridge")
    delete(db, Club, 3)
    insert(db, Club, id=4, name="bridge")
    assert rows(db, Club, "id", "name", name="bridge") == [(4, "bridge")]


def test_a_key_that_somebody_chose_is_never_made_again(db: Database) -> None:
    insert(db, Member, id=50, name="chosen")
    with db.session() as session:
        session.add(made := Member(name="made"))
    assert made.id == 51


def test_a_table_completed_in_a_transaction_that_is_rolled_back_is_as_before(db: Database) -> None:
    class Wider(Model, table="club"):
        id: int = key()
        title: str = field(default="", unique=True, renamed_from="name")
        town: str | None = field(default=None, index=True)

    before = shape(db, "club")
    with pytest.raises(ZeroDivisionError), db.transaction():
        db.create(Wider)
        insert(db, Wider, id=3, title="bridge", town="Bern")
        assert rows(db, Wider, "title", town="Bern") == [("bridge",)]
        raise ZeroDivisionError
    assert shape(db, "club") == before
    with pytest.raises(UniqueError):
        insert(db, Club, id=3, name="go")
    db.create(Wider)
    update(db, Wider, 1, town="Rome")
    assert rows(db, Wider, "title", "town") == [("chess", "Rome"), ("go", None)]
    assert rows(db, Wider, "id", town="Rome") == [(1,)]


# -- views -----------------------------------------------------------------------------------------


def test_an_index_finds_what_a_view_still_sees_and_not_what_it_cannot(db: Database) -> None:
    with db.session(isolation="snapshot") as session:
        assert session.query(Club).count() == 2
        update(db, Club, 1, name="bridge")
        insert(db, Club, id=3, name="chess")
        with db.session() as other:
            other.query(Member).where(Member.name == "m0").one().name = "renamed"
        assert session.query(Club).where(Club.name == "chess").one().id == 1
        assert session.query(Club).where(Club.name == "bridge").all() == []
        assert session.query(Member).where(Member.name == "m0").count() == 1
        assert session.query(Member).where(Member.name == "renamed").count() == 0
    assert rows(db, Club, "id", name="chess") == [(3,)]


def test_a_row_is_found_by_an_index_without_looking_at_the_others() -> None:
    class Watched(str):
        """A text that counts how often it is compared."""

        compared = 0
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            Watched.compared += 1
            return str.__eq__(self, other)

    with Database("memory:") as db:
        db.create(Club)
        for number in range(100):
            insert(db, Club, id=number, name=Watched(f"club {number}"))
        Watched.compared = 0
        assert rows(db, Club, "id", name="club 7") == [(7,)]
        assert Watched.compared < 10


def test_an_index_forgets_what_no_row_has() -> None:
    definition = Definition.of(mapper_of(Club).table)
    (index,) = definition.indexes
    assert isinstance(index, Index)
    index.add("chess", 1)
    index.add("chess", 2)
    index.discard("chess", 1)
    index.discard("bridge", 1)
    assert (index.keys("chess"), index.keys("bridge")) == ([2], [])
    index.discard("chess", 2)
    assert index.keys("chess") == []


# -- turns -----------------------------------------------------------------------------------------


def test_whoever_writes_keeps_others_from_it_but_not_from_reading(db: Database) -> None:
    with db.session() as session:
        session.add(Club(id=3, name="bridge"))
        session.flush()
        assert count(db, Club) == 2
        with pytest.raises(BusyRetry, match="busy_timeout_s"):
            insert(db, Club, id=4, name="dice")
        with pytest.raises(BusyRetry):
            update(db, Club, 1, name="dice")
    insert(db, Club, id=4, name="dice")
    assert count(db, Club) == 4


def test_threads_that_want_one_unique_value_get_it_once(db: Database) -> None:
    outcomes: list[str] = []
    gate = threading.Barrier(8)

    def want(number: int) -> None:
        gate.wait()
        try:
            with db.session() as session:
                session.add(Club(id=number, name="wanted"))
            outcomes.append("got it")
        except (UniqueError, BusyRetry, ConcurrentUpdate) as error:
            outcomes.append(type(error).__name__)

    threads = [threading.Thread(target=want, args=(number,)) for number in range(10, 18)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert sorted(outcomes) == ["UniqueError"] * 7 + ["got it"]
    assert count(db, Club, name="wanted") == 1


def test_readers_see_all_of_a_commit_or_nothing_while_others_write(db: Database) -> None:
    done = threading.Event()
    torn: list[Any] = []

    def read() -> None:
        while not done.is_set():
            with db.session(isolation="snapshot") as session:
                names = {one.name[-1] for one in session.query(Club).all()}
                again = {one.name[-1] for one in session.query(Club).where(Club.id > 0).all()}
                if len(names) != 1 or again != names:
                    torn.append((names, again))

    def write(digit: str) -> None:
        with db.transaction():
            for number in (1, 2):
                update(db, Club, number, name=f"{number}{digit}")

    write("0")
    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for turn in range(200):
        write(str(turn % 10))
    done.set()
    for reader in readers:
        reader.join(timeout=30)
    assert torn == []


@pytest.mark.asyncio
async def test_a_task_that_waits_for_its_turn_lets_the_others_run_and_may_be_cancelled() -> None:
    async with AsyncDatabase("memory:turns") as db, AsyncDatabase("memory:turns") as other:
        await db.create(Club)
        async with db.transaction():
            await insert(db, Club, id=1, name="first")
            waiting = asyncio.ensure_future(insert(other, Club, id=2, name="second"))
            cancelled = asyncio.ensure_future(insert(other, Club, id=3, name="third"))
            await asyncio.sleep(0.01)
            assert not waiting.done()
            cancelled.cancel()
        await waiting
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        assert (db.pool.out, other.pool.out) == (0, 0)
        assert await rows(db, Club, "id") == [(1,), (2,)]
