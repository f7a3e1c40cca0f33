"""A flush lets the store see what is pending; it stays pending, and can be taken back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from graven import DataError, Model, ScopeError, SessionError, field, key
from graven.testing.contract import RAW_SQL, TRANSACTIONS, rows

pytestmark = pytest.mark.needs(TRANSACTIONS)

Open = Callable[..., Any]


class Sheet(Model):
    id: int = key()
    text: str = ""
    marks: list[str] = field(default_factory=list)


class Numbered(Model):
    id: int = key(store_made=True)
    text: str = ""


def stored(db: Any) -> dict[int, str]:
    with db.session() as session:
        return {one.id: one.text for one in session.query(Sheet).all()}


def seen(session: Any) -> list[tuple[int, str]]:
    return rows(session, Sheet, "id", "text")


def filled(open_db: Open) -> Any:
    db = open_db(Sheet, Numbered)
    with db.session() as session:
        session.add(Sheet(id=1, text="one"), Sheet(id=2, text="two"))
    return db


def change(session: Any) -> list[Sheet]:
    """Change one sheet, delete one, add one."""
    one, two, three = session.get(Sheet, 1), session.get(Sheet, 2), Sheet(id=3, text="three")
    one.text = "changed"
    session.delete(two)
    session.add(three)
    return [one, two, three]


def test_flushed_changes_are_seen_by_the_sessions_statements_and_by_nobody_else(
    open_db: Open,
) -> None:
    db = filled(open_db)
    with db.session() as session:
        one, two, three = change(session)
        session.flush()
        assert seen(session) == [(1, "changed"), (3, "three")]
        assert stored(db) == {1: "one", 2: "two"}
        assert (list(session.new), list(session.dirty)) == ([three], [one])
        assert list(session.deleted) == [two]
        session.commit()
        assert not session.dirty
    assert stored(db) == {1: "changed", 3: "three"}


def test_rollback_takes_a_flush_back(open_db: Open) -> None:
    db = filled(open_db)
    with db.session() as session:
        one, two, three = change(session)
        session.flush()
        session.rollback()
        assert (one.text, session.get(Sheet, 2)) == ("one", two)
        assert session.state(three) is None
        one.text = "after"
    assert stored(db) == {1: "after", 2: "two"}


def test_later_cancel_of_what_was_flushed_is_compensated(open_db: Open) -> None:
    db = filled(open_db)
    with db.session() as session:
        session.begin()
        one, two, three = change(session)
        one.marks.append("x")
        session.flush()
        session.cancel()
        assert (one.text, one.marks, session.get(Sheet, 2)) == ("one", [], two)
        assert session.state(three) is None
        session.flush()
        assert seen(session) == [(1, "one"), (2, "two")]
    assert stored(db) == {1: "one", 2: "two"}
    with db.session() as session:
        session.get(Sheet, 1).text = "and it goes on"
    assert stored(db)[1] == "and it goes on"


def test_flush_then_more_changes_then_commit_writes_the_last_word(open_db: Open) -> None:
    db = filled(open_db)
    with db.session() as session:
        one, two, three = change(session)
        session.flush()
        one.text, three.text = "last", "last"
        session.add(two)
        two.text = "last"
        session.flush()
        session.delete(three)
    assert stored(db) == {1: "last", 2: "last"}


def test_inner_commit_after_a_flush_leaves_the_outer_changes_pending(open_db: Open) -> None:
    db = filled(open_db)
    with db.session() as session:
        one, two, three = change(session)
        with session.begin():
            session.add(Sheet(id=4, text="inner"))
            session.flush()
            assert len(seen(session)) == 3
        assert stored(db) == {1: "one", 2: "two", 4: "inner"}
        assert (list(session.new), list(session.dirty)) == ([three], [one])
        assert list(session.deleted) == [two]
        session.commit(one)
        assert stored(db) == {1: "changed", 2: "two", 4: "inner"}
    assert stored(db) == {1: "changed", 3: "three", 4: "inner"}


@pytest.mark.needs(RAW_SQL)
def test_part_of_a_flush_is_not_committed_over_statements_of_ones_own(open_db: Open) -> None:
    db = filled(open_db)
    with db.session() as session:
        one, *_ = change(session)
        session.flush()
        session.execute("insert into sheet values (9, 'mine', '[]', 1)")
        with pytest.raises(ScopeError, match="statements of your own"):
            session.commit(one)
        session.commit()
    assert stored(db) == {1: "changed", 3: "three", 9: "mine"}


def test_failed_flush_leaves_memory_as_it_was(open_db: Open) -> None:
    db = filled(open_db)
    with db.session() as session:
        one, _, three = change(session)
        three.text = 3  # type: ignore[assignment]
        with pytest.raises(DataError):
            session.flush()
        assert (list(session.new), list(session.dirty)) == ([three], [one])
        three.text = "three"
        session.flush()
        one.marks.append(object())  # type: ignore[arg-type]
        with pytest.raises(DataError):
            session.commit()
        one.marks.clear()
    assert stored(db) == {1: "changed", 3: "three"}


def test_keys_made_by_the_store_come_with_a_flush_and_go_with_a_rollback(open_db: Open) -> None:
    db = filled(open_db)
    with db.session() as session:
        for end in (session.rollback, session.cancel):
            made = Numbered(text="made")
            session.add(made)
            session.flush()
            assert session.get(Numbered, made.id) is made
            end()
            assert made.id is None
            assert session.get(Numbered, 1) is None
        session.add(made)
        session.flush()
        number = made.id
        session.commit()
        assert made.id == number
    with db.session() as session:
        assert [one.text for one in session.query(Numbered).all()] == ["made"]


def test_what_was_flushed_cannot_be_forgotten(open_db: Open) -> None:
    db = filled(open_db)
    with db.session() as session:
        one, _, three = change(session)
        session.flush()
        for call in (session.clear, lambda: session.expunge(one), lambda: session.expunge(three)):
            with pytest.raises(SessionError, match="flushed"):
                call()
        session.rollback()
        session.clear()
    assert stored(db) == {1: "one", 2: "two"}


def test_closing_a_session_undoes_its_flush(open_db: Open) -> None:
    db = filled(open_db)
    session = db.session()
    one, *_ = change(session)
    session.flush()
    session.close()
    assert one.text == "changed"
    with db.session() as other:
        other.add(one)
    assert stored(db) == {1: "changed", 2: "two"}
