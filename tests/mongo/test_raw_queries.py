"""query.from_filter and query.from_pipeline: MongoDB's own language makes tracked objects."""

from __future__ import annotations

from typing import Any

import pytest

from graven import ConcurrentUpdate, Database, DataError, Model, QueryError, UsageError, key
from graven.testing.contract.proxy import Colour
from tests.mongo.raw import Raw


class Shelf(Model):
    id: int = key()
    place: str = ""


class Book(Model):
    id: int = key()
    title: str = ""
    pages: int = 0
    notes: dict[str, Any] | None = None
    shelf: Shelf | None = None


class Atlas(Book):
    scale: int = 1


@pytest.fixture
def db(url: str, colour: Colour) -> Any:
    db = colour.open(url)
    db.create(Shelf, Book)
    with db.session() as session:
        shelf = Shelf(id=1, place="left")
        session.add(*[Book(id=n, title=f"book {n}", pages=n * 10) for n in range(5)])
        session.add(Book(id=5, notes={"by": {"name": "Ada"}}, shelf=shelf), Atlas(id=6, pages=60))
    return db


def test_a_filter_finds_tracked_objects_whose_changes_are_committed(db: Any) -> None:
    with db.session() as session:
        books = session.query(Book).from_filter({"pages": {"$gt": 20}, "title": {"$ne": ""}}).all()
        assert sorted(one.id for one in books) == [3, 4]
        assert books[0] is session.get(Book, books[0].id)
        books[0].title = "changed"
    with db.session() as session:
        assert session.query(Book).where(Book.title == "changed").one() == session.get(Book, 3)


def test_a_filter_asks_what_is_inside_of_containers(db: Any) -> None:
    with db.session() as session:
        (book,) = session.query(Book).from_filter({"notes.by.name": "Ada"}).all()
        assert book.notes == {"by": {"name": "Ada"}}
        included = session.query(Book).from_filter({"shelf_id": 1}).include(Book.shelf).one()
        assert included.shelf.place == "left"


def test_a_pipeline_orders_and_cuts_and_the_query_may_cut_again(db: Any) -> None:
    stages = [{"$match": {"pages": {"$gte": 10}}}, {"$sort": {"pages": -1}}]
    with db.session() as session:
        query = session.query(Book).from_pipeline(stages)
        assert [one.id for one in query.all()] == [6, 4, 3, 2, 1]
        assert [one.id for one in query.offset(1).limit(2).all()] == [4, 3]
        assert [one.id for one in session.query(Atlas).from_pipeline(stages).all()] == [6]
        assert query.count() == 5


def test_what_a_filter_found_is_checked_by_a_serializable_commit(db: Any, url: str) -> None:
    with (
        pytest.raises(ConcurrentUpdate, match="a query of Book"),
        db.session(isolation="serializable") as session,
    ):
        session.query(Book).from_filter({"pages": {"$gt": 35}}).all()
        with Database(url) as other, other.session() as theirs:
            theirs.add(Book(id=9, pages=90))
        session.add(Shelf(id=2))


def test_raw_queries_read_in_the_transaction_of_their_session(db: Any) -> None:
    with db.session() as session:
        session.add(Book(id=7, pages=700))
        session.flush()
        assert [one.id for one in session.query(Book).from_filter({"pages": 700}).all()] == [7]
        session.rollback()
    with db.session() as session:
        assert session.query(Book).from_filter({"pages": 700}).all() == []


@pytest.mark.parametrize("wrong", [None, "pages > 3", ["pages"], {1: 2}])
def test_what_is_no_filter_is_refused_before_it_is_sent(db: Any, wrong: Any) -> None:
    with db.session() as session, pytest.raises(QueryError, match="a filter is a dictionary"):
        session.query(Book).from_filter(wrong).all()


@pytest.mark.parametrize("wrong", [{"$match": {}}, [1], [{"$match": {}, "$limit": 1}], None])
def test_what_is_no_pipeline_is_refused_before_it_is_sent(db: Any, wrong: Any) -> None:
    with db.session() as session, pytest.raises(QueryError, match="a pipeline is a list"):
        session.query(Book).from_pipeline(wrong).all()


def test_a_pipeline_that_writes_is_refused(db: Any, raw: Raw) -> None:
    with db.session() as session, pytest.raises(QueryError, match=r"no \$out or \$merge"):
        session.query(Book).from_pipeline([{"$out": "stolen"}]).all()


def test_an_operator_that_the_server_does_not_know_leaves_the_session_usable(db: Any) -> None:
    with db.session() as session:
        with pytest.raises(Exception, match=r"\$bigger") as caught:
            session.query(Book).from_filter({"pages": {"$bigger": 3}}).all()
        assert type(caught.value).__module__ == "graven.errors"
        assert session.query(Book).count() == 7


def test_a_document_with_a_wrong_type_is_named(db: Any, raw: Raw) -> None:
    books = raw.client.get_default_database()["book"]
    books.update_one({"_id": 2}, {"$set": {"pages": "many"}}, bypass_document_validation=True)
    with db.session() as session:
        with pytest.raises(DataError, match=r"'pages' of the document 2 of 'book'.*expected int"):
            session.query(Book).from_filter({"_id": 2}).all()
        assert session.get(Book, 3).pages == 30


def test_where_and_locks_do_not_go_with_a_raw_query(db: Any) -> None:
    with db.session() as session:
        query = session.query(Book).from_filter({"pages": 10})
        with pytest.raises(QueryError, match="sent as it is"):
            query.where(Book.pages == 10).all()
        with pytest.raises(QueryError, match="sent as it is"):
            query.for_update().all()


def test_another_store_says_that_it_has_no_filters() -> None:
    with Database("sqlite://") as db:
        db.create(Book)
        with db.session() as session:
            with pytest.raises(UsageError, match="these are MongoDB's"):
                session.query(Book).from_filter({"pages": 3})
            with pytest.raises(UsageError, match="these are MongoDB's"):
                session.query(Book).from_pipeline([])


def test_a_statement_as_text_is_refused_with_the_remedy(db: Any) -> None:
    with db.session() as session:
        with pytest.raises(UsageError, match="from_filter"):
            session.execute("select 1")
        with pytest.raises(UsageError, match="from_filter"):
            session.query(Book).from_sql("select * from book").all()
        assert session.query(Book).count() == 7
    with pytest.raises(UsageError, match="from_filter"):
        db.execute("select 1")
