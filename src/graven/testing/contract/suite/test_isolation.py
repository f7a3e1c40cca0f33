"""What each level of isolation allows, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from graven import BusyRetry, ConcurrentUpdate, ForeignKeyError, Model, key, owned
from graven.testing.contract import ONE_WRITER, RAW_SQL, TRANSACTIONS, count, insert, rows

Opened = Callable[..., Any]
LEVELS = [
    "optimistic",
    *(
        pytest.param(one, marks=pytest.mark.needs(TRANSACTIONS))
        for one in ("snapshot", "serializable")
    ),
]


class Doctor(Model):
    name: str = key()
    on_call: bool = True
    hours: int = 0


class Ward(Model):
    id: int = key()
    name: str = ""
    beds: list[Bed] = owned("ward")


class Bed(Model):
    id: int = key()
    ward: Ward
    is_free: bool = True


@pytest.fixture
def db(open_db: Opened) -> Any:
    db = open_db(Doctor, Ward, Bed, busy_timeout_s=0.05)
    with db.session() as session:
        session.add(Doctor(name="Ada"), Doctor(name="Bob"))
        ward = Ward(id=1, name="East")
        session.add(Ward(id=2, name="West"), Bed(id=1, ward=ward))
    return db


def attempt_commit(session: Any) -> bool:
    """Commit; say whether that was allowed."""
    try:
        session.commit()
    except ConcurrentUpdate:
        session.rollback()
        return False
    return True


def change(db: Any, name: str, **values: Any) -> None:
    with db.session() as other:
        doctor = other.get(Doctor, name)
        for field, value in values.items():
            setattr(doctor, field, value)


@pytest.mark.parametrize("isolation", LEVELS)
def test_no_level_loses_an_update(db: Any, isolation: str) -> None:
    with db.session(isolation=isolation) as session:
        ada = session.get(Doctor, "Ada")
        change(db, "Ada", hours=5)
        ada.hours += 1
        assert not attempt_commit(session)
    assert rows(db, Doctor, "hours", name="Ada") == [(5,)]


@pytest.mark.parametrize("isolation", LEVELS)
def test_write_skew_is_refused_by_serializable_alone(db: Any, isolation: str) -> None:
    with db.session(isolation=isolation) as session:
        ada, bob = session.get(Doctor, "Ada"), session.get(Doctor, "Bob")
        assert ada.on_call
        assert bob.on_call
        change(db, "Bob", on_call=False)
        ada.on_call = False
        assert attempt_commit(session) is (isolation != "serializable")


@pytest.mark.parametrize("isolation", LEVELS)
def test_two_sessions_that_skew_each_other_are_never_both_serializable(
    db: Any, isolation: str
) -> None:
    with db.session(isolation=isolation) as one, db.session(isolation=isolation) as two:
        for session in (one, two):
            assert len(session.query(Doctor).where(Doctor.on_call == True).all()) == 2  # noqa: E712
        one.get(Doctor, "Ada").on_call = False
        two.get(Doctor, "Bob").on_call = False
        allowed = [attempt_commit(one), attempt_commit(two)]
    assert allowed == [True, isolation != "serializable"]


@pytest.mark.parametrize("isolation", LEVELS)
@pytest.mark.parametrize("asks", ["all", "count", "first", "exists"])
def test_a_phantom_is_refused_by_serializable_alone(db: Any, isolation: str, asks: str) -> None:
    with db.session(isolation=isolation) as session:
        query = session.query(Doctor).where(Doctor.hours > 3)
        getattr(query, asks)()
        with db.session() as other:
            other.add(Doctor(name="Eve", hours=9))
        session.add(Doctor(name="Dan"))
        assert attempt_commit(session) is (isolation != "serializable")


@pytest.mark.needs(RAW_SQL)
@pytest.mark.parametrize("isolation", LEVELS)
def test_a_phantom_in_a_statement_of_ones_own_is_refused_by_serializable_alone(
    db: Any, isolation: str
) -> None:
    with db.session(isolation=isolation) as session:
        session.query(Doctor).from_sql("select * from doctor where hours > 3").all()
        with db.session() as other:
            other.add(Doctor(name="Eve", hours=9))
        session.add(Doctor(name="Dan"))
        assert attempt_commit(session) is (isolation != "serializable")


@pytest.mark.parametrize("isolation", LEVELS)
def test_a_stream_counts_as_read_and_sees_the_point_of_its_session(db: Any, isolation: str) -> None:
    with db.session(isolation=isolation) as session:
        session.get(Doctor, "Ada")
        with db.session() as other:
            other.add(Doctor(name="Eve"))
        seen = [one.name for one in session.query(Doctor).stream()]
        assert ("Eve" in seen) is (isolation == "optimistic")
        session.add(Doctor(name="Dan"))
        assert attempt_commit(session) is (isolation != "serializable")


@pytest.mark.parametrize("isolation", LEVELS)
@pytest.mark.parametrize("how", ["include", "load"])
def test_a_phantom_in_an_owned_list_is_refused_by_serializable_alone(
    db: Any, isolation: str, how: str
) -> None:
    with db.session(isolation=isolation) as session:
        if how == "include":
            session.query(Ward).include(Ward.beds).all()
        else:
            session.load(session.get(Ward, 1), Ward.beds)
        with db.session() as other:
            other.add(Bed(id=2, ward=other.get(Ward, 1)))
        session.add(Doctor(name="Dan"))
        assert attempt_commit(session) is (isolation != "serializable")


@pytest.mark.parametrize("isolation", LEVELS)
def test_an_absence_that_ended_is_refused_by_serializable_alone(db: Any, isolation: str) -> None:
    with db.session(isolation=isolation) as session:
        assert session.get(Doctor, "Eve") is None
        with db.session() as other:
            other.add(Doctor(name="Eve"))
        session.get(Doctor, "Ada").hours = 1
        assert attempt_commit(session) is (isolation != "serializable")


@pytest.mark.parametrize("isolation", LEVELS)
def test_reads_of_one_session_see_one_point_but_for_optimistic(db: Any, isolation: str) -> None:
    with db.session(isolation=isolation) as session:
        ada = session.get(Doctor, "Ada")
        with db.session() as other:
            for one in other.query(Doctor).all():
                one.hours = 8
        bob = session.query(Doctor).where(Doctor.name == "Bob").one()
        assert ada.hours == 0
        assert bob.hours == (8 if isolation == "optimistic" else 0)
        session.refresh(ada)
        assert ada.hours == (8 if isolation == "optimistic" else 0)


@pytest.mark.parametrize("isolation", LEVELS)
def test_a_session_that_only_reads_commits_on_every_level(db: Any, isolation: str) -> None:
    with db.session(isolation=isolation) as session:
        session.query(Doctor).all()
        change(db, "Ada", hours=5)
        assert attempt_commit(session)
        assert session.last_commit == "committed"


@pytest.mark.needs(TRANSACTIONS)
def test_the_anomaly_of_a_reader_passes_snapshot_but_not_serializable(db: Any) -> None:
    """After Fekete, O'Neil and O'Neil: the reader sees a withdrawal's effect before its cause."""

    def play(isolation: str) -> list[bool]:
        with db.session(isolation=isolation) as withdraws:
            ada, bob = withdraws.get(Doctor, "Ada"), withdraws.get(Doctor, "Bob")
            with db.session(isolation=isolation) as deposits:
                deposits.get(Doctor, "Bob").hours += 20
            with db.session(isolation=isolation) as reads:
                assert [reads.get(Doctor, name).hours for name in ("Ada", "Bob")] == [0, 20]
            ada.hours = -11 if ada.hours + bob.hours < 10 else -10
            allowed = attempt_commit(withdraws)
        change(db, "Ada", hours=0)
        change(db, "Bob", hours=0)
        return [allowed]

    assert play("snapshot") == [True]
    assert play("serializable") == [False]


@pytest.mark.needs(TRANSACTIONS)
def test_what_was_read_and_is_unchanged_passes_though_others_wrote_elsewhere(db: Any) -> None:
    with db.session(isolation="serializable") as session:
        ada = session.get(Doctor, "Ada")
        assert session.query(Doctor).where(Doctor.hours > 3).all() == []
        assert session.get(Doctor, "Eve") is None
        change(db, "Bob", hours=2)
        with db.session() as other:
            other.add(Doctor(name="Dan", hours=1))
        ada.hours = 7
        session.add(Doctor(name="Eve"))
    assert rows(db, Doctor, "name", "hours", order="name") == [
        ("Ada", 7),
        ("Bob", 2),
        ("Dan", 1),
        ("Eve", 0),
    ]


@pytest.mark.needs(ONE_WRITER)
def test_a_serializable_flush_checks_what_was_read_before_it(db: Any) -> None:
    with db.session(isolation="serializable") as session:
        ada, bob = session.get(Doctor, "Ada"), session.get(Doctor, "Bob")
        change(db, "Bob", on_call=False)
        ada.on_call = False
        with pytest.raises(ConcurrentUpdate) as caught:
            session.flush()
        assert caught.value.key == "Bob"
        session.refresh(bob)
        session.flush()
        assert session.query(Doctor).where(Doctor.on_call == False).count() == 2  # noqa: E712
        with pytest.raises(BusyRetry):
            change(db, "Bob", hours=3)
    assert count(db, Doctor, on_call=True) == 0


@pytest.mark.needs(TRANSACTIONS)
def test_a_snapshot_flush_keeps_its_point_or_is_refused(db: Any) -> None:
    with db.session(isolation="snapshot") as session:
        session.get(Doctor, "Ada").hours = 1
        session.flush()
        assert session.query(Doctor).where(Doctor.hours == 1).one().name == "Ada"
        session.commit()
        bob = session.query(Doctor).where(Doctor.name == "Bob").one()
        change(db, "Ada", hours=5)
        bob.hours = 2
        try:
            session.flush()
        except ConcurrentUpdate as error:
            why = str(error)
        else:
            assert session.query(Doctor).where(Doctor.hours == 1).one().name == "Ada"
            why = ""
        assert not why or "not any more at the point" in why
        session.commit()
    assert rows(db, Doctor, "hours", order="name") == [(5,), (2,)]


@pytest.mark.needs(TRANSACTIONS)
def test_what_was_read_before_a_transaction_is_checked_in_it(db: Any) -> None:
    with db.session(isolation="serializable") as session:
        ada, bob = session.get(Doctor, "Ada"), session.get(Doctor, "Bob")
        change(db, "Bob", on_call=False)
        with pytest.raises(ConcurrentUpdate), db.transaction():
            ada.on_call = False
            session.commit()
        session.rollback()
    assert bob.on_call
    assert count(db, Doctor, on_call=True) == 1


@pytest.mark.needs(RAW_SQL)
@pytest.mark.parametrize("reads_first", [True, False])
@pytest.mark.parametrize("writes_too", [True, False])
@pytest.mark.parametrize("isolation", LEVELS)
def test_what_a_statement_of_the_sessions_own_writes_is_committed(
    db: Any, isolation: str, writes_too: bool, reads_first: bool
) -> None:
    with db.session(isolation=isolation) as session:
        ada = session.get(Doctor, "Ada") if reads_first else None
        session.execute("update doctor set hours = hours + 8 where name = 'Bob'")
        if writes_too:
            (ada or session.get(Doctor, "Ada")).hours = 3
    found = dict(rows(db, Doctor, "name", "hours"))
    assert found == {"Ada": 3 if writes_too else 0, "Bob": 8}


@pytest.mark.needs(RAW_SQL)
@pytest.mark.parametrize("isolation", LEVELS[1:])
def test_a_statement_of_the_sessions_own_is_rolled_back_with_the_rest(
    db: Any, isolation: str
) -> None:
    with pytest.raises(ZeroDivisionError), db.session(isolation=isolation) as session:
        session.execute("update doctor set hours = 8")
        assert session.query(Doctor).where(Doctor.hours == 8).count() == 2
        raise ZeroDivisionError
    assert rows(db, Doctor, "hours") == [(0,), (0,)]


@pytest.mark.needs(RAW_SQL)
def test_an_answer_to_a_statement_of_ones_own_counts_as_read(db: Any) -> None:
    opened = db.session(isolation="serializable")
    with pytest.raises(ConcurrentUpdate, match="a query of your own"), opened as session:
        ((hours,),) = session.execute("select cast(sum(hours) as integer) from doctor")
        change(db, "Bob", hours=8)
        assert session.execute("select cast(sum(hours) as integer) from doctor") == [(hours,)]
        session.add(Doctor(name="Sum", hours=hours))


@pytest.mark.needs(TRANSACTIONS)
def test_a_flush_in_a_transaction_that_is_rolled_back_leaves_all_pending(db: Any) -> None:
    with db.session() as session:
        dan = Doctor(name="Dan")
        with pytest.raises(ZeroDivisionError), db.transaction():
            session.add(dan)
            session.flush()
            assert count(db, Doctor) == 3
            raise ZeroDivisionError
        assert count(db, Doctor) == 2
        assert list(session.new) == [dan]
    assert count(db, Doctor) == 3


@pytest.mark.needs(TRANSACTIONS)
def test_a_session_that_is_rolled_back_takes_the_transaction_it_flushed_into_along(
    db: Any,
) -> None:
    with pytest.raises(ZeroDivisionError), db.transaction() as transaction:
        with pytest.raises(ZeroDivisionError), db.session() as session:
            session.add(Doctor(name="Dan"))
            session.flush()
            raise ZeroDivisionError
        assert not transaction.is_active
        raise ZeroDivisionError
    assert count(db, Doctor) == 2


@pytest.mark.needs(TRANSACTIONS)
def test_a_commit_that_its_transaction_takes_back_is_pending_again(db: Any) -> None:
    with db.session() as session:
        ada = session.get(Doctor, "Ada")
        with pytest.raises(ZeroDivisionError), db.transaction():
            ada.hours = 4
            session.commit()
            assert session.last_commit == "committed"
            raise ZeroDivisionError
        assert session.last_commit == "rolled back"
        assert list(session.dirty) == [ada]
    assert rows(db, Doctor, "hours", name="Ada") == [(4,)]


@pytest.mark.needs(TRANSACTIONS)
def test_a_transaction_whose_commit_is_refused_leaves_its_sessions_pending(db: Any) -> None:
    with db.session() as session:
        ada = session.get(Doctor, "Ada")
        with pytest.raises(ForeignKeyError), db.transaction():
            ada.hours = 4
            session.commit()
            insert(db, Bed, id=9, ward_id=99, is_free=True)
        assert session.last_commit == "rolled back"
        assert list(session.dirty) == [ada]
        assert count(db, Bed) == 1
    assert rows(db, Doctor, "hours", name="Ada") == [(4,)]


@pytest.mark.needs(TRANSACTIONS)
def test_a_session_goes_on_at_a_new_point_after_its_commit(db: Any) -> None:
    with db.session(isolation="serializable") as session:
        session.get(Doctor, "Ada").hours = 1
        session.commit()
        change(db, "Bob", hours=6)
        assert session.get(Doctor, "Bob").hours == 6
        session.get(Doctor, "Bob").hours += 1
    assert rows(db, Doctor, "hours", order="name") == [(1,), (7,)]


@pytest.mark.needs(TRANSACTIONS)
def test_a_database_has_a_level_that_its_sessions_take(open_db: Opened, db: Any) -> None:
    strict = open_db(isolation="serializable")
    with strict.session() as session:
        session.get(Doctor, "Ada")
        change(db, "Ada", hours=3)
        session.get(Doctor, "Bob").hours = 1
        assert not attempt_commit(session)
