"""A row that was deleted and made anew never passes for the old one, whoever chose its key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from graven import ConcurrentUpdate, Model, key


class Book(Model):
    title: str = ""


class Handmade(Model):
    """Has a constructor of its own."""

    title: str = ""

    def __init__(self, given: Any = None) -> None:
        if given is not None:
            self.id = given


class Counted(Model):
    id: int = key(store_made=True)
    title: str = ""


Open = Callable[..., Any]
MODELS = (Book, Handmade, Counted)


@pytest.fixture
def db(open_db: Open) -> Any:
    return open_db(*MODELS)


def version_of(db: Any, model: Any, wanted: Any) -> int:
    with db.session() as session:
        return int(session.get(model, wanted)._origin.version)


def stored(db: Any, one: Any) -> Any:
    with db.session() as session:
        session.add(one)
    return one.id


def given(model: Any, wanted: Any) -> Any:
    return Handmade(wanted) if model is Handmade else model(id=wanted)


@pytest.mark.parametrize("model", MODELS)
def test_key_that_was_made_begins_at_1_and_the_same_key_given_does_not(db: Any, model: Any) -> None:
    made = stored(db, model())
    assert version_of(db, model, made) == 1

    with db.session() as reader:
        old = reader.get(model, made)
        with db.session() as session:
            session.delete(session.get(model, made))
        stored(db, given(model, made))
        assert version_of(db, model, made) > 1

        old.title = "for the row that is gone"
        with pytest.raises(ConcurrentUpdate):
            reader.commit()
        reader.rollback()


def test_key_that_is_assigned_is_a_given_one(db: Any) -> None:
    wanted = Book().id
    book = Book()
    book.id = wanted
    assert version_of(db, Book, stored(db, book)) > 1


def test_object_that_was_deleted_and_is_added_again_is_no_new_one(db: Any) -> None:
    with db.session() as session:
        book = Book()
        session.add(book)
        session.commit()
        assert book._origin.version == 1
        session.delete(book)
        session.commit()
        session.add(book)
        session.commit()
        assert book._origin.version > 1


def test_object_whose_commit_failed_is_still_a_new_one(db: Any) -> None:
    with db.session() as session:
        book = Book(title=3)  # type: ignore[arg-type]
        session.add(book)
        with pytest.raises(Exception, match="title"):
            session.commit()
        book.title = "three"
        session.commit()
        assert book._origin.version == 1
