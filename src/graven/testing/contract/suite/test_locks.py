"""query.for_update(): rows that nobody else writes until the session is done with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from graven import BusyRetry, ConcurrentUpdate, Model, QueryError, ScopeError, field
from graven.testing.contract import (
    ONE_WRITER,
    RAW_SQL,
    SKIPS_LOCKED,
    TRANSACTIONS,
    count,
    delete,
    rows,
    update,
)

pytestmark = pytest.mark.needs(TRANSACTIONS)

Open = Callable[..., Any]


class Seat(Model):
    number: int = field(unique=True)
    taken_by: str = ""


class Ticket(Model):
    seat: Seat
    price: int = 1


@pytest.fixture
def db(open_db: Open) -> Any:
    db = open_db(Seat, Ticket, busy_timeout_s=0.05)
    with db.session() as session:
        session.add(*[Ticket(seat=Seat(number=number)) for number in (1, 2, 3)])
    return db


def locking(session: Any, number: int, **options: bool) -> Any:
    return session.query(Seat).where(Seat.number == number).for_update(**options)


def take(db: Any, number: int, name: str) -> None:
    with db.session() as session:
        session.query(Seat).where(Seat.number == number).one().taken_by = name


def taken(db: Any) -> list[str]:
    return [name for (name,) in rows(db, Seat, "taken_by", order="number")]


@pytest.mark.parametrize("isolation", ["optimistic", "snapshot", "serializable"])
def test_nobody_else_writes_a_locked_row_until_the_commit(db: Any, isolation: str) -> None:
    with db.session(isolation=isolation) as session:
        seat = locking(session, 1).one()
        with pytest.raises(BusyRetry):
            take(db, 1, "Bob")
        seat.taken_by = "Ada"
        session.commit()
        take(db, 1, "Bob")
    assert taken(db) == ["Bob", "", ""]
    assert db.pool.out == 0


@pytest.mark.parametrize("end", ["rollback", "close", "commit of nothing"])
def test_a_lock_ends_with_the_rollback_the_session_or_an_empty_commit(db: Any, end: str) -> None:
    session = db.session()
    locking(session, 1).one().taken_by = "Ada" if end != "commit of nothing" else ""
    with pytest.raises(BusyRetry):
        take(db, 1, "Bob")
    getattr(session, end.partition(" ")[0])()
    take(db, 1, "Bob")
    session.close()
    assert taken(db) == ["Bob", "", ""]
    assert db.pool.out == 0


def test_a_lock_taken_in_a_transaction_of_the_store_ends_with_it(db: Any) -> None:
    with db.session() as session, db.session() as other, db.transaction():
        locking(session, 1).one().taken_by = "Ada"
        session.commit()
        assert other.query(Seat).where(Seat.number == 1).one().taken_by == "Ada"
    assert taken(db) == ["Ada", "", ""]


def test_two_readers_that_lock_both_add_to_what_the_other_made(db: Any) -> None:
    one, two = db.session(), db.session()
    first = locking(one, 1).one()
    with pytest.raises(BusyRetry):
        locking(two, 1).all()
    first.taken_by += "a"
    one.commit()
    locking(two, 1).one().taken_by += "b"
    two.commit()
    one.close()
    two.close()
    assert taken(db) == ["ab", "", ""]


def test_nowait_is_refused_at_once_and_earlier_locks_stay(open_db: Open, db: Any) -> None:
    patient = open_db(busy_timeout_s=30)
    with db.session() as holder, patient.session() as session:
        locking(holder, 1).one()
        with pytest.raises(BusyRetry):
            locking(session, 1, nowait=True).all()
        holder.commit()
        mine = locking(session, 1, nowait=True).one()
        with pytest.raises(BusyRetry):
            take(db, 1, "Bob")
        mine.taken_by = "Ada"
    assert taken(db) == ["Ada", "", ""]
    assert db.pool.out == patient.pool.out == 0


@pytest.mark.needs(SKIPS_LOCKED)
def test_skip_locked_gives_what_is_free(open_db: Open, backend: Any, db: Any) -> None:
    with db.session() as holder, db.session() as session:
        locking(holder, 1).one()
        free = session.query(Seat).order_by(Seat.number).for_update(skip_locked=True)
        if ONE_WRITER in backend.capabilities:  # the whole store is locked: it is waited for
            with pytest.raises(BusyRetry):
                free.all()
            holder.rollback()
            assert [seat.number for seat in free.all()] == [1, 2, 3]
        else:
            assert [seat.number for seat in free.all()] == [2, 3]
            assert free.first().number == 2


def test_a_row_that_has_changed_since_it_was_read_is_refused_when_it_is_locked(db: Any) -> None:
    with db.session() as session:
        seat = session.query(Seat).where(Seat.number == 1).one()
        take(db, 1, "Bob")
        with pytest.raises(ConcurrentUpdate) as caught:
            locking(session, 1).one()
        (conflict,) = caught.value.conflicts
        assert conflict.fields["taken_by"].theirs == "Bob"
        session.refresh(seat)
        assert locking(session, 1).one() is seat
        assert seat.taken_by == "Bob"
        with pytest.raises(BusyRetry):
            take(db, 1, "Cleo")


@pytest.mark.parametrize("isolation", ["snapshot", "serializable"])
def test_a_row_changed_after_the_point_that_is_read_cannot_be_locked(
    db: Any, isolation: str
) -> None:
    with db.session(isolation=isolation) as session:
        assert session.query(Seat).count() == 3
        take(db, 1, "Bob")
        with pytest.raises(ConcurrentUpdate):
            locking(session, 1).one()
        session.rollback()
    assert taken(db) == ["Bob", "", ""]


def test_what_was_read_at_one_point_can_be_locked_and_written(db: Any) -> None:
    for isolation in ("snapshot", "serializable"):
        with db.session(isolation=isolation) as session:
            seats = session.query(Seat).order_by(Seat.number).all()
            locking(session, 1).one()
            with pytest.raises(BusyRetry):
                take(db, 1, "Bob")
            seats[0].taken_by = seats[1].taken_by = isolation
    assert taken(db) == ["serializable", "serializable", ""]


def test_pending_changes_are_locked_too(db: Any) -> None:
    with db.session() as session:
        one = session.query(Seat).where(Seat.number == 1).one()
        one.taken_by = "Ada"
        new = Seat(number=4, taken_by="Ada")
        session.add(new)
        hers = session.query(Seat).where(Seat.taken_by == "Ada").order_by(Seat.number)
        assert hers.for_update().all() == [one, new]
        with pytest.raises(BusyRetry):
            take(db, 1, "Bob")
    assert taken(db) == ["Ada", "", "", "Ada"]


@pytest.mark.parametrize("how", ["changed", "deleted"])
def test_a_pending_change_of_a_row_that_is_not_as_it_was_cannot_be_locked(
    db: Any, how: str
) -> None:
    with db.session() as session:
        seat = Seat(number=7)
        session.add(seat)
        session.commit()
        seat.taken_by = "Ada"
        if how == "changed":
            take(db, 7, "Bob")
        else:
            delete(db, Seat, seat.id)
        with pytest.raises(ConcurrentUpdate) as caught:
            session.query(Seat).where(Seat.taken_by == "Ada").for_update().all()
        assert (caught.value.found == 0) is (how == "deleted")
        assert list(session.dirty) == [seat]
        session.rollback()


def test_rows_are_locked_over_references_orders_and_limits(db: Any) -> None:
    with db.session() as session:
        dear = session.query(Ticket).where(Ticket.seat.number >= 2).order_by(Ticket.seat.number)
        dear = dear.include(Ticket.seat)
        ticket = dear.limit(1).for_update().one()
        assert ticket.seat.number == 2
        assert dear.for_update().count() == 2
        assert dear.for_update().get(ticket.id) is ticket
        assert [one.seat.number for one in dear.for_update().all()] == [2, 3]
        with pytest.raises(BusyRetry):
            update(db, Ticket, ticket.id, price=2)
    update(db, Ticket, ticket.id, price=2)


def test_a_stream_locks_what_it_yields(db: Any) -> None:
    with db.session() as session:
        numbers = [seat.number for seat in session.query(Seat).for_update().stream()]
        assert sorted(numbers) == [1, 2, 3]
        with pytest.raises(BusyRetry):
            take(db, 1, "Bob")


def test_a_refused_commit_lets_go_and_can_be_sent_again(db: Any) -> None:
    with db.session() as session:
        other = session.query(Seat).where(Seat.number == 2).one()
        take(db, 2, "Bob")
        locking(session, 1).one().taken_by = "Ada"
        other.taken_by = "Ada"
        with pytest.raises(ConcurrentUpdate):
            session.commit()
        assert db.pool.out == 0
        session.refresh(other)
        session.commit()
    assert taken(db) == ["Ada", "Bob", ""]


def test_a_part_of_a_flush_cannot_be_committed_if_the_lock_would_be_lost(db: Any) -> None:
    with db.session() as session:
        one = locking(session, 1).one()
        one.taken_by = "Ada"
        two = session.query(Seat).where(Seat.number == 2).one()
        two.taken_by = "Ada"
        session.flush()
        with pytest.raises(ScopeError, match="rows locked"):
            session.commit(one)
        session.commit()
    assert taken(db) == ["Ada", "Ada", ""]


def test_impossible_locks_are_refused_before_anything_is_asked(db: Any) -> None:
    with db.session() as session:
        with pytest.raises(QueryError, match="nowait and with skip_locked"):
            session.query(Seat).for_update(nowait=True, skip_locked=True)
        with pytest.raises(QueryError, match="the rows of a statement"):
            session.query(Seat).from_sql("select * from seat").for_update().all()
        assert db.pool.out == 0


@pytest.mark.needs(RAW_SQL)
def test_own_statements_join_the_transaction_that_holds_the_lock(db: Any) -> None:
    with db.session() as session:
        locking(session, 1).one()
        session.execute("update seat set taken_by = 'Eve' where number = 2")
        assert taken(db) == ["", "", ""]
        session.rollback()
    assert taken(db) == ["", "", ""]
    assert count(db, Seat) == 3
