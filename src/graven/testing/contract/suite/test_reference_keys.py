"""The key of a reference: readable without loading what is referred to, and a field of queries."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

import pytest

from graven import MappingError, Model, NotLoadedError, QueryError, UsageError, desc, in_, key, like

Open = Callable[..., Any]


class Genre(enum.Enum):
    CRIME = "crime"
    VERSE = "verse"


class Shelf(Model):
    genre: Genre = key()


class Publisher(Model):
    id: int = key()
    name: str = ""


class Author(Model):
    name: str = key()
    publisher: Publisher | None = None


class Work(Model):
    id: int = key()
    title: str = ""
    author: Author | None = None
    shelf: Shelf | None = None


class Translation(Work):
    translator: Author | None = None


class Edition(Model):
    work: str = key()
    year: int = key()


class Copy(Model):
    id: int = key()
    edition: Edition | None = None


class Made(Model):
    id: int = key(store_made=True)


class Uses(Model):
    id: int = key()
    made: Made | None = None


class Grumpy(Model):
    """Has something of its own by the name of a key."""

    id: int = key()
    author: Author | None = None

    @property
    def author_id(self) -> str:
        return "mine"


@pytest.fixture
def db(open_db: Open) -> Any:
    db = open_db(Work, Copy, Uses)
    with db.session() as session:
        house, room = Publisher(id=1, name="House"), Publisher(id=2, name="Room")
        ada, bob, cid = (
            Author(name="Ada", publisher=house),
            Author(name="Bob", publisher=room),
            Author(name="Cid"),
        )
        session.add(
            Work(id=1, author=bob, shelf=Shelf(genre=Genre.CRIME)),
            Work(id=2, author=ada),
            Translation(id=3, author=cid, translator=ada),
            Work(id=4),
            Copy(id=1, edition=Edition(work="Iron", year=1999)),
            Copy(id=2),
        )
    return db


def test_key_is_read_without_a_statement_and_without_loading(db: Any) -> None:
    with db.session() as session:
        works = session.query(Work).order_by(Work.id).all()
        texts: list[str] = []
        db.on_statement(lambda text, *_: texts.append(text))
        assert [one.author_id for one in works] == ["Bob", "Ada", "Cid", None]
        assert works[0].shelf_id is Genre.CRIME
        assert works[2].translator_id == "Ada"
        assert list(session.dirty) == []
        db.on_statement(None)
    assert texts == []
    assert works[0].author_id == "Bob"


def test_key_follows_what_is_set(db: Any) -> None:
    with db.session() as session:
        work = session.get(Work, 1)
        work.author = Author(name="Dan")
        assert work.author_id == "Dan"
        work.author = None
        assert work.author_id is None
        session.rollback()
        assert work.author_id == "Bob"
        fresh = Uses(id=1, made=Made())
        assert fresh.made_id is None
        session.add(fresh)
        session.commit()
        assert fresh.made_id == fresh.made.id


def test_key_of_several_fields_is_a_tuple(db: Any) -> None:
    with db.session() as session:
        first, second = session.query(Copy).order_by(Copy.id).all()
        assert (first.edition_id, second.edition_id) == (("Iron", 1999), None)
        assert session.query(Copy).where(Copy.edition_id == ("Iron", 1999)).one() is first


def test_key_is_a_field_of_queries_pending_changes_included(db: Any) -> None:
    def ids(query: Any) -> list[int]:
        return [one.id for one in query.order_by(Work.id).all()]

    with db.session() as session:
        query = session.query(Work)
        for _ in range(2):  # as stored, then with a change that is pending
            assert ids(query.where(Work.author_id == "Ada")) == [2]
            assert ids(query.where(Work.author_id != "Ada")) == [1, 3, 4]
            assert ids(query.where(in_(Work.author_id, ["Bob", None]))) == [1, 4]
            assert ids(query.where(Work.author_id > "Ada")) == [1, 3]
            assert ids(query.where(like(Work.author_id, "%d%"))) == [2, 3]
            assert ids(query.where(Work.shelf_id == Genre.CRIME)) == [1]
            assert ids(query.where(Work.author.publisher_id == 2)) == [1]
            by_author = query.order_by(desc(Work.author_id)).all()
            assert [one.id for one in by_author] == [3, 1, 2, 4]
            translated = session.query(Translation).where(Translation.translator_id == "Ada")
            assert [one.id for one in translated.all()] == [3]
            for work in query.all():
                work.title = "changed"


def test_key_is_neither_set_nor_followed_nor_included(db: Any) -> None:
    with db.session() as session:
        work = session.get(Work, 1)
        with pytest.raises(UsageError, match=r"cannot set Work\.author_id.*Set author"):
            work.author_id = "Ada"
        assert (work.author_id, list(session.dirty)) == ("Bob", [])
        with pytest.raises(QueryError, match=r"cannot follow Work\.author_id to 'name'"):
            session.query(Work).where(Work.author_id.name == "Ada")
        with pytest.raises(QueryError, match=r"Author has no such field"):
            session.query(Work).where(Work.author.name_id == "Ada")
        with pytest.raises(QueryError, match=r"cannot include Work\.author_id"):
            session.query(Work).include(Work.author_id)
        with pytest.raises(AttributeError, match="title_id"):
            _ = Work.title_id


def test_what_a_class_has_by_that_name_stays_and_a_field_is_refused() -> None:
    assert Grumpy(id=1, author=Author(name="Ada")).author_id == "mine"

    class Clash(Model):
        id: int = key()
        author: Author
        author_id: str = ""

    with pytest.raises(MappingError, match=r"'author' and 'author_id' would share the column"):
        Clash(id=1, author=Author(name="Ada"))


def test_loading_a_reference_of_one_leaves_the_none_that_was_set_on_its_peers(db: Any) -> None:
    with db.session() as session:
        first, second = session.query(Work).order_by(Work.id).limit(2).all()
        first.author = None
        try:
            author = second.author
        except NotLoadedError:
            session.load(second, Work.author)
            author = second.author
        assert (first.author, author.name) == (None, "Ada")
        session.commit()
    with db.session() as session:
        assert session.get(Work, 1).author_id is None
