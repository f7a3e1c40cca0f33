"""db.transaction(): the transaction of the store, around commits and statements of one's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from graven import Model, TransactionInactiveError, UniqueError, UsageError, field, key
from graven.testing.contract import RAW_SQL, TRANSACTIONS, delete, rows, sweep, update

pytestmark = pytest.mark.needs(TRANSACTIONS)

Open = Callable[..., Any]


class Coin(Model):
    id: int = key(store_made=True)
    face: str = field(unique=True)
    worth: int = 0


def stored(db: Any) -> dict[str, int]:
    with db.session() as session:
        return {one.face: one.worth for one in session.query(Coin).all()}


def filled(open_db: Open) -> Any:
    db = open_db(Coin)
    with db.session() as session:
        session.add(Coin(face="penny", worth=1), Coin(face="crown", worth=60))
    return db


def get(session: Any, face: str) -> Coin:
    return session.query(Coin).where(Coin.face == face).one()


@pytest.mark.needs(RAW_SQL)
def test_session_commits_and_own_statements_become_part_of_it(open_db: Open) -> None:
    db = filled(open_db)
    with db.session() as session:
        with db.transaction() as transaction:
            transaction.execute("update coin set worth = 2 where face = 'penny'")
            session.add(Coin(face="pound"))
            session.commit()
            get(session, "crown").worth = 5
            session.commit()
            assert transaction.execute("select count(*) from coin") == [(3,)]
        assert not session.new
    assert stored(db) == {"penny": 2, "crown": 5, "pound": 0}


@pytest.mark.needs(RAW_SQL)
@pytest.mark.parametrize("statement", ["commit", " -- done\n END", "Rollback", "begin immediate"])
def test_own_statement_that_would_end_it_is_refused_and_it_goes_on(
    open_db: Open, statement: str
) -> None:
    db = filled(open_db)
    with pytest.raises(ZeroDivisionError), db.transaction() as transaction:
        transaction.execute("update coin set worth = 7")
        for execute in (db.execute, transaction.execute):
            with pytest.raises(UsageError, match="Nothing was sent"):
                execute(statement)
        transaction.execute("savepoint here")
        transaction.execute("rollback to here")
        transaction.execute("update coin set worth = 8")
        raise ZeroDivisionError
    assert stored(db) == {"penny": 1, "crown": 60}


def test_only_the_outermost_block_takes_effect(open_db: Open) -> None:
    db = filled(open_db)
    with db.transaction() as outer:
        with db.transaction():
            delete(db, Coin, 1)
        assert outer.is_active
        sweep(db, Coin)
        outer.rollback()
        with pytest.raises(TransactionInactiveError):
            outer.execute("select 1")
        with pytest.raises(KeyError), db.transaction():
            raise KeyError
        with pytest.raises(TransactionInactiveError), db.session() as session:
            session.query(Coin).all()
        with pytest.raises(TransactionInactiveError, match="nothing of it was written"):
            outer.__exit__(None, None, None)
    assert stored(db) == {"penny": 1, "crown": 60}


@pytest.mark.parametrize("by", ["exception", "rollback"])
def test_rollback_at_any_depth_takes_session_commits_back_in_memory(open_db: Open, by: str) -> None:
    db = filled(open_db)
    with db.session() as session:
        penny, crown = get(session, "penny"), get(session, "crown")
        made = Coin(face="pound")

        def work() -> None:
            with db.transaction():
                session.add(made)
                penny.worth = 2
                session.commit()
                assert made.id is not None
                penny.worth = 3
                session.delete(crown)
                session.commit()
                penny.worth = 4
                with db.transaction() as inner:
                    if by == "exception":
                        raise KeyError
                    inner.rollback()

        with pytest.raises(KeyError if by == "exception" else TransactionInactiveError):
            work()
        assert made.id is None
        assert (list(session.new), list(session.dirty)) == ([made], [penny])
        assert list(session.deleted) == [crown]
        assert penny.worth == 4
        assert session.last_commit == "rolled back"
        assert stored(db) == {"penny": 1, "crown": 60}
        session.commit()
    assert stored(db) == {"penny": 4, "pound": 0}


def test_scope_committed_inside_is_pending_again_after_a_rollback(open_db: Open) -> None:
    db = filled(open_db)
    with db.session() as session:
        penny = get(session, "penny")
        with pytest.raises(KeyError), db.transaction():
            with session.begin():
                penny.worth = 7
            with session.begin():
                penny.face = "cent"
                raise KeyError
        assert list(session.dirty) == [penny]
        assert (penny.face, penny.worth) == ("penny", 7)
        session.cancel()
        assert penny.worth == 1


def test_refused_session_commit_dooms_it(open_db: Open) -> None:
    db = filled(open_db)
    with db.session() as session:
        made = Coin(face="pound")

        def work() -> None:
            with db.transaction():
                session.add(made)
                session.commit()
                session.add(Coin(face="penny"))
                with pytest.raises(UniqueError):
                    session.commit()
                with pytest.raises(TransactionInactiveError):
                    session.commit()
                with pytest.raises(TransactionInactiveError):
                    session.execute("delete from coin")

        with pytest.raises(TransactionInactiveError, match="as if it had been committed"):
            work()
        assert made.id is None
        assert len(session.new) == 2
        session.rollback()
    assert stored(db) == {"penny": 1, "crown": 60}


def test_flush_inside_is_forgotten_with_a_rollback(open_db: Open) -> None:
    db = filled(open_db)
    with db.session() as session:
        penny = get(session, "penny")
        with pytest.raises(KeyError), db.transaction():
            penny.worth = 9
            session.add(Coin(face="pound"))
            session.flush()
            assert sorted(rows(db, Coin, "worth")) == [(0,), (9,), (60,)]
            raise KeyError
        assert list(session.dirty) == [penny]
        assert stored(db) == {"penny": 1, "crown": 60}
    assert stored(db) == {"penny": 9, "crown": 60, "pound": 0}


def test_after_a_transaction_everything_is_as_before(open_db: Open) -> None:
    db = filled(open_db)
    for _ in range(12):
        with pytest.raises(KeyError), db.transaction():
            raise KeyError
    with db.transaction() as first:
        pass
    with db.transaction() as second:
        assert second is not first
        assert not first.is_active
    with pytest.raises(TransactionInactiveError):
        first.execute("select 1")
    update(db, Coin, 1, worth=3)
    assert stored(db) == {"penny": 3, "crown": 60}
