"""What a stand-alone server, which has no transactions, does and does not do through graven."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from graven import (
    BusyRetry,
    ConcurrentUpdate,
    ForeignKeyError,
    Model,
    UniqueError,
    UsageError,
    field,
    key,
)
from graven.testing.contract.proxy import Colour
from graven.testing.mongo import MongoServer
from tests.mongo.raw import Raw


class Owner(Model):
    id: int = key()
    name: str = field(unique=True)
    money: int = 0


class Claim(Model):
    id: int = key(store_made=True)
    owner: Owner
    text: str = ""


@pytest.fixture(scope="module")
def server() -> Iterator[MongoServer]:
    found = MongoServer(standalone=True)
    found.start()
    yield found
    found.close()


@pytest.fixture
def db(colour: Colour, url: str) -> Any:
    found = colour.open(url, busy_timeout_s=10)
    found.create(Owner, Claim)
    with found.session() as session:
        session.add(Owner(id=1, name="Ada", money=100), Owner(id=2, name="Bob"))
    return found


def statements(db: Any, work: Callable[[], object]) -> list[str]:
    found: list[str] = []
    db.on_statement(lambda text, *_: found.append(text))
    try:
        work()
    finally:
        db.on_statement(None)
    return found


def transfer(session: Any, amount: int, name: str | None = None) -> None:
    ada, bob = session.get(Owner, 1), session.get(Owner, 2)
    ada.money -= amount
    bob.money += amount
    if name:
        ada.name = name
    session.add(Claim(owner=bob, text="paid"))


def test_a_commit_of_one_object_is_one_statement(db: Any) -> None:
    with db.session() as session:
        session.get(Owner, 1).money = 5
        assert statements(db, session.commit) == ["update owner"]


def test_a_commit_of_three_objects_takes_as_many_statements_as_the_docs_say(db: Any) -> None:
    with db.session() as session:
        transfer(session, 30)
        found = statements(db, session.commit)
    assert found == [
        "findAndModify graven_sequence",
        "insert graven_writeset",
        "insert claim",
        "update owner",
        "find owner",
        "update graven_writeset",
        "update claim",
        "update owner",
        "delete graven_writeset",
    ]


def test_a_commit_leaves_neither_marks_nor_entries(db: Any, raw: Raw) -> None:
    with db.session() as session:
        transfer(session, 30, name="Ann")
    database = raw.client.get_default_database()
    assert {one["_id"]: (one["name"], one["money"]) for one in database.owner.find()} == {
        1: ("Ann", 70),
        2: ("Bob", 30),
    }
    fields = {
        name for table in ("owner", "claim") for one in database[table].find() for name in one
    }
    assert not {name for name in fields if name.startswith("_graven")}
    assert database.graven_writeset.count_documents({}) == 0


def test_a_lost_race_of_several_objects_names_them_and_writes_nothing(db: Any) -> None:
    with db.session() as slow:
        transfer(slow, 1)
        with db.session() as fast:
            transfer(fast, 10)
        with pytest.raises(ConcurrentUpdate) as caught:
            slow.commit()
        slow.rollback()
    assert {(one.key, *one.fields) for one in caught.value.conflicts} == {
        (1, "money"),
        (2, "money"),
    }
    with db.session() as session:
        assert [one.money for one in session.query(Owner).order_by(Owner.id).all()] == [90, 10]
        assert session.query(Claim).count() == 1


def test_unique_values_change_in_a_commit_of_several_objects_and_stay_unique(db: Any) -> None:
    with db.session() as session:
        transfer(session, 1, name="Ann")
        with pytest.raises(UniqueError, match="owner 2 has the same"), db.session() as other:
            other.get(Owner, 1).name = "Bob"
            other.get(Owner, 2).money += 1
    with db.session() as session:
        session.add(Owner(id=3, name="Ada"))
        assert session.query(Owner).where(Owner.name == "Ann").one().id == 1


def test_references_are_looked_after(db: Any) -> None:
    with db.session() as session:
        transfer(session, 1)
        session.commit()
        session.delete(session.get(Owner, 2))
        with pytest.raises(ForeignKeyError, match="claim"):
            session.commit()
        session.rollback()
    with db.session() as session:
        ada = session.get(Owner, 1)
        session.add(Claim(owner=ada))
        with db.session() as other:
            other.delete(other.get(Owner, 1))
        with pytest.raises(ForeignKeyError, match="owner 1"):
            session.commit()
        session.rollback()


@pytest.mark.parametrize(
    "attempt",
    [
        lambda db: db.transaction().__enter__(),
        lambda db: next(iter(db.attempts())).__enter__().get(Owner, 1),
        lambda db: db.session(isolation="snapshot").get(Owner, 1),
        lambda db: db.session(isolation="serializable").query(Owner).all(),
        lambda db: db.session().query(Owner).for_update().all(),
    ],
    ids=["transaction", "attempts", "snapshot", "serializable", "lock"],
)
def test_what_needs_a_transaction_is_refused_and_the_remedy_named(
    db: Any, attempt: Callable[[Any], object]
) -> None:
    with pytest.raises(UsageError, match="replica set of one member"):
        attempt(db)
    with db.session() as session:
        session.get(Owner, 1).money += 1


def test_a_flush_is_refused_and_the_session_goes_on(db: Any) -> None:
    with db.session() as session:
        transfer(session, 30)
        with pytest.raises(UsageError, match="replica set of one member"):
            session.flush()
    with db.session() as session:
        assert session.get(Owner, 2).money == 30


def test_what_is_guarded_is_checked_by_the_commit(db: Any) -> None:
    with pytest.raises(ConcurrentUpdate, match="Owner 1"), db.session() as session:
        session.guard(session.get(Owner, 1))
        session.get(Owner, 2).money += 1
        with db.session() as other:
            other.get(Owner, 1).money += 1
    with db.session() as session:
        assert session.get(Owner, 2).money == 0
        session.guard(session.get(Owner, 1))
        session.get(Owner, 2).money += 1
    with db.session() as session:
        assert session.get(Owner, 2).money == 1


def test_a_stream_and_raw_filters_show_nothing_that_is_not_decided(db: Any, raw: Raw) -> None:
    entry = {
        "_id": "aa",
        "state": "prepared",
        "started": 0,
        "due": 2**50,
        "tables": [["owner", ["id"]]],
    }
    raw.client.get_default_database().graven_writeset.insert_one(entry)
    stub = {"_id": 3, "name": "Cy", "money": 7, "version": 1, "_graven_mark": "aa:i"}
    raw.client.get_default_database().owner.insert_one(stub)
    with db.session() as session:
        assert [one.id for one in session.query(Owner).order_by(Owner.id).stream()] == [1, 2]
        assert [
            one.id for one in session.query(Owner).from_filter({"money": {"$gte": 0}}).all()
        ] == [1, 2]
        assert session.query(Owner).count() == 2
    raw.client.get_default_database().graven_writeset.update_one(
        {"_id": "aa"}, {"$set": {"state": "committed"}}
    )
    with db.session() as session:
        assert [one.id for one in session.query(Owner).from_filter({"money": 7}).all()] == [3]
    assert raw.client.get_default_database().graven_writeset.count_documents({}) == 0


def test_who_writes_what_a_commit_under_way_has_marked_waits_and_is_refused_in_time(
    colour: Colour, db: Any, url: str, raw: Raw
) -> None:
    entry = {
        "_id": "aa",
        "state": "prepared",
        "started": 0,
        "due": 2**50,
        "tables": [["owner", ["id"]]],
    }
    raw.client.get_default_database().graven_writeset.insert_one(entry)
    raw.client.get_default_database().owner.update_one(
        {"_id": 1}, {"$set": {"_graven_mark": "aa:c"}}
    )
    impatient = colour.open(url, busy_timeout_s=0.1)
    for amount in (0, 1):
        with impatient.session() as session:
            session.get(Owner, 1).money = 3
            session.get(Owner, 2).money += amount
            with pytest.raises(BusyRetry, match="commit of others"):
                session.commit()
            session.rollback()
    with db.session() as session:
        session.get(Owner, 1).money = 3
        threading.Timer(
            0.2,
            raw.client.get_default_database().graven_writeset.update_one,
            [{}, {"$set": {"due": 0}}],
        ).start()
        session.commit()
        assert session.get(Owner, 1).money == 3


def test_threads_that_transfer_at_once_conserve_the_money(url: str) -> None:
    from graven import Database

    with closing(Database(url, busy_timeout_s=30)) as db:
        db.create(Owner, Claim)
        with db.session() as session:
            session.add(*(Owner(id=n, name=f"n{n}", money=100) for n in range(1, 4)))
        errors: list[Exception] = []
        totals: set[int] = set()

        def work(first: int, second: int) -> None:
            try:
                for _ in range(6):
                    for attempt in db.attempts(limit=None, isolation="optimistic"):
                        with attempt as session:
                            one, other = session.get(Owner, first), session.get(Owner, second)
                            assert one is not None
                            assert other is not None
                            one.money -= 1
                            other.money += 1
                            session.add(Claim(owner=one))
                    with db.session() as session:
                        totals.add(sum(one.money for one in session.query(Owner).all()))
            except Exception as error:  # noqa: BLE001 - looked at below
                errors.append(error)

        pairs = [(1, 2), (2, 3), (3, 1), (2, 1)]
        threads = [threading.Thread(target=work, args=pair) for pair in pairs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert errors == []
        assert totals == {300}
        with db.session() as session:
            assert session.query(Claim).count() == 24
