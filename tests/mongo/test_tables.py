"""Tables are collections: made, completed, looked at, and refused where they do not fit."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from bson import ObjectId

from graven.errors import CheckError, MappingError, NotNullError, UniqueError
from graven.flows.schema import create
from graven.ops.conditions import Compare, Order, Path, Select, Step
from graven.ops.requests import (
    Delete,
    Fetch,
    FetchKeys,
    Insert,
    Inspect,
    Orphan,
    Orphans,
    Sweep,
    Update,
)
from graven.ops.schema import Column, Reference, Table
from tests.mongo.raw import Raw

KINDS: dict[str, Any] = {
    "int": 2**40,
    "str": "",
    "bool": False,
    "float": -0.5,
    "naive": "2024-05-01T12:00:00",
    "date": "2024-05-01",
    "time": "12:00:00",
    "timedelta": -1,
    "decimal": Decimal("-1E+3"),
    "uuid": UUID(int=0),
    "bytes": b"",
    "objectid": ObjectId("0" * 24),
    "json": "[]",
}
SHELF = Table(
    "shelf",
    (Column("hall", "str"), Column("number", "int"), Column("label", "str", True)),
    ("hall", "number"),
)
BOOK = Table(
    "book",
    (
        Column("id", "int"),
        Column("title", "str", index=True),
        Column("isbn", "str", nullable=True, unique=True),
        Column("state", "str", choices=("in", "out")),
        Column("notes", "json", nullable=True),
        Column("shelf_hall", "str", nullable=True),
        Column("shelf_number", "int", nullable=True),
        Column("next_id", "int", nullable=True),
        Column("version", "int"),
    ),
    ("id",),
    version="version",
    store_made=True,
    references=(
        Reference(("shelf_hall", "shelf_number"), "shelf", ("hall", "number")),
        Reference(("next_id",), "book", ("id",)),
    ),
)
NAMES = ("id", "title", "state", "version")


def altered(table: Table, **changes: Any) -> Table:
    """Return *table* with the columns of that name changed, or added."""
    columns = {column.name: column for column in table.columns}
    columns.update(changes.pop("columns", {}))
    for name in changes.pop("without", ()):
        del columns[name]
    given = {name: getattr(table, name) for name in Table._fields}
    return Table(**{**given, **changes, "columns": tuple(columns.values())})


def indexes(raw: Raw, name: str) -> dict[str, dict[str, int]]:
    return {one["name"]: dict(one["key"]) for one in raw.db[name].list_indexes()}


def test_a_table_is_made_and_found_to_fit(raw: Raw) -> None:
    assert raw.perform(Inspect("book")) is None
    raw.run(create([BOOK, SHELF]))
    shape = raw.perform(Inspect("book"))

    assert [name for name, _, _ in shape.columns] == [column.name for column in BOOK.columns]
    assert (shape.key, shape.makes_key) == (("id",), True)
    assert shape.choices == (("state", "state", ("in", "out")),)
    assert shape.kinds[0] == {"int"}
    assert {name for name, _, not_null in shape.columns if not_null} == {*NAMES}
    assert {(columns, unique) for _, columns, unique in shape.indexes} == {
        (("title",), False),
        (("isbn",), True),
        (("shelf_hall", "shelf_number"), False),
        (("next_id",), False),
    }
    assert raw.perform(Inspect("shelf")).key == ("hall", "number")


def test_what_is_there_is_left_alone(raw: Raw, monkeypatch: pytest.MonkeyPatch) -> None:
    raw.run(create([BOOK, SHELF]))
    monkeypatch.setattr(raw.dialect, "create", lambda request: pytest.fail(repr(request)))

    raw.run(create([BOOK, SHELF]))


def test_what_was_interrupted_is_made_again(raw: Raw) -> None:
    raw.db.command({"create": "book"})
    raw.run(create([BOOK]))
    raw.db.command({"collMod": "book", "validator": {}})
    raw.run(create([BOOK]))

    assert "book.isbn.unique" in indexes(raw, "book")


def test_documents_that_break_the_rule_are_refused_where_it_is_switched_on(raw: Raw) -> None:
    raw.run(create([BOOK]))
    raw.db.command({"collMod": "book", "validationLevel": "strict"})
    raw.perform(Insert(BOOK, NAMES, [(1, "a", "in", 1)]))

    with pytest.raises(NotNullError) as missing:
        raw.perform(Insert(BOOK, ("id", "state", "version"), [(2, "in", 1)]))
    with pytest.raises(NotNullError) as null:
        raw.perform(Update(BOOK, ("title",), (), [(None, 1)]))
    with pytest.raises(CheckError) as unknown:
        raw.perform(Update(BOOK, ("state",), (), [("lost", 1)]))

    assert missing.value.columns == null.value.columns == ("title",)
    assert unknown.value.columns == ("state",)
    assert raw.perform(Fetch(Select(BOOK, NAMES))) == [(1, "a", "in", 1)]


def test_unique_values_are_unique_but_nulls_are_not(raw: Raw) -> None:
    raw.run(create([BOOK]))
    names = ("id", "title", "isbn", "state", "version")
    rows: list[Any] = [(n, "a", None, "in", 1) for n in range(3)]
    raw.perform(Insert(BOOK, names, [*rows, (3, "b", "x", "in", 1)]))

    with pytest.raises(UniqueError) as taken:
        raw.perform(Insert(BOOK, names, [(4, "c", "x", "in", 1)]))
    with pytest.raises(UniqueError) as key:
        raw.perform(Insert(BOOK, names, [(3, "c", "y", "in", 1)]))

    assert (taken.value.table, taken.value.columns) == ("book", ("isbn",))
    assert taken.value.constraint == "book.isbn.unique"
    assert (key.value.table, key.value.columns, key.value.key) == ("book", ("id",), 3)


@pytest.mark.parametrize("kind", KINDS)
def test_an_index_ignores_null_and_nothing_else_for_every_kind(raw: Raw, kind: str) -> None:
    column = Column("value", kind, nullable=True, unique=True)
    table = Table("one", (Column("id", "int"), column), ("id",))
    raw.run(create([table]))
    value = raw.dialect.encode(kind, KINDS[kind]) if kind == "decimal" else KINDS[kind]
    raw.perform(Insert(table, ("id", "value"), [(1, value), (2, None), (3, None)]))

    with pytest.raises(UniqueError):
        raw.perform(Insert(table, ("id", "value"), [(4, value)]))


def test_several_columns_are_unique_together_unless_one_is_null(raw: Raw) -> None:
    columns = Column("id", "int"), Column("a", "str"), Column("b", "int", nullable=True)
    table = Table("pair", columns, ("id",), uniques=(("a", "b"),))
    raw.run(create([table]))
    raw.perform(Insert(table, ("id", "a", "b"), [(1, "x", 1), (2, "x", None), (3, "x", None)]))
    raw.perform(Insert(table, ("id", "a", "b"), [(4, "x", 2), (5, "y", 1)]))

    with pytest.raises(UniqueError) as caught:
        raw.perform(Insert(table, ("id", "a", "b"), [(6, "x", 1)]))
    assert caught.value.columns == ("a", "b")


def test_columns_indexes_and_choices_are_added(raw: Raw) -> None:
    raw.run(create([BOOK]))
    raw.perform(Insert(BOOK, NAMES, [(1, "a", "in", 1)]))
    more = {
        "state": Column("state", "str", choices=("in", "out", "lost")),
        "pages": Column("pages", "int", nullable=True, index=True),
        "notes": Column("notes", "json", nullable=True, index=True),
    }
    book = altered(BOOK, columns=more)
    raw.run(create([book]))
    raw.perform(Update(book, ("state", "pages"), (), [("lost", 3, 1)]))

    assert {"book.pages.index", "book.notes.index"} <= {*indexes(raw, "book")}
    assert raw.perform(Inspect("book")).choices[0][2] == ("in", "out", "lost")
    assert raw.perform(Fetch(Select(book, ("id", "pages", "notes")))) == [(1, 3, None)]


def test_a_required_column_is_added_only_where_no_row_lacks_it(raw: Raw) -> None:
    raw.run(create([BOOK]))
    book = altered(BOOK, columns={"pages": Column("pages", "int")})
    raw.perform(Insert(BOOK, NAMES, [(1, "a", "in", 1)]))
    with pytest.raises(MappingError, match="has rows"):
        raw.run(create([book]))
    raw.perform(Sweep(BOOK, ("id",), [(1,)]))
    raw.db.command({"collMod": "book", "validationLevel": "strict"})
    raw.run(create([book]))

    with pytest.raises(NotNullError):
        raw.perform(Insert(BOOK, NAMES, [(1, "a", "in", 1)]))


def test_a_renamed_column_keeps_its_values_and_its_indexes(raw: Raw) -> None:
    raw.run(create([BOOK]))
    names = ("id", "title", "isbn", "state", "version")
    raw.perform(Insert(BOOK, names, [(1, "a", "x", "in", 1), (2, "b", None, "in", 1)]))
    raw.db.command({"collMod": "book", "validationLevel": "strict"})
    renamed = {
        "isbn": Column("code", "str", nullable=True, unique=True, renamed_from=("isbn",)),
        "title": Column("name", "str", index=True, renamed_from=("title",)),
    }
    book = altered(BOOK, columns=renamed)
    raw.run(create([book]))

    assert raw.perform(Fetch(Select(book, ("id", "name", "code")))) == [
        (1, "a", "x"),
        (2, "b", None),
    ]
    assert {"book.name.index", "book.code.unique"} <= {*indexes(raw, "book")}
    assert not {"book.title.index", "book.isbn.unique"} & {*indexes(raw, "book")}
    with pytest.raises(UniqueError) as caught:
        raw.perform(
            Insert(book, ("id", "name", "code", "state", "version"), [(3, "c", "x", "in", 1)])
        )
    assert caught.value.columns == ("code",)


def test_a_rename_that_is_refused_half_way_is_told_and_can_be_finished(raw: Raw) -> None:
    raw.run(create([BOOK]))
    raw.perform(Insert(BOOK, NAMES, [(1, "a", "in", 1), (2, "b", "in", 1)]))
    raw.db["book"].create_index("name", unique=True, name="mine", sparse=True)
    raw.db["book"].insert_one({"_id": 3, "title": "c", "state": "in", "version": 1, "name": "b"})
    renamed = Column("name", "str", index=True, renamed_from=("title",))
    book = altered(BOOK, columns={"title": renamed})
    with pytest.raises(UniqueError, match="name"):
        raw.run(create([book]))
    raw.db["book"].update_one({"_id": 3}, {"$set": {"name": "c"}})
    raw.run(create([book]))

    assert raw.perform(Fetch(Select(book, ("id", "name")))) == [(1, "a"), (2, "b"), (3, "c")]


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"columns": {"title": Column("title", "int")}}, "type 'str"),
        ({"columns": {"title": Column("title", "str", nullable=True)}}, "never null"),
        ({"columns": {"notes": Column("notes", "json")}}, "nullable"),
        ({"key": ("title",), "store_made": False}, "the key id"),
        ({"without": ("title",)}, "no such column"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(raw: Raw, changes: Any, found: str) -> None:
    raw.run(create([BOOK]))
    with pytest.raises(MappingError, match=found):
        raw.run(create([altered(BOOK, **changes)]))


def test_a_rule_a_collation_or_a_view_of_somebody_else_is_not_touched(raw: Raw) -> None:
    raw.db.create_collection("book", validator={"x": {"$gt": 1}})
    raw.db.create_collection("shelf", viewOn="book", pipeline=[])
    raw.db.create_collection("other", collation={"locale": "de"})
    for table in (BOOK, SHELF, altered(SHELF, name="other")):
        with pytest.raises(MappingError, match="belongs to another program"):
            raw.run(create([table]))
    (found,) = raw.db.list_collections(filter={"name": "book"})
    assert found["options"]["validator"] == {"x": {"$gt": 1}}


def test_a_field_that_somebody_adds_to_the_rule_is_left_alone(raw: Raw) -> None:
    raw.run(create([SHELF]))
    (found,) = raw.db.list_collections(filter={"name": "shelf"})
    rule = found["options"]["validator"]["$jsonSchema"]
    rule["properties"]["theirs"] = {"bsonType": "string"}
    raw.db.command({"collMod": "shelf", "validator": {"$jsonSchema": rule}})
    raw.run(create([SHELF]))
    wanted = altered(SHELF, columns={"theirs": Column("theirs", "str", nullable=True)})
    with pytest.raises(MappingError, match="theirs"):
        raw.run(create([wanted]))


def test_an_index_made_by_hand_is_as_good(raw: Raw) -> None:
    raw.db["book"].create_index([("title", -1)], name="mine")
    raw.run(create([BOOK]))
    book = altered(
        BOOK, columns={"state": Column("state", "str", choices=("in", "out"), index=True)}
    )
    raw.db["book"].create_index([("state", 1), ("title", 1)], name="ours")
    raw.run(create([book]))

    assert "book.state.index" not in indexes(raw, "book")


@pytest.mark.parametrize("name", ["$a", "a.b", "a\0b", "_id", "_graven_x"])
def test_a_name_that_means_something_else_is_refused(raw: Raw, name: str) -> None:
    table = Table("odd", (Column("id", "int"), Column(name, "int")), ("id",))
    with pytest.raises(MappingError) as caught:
        raw.run(create([table]))

    assert (caught.value.table, caught.value.field) == ("odd", name)
    assert raw.perform(Inspect("odd")) is None


def test_a_key_may_be_called_as_mongodb_calls_it(raw: Raw) -> None:
    table = Table("plain", (Column("_id", "str"), Column("n", "int")), ("_id",))
    raw.run(create([table]))
    raw.perform(Insert(table, ("_id", "n"), [("a", 1)]))

    assert raw.perform(Fetch(Select(table, ("n", "_id")))) == [(1, "a")]


# ── keys ────────────────────────────────────────────────────────────────────────────────────


def test_keys_made_by_the_store_follow_each_other_and_those_given(raw: Raw) -> None:
    raw.run(create([BOOK]))
    names = ("title", "state", "version")
    first = raw.perform(Insert(BOOK, names, [("a", "in", 1), ("b", "in", 1)]))
    name, wanted, update = raw.dialect.given_keys(BOOK, 10)
    raw.db[name].update_one(wanted, update, upsert=True)
    second = raw.perform(Insert(BOOK, names, [("c", "in", 1)]))

    assert (first, second) == ([1, 2], [11])
    assert raw.perform(Fetch(Select(BOOK, ("id", "title")))) == [(1, "a"), (2, "b"), (11, "c")]


def test_a_key_of_several_columns_is_one_document(raw: Raw) -> None:
    raw.run(create([SHELF, BOOK]))
    names = ("number", "label", "hall")
    raw.perform(Insert(SHELF, names, [(1, "x", "A"), (2, None, "A"), (1, "y", "B")]))
    assert raw.db["shelf"].find_one({"label": "x"}) == {
        "_id": {"hall": "A", "number": 1},
        "label": "x",
    }
    hall = Path((), "hall", "str")

    def fetched(**asked: Any) -> list[Any]:
        return raw.perform(Fetch(Select(SHELF, ("label", "number", "hall"), **asked)))

    rows = [("x", 1, "A"), (None, 2, "A"), ("y", 1, "B")]
    assert fetched() == rows
    assert fetched(where=Compare("==", hall, "A")) == rows[:2]
    assert fetched(order=(Order(hall, True),)) == [rows[2], *rows[:2]]
    keys = [(1, "B"), (2, "A"), (5, "A")]
    found = raw.perform(FetchKeys(SHELF, ("label",), ("number", "hall"), keys))
    assert sorted(found, key=str) == [("y",), (None,)]
    assert raw.perform(FetchKeys(SHELF, ("number",), ("hall",), [("A",)])) == [(1,), (2,)]

    assert raw.perform(Update(SHELF, ("label",), ("label",), [("z", "A", 2, None)])) == 1
    assert raw.perform(Delete(SHELF, ("label",), [("A", 1, "other")])) == 0
    assert raw.perform(Delete(SHELF, (), [("A", 1), ("B", 1)])) == 2
    assert fetched() == [("z", 2, "A")]
    with pytest.raises(UniqueError) as taken:
        raw.perform(Insert(SHELF, names, [(2, "x", "A")]))
    assert (taken.value.columns, taken.value.key) == (("hall", "number"), ("A", 2))


def test_references_of_several_columns_are_followed(raw: Raw) -> None:
    raw.run(create([SHELF, BOOK]))
    raw.perform(Insert(SHELF, ("hall", "number", "label"), [("A", 1, "x")]))
    names = (*NAMES, "shelf_hall", "shelf_number", "next_id")
    raw.perform(
        Insert(
            BOOK,
            names,
            [
                (1, "a", "in", 1, "A", 1, 2),
                (2, "b", "in", 1, "A", 9, None),
                (3, "c", "in", 1, None, None, 1),
            ],
        )
    )
    shelf, following = Step(("shelf_hall", "shelf_number"), SHELF), Step(("next_id",), BOOK)
    label, far = Path((shelf,), "label", "str"), Path((following, shelf), "hall", "str")

    def ids(condition: Any) -> list[int]:
        return [key for (key,) in raw.perform(Fetch(Select(BOOK, ("id",), condition)))]

    assert ids(Compare("==", label, "x")) == [1]
    assert ids(Compare("==", label, None)) == [2, 3]
    assert ids(Compare("==", far, "A")) == [3]
    assert ids(Compare("!=", far, label)) == [1, 3]


def test_orphans_are_told_with_what_they_miss(raw: Raw) -> None:
    raw.run(create([SHELF, BOOK]))
    raw.perform(Insert(SHELF, ("hall", "number"), [("A", 1)]))
    names = (*NAMES, "shelf_hall", "shelf_number", "next_id")
    rows = [
        (1, "a", "in", 1, "A", 1, 1),
        (2, "b", "in", 1, "A", 9, 77),
        (3, "c", "in", 1, None, None, None),
    ]
    raw.perform(Insert(BOOK, names, rows))

    assert raw.perform(Orphans((SHELF, BOOK))) == [
        Orphan("book", (2,), ("shelf_hall", "shelf_number"), "shelf", ("A", 9)),
        Orphan("book", (2,), ("next_id",), "book", (77,)),
    ]
    assert len(raw.perform(Orphans((BOOK,), 1))) == 2  # of each reference; a driver cuts
