"""Keys: made by graven, by the caller or by the store; of one field or of several."""

from __future__ import annotations

import enum
from collections.abc import Callable
from datetime import date
from typing import Any
from uuid import UUID

import pytest

from graven import (
    DataError,
    DuplicateRecordError,
    MappingError,
    Model,
    StoreError,
    UniqueError,
    UsageError,
    field,
    key,
    owned,
)
from graven.testing.contract import TRANSACTIONS, count, rows


class Plain(Model):
    name: str = ""


class Numbered(Model):
    id: int
    name: str = ""


class Coded(Model):
    code: str = key()
    name: str = ""


class Dated(Model):
    day: date = key()
    name: str = ""


class Token(Model):
    token: UUID = key()
    name: str = ""


class Planet(enum.Enum):
    EARTH = "earth"
    MARS = "mars"


class World(Model):
    planet: Planet = key()
    name: str = ""


class Seat(Model):
    row: str = key()
    number: int = key()
    name: str = ""


class Ticket(Model):
    id: int
    seat: Seat
    world: World | None = None


class Note(Model):
    id: int = key(store_made=True)
    text: str = field(unique=True)
    parent: Note | None = None
    children: list[Note] = owned("parent")


class Chicken(Model):
    id: int = key(store_made=True)
    egg: Egg


class Egg(Model):
    id: int = key(store_made=True)
    chicken: Chicken


class Node(Model):
    other: Node
    name: str = ""


MADE: list[tuple[Any, dict[str, Any], Any]] = [
    (Numbered, {"id": 0}, 0),
    (Numbered, {"id": -(2**63)}, -(2**63)),
    (Numbered, {"id": 2**63 - 1}, 2**63 - 1),
    (Coded, {"code": ""}, ""),
    (Coded, {"code": "a'b\"☃"}, "a'b\"☃"),
    (Dated, {"day": date(2024, 5, 1)}, date(2024, 5, 1)),
    (Token, {"token": UUID(int=7)}, UUID(int=7)),
    (World, {"planet": Planet.MARS}, Planet.MARS),
    (Seat, {"row": "A", "number": 7}, ("A", 7)),
]


@pytest.mark.parametrize(("model", "parts", "whole"), MADE, ids=lambda one: repr(one)[:30])
def test_an_object_is_found_changed_and_deleted_by_its_key(
    open_db: Callable[..., Any], model: Any, parts: dict[str, Any], whole: Any
) -> None:
    db = open_db(model)
    with db.session() as session:
        session.add(model(**parts, name="first"))
    with db.session() as session:
        found = session.get(model, whole)
        assert {name: getattr(found, name) for name in parts} == parts
        assert session.get(model, whole) is found
        assert session.has_key(model, whole)
        found.name = "second"
    with db.session() as session:
        assert session.get(model, whole).name == "second"
        assert session.query(model).one().name == "second"
        session.delete(session.get(model, whole))
    with db.session() as session:
        assert session.get(model, whole) is None


def test_a_key_made_by_graven_is_a_uuid_of_version_7_and_there_at_once() -> None:
    first, second = Plain(), Plain()

    assert isinstance(first.id, UUID)
    assert first.id.version == 7
    assert first.id < second.id


def test_a_reference_to_a_key_of_several_fields_and_to_a_member_comes_back(
    open_db: Callable[..., Any],
) -> None:
    db = open_db(Ticket)
    with db.session() as session:
        seat, world = Seat(row="B", number=3, name="window"), World(planet=Planet.EARTH)
        session.add(Ticket(id=1, seat=seat, world=world), Ticket(id=2, seat=seat))
    with db.session() as session:
        first, second = (
            session.query(Ticket).include(Ticket.seat, Ticket.world).order_by(Ticket.id).all()
        )
        assert first.seat is second.seat
        assert (first.seat.name, first.world.planet, second.world) == ("window", Planet.EARTH, None)
        assert repr(first) == "Ticket(id=1, seat=('B', 3), world_id=<Planet.EARTH: 'earth'>)"


def test_a_key_made_by_the_store_is_none_before_the_commit_and_a_number_after(
    open_db: Callable[..., Any],
) -> None:
    db = open_db(Note)
    with db.session() as session:
        first, second = Note(text="a"), Note(text="b")
        assert first.id is None
        session.add(first, second)
        session.commit()
        assert first.id != second.id
        assert session.get(Note, first.id) is first
    with db.session() as session:
        assert session.get(Note, second.id).text == "b"


def test_parents_and_children_with_keys_made_by_the_store_are_stored_in_one_commit(
    open_db: Callable[..., Any],
) -> None:
    db = open_db(Note)
    with db.session() as session:
        root = Note(text="root")
        middle = Note(text="middle", parent=root)
        leaf = Note(text="leaf", parent=middle)
        session.add(leaf)
        root.children.append(Note(text="other"))
    with db.session() as session:
        notes = {note.text: note for note in session.query(Note).include(Note.parent).all()}
        assert {text: note.parent and note.parent.text for text, note in notes.items()} == {
            "root": None,
            "middle": "root",
            "leaf": "middle",
            "other": "root",
        }


@pytest.mark.parametrize("size", [1, 2, 5])
def test_a_circle_of_keys_made_by_the_store_is_broken_where_null_is_allowed(
    open_db: Callable[..., Any], size: int
) -> None:
    db = open_db(Note)
    with db.session() as session:
        notes = [Note(text=str(index)) for index in range(size)]
        for index, note in enumerate(notes):
            note.parent = notes[(index + 1) % size]
        session.add(notes[0])
        session.commit()
        assert [note.parent for note in notes] == [*notes[1:], notes[0]]
        assert list(session.dirty) == []
        notes[0].text = "changed"
    with db.session() as session:
        found = session.query(Note).include(Note.parent).order_by(Note.id).all()
        assert len(found) == size
        assert sorted(note.parent.id for note in found) == sorted(note.id for note in found)


def test_a_circle_that_cannot_be_broken_is_refused_before_the_write(
    open_db: Callable[..., Any],
) -> None:
    db = open_db(Chicken, Egg)
    with db.session() as session:
        chicken = Chicken(egg=None)
        egg = Egg(chicken=chicken)
        chicken.egg = egg
        session.add(chicken)
        with pytest.raises(MappingError, match="optional"):
            session.commit()
        assert (chicken.id, egg.id) == (None, None)
        session.rollback()


def test_a_circle_with_keys_made_by_graven_needs_no_breaking(open_db: Callable[..., Any]) -> None:
    db = open_db(Node)
    with db.session() as session:
        first, second, alone = Node(other=None), Node(other=None), Node(other=None, name="alone")
        first.other, second.other, alone.other = second, first, alone
        session.add(first, alone)
    with db.session() as session:
        nodes = session.query(Node).include(Node.other).all()
        found = {node.id: node for node in nodes}
        assert found[first.id].other.other is found[first.id]
        assert found[alone.id].other is found[alone.id]


def test_keys_made_by_the_store_are_taken_back_when_the_commit_fails(
    open_db: Callable[..., Any],
) -> None:
    db = open_db(Note)
    with db.session() as session:
        session.add(Note(text="taken"))
    with db.session() as session:
        parent = Note(text="parent")
        child = Note(text="taken", parent=parent)
        session.add(child)
        with pytest.raises(UniqueError):
            session.commit()
        assert (parent.id, child.id) == (None, None)
        assert set(session.new) == {parent, child}
        child.text = "free"
        session.commit()
        assert parent.id is not None
        assert session.get(Note, child.id) is child
    assert count(db, Note) == 3


@pytest.mark.needs(TRANSACTIONS)
def test_keys_made_by_the_store_are_taken_back_when_what_was_flushed_is_rolled_back(
    open_db: Callable[..., Any],
) -> None:
    db = open_db(Note)
    with db.session() as session:
        note = Note(text="a")
        session.add(note)
        session.flush()
        made = note.id
        assert made is not None
        session.rollback()
        assert note.id is None
        assert session.get(Note, made) is None


def test_a_reference_to_what_this_commit_does_not_store_is_refused(
    open_db: Callable[..., Any],
) -> None:
    db = open_db(Note)
    with db.session() as session:
        draft = Note(text="draft")
        session.add(draft, draft=True)
        note = Note(text="a", parent=draft)
        session.add(note)
        with pytest.raises(UsageError, match="draft"):
            session.commit()
        note.parent = None
    assert rows(db, Note, "text") == [("a",)]


def test_the_key_of_a_stored_object_cannot_be_changed(open_db: Callable[..., Any]) -> None:
    db = open_db(Numbered, Seat)
    with db.session() as session:
        session.add(Numbered(id=1, name="one"), Seat(row="A", number=1))
    with db.session() as session:
        one, seat = session.get(Numbered, 1), session.get(Seat, ("A", 1))
        one.id, one.name = 2, "two"
        with pytest.raises(DataError, match=r"cannot change Numbered.id") as caught:
            session.commit()
        error = caught.value
        assert (error.model, error.key, error.field, error.value) == ("Numbered", 1, "id", 2)
        assert rows(db, Numbered, "id", "name") == [(1, "one")]
        one.id = 1
        session.commit()
        assert rows(db, Numbered, "id", "name") == [(1, "two")]
        seat.number = 2
        with pytest.raises(DataError, match=r"cannot change Seat.number"):
            session.commit()
        session.rollback()
        assert seat.number == 1


def test_the_key_of_a_new_object_may_be_changed_until_it_is_stored(
    open_db: Callable[..., Any],
) -> None:
    db = open_db(Numbered)
    with db.session() as session:
        one = Numbered(id=1)
        session.add(one)
        one.id = 2
        session.add(Numbered(id=1, name="other"))
        session.commit()
        assert session.get(Numbered, 2) is one
        assert session.get(Numbered, 1).name == "other"


def test_a_key_that_another_object_of_the_session_has_is_refused_at_once(
    open_db: Callable[..., Any],
) -> None:
    db = open_db(Numbered)
    with db.session() as session:
        first = Numbered(id=1)
        session.add(first)
        with pytest.raises(DuplicateRecordError, match="one object per key") as caught:
            session.add(Numbered(id=1))
        assert (caught.value.table, caught.value.row) == ("numbered", 1)
        with pytest.raises(DuplicateRecordError):
            session.add(Numbered(id=2), Numbered(id=2))
    assert count(db, Numbered) == 2


def test_a_key_that_the_store_has_is_refused_and_named(open_db: Callable[..., Any]) -> None:
    db = open_db(Numbered)
    with db.session() as session:
        session.add(Numbered(id=1, name="stored"))
    with db.session() as session:
        late = Numbered(id=1, name="late")
        session.add(Numbered(id=7), late)
        with pytest.raises(UniqueError, match="id must be unique") as caught:
            session.commit()
        assert (caught.value.model, caught.value.key) == ("Numbered", 1)
        late.id = 8
    assert rows(db, Numbered, "id", "name") == [
        (1, "stored"),
        (7, ""),
        (8, "late"),
    ]


WRONG: list[tuple[Any, dict[str, Any]]] = [
    (Numbered, {"id": None}),
    (Numbered, {"id": "1"}),
    (Numbered, {"id": True}),
    (Numbered, {"id": 2**63}),
    (Numbered, {"id": 1.0}),
    (Numbered, {"id": [1]}),
    (Coded, {"code": 1}),
    (Coded, {"code": "nul\0"}),
    (Coded, {"code": "\ud800"}),
    (Dated, {"day": "2024-05-01"}),
    (Token, {"token": str(UUID(int=7))}),
    (World, {"planet": "mars"}),
    (Seat, {"row": "A", "number": None}),
    (Seat, {"row": "A", "number": 2**64}),
    (Seat, {"row": [], "number": 1}),
]


@pytest.mark.parametrize(("model", "parts"), WRONG, ids=lambda one: repr(one)[:40])
def test_a_key_of_the_wrong_kind_is_refused_before_the_write(
    open_db: Callable[..., Any], model: Any, parts: dict[str, Any]
) -> None:
    db = open_db(model)
    session = db.session()
    with pytest.raises(DataError) as caught:
        session.add(model(**parts))
        session.commit()
    assert caught.value.model == model.__name__
    assert caught.value.field in parts
    assert count(db, model) == 0
    session.rollback()
    assert session.query(model).all() == []


@pytest.mark.parametrize(
    ("model", "asked"),
    [
        (Numbered, "1"),
        (Numbered, None),
        (Numbered, 2**63),
        (Numbered, [1]),
        (Coded, "\ud800"),
        (Coded, 1),
        (World, "mars"),
        (Seat, "A"),
        (Seat, ("A",)),
        (Seat, ("A", "1")),
    ],
    ids=repr,
)
def test_looking_for_a_key_of_the_wrong_kind_is_refused(
    open_db: Callable[..., Any], model: Any, asked: Any
) -> None:
    with open_db(model).session() as session:
        with pytest.raises(DataError, match=model.__name__):
            session.get(model, asked)
        assert session.query(model).all() == []


def test_a_model_that_was_not_created_on_the_database_says_so(
    open_db: Callable[..., Any],
) -> None:
    db = open_db()
    with db.session() as session:
        with pytest.raises(StoreError, match=r"db\.create"):
            session.get(Numbered, 1)
        with pytest.raises(StoreError, match=r"db\.create"):
            session.query(Numbered).all()
        one = Numbered(id=1)
        session.add(one)
        with pytest.raises(StoreError, match=r"db\.create"):
            session.commit()
        assert list(session.new) == [one]
        db.create(Numbered)
    assert rows(db, Numbered, "id") == [(1,)]
