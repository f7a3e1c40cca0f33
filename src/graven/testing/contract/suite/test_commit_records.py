"""commit_record=True: a commit leaves a record, and db.committed() says whether it has happened."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest

from graven import ConcurrentUpdate, Model, UniqueError, UsageError, field
from graven.ops.recording import COMMITS
from graven.testing.contract import (
    RAW_SQL,
    SAVEPOINTS,
    TABLE_UNDO,
    TRANSACTIONS,
    Backend,
    count,
    insert,
    rows,
    shape,
    update,
)

Open = Callable[..., Any]


class Entry(Model):
    text: str = field(unique=True)
    size: int = 0


def ids(db: Any) -> list[UUID]:
    return [found for (found,) in rows(db, COMMITS, "id", happened=True)]


@pytest.mark.parametrize(
    "isolation",
    [
        "optimistic",
        *(
            pytest.param(one, marks=pytest.mark.needs(TRANSACTIONS))
            for one in ("snapshot", "serializable")
        ),
    ],
)
def test_each_commit_that_writes_leaves_a_record_of_its_own(
    open_db: Open, backend: Backend, isolation: str
) -> None:
    db = open_db(Entry, pool_size=1)
    assert shape(db, "graven_commit") is None or TABLE_UNDO not in backend.capabilities
    with db.session(isolation=isolation, commit_record=True) as session:
        first = Entry(text="first")
        session.query(Entry).all()
        session.add(first)
        session.commit()
        session.commit()  # nothing to write
        first.size = 1
        session.commit()
        session.add(Entry(text="second"), Entry(text="third"))
        session.query(Entry).count()
    found = ids(db)
    assert len(set(found)) == 3
    assert all(db.committed(one) for one in found)
    assert (count(db, Entry), count(db, COMMITS)) == (3, 3)


@pytest.mark.parametrize("how", ["flush", "lock", "own statements"])
@pytest.mark.needs(RAW_SQL)
def test_what_the_session_keeps_open_is_recorded_with_its_commit(open_db: Open, how: str) -> None:
    db = open_db(Entry, busy_timeout_s=0.2)
    with db.session() as session:
        session.add(Entry(text="first"))
    for at in (1, 2):
        with db.session(isolation="snapshot", commit_record=True) as session:
            entry = session.query(Entry).one()
            if how == "flush":
                entry.size = at
                session.flush()
            elif how == "lock":
                session.query(Entry).for_update().one().size = at
            else:
                session.execute(f"update entry set size = {at}")
        assert rows(db, Entry, "size") == [(at,)]
        assert len(ids(db)) == at


def test_a_refused_commit_leaves_no_record(open_db: Open) -> None:
    db = open_db(Entry)
    with db.session(commit_record=True) as session:
        session.add(Entry(text="taken"))
        session.commit()
        double = Entry(text="taken")
        session.add(double)
        with pytest.raises(UniqueError):
            session.commit()
        session.expunge(double)
        mine = session.query(Entry).one()
        update(db, Entry, mine.id, size=2)
        mine.size = 3
        with pytest.raises(ConcurrentUpdate):
            session.commit()
        session.rollback()
    assert count(db, COMMITS) == 1


@pytest.mark.needs(TRANSACTIONS)
def test_a_transaction_leaves_one_record_for_all_that_was_done_in_it(
    open_db: Open, backend: Backend
) -> None:
    db = open_db(Entry)
    with db.transaction(commit_record=True), db.session() as session:
        session.add(Entry(text="first"))
        session.commit()
    assert len(ids(db)) == 1
    with (
        db.transaction(),
        db.transaction(savepoint=SAVEPOINTS in backend.capabilities),
        db.session(commit_record=True) as session,
    ):
        session.add(Entry(text="second"))
        session.commit()
        session.add(Entry(text="third"))
    assert len(ids(db)) == 2
    with pytest.raises(KeyError), db.transaction(commit_record=True):
        insert(db, Entry, id=uuid4(), text="fourth", size=0)
        raise KeyError
    assert (count(db, Entry), count(db, COMMITS)) == (3, 2)


@pytest.mark.needs(TRANSACTIONS)
def test_a_database_can_have_all_commits_leave_records(open_db: Open) -> None:
    db = open_db(Entry, commit_record=True)
    with db.session() as session:
        session.add(Entry(text="first"))
    with db.transaction():
        pass
    for attempt in db.attempts():
        with attempt as session:
            session.query(Entry).one().size = 1
    with db.session(commit_record=False) as session:
        session.query(Entry).one().size = 2
    assert len(ids(db)) == 3


def test_what_was_said_not_to_have_happened_cannot_happen_any_more(open_db: Open) -> None:
    db = open_db()
    commit_id = uuid4()
    assert db.committed(commit_id) is False
    assert db.committed(commit_id) is False
    row = dict(zip(("at", "happened"), rows(db, COMMITS, "at", "happened")[0], strict=True))
    with pytest.raises(UniqueError):
        insert(db, COMMITS, id=commit_id, at=row["at"], happened=True)
    assert db.committed(commit_id) is False
    assert db.pool.out == 0


@pytest.mark.parametrize("given", [None, "yesterday", 7])
def test_a_commit_that_left_no_record_cannot_be_asked_for(open_db: Open, given: Any) -> None:
    with pytest.raises(UsageError, match="commit_record=True"):
        open_db().committed(given)
