"""``NoSQLModel``: the names of the ancestor, on every backend and in both colours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from graven import (
    AsyncNoSQLDatabaseProxy,
    DataError,
    MappingError,
    NoSQLDatabaseProxy,
    NoSQLModel,
    NoSQLModelManager,
    NoSQLModelSerializer,
    NotFoundError,
    QueryError,
    UsageError,
    field,
    key,
)
from graven.testing.contract import Colour, Proxy, rows


class Subscriber(NoSQLModel):
    name: str = ""
    email: str = ""
    active: bool = False
    settings: dict[str, Any] = field(default_factory=lambda: {"font-size": 16})


class Leaflet(NoSQLModel):
    title: str = ""
    author: Subscriber | None = None
    related: Leaflet | None = None


class Coordinate(NoSQLModel):
    row: int = key()
    column: str = key()
    text: str = ""


@pytest.fixture
def db(open_db: Callable[..., Any]) -> Any:
    return open_db(Subscriber, Leaflet, Coordinate)


@pytest.fixture
def call(colour: Colour) -> Callable[..., Any]:
    """Call in the task of the session; what comes back from the async colour is awaited."""
    return colour.call


def test_objects_is_a_proxy_in_the_colour_of_the_session(db: Any, colour: Colour) -> None:
    with db.session() as session:
        found = colour.call(lambda: Subscriber.objects)
        found = found._target if isinstance(found, Proxy) else found

    kinds = {"blocking": NoSQLDatabaseProxy, "async": AsyncNoSQLDatabaseProxy}
    assert type(found) is kinds[colour.name]
    assert found.session is (session._target if isinstance(session, Proxy) else session)
    assert found.database is (db._target if isinstance(db, Proxy) else db)
    assert isinstance(NoSQLModel.objects, NoSQLModelManager)


def test_save_find_restore_update_and_delete(db: Any, call: Callable[..., Any]) -> None:
    with db.session():
        ada = Subscriber(name="Ada", active=True)
        call(ada.save)
        state = call(lambda: Subscriber.objects.find_one({"name": "Ada"}))
        assert state["settings"] == {"font-size": 16}
        assert call(lambda: Subscriber.restore(state)) is ada
        ada.active = False
        call(ada.save)
        other = Subscriber(name="Bob")
        call(other.save)
        assert call(lambda: Subscriber.objects.find_one({"_id": ada._id}))["active"] is False
        assert call(lambda: Subscriber.objects.cache[ada._id]) is ada
        call(ada.delete)
        assert call(lambda: Subscriber.objects.find_one({"name": "Ada"})) is None
    assert rows(db, Subscriber, "name") == [("Bob",)]


def test_a_circle_is_saved_and_restored_as_references(db: Any, call: Callable[..., Any]) -> None:
    first = Leaflet(title="first", author=Subscriber(name="Ada"))
    first.related = Leaflet(title="second", related=first)
    with db.session():
        call(first.save)
    with db.session():
        state = call(lambda: Leaflet.objects.find_one({"title": "first"}))
        assert set(state["related"]) == {"__model__", "__key__"}
    with db.session():
        found = call(lambda: Leaflet.restore(state))
        assert found is not first
        assert (found.related.title, found.related.related is found) == ("second", True)
        assert found.author.name == "Ada"


def test_filters_follow_references_and_find_gives_all(db: Any, call: Callable[..., Any]) -> None:
    ada, bob = Subscriber(name="Ada"), Subscriber(name="Bob")
    with db.session() as session:
        session.add(
            Leaflet(title="a", author=ada), Leaflet(title="b", author=bob), Leaflet(title="c")
        )
    with db.session() as session:
        leaflets = session.objects(Leaflet)

        def titles(*filters: Any) -> list[str]:
            return sorted(state["title"] for state in leaflets.find(*filters))

        assert titles() == ["a", "b", "c"]
        assert titles({"author.name": "Bob"}) == ["b"]
        assert titles({"author._id": ada.id}) == ["a"]
        assert titles({"author": None}) == ["c"]
        assert titles({"author._id": bob.id, "title": "a"}) == []
        with pytest.raises(QueryError, match="'nobody'"):
            titles({"nobody": 1})
        with pytest.raises(QueryError, match="only references"):
            titles({"title.name": 1})


def test_a_key_of_several_fields_is_found_by_its_parts(db: Any) -> None:
    with db.session() as session:
        session.add(Coordinate(row=1, column="a", text="x"), Coordinate(row=2, column="a"))
        cells = session.objects(Coordinate)

        assert cells.find_one({"_id": {"row": 1, "column": "a"}})["text"] == "x"
        assert cells.find_one({"_id": (2, "a")})["text"] == ""
        with pytest.raises(QueryError, match="its key is row, column"):
            cells.find_one({"_id": 3})


def test_what_is_the_collections_own_is_passed_on_if_the_store_has_one(db: Any) -> None:
    pool = db.pool._target if isinstance(db.pool, Proxy) else db.pool
    with db.session() as session:
        session.add(Subscriber(name="Ada"))
    members = db.objects(Subscriber)
    with pytest.raises(AttributeError, match="has no attribute '_private'"):
        members._private([])

    if pool.dialect.has_documents:
        assert members.collection().name == "subscriber"
        assert members.count_documents({"name": "Ada"}) == 1
        assert members.find_one({"name": {"$gt": "A"}})["name"] == "Ada"
        return
    with pytest.raises(UsageError, match="cannot get the collection of Subscriber"):
        members.collection()
    with pytest.raises(AttributeError, match="no collection"):
        members.count_documents({})
    with pytest.raises(UsageError, match="filter or a pipeline"):
        members.find_one({"name": {"$gt": "A"}})


def test_without_a_session_a_named_database_is_used(db: Any, call: Callable[..., Any]) -> None:
    class Noted(NoSQLModel):
        objects = NoSQLModelManager(db._target if isinstance(db, Proxy) else db)

        text: str = ""

    db.create(Noted)
    one = Noted(text="a")
    call(one.save)

    assert call(lambda: Noted.objects.find_one({"text": "a"}))["id"] is not None
    assert call(lambda: Noted.restore(one.id)).text == "a"
    with pytest.raises(UsageError, match="no current session"):
        call(lambda: Subscriber.objects.find_one({}))


# -- the serializer --------------------------------------------------------------------------------


def test_the_serializer_knows_all_models_by_name() -> None:
    serializer = Leaflet.serializer

    assert isinstance(serializer, NoSQLModelSerializer)
    assert serializer.registry["Leaflet"] is Leaflet
    assert "Leaflet" in serializer.registry
    assert "Nobody" not in serializer.registry
    with pytest.raises(DataError, match="'Nobody'"):
        serializer.registry["Nobody"]


def test_get_object_state_looks_the_document_up(db: Any, call: Callable[..., Any]) -> None:
    with db.session() as session:
        ada = Subscriber(name="Ada")
        session.add(ada)
        session.commit()
        state = Subscriber.serializer.flatten_object(Leaflet(author=ada))["author"]
        serializer = Subscriber.serializer

        found = call(lambda: serializer.get_object_state(ada, state, {}))
        assert (found["name"], found["active"]) == ("Ada", False)
        given = serializer.flatten_object(ada)
        assert call(lambda: serializer.get_object_state(ada, given))["name"] == "Ada"
        ghost = {**state, "__key__": serializer.flatten_object(Subscriber())["id"]}
        with pytest.raises(NotFoundError):
            call(lambda: serializer.get_object_state(ada, ghost, {}))


def test_get_or_create_gives_what_the_session_or_the_store_has(
    db: Any, call: Callable[..., Any]
) -> None:
    serializer = Subscriber.serializer
    with db.session() as session:
        ada = Subscriber(name="Ada")
        session.add(ada)
    with db.session() as session:
        state, scope = serializer.flatten_object(ada), {}
        found, is_new = call(lambda: serializer.get_or_create(Subscriber, state, scope))
        assert (found is session.get(Subscriber, ada.id), is_new) == (True, False)
        assert scope == {(Subscriber, ada.id): found}
        other = serializer.flatten_object(Subscriber(name="New"))
        made, is_new = call(lambda: serializer.get_or_create(Subscriber, other, scope))
        assert (type(made), is_new) == (Subscriber, True)
        with pytest.raises((DataError, MappingError), match="the document of a Leaflet"):
            call(lambda: serializer.get_or_create(Leaflet, state, scope))
