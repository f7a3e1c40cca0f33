"""db.transaction(savepoint=True): a part of a transaction that can be rolled back by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from graven import (
    AsyncDatabase,
    Model,
    ScopeError,
    TransactionInactiveError,
    UniqueError,
    UsageError,
    field,
    key,
)
from graven.testing.contract import RAW_SQL, SAVEPOINTS, delete, rows, shape, update

pytestmark = pytest.mark.needs(SAVEPOINTS)

Open = Callable[..., Any]


class Coin(Model):
    id: int = key(store_made=True)
    face: str = field(unique=True)
    worth: int = 0


class Medal(Model):
    name: str


@pytest.fixture
def db(open_db: Open) -> Any:
    db = open_db(Coin)
    with db.session() as session:
        session.add(Coin(face="penny", worth=1), Coin(face="crown", worth=60))
    return db


def stored(db: Any) -> dict[str, int]:
    return dict(rows(db, Coin, "face", "worth"))


def get(session: Any, face: str) -> Coin:
    return session.query(Coin).where(Coin.face == face).one()


def test_a_rolled_back_savepoint_undoes_only_itself(db: Any) -> None:
    with db.transaction() as transaction:
        update(db, Coin, 1, worth=2)
        with pytest.raises(KeyError), db.transaction(savepoint=True):
            update(db, Coin, 1, worth=3)
            delete(db, Coin, 2)
            assert stored(db) == {"penny": 3}
            raise KeyError
        assert transaction.is_active
        assert stored(db) == {"penny": 2, "crown": 60}
        with db.transaction(savepoint=True):
            update(db, Coin, 2, worth=61)
    assert stored(db) == {"penny": 2, "crown": 61}
    assert db.pool.out == 0


def test_what_a_savepoint_kept_goes_with_the_transaction_around_it(db: Any) -> None:
    with pytest.raises(KeyError), db.transaction():
        with db.transaction(savepoint=True), db.transaction(savepoint=True):
            update(db, Coin, 1, worth=2)
        raise KeyError
    assert stored(db) == {"penny": 1, "crown": 60}


def test_savepoints_nest_to_any_depth_and_each_goes_back_to_its_own_place(db: Any) -> None:
    def descend(depth: int) -> None:
        with db.transaction(savepoint=True):
            update(db, Coin, 1, worth=depth)
            if depth < 5:
                try:
                    descend(depth + 1)
                except KeyError:
                    assert stored(db)["penny"] == depth
                    if depth > 3:
                        raise
            else:
                raise KeyError

    with db.transaction():
        descend(1)
        assert stored(db)["penny"] == 3
        descend(2)
    assert stored(db)["penny"] == 3


def test_memory_follows_a_savepoint_that_is_rolled_back(db: Any) -> None:
    with db.session() as session, db.transaction():
        penny, crown = get(session, "penny"), get(session, "crown")
        penny.worth = 2
        session.commit()
        made = Coin(face="pound")
        with pytest.raises(KeyError), db.transaction(savepoint=True):
            penny.worth = 3
            session.add(made)
            session.delete(crown)
            session.commit()
            assert made.id is not None
            raise KeyError
        assert made.id is None
        assert (list(session.new), list(session.dirty)) == ([made], [penny])
        assert list(session.deleted) == [crown]
        assert stored(db) == {"penny": 2, "crown": 60}
        session.rollback()
        assert penny.worth == 2
        penny.worth = 4
        session.commit()
    assert stored(db) == {"penny": 4, "crown": 60}


def test_memory_follows_the_whole_after_its_parts_were_kept(db: Any) -> None:
    with db.session() as session:
        penny = get(session, "penny")
        with pytest.raises(KeyError), db.transaction():
            penny.worth = 2
            session.commit()
            with db.transaction(savepoint=True):
                penny.worth = 3
                session.commit()
            raise KeyError
        assert list(session.dirty) == [penny]
        assert stored(db)["penny"] == 1
        session.commit()
    assert stored(db)["penny"] == 3


def test_a_refused_commit_dooms_the_savepoint_and_no_more(db: Any) -> None:
    with db.session() as session, db.transaction():
        update(db, Coin, 1, worth=2)
        double = Coin(face="penny")
        with pytest.raises(UniqueError) as caught, db.transaction(savepoint=True) as inner:
            session.add(double)
            try:
                session.commit()
            finally:
                assert not inner.is_active
                with pytest.raises(TransactionInactiveError):
                    rows(db, Coin)
        assert caught.value.model == "Coin"
        session.expunge(double)
        session.add(Coin(face="pound"))
        session.commit()
    assert stored(db) == {"penny": 2, "crown": 60, "pound": 0}


def test_a_plain_block_inside_is_the_savepoint_and_rolls_back_that(db: Any) -> None:
    with db.transaction() as outer:
        update(db, Coin, 1, worth=2)
        with pytest.raises(TransactionInactiveError), db.transaction(savepoint=True) as inner:
            with db.transaction() as innermost:
                update(db, Coin, 1, worth=3)
                innermost.rollback()
            assert not inner.is_active
            with pytest.raises(TransactionInactiveError):
                update(db, Coin, 1, worth=4)
        assert outer.is_active
    assert stored(db)["penny"] == 2


def test_a_rollback_of_the_whole_ends_the_savepoint_inside(db: Any) -> None:
    with db.session() as session:
        penny = get(session, "penny")
        with (
            pytest.raises(TransactionInactiveError),
            db.transaction() as outer,
            pytest.raises(TransactionInactiveError),
            db.transaction(savepoint=True) as inner,
        ):
            penny.worth = 2
            session.commit()
            outer.rollback()
            assert not inner.is_active
            assert list(session.dirty) == [penny]
            rows(db, Coin)
        session.rollback()
    assert stored(db)["penny"] == 1
    assert db.pool.out == 0


def test_the_block_around_an_open_savepoint_takes_no_statements(db: Any) -> None:
    with db.transaction() as outer, db.transaction(savepoint=True) as inner:
        with pytest.raises(UsageError, match="a savepoint is open inside"):
            outer.execute("select 1")
        with pytest.raises(UsageError, match="a savepoint is open inside"):
            outer.run(iter(()))
        assert outer.is_active
        assert inner.is_active
        update(db, Coin, 1, worth=2)
    assert stored(db)["penny"] == 2


def test_without_a_transaction_around_it_is_one_itself(db: Any) -> None:
    with pytest.raises(KeyError), db.transaction(savepoint=True):
        update(db, Coin, 1, worth=2)
        raise KeyError
    with db.transaction(savepoint=True):
        update(db, Coin, 2, worth=2)
    assert stored(db) == {"penny": 1, "crown": 2}


def test_tables_made_in_a_savepoint_go_with_it(db: Any) -> None:
    with db.transaction():
        with pytest.raises(KeyError), db.transaction(savepoint=True):
            db.create(Medal)
            raise KeyError
        assert shape(db, "medal") is None
        with db.transaction(savepoint=True):
            db.create(Medal)
    with db.session() as session:
        session.add(Medal(name="gold"))


def test_unique_values_are_free_again_after_a_savepoint(db: Any) -> None:
    with db.transaction():
        with pytest.raises(KeyError), db.transaction(savepoint=True):
            update(db, Coin, 1, face="cent")
            raise KeyError
        with db.session() as session:
            session.add(Coin(face="cent"))
        with pytest.raises(UniqueError), db.transaction(savepoint=True):
            update(db, Coin, 2, face="penny")
    assert stored(db) == {"penny": 1, "crown": 60, "cent": 0}
    with pytest.raises(UniqueError), db.session() as session:
        session.add(Coin(face="penny"))


def test_a_flush_in_a_savepoint_is_forgotten_with_it(db: Any) -> None:
    with db.session() as session, db.transaction():
        penny = get(session, "penny")
        with pytest.raises(KeyError), db.transaction(savepoint=True):
            penny.worth = 9
            session.flush()
            raise KeyError
        assert list(session.dirty) == [penny]
        assert stored(db)["penny"] == 1
        with db.transaction(savepoint=True):
            session.flush()
        assert stored(db)["penny"] == 9
        penny.worth = 10
        session.flush()
        session.commit()
    assert stored(db)["penny"] == 10


def test_a_rollback_of_what_was_flushed_in_a_savepoint_that_was_kept_goes_to_the_whole(
    db: Any,
) -> None:
    with db.session() as session:
        penny = get(session, "penny")
        with pytest.raises(TransactionInactiveError), db.transaction():
            with db.transaction(savepoint=True):
                penny.worth = 9
                session.flush()
            session.rollback()
    assert stored(db)["penny"] == 1


@pytest.mark.parametrize("call", ["flush", "commit"])
def test_what_was_flushed_outside_cannot_go_on_in_a_savepoint(db: Any, call: str) -> None:
    with db.session() as session, db.transaction():
        penny = get(session, "penny")
        penny.worth = 9
        session.flush()
        with db.transaction(savepoint=True):
            penny.worth = 10
            with pytest.raises(ScopeError, match="flushed in the block around"):
                getattr(session, call)()
        session.commit()
    assert stored(db)["penny"] == 10


@pytest.mark.needs(RAW_SQL)
def test_a_statement_that_fails_costs_only_the_savepoint(db: Any) -> None:
    with db.transaction() as transaction:
        transaction.execute("update coin set worth = 2 where face = 'penny'")
        with pytest.raises(UniqueError), db.transaction(savepoint=True) as inner:
            inner.execute("insert into coin (face, worth, version) values ('penny', 1, 1)")
        transaction.execute("update coin set worth = 3 where face = 'crown'")
        with pytest.raises(KeyError), db.transaction(savepoint=True):
            with pytest.raises(UniqueError):
                db.execute("insert into coin (face, worth, version) values ('penny', 1, 1)")
            raise KeyError
        transaction.execute("update coin set worth = worth + 1 where face = 'crown'")
    assert stored(db) == {"penny": 2, "crown": 4}


def test_tasks_of_one_transaction_open_savepoints_one_after_the_other(url: str) -> None:
    async def work(db: AsyncDatabase, number: int) -> str:
        try:
            async with db.transaction(savepoint=True):
                await asyncio.sleep(0.01)
                await update(db, Coin, number, worth=number * 10)
        except UsageError:
            return "refused"
        return "kept"

    async def main() -> tuple[list[str], dict[str, int]]:
        async with AsyncDatabase(url) as db:
            await db.create(Coin)
            async with db.session() as session:
                session.add(Coin(face="penny"), Coin(face="crown"))
            async with db.transaction():
                told = list(await asyncio.gather(work(db, 1), work(db, 2)))
            return told, dict(await rows(db, Coin, "face", "worth"))

    assert asyncio.run(main()) == (["kept", "refused"], {"penny": 10, "crown": 0})


def test_a_task_that_outlives_a_savepoint_goes_on_in_the_transaction(url: str) -> None:
    async def main() -> dict[str, int]:
        async with AsyncDatabase(url) as db:
            await db.create(Coin)
            async with db.session() as session:
                session.add(Coin(face="penny"))
            left = asyncio.Event()

            async def later() -> None:
                await left.wait()
                await update(db, Coin, 1, worth=5)

            with pytest.raises(KeyError):
                async with db.transaction():
                    async with db.transaction(savepoint=True):
                        task = asyncio.create_task(later())
                    left.set()
                    await task
                    raise KeyError
            return dict(await rows(db, Coin, "face", "worth"))

    assert asyncio.run(main()) == {"penny": 0}


def test_a_savepoint_cancelled_at_any_moment_leaves_the_transaction_usable(url: str) -> None:
    async def main() -> set[int]:
        async with AsyncDatabase(url) as db:
            await db.create(Coin)
            async with db.session() as session:
                session.add(Coin(face="penny", worth=100))
            seen = set()
            for turns in range(12):

                async def work(worth: int) -> None:
                    async with db.transaction(savepoint=True):
                        await update(db, Coin, 1, worth=worth)

                async with db.transaction():
                    await update(db, Coin, 1, worth=100)
                    task = asyncio.create_task(work(turns))
                    for _ in range(turns):
                        await asyncio.sleep(0)
                    task.cancel()
                    await asyncio.gather(task, return_exceptions=True)
                    ((worth,),) = await rows(db, Coin, "worth")
                    assert worth in (100, turns)
                    await update(db, Coin, 1, worth=-1)
                ((worth,),) = await rows(db, Coin, "worth")
                seen.add(worth)
            assert db.pool.out == 0
            return seen

    assert asyncio.run(main()) == {-1}
