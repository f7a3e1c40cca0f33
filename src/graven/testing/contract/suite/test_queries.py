"""Building queries and getting answers, in the store and with everything pending."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from graven import asc, desc, in_, like
from graven.errors import MultipleFoundError, NotFoundError, QueryError, SessionError
from graven.testing.contract.suite.library import Land, Novel, Place, Shelf, Writer, ids, library


@pytest.fixture(params=["stored", "pending", "pending lands", "pending novels"])
def session(request: pytest.FixtureRequest, open_db: Callable[..., Any]) -> Iterator[Any]:
    """A session with the library, in the store or, wholly or in part, pending."""
    db = open_db(Novel, Place)
    books = library()
    pending = {
        "stored": (),
        "pending": (Land, Writer, Novel),
        "pending lands": (Land,),
        "pending novels": (Novel,),
    }[request.param]
    if pending in ((), (Novel,)):
        with db.session() as session:
            session.add(*[one for one in books if not isinstance(one, pending)])
        session = db.session()
        if pending:
            session.add(*(one for one in books if isinstance(one, pending)))
    else:
        with db.session() as session:
            if pending == (Land,):
                names = {one.id: one.name for one in books if isinstance(one, Land)}
                for one in books:
                    if isinstance(one, Land):
                        one.name = "other"
                session.add(*books)
        session = db.session()
        if pending == (Land,):
            for land in session.query(Land).all():
                land.name = names[land.id]
        else:
            session.add(*books)
    yield session
    session.close()


def test_conditions_follow_references_over_one_level(session: Any) -> None:
    query = session.query(Novel).order_by(Novel.id)
    assert ids(query.where(Novel.writer.name == "Ada").all()) == [1, 2]
    assert ids(query.where(Novel.writer.name != "Ada").all()) == [3, 4, 5, 6]
    assert ids(query.where(~(Novel.writer.name == "Ada")).all()) == [3, 4, 5, 6]
    assert ids(query.where(Novel.writer.name == None).all()) == [5, 6]  # noqa: E711
    assert ids(query.where(like(Novel.writer.name, "%d%")).all()) == [1, 2, 4]
    assert ids(query.where(in_(Novel.writer.name, ["Bob", None])).all()) == [3, 5, 6]
    assert ids(query.where(Novel.writer.id > 2).all()) == [4, 5]


def test_conditions_follow_references_over_two_levels(session: Any) -> None:
    query = session.query(Novel).order_by(Novel.id)
    assert ids(query.where(Novel.writer.land.name == "North").all()) == [1, 2]
    assert ids(query.where(Novel.writer.land.name < "South").all()) == [1, 2]
    assert ids(query.where(~(Novel.writer.land.name < "South")).all()) == [3, 4, 5, 6]
    assert ids(query.where(Novel.writer.land.name == None).all()) == [4, 5, 6]  # noqa: E711
    both = (Novel.writer.land.name == "North") | (Novel.editor.land.name == "North")
    assert ids(query.where(both).all()) == [1, 2, 4]
    assert ids(query.where(Novel.writer.land == Novel.editor.land).all()) == [3, 6]
    assert ids(query.where(Novel.writer.name == Novel.editor.name).all()) == [3, 6]


def test_references_are_compared_with_objects_keys_and_none(session: Any) -> None:
    query = session.query(Novel).order_by(Novel.id)
    ada, south = session.get(Writer, 1), session.get(Land, 2)
    assert ids(query.where(Novel.writer == ada).all()) == [1, 2]
    assert ids(query.where(Novel.writer == 1).all()) == [1, 2]
    assert ids(query.where(Novel.writer != ada).all()) == [3, 4, 5, 6]
    assert ids(query.where(Novel.editor == None).all()) == [2, 6]  # noqa: E711
    assert ids(query.where(in_(Novel.writer, [ada, 3, None])).all()) == [1, 2, 4, 6]
    assert ids(query.where(Novel.writer.land == south).all()) == [3]
    assert ids(query.where(Novel.writer == Novel.editor).all()) == [3, 6]


def test_order_is_by_fields_nulls_least_and_completed_by_the_key(session: Any) -> None:
    query = session.query(Novel)
    assert ids(query.all()) == [1, 2, 3, 4, 5, 6]
    assert ids(query.order_by(Novel.title).all()) == [5, 2, 3, 6, 1, 4]
    assert ids(query.order_by(desc(Novel.title)).all()) == [4, 1, 6, 3, 2, 5]
    assert ids(query.order_by(Novel.price).all()) == [4, 5, 1, 3, 2, 6]
    assert ids(query.order_by(desc(Novel.price), desc(Novel.id)).all()) == [6, 2, 3, 1, 5, 4]
    assert ids(query.order_by(asc(Novel.price)).order_by(desc(Novel.title)).all()) == [
        4, 5, 1, 3, 2, 6,
    ]  # fmt: skip


def test_order_follows_references(session: Any) -> None:
    query = session.query(Novel)
    assert ids(query.order_by(Novel.writer.name, desc(Novel.price)).all()) == [6, 5, 2, 1, 3, 4]
    assert ids(query.order_by(desc(Novel.writer.land.name)).all()) == [3, 1, 2, 4, 5, 6]
    assert ids(query.order_by(desc(Novel.editor)).all()) == [5, 1, 3, 4, 2, 6]


def test_limit_and_offset_cut_the_ordered_answer(session: Any) -> None:
    for order in ([], [desc(Novel.title)], [Novel.writer.land.name, desc(Novel.price)]):
        query = session.query(Novel).order_by(*order)
        whole = query.all()
        for limit in (0, 1, 3, 6, 50):
            assert query.limit(limit).all() == whole[:limit]
            for offset in (0, 1, 5, 6, 50):
                assert query.limit(limit).offset(offset).all() == whole[offset : offset + limit]
                assert query.offset(offset).all() == whole[offset:]


def test_count_and_exists_agree_with_all(session: Any) -> None:
    query = session.query(Novel)
    conditions = [
        True,
        Novel.price > 5,
        Novel.price > 500,
        Novel.writer.name == "Ada",
        Novel.writer.land.name != "North",
    ]
    for condition in conditions:
        found = query.where(condition)
        assert found.count() == len(found.all())
        assert found.exists() is bool(found.all())
        assert found.limit(2).count() == len(found.limit(2).all())
        assert found.offset(2).count() == len(found.offset(2).all())
        assert found.limit(1).offset(1).count() == len(found.limit(1).offset(1).all())
        assert found.limit(0).exists() is False


def test_first_and_one_return_an_object_or_say_what_is_wrong(session: Any) -> None:
    query = session.query(Novel)
    assert query.order_by(desc(Novel.title)).first().title == "Oak"
    assert query.where(Novel.price > 500).first() is None
    assert query.limit(0).first() is None
    assert query.where(Novel.title == "Elm").one().id == 3
    with pytest.raises(NotFoundError, match="Novel") as none:
        query.where(Novel.price > 500).one()
    assert none.value.model == "Novel"
    with pytest.raises(MultipleFoundError, match="more than one") as many:
        query.where(Novel.price == 10).one()
    assert many.value.model == "Novel"
    assert query.where(Novel.price == 10).order_by(Novel.id).limit(1).one().id == 1


def test_get_of_a_query_respects_its_conditions(session: Any) -> None:
    cheap = session.query(Novel).where(Novel.price < 20)
    assert cheap.get(1).title == "Iron"
    assert cheap.get(2) is None
    assert cheap.get(99) is None


def test_a_query_returns_the_objects_that_the_session_has(session: Any) -> None:
    known = {one.id: one for one in session.query(Novel).all()}
    again = session.query(Novel).where(Novel.writer.land.name == "North").all()
    assert [one is known[one.id] for one in again] == [True, True]
    assert session.get(Novel, 4) is known[4]


def test_a_query_is_a_value_and_its_steps_leave_it_as_it_was(session: Any) -> None:
    query = session.query(Novel)
    query.where(Novel.price == 10)
    query.order_by(desc(Novel.id))
    query.limit(1).offset(1)
    assert ids(query.all()) == [1, 2, 3, 4, 5, 6]


def test_keys_of_several_fields_are_followed_compared_and_listed(
    open_db: Callable[..., Any],
) -> None:
    db = open_db(Place)
    a1, a2, b1 = Shelf(room="a", row=1), Shelf(room="a", row=2), Shelf(room="b", row=1)
    with db.session() as session:
        session.add(
            Place(id=1, shelf=a1), Place(id=2, shelf=a2), Place(id=3, shelf=b1), Place(id=4)
        )
    for is_pending in (False, True):
        with db.session() as session:
            if is_pending:
                for place in session.query(Place).include(Place.shelf).all():
                    place.shelf = place.shelf and session.get(Shelf, ("b", 1))
                session.add(Place(id=5, shelf=session.get(Shelf, ("a", 2))))
            holder = {False: {1: a1, 2: a2, 3: b1, 4: None}, True: {}}[is_pending]
            expected = {
                ("a", 1): [] if is_pending else [1],
                ("a", 2): [5] if is_pending else [2],
                ("b", 1): [1, 2, 3] if is_pending else [3],
            }
            query = session.query(Place).order_by(Place.id)
            for shelf, found in expected.items():
                assert ids(query.where(Place.shelf == shelf).all()) == found
                assert ids(query.where(Place.shelf == session.get(Shelf, shelf)).all()) == found
                rest = [n for n in range(1, 6 if is_pending else 5) if n not in found]
                assert ids(query.where(Place.shelf != shelf).all()) == rest
                assert ids(query.where(in_(Place.shelf, [shelf, None])).all()) == [
                    n for n in range(1, 6) if n in found or n == 4
                ]
            assert len(holder) in (0, 4)
            assert ids(query.where(Place.shelf == None).all()) == [4]  # noqa: E711
            assert ids(query.where(Place.shelf.room == "b").all()) == expected["b", 1]
            session.rollback()


# -- wrong use ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda q: q.where(5), r"cannot use 5 as a condition.*Account\.balance > 10"),
        (lambda q: q.where(Novel.price), r"cannot use Novel\.price as a condition"),
        (lambda q: q.where("price > 5"), "as a condition"),
        (lambda q: q.where(Land.name == "North"), r"land\.name.*Novel"),
        (lambda q: q.where(~((Novel.price == 1) | (Land.name == "North"))), r"land\.name.*Novel"),
        (lambda q: q.where(Novel.price == Land.id), r"land\.id.*Novel"),
        (lambda q: q.order_by("price"), "'price'"),
        (lambda q: q.order_by(Land.name), r"land\.name.*Novel"),
        (lambda q: q.limit(-1), "-1 as limit"),
        (lambda q: q.limit("3"), "'3' as limit"),
        (lambda q: q.limit(True), "True as limit"),
        (lambda q: q.offset(1.5), "1.5 as offset"),
        (lambda q: q.include(Novel.price), r"cannot include Novel\.price"),
        (lambda q: q.include("writer"), "cannot include 'writer'"),
        (lambda q: q.include(Writer.land), r"Writer\.land.*Novel"),
        (lambda q: q.where(Novel.price == "5"), r"Novel\.price.*'5'"),
        (lambda q: q.where(Novel.price > None and True), "& | ~"),
        (lambda q: q.where(Novel.writer > Novel.title), "same type"),
        (lambda q: q.where(Novel.writer == Land(id=1)), r"Novel\.writer.*a Writer or its key"),
        (lambda q: q.where(Novel.writer == "Ada"), r"Novel\.writer.*a Writer or its key"),
        (lambda q: q.where(Novel.writer.salary > 5), "Writer has no such field"),
        (lambda q: q.where(Novel.title.length > 5), "only references, and lists"),
        (lambda q: q.where(in_(Novel.price, 5)), r"in_.*Novel\.price.*5"),
        (lambda q: q.where(in_(Novel.title, "abc")), r"in_.*Novel\.title.*'abc'"),
        (lambda q: q.where(in_(5, [Novel.price])), "a field of a model is needed"),
        (lambda q: q.where(like(Novel.price, "1%")), "both must be text"),
        (lambda q: q.where(like(Novel.title, 5)), "both must be text"),
        (lambda q: q.where(like("title", "%")), "a field of a model is needed"),
        (lambda q: q.order_by(desc(desc(Novel.price))), "a field of a model is needed"),
    ],
)
def test_wrong_use_is_refused_before_anything_is_asked(
    open_db: Callable[..., Any], wrong: Callable[[Any], Any], message: str
) -> None:
    db = open_db(Novel)
    with db.session() as session:
        session.add(Novel(id=1, price=5))
        with pytest.raises(QueryError, match=message):
            wrong(session.query(Novel))
        assert session.query(Novel).count() == 1
    with db.session() as session:
        assert session.query(Novel).count() == 1


def test_a_query_of_a_session_that_has_ended_is_refused(open_db: Callable[..., Any]) -> None:
    db = open_db(Novel)
    with db.session() as session:
        query = session.query(Novel)
    for answer in (query.all, query.first, query.one, query.count, query.exists):
        with pytest.raises(SessionError, match="the session has ended"):
            answer()
    with pytest.raises(SessionError, match="the session has ended"):
        list(query.stream())
    with pytest.raises(SessionError, match="the session has ended"):
        query.get(1)
