"""``Model.objects``, ``save``, ``load`` and ``delete``, in a session and outside of any."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from graven import (
    AsyncObjects,
    ConcurrentUpdate,
    DataError,
    DuplicateRecordError,
    ForeignKeyError,
    Model,
    ModelManager,
    MultipleFoundError,
    NotFoundError,
    Objects,
    QueryError,
    UniqueError,
    UsageError,
    field,
    key,
)
from graven.testing.contract import Colour, Proxy, count, rows, update


class Author(Model):
    id: int = key()
    name: str = field(default="", unique=True)
    age: int | None = None


class Work(Model):
    id: int = key()
    title: str = ""
    author: Author | None = None


class Pair(Model):
    left: int = key()
    right: int = key()
    text: str = ""


@pytest.fixture
def db(open_db: Callable[..., Any]) -> Any:
    found = open_db(Author, Work, Pair)
    with found.session() as session:
        ada, bob = Author(id=1, name="Ada", age=36), Author(id=2, name="Bob")
        session.add(ada, bob, Author(id=3, name="Cid", age=20))
        session.add(Work(id=1, title="Notes", author=ada), Work(id=2, title="Nets", author=bob))
    return found


def target(proxy: Any) -> Any:
    return proxy._target if isinstance(proxy, Proxy) else proxy


# -- whose manager it is ---------------------------------------------------------------------------


def test_objects_are_those_of_the_current_session(db: Any, colour: Colour) -> None:
    with db.session() as session:
        ada = colour.call(lambda: Author.objects.get(1))

        assert ada is session.get(Author, 1)
        assert target(colour.call(lambda: Author.objects.session)) is target(session)


def test_the_manager_has_the_colour_of_its_session(db: Any, colour: Colour) -> None:
    with db.session():
        found = target(colour.call(lambda: Author.objects))

    assert type(found) is {"blocking": Objects, "async": AsyncObjects}[colour.name]


def test_without_a_session_or_database_the_manager_says_what_to_do(db: Any) -> None:
    with pytest.raises(UsageError, match=r"cannot use Author\.objects\.all.*objects\.using"):
        Author.objects.all()
    with pytest.raises(UsageError, match=r"cannot save Author\(id=9.*no current session"):
        Author(id=9).save()
    with pytest.raises(UsageError, match="cannot restore a Author"):
        Author.restore(1)


def test_an_abstract_model_has_the_manager_itself() -> None:
    assert isinstance(Model.objects, ModelManager)


def test_calls_outside_of_any_session_have_sessions_of_their_own(db: Any) -> None:
    objects = db.objects(Author)

    made = objects.create(id=4, name="Dot")

    assert objects.get(4).name == "Dot"
    assert objects.get(4) is not made
    assert count_of(db) == 4


def count_of(db: Any) -> Any:
    return count(db, Author)


def test_using_names_a_database_where_there_is_no_session(db: Any, colour: Colour) -> None:
    found = colour.call(lambda: Author.objects.using(target(db)))

    assert found.get(1).name == "Ada"


def test_a_manager_may_name_the_database_itself(db: Any, colour: Colour) -> None:
    class Kept(Model):
        objects = ModelManager(target(db))

        id: int = key()

    db.create(Kept)
    one = Kept(id=1)
    colour.call(one.save)

    assert colour.call(Kept.objects.count) == 1
    assert colour.call(lambda: Kept.objects.session) is None


def test_the_session_goes_before_the_database_of_the_manager(db: Any, colour: Colour) -> None:
    class Kept(Model):
        objects = ModelManager(object())

        id: int = key()

    db.create(Kept)
    with db.session() as session:
        assert target(colour.call(lambda: Kept.objects.session)) is target(session)


# -- asking ----------------------------------------------------------------------------------------


def names(found: Any) -> list[str]:
    return [one.name for one in found]


def test_filter_takes_conditions_and_values_of_fields(db: Any) -> None:
    objects = db.objects(Author)

    assert names(objects.filter(name="Ada").all()) == ["Ada"]
    assert names(objects.filter(Author.age > 10, Author.age < 30).all()) == ["Cid"]
    assert names(objects.filter(Author.id > 1, age=None).all()) == ["Bob"]
    assert names(objects.filter(id=1).filter(name="Bob").all()) == []
    assert len(objects.filter().all()) == 3


def test_exclude_is_the_complement_of_filter(db: Any) -> None:
    objects = db.objects(Author).order_by("id")

    assert names(objects.exclude(name="Ada").all()) == ["Bob", "Cid"]
    assert names(objects.exclude(Author.age > 10, name="Ada").all()) == ["Bob", "Cid"]
    assert names(objects.exclude(age=None).all()) == ["Ada", "Cid"]
    assert len(objects.exclude().all()) == 3


def test_references_are_asked_for_by_object_and_by_key(db: Any) -> None:
    with db.session() as session:
        works = session.objects(Work)
        ada = session.get(Author, 1)

        assert [one.id for one in works.filter(author=ada).all()] == [1]
        assert [one.id for one in works.filter(author_id=2).all()] == [2]
        assert [one.id for one in works.filter(Work.author.name == "Bob").all()] == [2]


def test_order_limit_and_offset(db: Any) -> None:
    objects = db.objects(Author)

    assert names(objects.order_by("-name").all()) == ["Cid", "Bob", "Ada"]
    assert names(objects.order_by("age", Author.id).all()) == ["Bob", "Cid", "Ada"]
    assert names(objects.order_by("name").offset(1).limit(1).all()) == ["Bob"]


def test_include_loads_what_is_referred_to(db: Any) -> None:
    works = db.objects(Work).include(Work.author).order_by("id").all()

    assert [one.author.name for one in works] == ["Ada", "Bob"]


def test_count_exists_first(db: Any) -> None:
    objects = db.objects(Author)

    assert (objects.count(), objects.filter(age=None).count()) == (3, 1)
    assert (objects.exists(), objects.filter(name="Eve").exists()) == (True, False)
    assert objects.order_by("name").first().name == "Ada"
    assert objects.filter(name="Eve").first() is None


def test_objects_can_be_gone_through(db: Any) -> None:
    assert names(db.objects(Author).order_by("name")) == ["Ada", "Bob", "Cid"]
    with db.session() as session:
        assert names(session.objects(Author).order_by("name").stream()) == ["Ada", "Bob", "Cid"]


def test_get_by_key_or_by_fields(db: Any) -> None:
    objects = db.objects(Author)

    assert objects.get(1).name == "Ada"
    assert objects.get(name="Bob").id == 2
    assert objects.filter(age=20).get(3).name == "Cid"
    assert objects.get(3, name="Cid").age == 20


def test_get_of_what_is_not_there_is_refused_and_or_none_gives_none(db: Any) -> None:
    objects = db.objects(Author)

    with pytest.raises(NotFoundError, match="cannot get Author 9"):
        objects.get(9)
    with pytest.raises(NotFoundError, match="cannot get Author 1"):
        objects.filter(name="Bob").get(1)
    with pytest.raises(NotFoundError, match="no object meets"):
        objects.get(name="Eve")
    assert (objects.get_or_none(9), objects.get_or_none(name="Eve")) == (None, None)
    assert objects.get_or_none(1, name="Bob") is None


def test_get_of_several_is_refused(db: Any) -> None:
    db.objects(Author).create(id=4, name="Dot", age=20)

    with pytest.raises(MultipleFoundError):
        db.objects(Author).get(age=20)
    with pytest.raises(MultipleFoundError):
        db.objects(Author).get_or_none(age=20)


def test_an_unknown_field_is_refused_by_name(db: Any) -> None:
    objects = db.objects(Author)

    with pytest.raises(QueryError, match=r"'nmae'.*The fields are id, name, age"):
        objects.filter(nmae="Ada")
    with pytest.raises(QueryError, match=r"'age__gt'.*conditions: Author\.field > 10"):
        objects.filter(age__gt=3)
    with pytest.raises(QueryError, match="'x'"):
        objects.order_by("-x")


def test_a_key_of_several_fields_is_a_tuple(db: Any) -> None:
    made = db.objects(Pair).create(left=1, right=2, text="a")

    assert db.objects(Pair).get((1, 2)).text == made.text


def test_pending_changes_are_seen(db: Any) -> None:
    with db.session() as session:
        objects = session.objects(Author)
        objects.get(1).age = 99
        session.add(Author(id=5, name="Eve", age=99))

        assert names(objects.filter(age=99).order_by("id").all()) == ["Ada", "Eve"]
        assert objects.count() == 4
        session.rollback()


def test_the_cache_is_what_the_session_has(db: Any) -> None:
    with db.session() as session:
        objects = session.objects(Author)
        assert dict(objects.cache) == {}
        ada = objects.get(1)

        assert objects.cache[1] is ada
        assert (list(objects.cache), len(objects.cache), 2 in objects.cache) == ([1], 1, False)
    assert dict(db.objects(Author).cache) == {}


def test_a_manager_of_a_session_that_has_ended_is_refused(db: Any) -> None:
    with db.session() as session:
        objects = session.objects(Author)

    with pytest.raises(UsageError, match="the session has ended"):
        objects.all()


# -- create ----------------------------------------------------------------------------------------


def test_create_stores_the_object_with_what_it_refers_to(db: Any) -> None:
    with db.session() as session:
        other = session.get(Author, 1)
        other.age = 1
        session.objects(Work).create(id=7, title="New", author=Author(id=7, name="Gil"))

        assert rows(db, Work, "title", id=7) == [("New",)]
        assert rows(db, Author, "name", id=7) == [("Gil",)]
        assert rows(db, Author, "age", id=1) == [(36,)]
        session.rollback()


def test_create_that_is_refused_leaves_nothing_in_the_session(db: Any) -> None:
    with db.session() as session:
        with pytest.raises(UniqueError):
            session.objects(Author).create(id=8, name="Ada")
        with pytest.raises(DataError):
            session.objects(Work).create(id=8, title=3, author=Author(id=8, name="Hal"))

        assert list(session.new) == []
        session.objects(Author).create(id=8, name="Hal")
    assert rows(db, Author, "name", id=8) == [("Hal",)]


# -- save ------------------------------------------------------------------------------------------


def test_save_writes_that_object_alone(db: Any, colour: Colour) -> None:
    with db.session() as session:
        ada, bob = session.get(Author, 1), session.get(Author, 2)
        ada.age, bob.age = 37, 50
        colour.call(ada.save)

        assert rows(db, Author, "age", order="id") == [(37,), (None,), (20,)]
        assert list(session.dirty) == [bob]
        session.rollback()


def test_save_of_a_new_object_adds_it_to_the_current_session(db: Any, colour: Colour) -> None:
    with db.session() as session:
        made = Author(id=6, name="Fay")
        colour.call(made.save)

        assert session.get(Author, 6) is made
    assert rows(db, Author, "name", id=6) == [("Fay",)]


def test_save_after_the_session_goes_to_the_database_it_came_from(db: Any, colour: Colour) -> None:
    with db.session() as session:
        ada = session.get(Author, 1)
    ada.age = 40
    colour.call(ada.save)
    ada.age = 41
    colour.call(ada.save)

    assert rows(db, Author, "age", id=1) == [(41,)]


def test_save_is_done_by_the_session_that_has_the_object(db: Any, colour: Colour) -> None:
    session = db.session()
    ada = session.get(Author, 1)
    ada.age = 44
    with db.session():
        colour.call(ada.save)

    assert rows(db, Author, "age", id=1) == [(44,)]
    assert session.state(ada) == "clean"
    session.close()


def test_save_of_a_stale_object_is_refused_and_names_both_values(db: Any, colour: Colour) -> None:
    with db.session() as session:
        ada = session.get(Author, 1)
    ada.age = 50
    update(db, Author, 1, age=60, version=2)

    with pytest.raises(ConcurrentUpdate) as caught:
        colour.call(ada.save)

    assert caught.value.conflicts[0].fields["age"].mine == 50
    assert rows(db, Author, "age", id=1) == [(60,)]


def test_save_that_is_refused_can_be_repeated(db: Any, colour: Colour) -> None:
    with db.session() as session:
        ada = session.get(Author, 1)
    ada.name = "Bob"
    with pytest.raises(UniqueError):
        colour.call(ada.save)
    ada.name = "Eda"
    colour.call(ada.save)

    assert rows(db, Author, "name", id=1) == [("Eda",)]


# -- load ------------------------------------------------------------------------------------------


def test_load_reads_an_object_anew(db: Any, colour: Colour) -> None:
    with db.session() as session:
        ada = session.get(Author, 1)
        ada.age = 1
        update(db, Author, 1, age=70, version=2)
        colour.call(ada.load)

        assert (ada.age, session.state(ada)) == (70, "clean")
    ada.age = 2
    update(db, Author, 1, age=71, version=3)
    colour.call(ada.load)
    assert ada.age == 71


def test_a_new_object_with_a_key_becomes_the_stored_one(db: Any, colour: Colour) -> None:
    with db.session() as session:
        ada = Author(id=1)
        colour.call(ada.load)

        assert (ada.name, ada.age) == ("Ada", 36)
        assert session.get(Author, 1) is ada
        ada.age = 37
        assert "update author" in session.explain()
    assert rows(db, Author, "age", id=1) == [(37,)]


def test_load_of_a_key_that_another_object_has_is_refused(db: Any, colour: Colour) -> None:
    with db.session() as session:
        ada = session.get(Author, 1)
        with pytest.raises(DuplicateRecordError):
            colour.call(Author(id=1).load)

        assert session.get(Author, 1) is ada


def test_load_of_what_is_not_there_is_refused(db: Any, colour: Colour) -> None:
    with db.session():
        nobody = Author(id=9)
        with pytest.raises(NotFoundError, match="cannot load Author 9"):
            colour.call(nobody.load)

        assert nobody.age is None


# -- delete ----------------------------------------------------------------------------------------


def test_delete_deletes_that_object_at_once(db: Any, colour: Colour) -> None:
    with db.session() as session:
        cid, ada = session.get(Author, 3), session.get(Author, 1)
        ada.age = 5
        colour.call(cid.delete)

        assert count_of(db) == 2
        assert list(session.dirty) == [ada]
        assert session.get(Author, 3) is None
        session.rollback()
    assert count_of(db) == 2


def test_delete_outside_of_any_session_is_guarded(db: Any, colour: Colour) -> None:
    with db.session() as session:
        cid, other = session.get(Author, 3), session.get(Author, 2)
    update(db, Author, 3, age=21, version=2)
    with pytest.raises(ConcurrentUpdate):
        colour.call(cid.delete)
    assert count_of(db) == 3
    with db.session() as session:
        work = session.get(Work, 2)
    colour.call(work.delete)
    colour.call(other.delete)
    assert count_of(db) == 2


def test_delete_that_is_refused_leaves_the_object_in_the_session(db: Any, colour: Colour) -> None:
    with db.session() as session:
        ada = session.get(Author, 1)
        with pytest.raises(ForeignKeyError):
            colour.call(ada.delete)

        assert list(session.deleted) == []
        assert session.get(Author, 1) is ada
        ada.age = 77
    assert rows(db, Author, "age", id=1) == [(77,)]


def test_delete_writes_a_deletion_that_was_pending(db: Any, colour: Colour) -> None:
    with db.session() as session:
        cid = session.get(Author, 3)
        session.delete(cid)
        colour.call(cid.delete)

        assert count_of(db) == 2
        assert list(session.deleted) == []


def test_delete_of_what_was_never_written_does_nothing(db: Any, colour: Colour) -> None:
    with db.session() as session:
        pending = Author(id=11)
        session.add(pending)
        colour.call(Author(id=10).delete)
        colour.call(pending.delete)

        assert list(session.new) == []
        cid = session.get(Author, 3)
        colour.call(cid.delete)
        colour.call(cid.delete)
        assert session.get(Author, 3) is None
    assert count_of(db) == 2


def test_delete_of_many_is_one_transaction(db: Any) -> None:
    objects = db.objects(Author)
    with pytest.raises(ForeignKeyError):
        objects.delete()
    assert count_of(db) == 3

    assert objects.filter(id=3).delete() == 1
    assert objects.filter(id=3).delete() == 0
    assert count_of(db) == 2


def test_fields_may_be_called_like_what_every_model_can_do(db: Any, colour: Colour) -> None:
    class Odd(Model):
        id: int = key()
        load: float = 0.0
        objects: str = ""
        delete: bool = False

    db.create(Odd)
    with db.session():
        odd = Odd(id=1, load=1.5, objects="two", delete=True)
        colour.call(odd.save)
    with db.session() as session:
        odd = session.get(Odd, 1)
        assert (odd.load, odd.objects, odd.delete) == (1.5, "two", True)
        assert session.objects(Odd).filter(objects="two").count() == 1
