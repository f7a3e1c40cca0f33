"""Objects on MongoDB: what is in their documents, and what is refused before it is sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from dataclasses import field as data_field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient

from graven import DataError, Model, QueryError, field, key


@dataclass
class Node:
    name: str
    inner: list[Node] = data_field(default_factory=list)


class Thing(Model):
    id: int = key()
    name: str = ""
    price: Decimal = Decimal(0)
    at: datetime | None = None
    rounded: datetime | None = field(default=None, precision="ms")
    span: timedelta | None = None
    data: bytes = b""
    labels: dict[str, Any] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)


class Place(Model):
    hall: str = key()
    number: int = key()
    thing: Thing | None = None


@pytest.fixture
def shell(url: str) -> Iterator[Any]:
    """The database as PyMongo shows it."""
    with closing(MongoClient[dict[str, Any]](url, tz_aware=True)) as client:
        yield client.get_default_database()


def chain(depth: int) -> Node:
    node = Node("end")
    for _ in range(depth):
        node = Node("n", [node])
    return node


MOMENT = datetime(2024, 5, 1, 12, 0, 0, 123456, tzinfo=UTC)
REFUSED: list[tuple[str, Any, str]] = [
    ("at", MOMENT, "millisecond"),
    ("price", Decimal("0." + "1" * 35), "34 digits"),
    ("price", Decimal("1E+7000"), "34 digits"),
    ("span", timedelta.max, "64 bits"),
    ("data", b"x" * 17_000_000, "16 MB"),
    ("labels", {"text": "x" * 17_000_000}, "16 MB"),
    ("nodes", [chain(60)], "100 levels"),
]


@pytest.mark.parametrize(("name", "value", "why"), REFUSED, ids=lambda one: str(one)[:20])
def test_what_mongodb_cannot_keep_is_refused_and_the_session_goes_on(
    open_db: Callable[..., Any], name: str, value: Any, why: str
) -> None:
    db = open_db(Thing)
    session = db.session()
    one, other = Thing(id=1, name="one"), Thing(id=2, name="other")
    session.add(one, other)
    setattr(other, name, value)
    with pytest.raises(DataError, match=why):
        session.commit()
    with db.session() as fresh:
        assert fresh.query(Thing).count() == 0
    setattr(other, name, getattr(Thing(id=3), name))
    session.commit()
    setattr(one, name, value)
    with pytest.raises(DataError, match=why):
        session.commit()
    session.close()
    with db.session() as fresh:
        found = fresh.query(Thing).order_by(Thing.id).all()
        assert [(one.name, getattr(one, name)) for one in found] == [
            (one.name, getattr(Thing(id=3), name)) for one in (one, other)
        ]


def test_a_field_that_is_rounded_keeps_what_it_was_rounded_to(
    open_db: Callable[..., Any], shell: Any
) -> None:
    db = open_db(Thing)
    with db.session() as session:
        session.add(Thing(id=1, rounded=MOMENT))
    with db.session() as session:
        assert session.get(Thing, 1).rounded == MOMENT.replace(microsecond=123000)
    assert shell.thing.find_one()["rounded"] == MOMENT.replace(microsecond=123000)


@pytest.mark.parametrize(
    "labels",
    [
        {"$where": "1", "$$ROOT": {"$gt": 1}},
        {"a.b": 1, "a": {"b.c.d": [{"$ref": "x", "$id": 1}]}},
        {"%": 1, "%24": 2, "%text": "x"},
        {"%text": "alone"},
        {"": {"": 0}, "nul\0": "\0"},
        {"n": 2**63, "m": -(2**63), "f": 1e300, "z": -0.0},
        {"t": "$where", "l": [None, True, [], {}]},
    ],
    ids=str,
)
def test_any_key_and_value_inside_a_container_comes_back(
    open_db: Callable[..., Any], labels: dict[str, Any]
) -> None:
    db = open_db(Thing)
    with db.session() as session:
        session.add(Thing(id=1, labels=labels))
    with db.session() as session:
        thing = session.get(Thing, 1)
        assert thing.labels == labels
        assert repr(thing.labels) == repr(labels)
        thing.labels["more"] = 1
    with db.session() as session:
        assert session.get(Thing, 1).labels == {**labels, "more": 1}


def test_a_container_that_was_only_looked_at_is_not_written(open_db: Callable[..., Any]) -> None:
    db = open_db(Thing)
    with db.session() as session:
        labels = {"b": 1.0, "a": 2**40, "x.y": {"$z": "\u2028ß"}, "n": [1e22, 1e-7]}
        session.add(Thing(id=1, labels=labels, nodes=[chain(3)]))
    with db.session() as session:
        thing = session.get(Thing, 1)
        assert thing.labels
        assert thing.nodes
        thing.name = "touched"
        assert "labels" not in session.explain()
        assert "nodes" not in session.explain()


def test_what_graven_does_not_know_of_a_document_stays(
    open_db: Callable[..., Any], shell: Any
) -> None:
    db = open_db(Thing)
    with db.session() as session:
        session.add(Thing(id=1, name="a"))
    shell.thing.update_one({"_id": 1}, {"$set": {"theirs": {"x": ObjectId("0" * 24)}}})
    with db.session() as session:
        session.get(Thing, 1).name = "b"
    found = shell.thing.find_one()
    assert (found["name"], found["theirs"]) == ("b", {"x": ObjectId("0" * 24)})


def test_a_document_without_a_field_that_may_be_null_is_read_and_found(
    open_db: Callable[..., Any], shell: Any
) -> None:
    db = open_db(Thing)
    with db.session() as session:
        session.add(Thing(id=1), Thing(id=2, at=MOMENT.replace(microsecond=0)))
    shell.thing.update_many({}, {"$unset": {"at": "", "span": ""}})
    with db.session() as session:
        things = session.query(Thing)
        assert things.where(Thing.at == None).count() == 2  # noqa: E711
        assert things.where(Thing.at != MOMENT.replace(microsecond=0)).count() == 2
        assert [one.at for one in things.order_by(Thing.at).all()] == [None, None]


def test_a_wrong_type_names_field_key_and_what_was_found_and_others_are_read(
    open_db: Callable[..., Any], shell: Any
) -> None:
    db = open_db(Thing)
    with db.session() as session:
        session.add(Thing(id=1, name="a"), Thing(id=2, name="b"))
    shell.thing.update_one({"_id": 2}, {"$set": {"name": 7}})
    with db.session() as session:
        with pytest.raises(DataError) as caught:
            session.query(Thing).all()
        assert session.get(Thing, 1).name == "a"
    error = caught.value
    assert (error.model, error.field, error.value) == ("thing", "name", 7)
    assert "document 2" in str(error)
    assert "expected str, found 7 (int)" in str(error)


def test_a_key_of_two_fields_and_a_reference_look_as_expected(
    open_db: Callable[..., Any], shell: Any
) -> None:
    db = open_db(Thing, Place)
    with db.session() as session:
        session.add(Place(hall="A", number=1, thing=Thing(id=5)), Place(hall="A", number=2))
    documents = list(shell.place.find().sort("_id"))
    assert documents == [
        {"_id": {"hall": "A", "number": 1}, "thing_id": 5, "version": documents[0]["version"]},
        {"_id": {"hall": "A", "number": 2}, "thing_id": None, "version": documents[1]["version"]},
    ]
    with db.session() as session:
        place = session.get(Place, ("A", 1))
        assert session.query(Place).where(Place.thing.name == "").one() is place


def test_bytes_are_compared_but_not_ordered(open_db: Callable[..., Any]) -> None:
    db = open_db(Thing)
    with db.session() as session:
        session.add(Thing(id=1, data=b"\xff"), Thing(id=2, data=b"\0\0"))
    with db.session() as session:
        assert session.query(Thing).where(Thing.data == b"\xff").one().id == 1
        for query in (
            session.query(Thing).where(Thing.data > b"\0"),
            session.query(Thing).order_by(Thing.data),
        ):
            with pytest.raises(QueryError, match="hexadecimal"):
                query.all()
