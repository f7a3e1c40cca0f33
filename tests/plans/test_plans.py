"""Golden plans: for given changes exactly these statements, in this order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from graven import Model, field, key, many_to_many, owned
from graven.core.collect import collect
from graven.core.plan import Plan
from graven.core.planner import make_plan
from graven.core.unit import UnitOfWork
from graven.dialects.sqlite_codec import COLUMN_ENCODERS, DECODERS, ENCODERS
from graven.errors import DataError, MappingError
from graven.models.binding import ModelBinding
from graven.models.model import mapper_of
from graven.ops.requests import Delete, Insert, Later, Sweep, Update


class Town(Model, table="plan_town"):
    id: int = key()
    name: str
    mayor: Person | None = None


class Person(Model, table="plan_person"):
    id: int = key()
    name: str
    age: int = 0
    town: Town
    friend: Person | None = None


class Pet(Model, table="plan_pet"):
    id: int = key()
    name: str
    owner: Person


class Note(Model, table="plan_note", guard="none"):
    id: int = key()
    text: str


class Badge(Model, table="plan_badge", guard="fields"):
    id: int = key()
    text: str
    worn: bool = False


class Node(Model, table="plan_node"):
    id: int = key(store_made=True)
    name: str
    next: Node | None = None
    other: Node | None = None


class Link(Model, table="plan_link"):
    id: int = key(store_made=True)
    node: Node
    name: str


class Hen(Model, table="plan_hen"):
    id: int = key(store_made=True)
    egg: Egg


class Egg(Model, table="plan_egg"):
    id: int = key(store_made=True)
    hen: Hen


class Shelf(Model, table="plan_shelf"):
    id: int = key()
    books: list[Book] = owned("shelf")


class Book(Model, table="plan_book"):
    id: int = key()
    shelf: Shelf
    tags: list[Tag] = many_to_many()


class Tag(Model, table="plan_tag"):
    id: int = key()


class Own(Model, table="plan_own"):
    name: str = field(default="")


class Planner:
    """A unit of work and bindings with SQLite's codec, and no store."""

    def __init__(self) -> None:
        self.unit = UnitOfWork(lambda: None)
        self.bindings: dict[Any, ModelBinding] = {}

    def binding(self, mapper: Any) -> ModelBinding:
        if mapper not in self.bindings:
            self.bindings[mapper] = ModelBinding(mapper, ENCODERS, DECODERS, COLUMN_ENCODERS)
        return self.bindings[mapper]

    def read(self, model: Any, *rows: tuple[object, ...]) -> list[Any]:
        """Make objects of rows as they come from the store, in the columns of the table."""
        mapper = mapper_of(model)
        identity = self.unit.map_of(mapper)
        return self.binding(mapper).hydrate(rows, self.unit, identity, False)

    def add(self, *objects: Any) -> None:
        for one in objects:
            self.unit.add(one)

    def plan(self, first_version: Callable[[], int] = lambda: 7) -> Plan:
        entries = collect(self.unit, self.unit.root)
        return make_plan(entries, self.binding, first_version)

    def golden(self) -> list[tuple[Any, ...]]:
        return [told(write) for write in self.plan().writes()]


def told(write: Any) -> tuple[Any, ...]:
    """A statement as its kind, table, columns, guards and rows."""
    rows = [
        tuple(f"key {part.ordinal}" if isinstance(part, Later) else part for part in row)
        for row in write.rows
    ]
    name = write.table.name.removeprefix("plan_")
    match write:
        case Insert():
            return ("insert", name, write.columns, rows)
        case Update():
            return ("update", name, write.columns, write.guards, rows)
        case Delete():
            return ("delete", name, write.guards, rows)
        case Sweep():
            return ("sweep", name, write.by, rows)
    raise AssertionError(write)


@pytest.fixture
def planner() -> Planner:
    return Planner()


# ── inserts ─────────────────────────────────────────────────────────────────────────────────


def test_nothing_pending_is_an_empty_plan(planner: Planner) -> None:
    planner.read(Note, (1, "a", 1))

    assert planner.golden() == []
    assert not planner.plan().is_single


def test_parents_are_inserted_before_children_whatever_the_order_of_adding(
    planner: Planner,
) -> None:
    town = Town(id=1, name="Ayr")
    ann = Person(id=2, name="Ann", town=town)
    planner.add(Pet(id=3, name="Rex", owner=ann), ann, town)

    assert planner.golden() == [
        ("insert", "town", ("id", "name", "mayor_id", "version"), [(1, "Ayr", None, 7)]),
        (
            "insert",
            "person",
            ("id", "name", "age", "town_id", "friend_id", "version"),
            [(2, "Ann", 0, 1, None, 7)],
        ),
        ("insert", "pet", ("id", "name", "owner_id", "version"), [(3, "Rex", 2, 7)]),
    ]


def test_keys_made_by_the_client_need_no_breaking_of_circles(planner: Planner) -> None:
    town = Town(id=1, name="Ayr")
    town.mayor = Person(id=2, name="Ann", town=town)
    planner.add(town)

    kinds = [(kind, table) for kind, table, *_ in planner.golden()]
    rows = {table: rows for _, table, _, rows in planner.golden()}
    assert kinds == [("insert", "person"), ("insert", "town")]
    assert rows == {"town": [(1, "Ayr", 2, 7)], "person": [(2, "Ann", 0, 1, None, 7)]}


def test_objects_of_one_class_are_one_statement_in_the_order_added(planner: Planner) -> None:
    planner.add(*(Note(id=number, text=str(number)) for number in (3, 1, 2)))

    assert planner.golden() == [
        ("insert", "note", ("id", "text", "version"), [(3, "3", 7), (1, "1", 7), (2, "2", 7)])
    ]


def test_the_first_version_is_1_where_graven_makes_keys_and_drawn_once_otherwise(
    planner: Planner,
) -> None:
    drawn: list[int] = []

    def draw() -> int:
        drawn.append(100 + len(drawn))
        return drawn[-1]

    planner.add(Own(), Note(id=1, text="a"), Note(id=2, text="b"))
    versions = {
        write.table.name: [row[-1] for row in write.rows] for write in planner.plan(draw).writes()
    }

    assert versions == {"plan_own": [1], "plan_note": [100, 100]}
    assert drawn == [100]


def test_the_same_changes_make_the_same_plan_twice(planner: Planner) -> None:
    town = Town(id=1, name="Ayr")
    town.mayor = Person(id=2, name="Ann", town=town)
    planner.add(town, Node(name="a", next=Node(name="b")), Note(id=1, text="t"))

    assert planner.golden() == planner.golden()


def test_a_value_that_does_not_fit_is_refused_and_everything_stays_pending(
    planner: Planner,
) -> None:
    bad: Any = Note(id=2, text=5)  # type: ignore[arg-type]
    planner.add(Note(id=1, text="a"), bad)

    with pytest.raises(DataError):
        planner.plan()
    bad.text = "b"

    assert [rows for *_, rows in planner.golden()] == [[(1, "a", 7), (2, "b", 7)]]


# ── keys made by the store ──────────────────────────────────────────────────────────────────


def test_what_waits_for_a_key_of_the_store_comes_on_a_later_level(planner: Planner) -> None:
    b = Node(name="b")
    a = Node(name="a", next=b)
    planner.add(Link(node=a, name="to a"), Node(name="c"), a)

    columns = ("name", "next_id", "other_id", "version")
    assert planner.golden() == [
        ("insert", "node", columns, [("b", None, None, 1), ("c", None, None, 1)]),
        ("insert", "node", columns, [("a", "key 2", None, 1)]),
        ("insert", "link", ("node_id", "name", "version"), [("key 1", "to a", 1)]),
    ]


def test_inserts_are_numbered_and_the_numbers_go_with_the_rows(planner: Planner) -> None:
    b = Node(name="b")
    planner.add(Node(name="a", next=b), b)
    plan = planner.plan()

    assert [(write.rows[0][0], write.ordinals) for write in plan.writes()] == [  # type: ignore[union-attr]
        ("b", (1,)),
        ("a", (0,)),
    ]
    assert plan.has_later
    assert {tuple(group.ordinals) for group in plan.groups} == {(0,), (1,)}


def test_a_key_given_in_spite_of_the_store_is_inserted_as_it_is(planner: Planner) -> None:
    planner.add(Node(id=5, name="a"), Node(name="b"))

    assert planner.golden() == [
        (
            "insert",
            "node",
            ("id", "name", "next_id", "other_id", "version"),
            [(5, "a", None, None, 7)],
        ),
        ("insert", "node", ("name", "next_id", "other_id", "version"), [("b", None, None, 1)]),
    ]


def test_a_circle_is_broken_on_a_reference_that_may_be_null(planner: Planner) -> None:
    a, b = Node(name="a"), Node(name="b")
    a.next, b.next = b, a
    planner.add(a, b)

    columns = ("name", "next_id", "other_id", "version")
    assert planner.golden() == [
        ("insert", "node", columns, [("a", None, None, 1)]),
        ("insert", "node", columns, [("b", "key 0", None, 1)]),
        ("update", "node", ("next_id", "version"), ("version",), [("key 1", 1, "key 0", 1)]),
    ]
    assert (a.next, b.next) == (b, a)


def test_an_object_that_refers_to_itself_is_patched(planner: Planner) -> None:
    node = Node(name="a")
    node.next = node.other = node
    planner.add(node)
    plan = planner.plan()

    assert [told(write) for write in plan.writes()] == [
        ("insert", "node", ("name", "next_id", "other_id", "version"), [("a", None, None, 1)]),
        (
            "update",
            "node",
            ("next_id", "other_id", "version"),
            ("version",),
            [("key 0", "key 0", 1, "key 0", 1)],
        ),
    ]
    assert plan.groups[0].after == [1]


def test_circles_that_do_not_touch_are_broken_in_the_same_statements(planner: Planner) -> None:
    for name in "abc":
        one, two = Node(name=name), Node(name=name.upper())
        one.next, two.next = two, one
        one.other = one
        planner.add(one, two)

    firsts, seconds, *patches = planner.golden()
    assert [row[0] for row in firsts[-1]] == ["a", "b", "c"]
    assert [row[0] for row in seconds[-1]] == ["A", "B", "C"]
    assert patches == [
        (
            "update",
            "node",
            ("next_id", "other_id", "version"),
            ("version",),
            [(f"key {n + 1}", f"key {n}", 1, f"key {n}", 1) for n in (0, 2, 4)],
        )
    ]


def test_only_circles_are_broken_not_what_hangs_on_them(planner: Planner) -> None:
    a, b = Node(name="a"), Node(name="b")
    a.next, b.next = b, a
    planner.add(Node(name="tail", next=a), Link(node=b, name="to b"), a, b)

    patches = [write for write in planner.golden() if write[0] == "update"]
    assert len(patches) == 1
    assert len(patches[0][-1]) == 1
    order = [rows[0][0] if table == "node" else table for kind, table, *_, rows in planner.golden()]
    assert order.index("tail") > order.index("a")


def test_a_circle_that_cannot_be_broken_is_refused_with_the_remedy(planner: Planner) -> None:
    hen: Any = Hen(egg=None)  # type: ignore[arg-type]
    hen.egg = Egg(hen=hen)
    planner.add(hen, Note(id=1, text="t"))

    with pytest.raises(MappingError) as caught:
        planner.plan()

    message = str(caught.value)
    assert "a circle of 2 new objects" in message
    assert "Hen.egg, Egg.hen" in message
    assert "| None" in message
    assert (caught.value.model, caught.value.field) == ("Hen", "egg")
    planner.unit.delete(hen)
    planner.unit.delete(hen.egg)
    assert [table for _, table, *_ in planner.golden()] == ["note"]


def test_a_long_chain_of_keys_made_by_the_store_is_laid_out(planner: Planner) -> None:
    node = None
    for number in range(3000):
        node = Node(name=str(number), next=node)
    planner.add(node)

    writes = planner.plan().writes()
    assert [write.rows[0][0] for write in writes] == [str(number) for number in range(3000)]


# ── updates ─────────────────────────────────────────────────────────────────────────────────


def test_an_update_writes_the_changed_fields_and_checks_the_version(planner: Planner) -> None:
    (ann,) = planner.read(Person, (2, "Ann", 30, 1, None, 4))
    ann.age = 31

    assert planner.golden() == [("update", "person", ("age",), ("version",), [(31, 2, 4)])]


def test_a_guard_by_fields_checks_the_clean_values_of_what_is_written(planner: Planner) -> None:
    (badge,) = planner.read(Badge, (1, "old", 1, 4))
    badge.text, badge.worn = "new", False

    assert planner.golden() == [
        ("update", "badge", ("text", "worn"), ("text", "worn"), [("new", 0, 1, "old", 1)])
    ]


def test_without_a_guard_nothing_is_checked(planner: Planner) -> None:
    note, gone = planner.read(Note, (1, "a", 4), (2, "b", 4))
    note.text = "new"
    planner.unit.delete(gone)

    assert planner.golden() == [
        ("update", "note", ("text",), (), [("new", 1)]),
        ("delete", "note", (), [(2,)]),
    ]


def test_updates_of_the_same_fields_are_one_statement(planner: Planner) -> None:
    people = planner.read(Person, *((n, "x", n, 1, None, n + 10) for n in range(4)))
    for person in people[:3]:
        person.age = 50
    people[3].name = "y"

    assert planner.golden() == [
        ("update", "person", ("age",), ("version",), [(50, n, n + 10) for n in range(3)]),
        ("update", "person", ("name",), ("version",), [("y", 3, 13)]),
    ]


def test_a_field_set_back_to_its_clean_value_is_not_written(planner: Planner) -> None:
    (ann,) = planner.read(Person, (2, "Ann", 30, 1, None, 4))
    ann.age, ann.name = 31, "Eve"
    ann.age = 30

    assert planner.golden() == [("update", "person", ("name",), ("version",), [("Eve", 2, 4)])]
    ann.name = "Ann"
    assert planner.golden() == []


def test_a_reference_to_a_new_object_is_written_after_its_insert(planner: Planner) -> None:
    (node,) = planner.read(Node, (9, "old", None, None, 4))
    node.next = Node(name="new")
    planner.add(node.next)

    assert planner.golden() == [
        ("insert", "node", ("name", "next_id", "other_id", "version"), [("new", None, None, 1)]),
        ("update", "node", ("next_id",), ("version",), [("key 0", 9, 4)]),
    ]


# ── deletes ─────────────────────────────────────────────────────────────────────────────────


def test_children_are_deleted_before_parents_and_after_all_else(planner: Planner) -> None:
    (town,) = planner.read(Town, (1, "Ayr", None, 5))
    (ann, bob) = planner.read(Person, (2, "Ann", 0, 1, None, 6), (3, "Bob", 0, 1, None, 6))
    (rex,) = planner.read(Pet, (4, "Rex", 2, 8))
    for one in (town, ann, bob, rex):
        planner.unit.delete(one)
    planner.add(Note(id=1, text="t"))

    assert planner.golden() == [
        ("insert", "note", ("id", "text", "version"), [(1, "t", 7)]),
        ("delete", "pet", ("version",), [(4, 8)]),
        ("delete", "town", ("version",), [(1, 5)]),
        ("delete", "person", ("version",), [(2, 6), (3, 6)]),
    ]


def test_a_new_object_that_is_deleted_needs_no_statement(planner: Planner) -> None:
    note = Note(id=1, text="t")
    planner.add(note)
    planner.unit.delete(note)

    assert planner.golden() == []


# ── lists ───────────────────────────────────────────────────────────────────────────────────


def test_links_are_written_after_both_ends(planner: Planner) -> None:
    tag = Tag(id=5)
    book = Book(id=2, shelf=Shelf(id=1), tags=[tag, Tag(id=6)])
    planner.add(book)

    *ends, links = planner.golden()
    assert sorted(table for _, table, *_ in ends) == ["book", "shelf", "tag"]
    assert links == (
        "insert",
        "book_tags",
        ("plan_book_id", "plan_tag_id"),
        [(2, 5), (2, 6)],
    )


def test_the_links_of_what_is_deleted_are_swept_before_it_goes(planner: Planner) -> None:
    (tag,) = planner.read(Tag, (5, 3))
    planner.unit.delete(tag)

    assert planner.golden() == [
        ("sweep", "book_tags", ("plan_tag_id",), [(5,)]),
        ("delete", "tag", ("version",), [(5, 3)]),
    ]


# ── single plans ────────────────────────────────────────────────────────────────────────────


def test_one_plain_row_is_a_single_plan(planner: Planner) -> None:
    (node,) = planner.read(Node, (1, "a", None, None, 4))
    node.name = "new"
    assert planner.plan().is_single


def test_one_plain_deletion_is_a_single_plan(planner: Planner) -> None:
    (note,) = planner.read(Note, (1, "a", 4))
    planner.unit.delete(note)
    assert planner.plan().is_single


def test_an_update_that_has_to_learn_its_version_is_no_single_plan(planner: Planner) -> None:
    (note,) = planner.read(Note, (1, "a", 4))
    note.text = "new"
    assert not planner.plan().is_single


def test_an_insert_of_one_row_without_references_is_single(planner: Planner) -> None:
    planner.add(Tag(id=1))

    assert planner.plan().is_single


def test_two_rows_are_not_single(planner: Planner) -> None:
    planner.add(Note(id=1, text="a"), Note(id=2, text="b"))

    assert not planner.plan().is_single


def test_a_row_that_a_foreign_key_can_refuse_is_not_single(planner: Planner) -> None:
    (ann,) = planner.read(Person, (2, "Ann", 30, 1, None, 4))
    ann.age = 31
    assert planner.plan().is_single

    (ann.town,) = planner.read(Town, (8, "Bath", None, 1))
    assert not planner.plan().is_single


def test_deleting_what_others_refer_to_is_not_single(planner: Planner) -> None:
    (town,) = planner.read(Town, (1, "Ayr", None, 5))
    planner.unit.delete(town)

    assert not planner.plan().is_single
