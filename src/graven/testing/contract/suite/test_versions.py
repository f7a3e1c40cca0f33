"""Who else changed it: guards, what a lost race tells, and what is left afterwards."""

from __future__ import annotations

import gc
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from graven import (
    ConcurrentUpdate,
    Conflict,
    FieldConflict,
    Model,
    UniqueError,
    field,
    key,
    many_to_many,
)
from graven.errors import DataError, NotFoundError, SessionError
from graven.testing.contract import TRANSACTIONS, count, rows


class Safe(Model):
    id: int = key()
    owner: str
    coins: int = 0
    note: str | None = None


class Loose(Model, guard="fields"):
    id: int = key()
    title: str | None
    pages: int = 0


class Open(Model, guard="none"):
    id: int = key()
    hits: int = 0


class Member(Model):
    id: int = key(store_made=True)
    email: str = field(unique=True)
    name: str = ""


class Label(Model):
    id: int = key()
    word: str


class Article(Model):
    id: int = key()
    title: str
    labels: list[Label] = many_to_many()


class Shelf(Model):
    id: int = key()
    place: str


class Folder(Model):
    id: int = key()
    shelf: Shelf
    name: str


Opened = Callable[..., Any]


def put(db: Any, *objects: Any) -> None:
    with db.session() as session:
        session.add(*objects)


def test_an_update_on_a_version_that_is_gone_tells_base_mine_and_theirs(open_db: Opened) -> None:
    db = open_db(Safe)
    put(db, Safe(id=1, owner="Ada", coins=10))
    session = db.session()
    mine = session.get(Safe, 1)
    first = mine._origin.version
    with db.session() as other:
        theirs = other.get(Safe, 1)
        theirs.coins, theirs.note = 15, "paid"
    mine.coins, mine.owner = 7, "Eve"

    with pytest.raises(ConcurrentUpdate) as caught:
        session.commit()

    assert caught.value.conflicts == (
        Conflict(
            "Safe",
            1,
            first,
            first + 1,
            {
                "owner": FieldConflict("Ada", "Eve", "Ada"),
                "coins": FieldConflict(10, 7, 15),
                "note": FieldConflict(None, None, "paid"),
            },
        ),
    )
    assert (caught.value.key, caught.value.expected, caught.value.found) == (1, first, first + 1)
    assert "coins: base 10 mine 7 theirs 15" in str(caught.value)
    assert rows(db, Safe, "owner", "coins") == [("Ada", 15)]
    assert (mine.coins, mine.owner) == (7, "Eve")
    assert list(session.dirty) == [mine]
    session.close()


def test_after_a_refresh_the_same_commit_works(open_db: Opened) -> None:
    db = open_db(Safe)
    put(db, Safe(id=1, owner="Ada", coins=10))
    with db.session() as session:
        mine = session.get(Safe, 1)
        with db.session() as other:
            other.get(Safe, 1).coins = 15
        mine.owner = "Eve"
        with pytest.raises(ConcurrentUpdate):
            session.commit()
        session.refresh(mine, keep_changes=True)

    assert rows(db, Safe, "owner", "coins") == [("Eve", 15)]


def test_an_update_of_a_row_that_was_deleted_finds_version_0(open_db: Opened) -> None:
    db = open_db(Safe)
    put(db, Safe(id=1, owner="Ada"))
    with db.session() as session:
        mine = session.get(Safe, 1)
        with db.session() as other:
            other.delete(other.get(Safe, 1))
        mine.coins = 3
        with pytest.raises(ConcurrentUpdate, match="it is gone") as caught:
            session.commit()
        session.rollback()
        with pytest.raises(NotFoundError):
            session.refresh(mine)

    (conflict,) = caught.value.conflicts or ()
    assert conflict.found == 0
    assert conflict.fields["coins"] == FieldConflict(0, 3, None)
    assert count(db, Safe) == 0


def test_a_row_deleted_and_made_anew_never_passes_for_the_old_one(open_db: Opened) -> None:
    db = open_db(Safe)
    versions = set()
    for _ in range(20):
        put(db, Safe(id=1, owner="Ada"))
        versions |= {row[0] for row in rows(db, Safe, "version")}
        with db.session() as session:
            mine = session.get(Safe, 1)
            with db.session() as other:
                other.delete(other.get(Safe, 1))
            put(db, Safe(id=1, owner="Bob"))
            mine.coins = 99
            with pytest.raises(ConcurrentUpdate) as caught:
                session.commit()
            session.rollback()
        (conflict,) = caught.value.conflicts or ()
        assert conflict.found not in (0, conflict.expected)
        assert conflict.fields["owner"] == FieldConflict("Ada", "Ada", "Bob")
        with db.session() as session:
            session.delete(session.get(Safe, 1))
    assert len(versions) == 20


def test_a_delete_of_what_somebody_changed_is_refused(open_db: Opened) -> None:
    db = open_db(Safe)
    put(db, Safe(id=1, owner="Ada", coins=10))
    with db.session() as session:
        mine = session.get(Safe, 1)
        with db.session() as other:
            other.get(Safe, 1).coins = 15
        session.delete(mine)
        with pytest.raises(ConcurrentUpdate) as caught:
            session.commit()
        assert list(session.deleted) == [mine]
        session.rollback()

    assert (caught.value.conflicts or ())[0].fields == {"coins": FieldConflict(10, 10, 15)}
    assert rows(db, Safe, "coins") == [(15,)]


def test_everybody_who_lost_is_named_whatever_the_table(open_db: Opened) -> None:
    db = open_db(Safe, Label, Open)
    put(
        db, *(Safe(id=n, owner="Ada") for n in range(4)), *(Label(id=n, word="x") for n in range(3))
    )
    with db.session() as session:
        safes, labels = session.query(Safe).all(), session.query(Label).all()
        with db.session() as other:
            other.get(Safe, 1).coins = 5
            other.get(Safe, 3).coins = 5
            other.delete(other.get(Label, 2))
        for one in safes:
            one.owner = "Eve"
        labels[1].word = "y"
        session.delete(labels[2])
        session.add(Label(id=9, word="new"), Open(id=1))
        with pytest.raises(ConcurrentUpdate) as caught:
            session.commit()
        assert len(session.dirty) == 5
        session.rollback()

    lost = {(one.model, one.key, one.found == 0) for one in caught.value.conflicts or ()}
    assert lost == {("Safe", 1, False), ("Safe", 3, False), ("Label", 2, True)}
    assert count(db, Safe, owner="Eve") == 0
    assert rows(db, Label, "id") == [(0,), (1,)]
    assert rows(db, Open) == []
    assert pickle.loads(pickle.dumps(caught.value)).conflicts == caught.value.conflicts


def test_a_refresh_takes_a_deletion_back_unless_changes_are_kept(open_db: Opened) -> None:
    db = open_db(Safe)
    put(db, Safe(id=1, owner="Ada"))
    with db.session() as session:
        ada = session.get(Safe, 1)
        with db.session() as other:
            other.get(Safe, 1).coins = 5
        session.delete(ada)
        session.refresh(ada)
        assert list(session.deleted) == []
        assert (ada.coins, session.get(Safe, 1)) == (5, ada)
        ada.coins += 1
    assert rows(db, Safe, "coins") == [(6,)]


def test_of_many_deletes_those_that_lost_are_named(open_db: Opened) -> None:
    db = open_db(Safe)
    put(db, *(Safe(id=n, owner="Ada") for n in range(6)))
    with db.session() as session:
        safes = session.query(Safe).order_by(Safe.id).all()
        with db.session() as other:
            other.get(Safe, 4).coins = 5
        session.delete(*safes)
        with pytest.raises(ConcurrentUpdate) as caught:
            session.commit()
        session.refresh(safes[4], keep_changes=True)
        session.commit()
    assert [one.key for one in caught.value.conflicts or ()] == [4]
    assert rows(db, Safe) == []


def test_somebody_who_wrote_the_very_same_is_a_lost_race_all_the_same(open_db: Opened) -> None:
    db = open_db(Safe)
    put(db, *(Safe(id=n, owner="Ada") for n in range(3)))
    with db.session() as session:
        safes = session.query(Safe).order_by(Safe.id).all()
        with db.session() as other:
            other.get(Safe, 1).coins = 5
        for one in safes:
            one.coins = 5
        with pytest.raises(ConcurrentUpdate) as caught:
            session.commit()
        session.rollback()
    assert 1 in [one.key for one in caught.value.conflicts or ()]
    assert sum(coins for (coins,) in rows(db, Safe, "coins")) == 5


def test_the_version_first_read_is_kept_though_the_object_was_dropped(open_db: Opened) -> None:
    db = open_db(Safe)
    put(db, Safe(id=1, owner="Ada", coins=10))
    with db.session() as session:
        session.get(Safe, 1)
        gc.collect()
        with db.session() as other:
            other.get(Safe, 1).coins = 15
        again = session.get(Safe, 1)
        again.coins += 1
        with pytest.raises(ConcurrentUpdate):
            session.commit()
        session.rollback()
    assert rows(db, Safe, "coins") == [(15,)]


def test_an_absence_first_read_is_kept_though_the_object_appeared(open_db: Opened) -> None:
    db = open_db(Safe)
    with db.session() as session:
        assert session.get(Safe, 1) is None
        put(db, Safe(id=1, owner="Ada", coins=10))
        session.query(Safe).one()
        gc.collect()
        found = session.query(Safe).one()
        found.coins = 0
        with pytest.raises(ConcurrentUpdate) as caught:
            session.commit()
        assert caught.value.expected == 0
        session.rollback()
        session.refresh(session.query(Safe).one())
        session.query(Safe).one().coins = 1
    assert rows(db, Safe, "coins") == [(1,)]


def test_inserting_a_key_that_was_read_as_free_is_a_lost_race(open_db: Opened) -> None:
    db = open_db(Safe)
    with db.session() as session:
        assert session.get(Safe, 1) is None
        put(db, Safe(id=1, owner="Bob"))
        found = rows(db, Safe, "version")[0][0]
        session.add(*(Safe(id=n, owner="Eve") for n in range(1, 30)))
        with pytest.raises(ConcurrentUpdate, match="Safe 1 was not there") as caught:
            session.commit()
        assert len(session.new) == 29
        session.rollback()

    assert [(one.key, one.expected, one.found) for one in caught.value.conflicts or ()] == [
        (1, 0, found)
    ]
    assert rows(db, Safe, "owner") == [("Bob",)]


@pytest.mark.parametrize("total", [1, 5, 15, 250])
def test_inserting_a_key_that_is_taken_names_the_object(open_db: Opened, total: int) -> None:
    db = open_db(Safe)
    taken = total // 2
    put(db, Safe(id=taken, owner="Bob"))
    with db.session() as session:
        session.add(*(Safe(id=n, owner="Eve") for n in range(total)))
        with pytest.raises(UniqueError) as caught:
            session.commit()
        assert len(session.new) == total
        session.rollback()

    error = caught.value
    assert (error.model, error.key, error.columns) == ("Safe", taken, ("id",))
    assert f"cannot write Safe {taken}" in str(error)
    assert rows(db, Safe, "owner") == [("Bob",)]


@pytest.mark.parametrize("total", [1, 5, 15, 250])
def test_a_unique_field_that_is_taken_names_the_object_that_wants_it(
    open_db: Opened, total: int
) -> None:
    db = open_db(Member)
    put(db, Member(email="x3", name="first"))
    with db.session() as session:
        members = [Member(email=f"x{n + 3}", name="second") for n in range(total)]
        session.add(*reversed(members))
        with pytest.raises(UniqueError) as caught:
            session.commit()
        assert [one.id for one in members] == [None] * total
        members[0].email = "free"

    assert (caught.value.model, caught.value.columns) == ("Member", ("email",))
    assert "member 1 has the same" in str(caught.value)
    assert count(db, Member) == total + 1


def test_two_new_objects_that_want_the_same_value_are_told_apart(open_db: Opened) -> None:
    db = open_db(Member)
    with db.session() as session:
        session.add(Member(email="a"), Member(email="b"), Member(id=7, email="b"))
        with pytest.raises(UniqueError):
            session.commit()
        session.rollback()
        session.add(*(Member(id=n, email=str(n % 12)) for n in range(14)))
        with pytest.raises(UniqueError, match="another object of the same commit") as caught:
            session.commit()
        session.rollback()
    assert caught.value.key == 12


def test_an_update_to_a_value_that_is_taken_names_the_object(open_db: Opened) -> None:
    db = open_db(Member)
    put(db, *(Member(id=n, email=str(n)) for n in range(1, 7)))
    with db.session() as session:
        members = session.query(Member).order_by(Member.id).limit(5).all()
        for one in members:
            one.name = "x"
            one.email = {2: "free", 4: "6"}.get(one.id, one.email + "!")
        with pytest.raises(UniqueError) as caught:
            session.commit()
        assert len(session.dirty) == 5
        session.rollback()
    assert (caught.value.model, caught.value.key) == ("Member", 4)


def test_guard_fields_lets_edits_of_different_fields_pass(open_db: Opened) -> None:
    db = open_db(Loose)
    put(db, Loose(id=1, title=None, pages=10))
    with db.session() as session:
        mine = session.get(Loose, 1)
        with db.session() as other:
            other.get(Loose, 1).pages = 11
        mine.title = "new"
        session.commit()
        mine.title = "newer"

    assert rows(db, Loose, "title", "pages") == [("newer", 11)]


def test_guard_fields_refuses_edits_of_the_same_field(open_db: Opened) -> None:
    db = open_db(Loose)
    put(db, Loose(id=1, title=None, pages=10), Loose(id=2, title="b"))
    with db.session() as session:
        mine, second = session.query(Loose).all()
        with db.session() as other:
            other.get(Loose, 1).title = "theirs"
            other.get(Loose, 2).pages = 5
        mine.title = "mine"
        second.title = "B"
        with pytest.raises(ConcurrentUpdate) as caught:
            session.commit()
        session.rollback()

    (conflict,) = caught.value.conflicts or ()
    assert conflict.key == 1
    assert conflict.fields == {"title": FieldConflict(None, "mine", "theirs")}
    assert rows(db, Loose, "title") == [("theirs",), ("b",)]


def test_guard_none_overwrites_but_never_writes_into_nothing(open_db: Opened) -> None:
    db = open_db(Open)
    put(db, Open(id=1), Open(id=2), Open(id=3))
    with db.session() as session:
        first, second, third = session.query(Open).all()
        with db.session() as other:
            other.get(Open, 1).hits = 5
            other.delete(other.get(Open, 2), other.get(Open, 3))
        first.hits = 7
        session.commit()
        session.delete(third)
        session.commit()
        second.hits = 8
        with pytest.raises(ConcurrentUpdate) as caught:
            session.commit()
        session.rollback()

    assert [(one.key, one.found) for one in caught.value.conflicts or ()] == [(2, 0)]
    assert rows(db, Open, "id", "hits") == [(1, 7)]


def test_pairs_that_two_sessions_add_or_remove_are_a_lost_race(open_db: Opened) -> None:
    db = open_db(Article, Label)
    put(db, Label(id=1, word="x"), Label(id=2, word="y"))
    with db.session() as session:
        session.add(Article(id=1, title="a", labels=[session.get(Label, 1)]))
    with db.session() as session:
        article = session.query(Article).include(Article.labels).one()
        labels = session.query(Label).order_by(Label.id).all()
        with db.session() as other:
            theirs = other.query(Article).include(Article.labels).one()
            theirs.labels[:] = [other.get(Label, 2)]
        article.labels.append(labels[1])
        with pytest.raises(ConcurrentUpdate, match="is there already"):
            session.commit()
        article.labels.remove(labels[1])
        article.labels.remove(labels[0])
        with pytest.raises(ConcurrentUpdate, match="is gone already"):
            session.commit()
        session.rollback()
    assert count(db, Label) == 2


def test_an_object_that_is_guarded_is_checked_though_it_is_not_written(open_db: Opened) -> None:
    db = open_db(Safe)
    put(db, Safe(id=1, owner="Ada", coins=10), Safe(id=2, owner="Bob"))
    with db.session() as session:
        ada, bob = session.query(Safe).order_by(Safe.id).all()
        session.guard(ada)
        with db.session() as other:
            other.get(Safe, 1).coins = 9
        bob.coins = 1
        with pytest.raises(ConcurrentUpdate) as caught:
            session.commit()
        assert (caught.value.conflicts or ())[0].fields == {"coins": FieldConflict(10, 10, 9)}
        session.refresh(ada)
        session.commit()
        with db.session() as other:
            other.get(Safe, 1).coins = 8
        bob.coins = 2
    assert rows(db, Safe, "coins") == [(8,), (2,)]


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
def test_a_commit_that_writes_nothing_checks_what_is_guarded(
    open_db: Opened, isolation: str
) -> None:
    db = open_db(Safe)
    put(db, Safe(id=1, owner="Ada", coins=10))
    with db.session(isolation=isolation) as session:
        ada = session.get(Safe, 1)
        session.guard(ada)
        with db.session() as other:
            other.delete(other.get(Safe, 1))
        with pytest.raises(ConcurrentUpdate) as caught:
            session.commit()
        session.expunge(ada)
    assert caught.value.found == 0


def test_only_objects_of_the_session_can_be_guarded(open_db: Opened) -> None:
    db = open_db(Safe)
    with db.session() as session:
        with pytest.raises(SessionError, match="not part of this session"):
            session.guard(Safe(id=1, owner="Ada"))
        new = Safe(id=2, owner="Bob")
        session.add(new)
        session.guard(new)
    assert rows(db, Safe, "id") == [(2,)]


def test_an_edit_made_outside_a_session_is_checked_when_it_is_brought_back(
    open_db: Opened,
) -> None:
    db = open_db(Safe)
    put(db, Safe(id=1, owner="Ada", coins=10), Safe(id=2, owner="Bob"))
    with db.session() as session:
        ada, bob = session.query(Safe).order_by(Safe.id).all()
    ada.coins = 11
    bob.coins = 1
    with db.session() as other:
        other.get(Safe, 1).owner = "Eve"
    with db.session() as session:
        session.add(bob)
    with db.session() as session:
        session.add(ada)
        with pytest.raises(ConcurrentUpdate) as caught:
            session.commit()
        session.rollback()

    assert (caught.value.conflicts or ())[0].fields == {
        "owner": FieldConflict("Ada", "Ada", "Eve"),
        "coins": FieldConflict(10, 11, 10),
    }
    assert rows(db, Safe, "owner", "coins") == [("Eve", 10), ("Bob", 1)]


def test_a_reference_in_a_conflict_is_told_by_key(open_db: Opened) -> None:
    db = open_db(Shelf, Folder)
    shelves = [Shelf(id=n, place=str(n)) for n in range(3)]
    put(db, Folder(id=1, shelf=shelves[0], name="f"), *shelves)
    with db.session() as session:
        folder, one = session.get(Folder, 1), session.get(Shelf, 1)
        with db.session() as other:
            other.get(Folder, 1).shelf = other.get(Shelf, 2)
        folder.shelf = one
        with pytest.raises(ConcurrentUpdate) as caught:
            session.commit()
        session.rollback()
    assert (caught.value.conflicts or ())[0].fields == {"shelf": FieldConflict(0, 1, 2)}


@pytest.mark.needs(TRANSACTIONS)
def test_a_commit_of_one_row_is_one_statement_and_of_more_one_transaction(
    open_db: Opened,
) -> None:
    db = open_db(Safe, Label)
    seen: list[str] = []
    put(db, Safe(id=1, owner="Ada"))
    with db.session() as session:
        ada = session.get(Safe, 1)
        db.on_statement(lambda text, *_: seen.append(text.split()[0].lower()))
        ada.coins = 1
        session.commit()
        assert seen == ["update"]
        session.add(Label(id=1, word="x"))
        session.commit()
        assert seen[1:] == ["insert"]
        session.delete(ada)
        session.commit()
        assert seen[2:] in (["delete"], ["find", "delete"])  # it may have to ask who refers to it
        seen.clear()
        session.add(Label(id=2, word="x"), Safe(id=2, owner="Bob"))
        session.commit()
        assert seen in (["begin", "insert", "insert", "commit"], ["bulkwrite", "commit"])
        seen.clear()
        session.commit()
        assert seen == []
        db.on_statement(None)


def test_bad_input_is_refused_before_anything_is_written(open_db: Opened) -> None:
    db = open_db(Safe)
    with db.session() as session:
        session.add(Safe(id=1, owner="Ada"))
        wrong = Safe(id=2, owner="Bob")
        session.add(wrong)
        wrong.coins = "many"
        with pytest.raises(DataError):
            session.commit()
        assert session.last_commit == "rolled back"
        assert rows(db, Safe) == []
        wrong.coins = 2
    assert rows(db, Safe, "coins") == [(0,), (2,)]
