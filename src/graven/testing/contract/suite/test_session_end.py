"""How a session ends, in both colours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from graven import Model, ScopeError, SessionError, UniqueError, field, key
from graven.testing.contract import TRANSACTIONS

Open = Callable[..., Any]


class Guest(Model):
    id: int = key()
    name: str = field(default="", unique=True)


def stored(db: Any) -> dict[int, str]:
    with db.session() as session:
        return {one.id: one.name for one in session.query(Guest).all()}


@pytest.mark.needs(TRANSACTIONS)
def test_leaving_the_block_commits_and_an_exception_rolls_back(open_db: Open) -> None:
    db = open_db(Guest)
    with db.session() as session:
        session.add(Guest(id=1, name="Ada"))
    with pytest.raises(KeyError), db.session() as session:
        session.get(Guest, 1).name = "lost"
        session.add(Guest(id=2, name="lost too"))
        session.flush()
        raise KeyError
    assert stored(db) == {1: "Ada"}


def test_every_call_on_a_session_that_has_ended_is_refused(open_db: Open) -> None:
    db = open_db(Guest)
    with db.session() as session:
        guest = Guest(id=1, name="Ada")
        session.add(guest)
        scope = session.atomic()
        scope.confirm()
    calls: list[Callable[[], Any]] = [
        lambda: session.add(Guest(id=2)),
        lambda: session.delete(guest),
        lambda: session.expunge(guest),
        lambda: session.import_instance(guest),
        lambda: session.has_key(Guest, 1),
        lambda: session.guard(guest),
        lambda: session.refresh(guest),
        lambda: session.get(Guest, 1),
        lambda: session.get_one(Guest, 1),
        lambda: session.query(Guest),
        lambda: session.execute("select 1"),
        session.clear,
        session.begin,
        session.atomic,
        session.confirm,
        session.cancel,
        session.commit,
        session.rollback,
        session.flush,
        session.plan,
        session.explain,
        session.__enter__,
    ]
    for call in calls:
        with pytest.raises(SessionError, match="has ended"):
            call()
    session.close()
    assert stored(db) == {1: "Ada"}


def test_a_session_left_with_a_scope_open_names_it_and_writes_nothing(open_db: Open) -> None:
    db = open_db(Guest)
    with pytest.raises(ScopeError, match="still open") as caught, db.session() as session:
        session.add(Guest(id=1))
        scope = session.begin()
        made = Guest(id=2, name="inner")
        session.add(made)
    assert caught.value.scope is not None
    assert scope.is_open
    assert stored(db) == {}
    with db.session() as session:
        session.add(made)
    assert stored(db) == {2: "inner"}


def test_a_scope_left_open_does_not_hide_the_exception_of_the_block(open_db: Open) -> None:
    db = open_db(Guest)
    with pytest.raises(KeyError), db.session() as session:
        session.begin()
        session.add(Guest(id=1))
        raise KeyError
    assert stored(db) == {}


def test_commit_refused_on_leaving_raises_and_the_objects_keep_their_edits(open_db: Open) -> None:
    db = open_db(Guest)
    with db.session() as session:
        session.add(Guest(id=1, name="Ada"), Guest(id=2, name="Bob"))
    with pytest.raises(UniqueError), db.session() as session:
        bob = session.get(Guest, 2)
        bob.name = "Ada"
    assert bob.name == "Ada"
    with pytest.raises(SessionError):
        session.commit()
    bob.name = "Bea"
    with db.session() as session:
        session.add(bob)
    assert stored(db) == {1: "Ada", 2: "Bea"}


def test_close_writes_nothing_and_can_be_called_again(open_db: Open) -> None:
    db = open_db(Guest)
    session = db.session()
    session.add(Guest(id=1))
    session.close()
    session.close()
    assert stored(db) == {}


def test_a_session_closed_inside_its_block_is_left_in_peace(open_db: Open) -> None:
    db = open_db(Guest)
    with db.session() as session:
        session.add(Guest(id=1))
        session.close()
    assert stored(db) == {}
