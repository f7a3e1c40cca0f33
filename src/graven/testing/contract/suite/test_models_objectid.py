"""A key or field may be an ObjectId, as MongoDB has them, on every backend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from bson import ObjectId

from graven import (
    DataError,
    Model,
    ModelSerializer,
    field,
    flatten_object,
    from_json,
    in_,
    key,
    to_json,
    unflatten_object,
)


class Fragment(Model):
    id: ObjectId = key(default_factory=ObjectId)
    name: str
    batch: ObjectId | None = field(default=None, index=True)
    whole: Fragment | None = None


def test_an_objectid_is_a_key_a_field_and_what_references_hold(open_db: Callable[..., Any]) -> None:
    db = open_db(Fragment)
    batch = ObjectId("0123456789abcdef01234567")
    engine = Fragment(name="engine", batch=batch)
    bolt = Fragment(name="bolt", whole=engine)
    with db.session() as session:
        session.add(bolt)
    with open_db().session() as session:
        found = (
            session.query(Fragment).where(Fragment.whole == engine.id).include(Fragment.whole).one()
        )
        assert (found.id, type(found.id)) == (bolt.id, ObjectId)
        assert (found.whole.id, found.whole.batch, found.batch) == (engine.id, batch, None)
        assert session.get(Fragment, engine.id) is found.whole
        found.batch = batch
    with db.session() as session:
        both = session.query(Fragment).where(Fragment.batch == batch).order_by(Fragment.id).all()
        assert [one.name for one in both] == ["engine", "bolt"]
        assert session.query(Fragment).where(in_(Fragment.id, [bolt.id])).one().name == "bolt"
        assert session.query(Fragment).where(Fragment.batch > batch).count() == 0


def test_objectids_order_by_their_bytes(open_db: Callable[..., Any]) -> None:
    db = open_db(Fragment)
    ids = [ObjectId(bytes([n]) * 12) for n in (0, 9, 10, 127, 128, 255)]
    with db.session() as session:
        session.add(*(Fragment(id=one, name="x") for one in reversed(ids)))
    with db.session() as session:
        assert [one.id for one in session.query(Fragment).order_by(Fragment.id).all()] == ids
        found = session.query(Fragment).where(Fragment.id >= ids[3]).all()
        assert [one.id for one in found] == ids[3:]


def test_an_objectid_comes_back_from_a_text_and_a_document() -> None:
    engine = Fragment(name="engine", batch=ObjectId())
    bolt = Fragment(name="bolt", whole=engine)

    (again,) = from_json(to_json(bolt))
    assert (again.id, again.batch, again.whole.id) == (bolt.id, None, engine.id)
    assert again.whole.batch == engine.batch
    assert unflatten_object(flatten_object(engine)).batch == engine.batch
    native = ModelSerializer(native=[ObjectId])
    assert native.flatten_object(engine)["batch"] is engine.batch
    for digits in ("0123", 7, "x" * 24):
        with pytest.raises(DataError, match="objectid"):
            unflatten_object({**flatten_object(engine), "batch": {"__objectid__": digits}})


def test_what_is_no_objectid_is_refused(open_db: Callable[..., Any]) -> None:
    db = open_db(Fragment)
    with pytest.raises(DataError, match="ObjectId"), db.session() as session:
        session.add(Fragment(name="x", batch="0123456789abcdef01234567"))
    with db.session() as session:
        assert session.query(Fragment).count() == 0
