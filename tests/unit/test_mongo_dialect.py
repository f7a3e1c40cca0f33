"""What MongoDB is asked, document by document; :mod:`tests.mongo` asks a server."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from bson import Decimal128
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.json import encode as json_of

from graven.dialects.mongo import KEYS_PER_FIND, MongoDialect
from graven.dialects.mongo_codec import BSON_TYPES, DECODERS, ENCODERS, PYTHON_TYPES
from graven.dialects.mongo_commands import Aggregate, Command, Deletes, Find, Inserts, Updates
from graven.dialects.mongo_json import from_text, to_text
from graven.errors import QueryError
from graven.ops.conditions import And, Compare, In, Like, Not, Or, Order, Path, Select, Step, Truth
from graven.ops.requests import Create, Delete, FetchKeys, Insert, Sweep, Update
from graven.ops.schema import Column, Reference, Table

AUTHOR = Table(
    "author",
    (
        Column("id", "int"),
        Column("name", "str", index=True),
        Column("email", "str", nullable=True, unique=True),
        Column("rating", "decimal", nullable=True),
        Column("born", "datetime", nullable=True),
        Column("notes", "json", nullable=True),
        Column("boss_id", "int", nullable=True),
        Column("version", "int"),
    ),
    ("id",),
    version="version",
    references=(Reference(("boss_id",), "author", ("id",)),),
)
SEAT = Table(
    "seat",
    (Column("row", "str"), Column("number", "int"), Column("author_id", "int")),
    ("row", "number"),
    references=(Reference(("author_id",), "author", ("id",)),),
)
ID, NAME, EMAIL, RATING, BORN, NOTES = (
    Path((), name, AUTHOR.column(name).kind)
    for name in ("id", "name", "email", "rating", "born", "notes")
)
BOSS = Step(("boss_id",), AUTHOR)
BOSS_NAME = Path((BOSS,), "name", "str")
DAY = datetime(2024, 5, 1, tzinfo=UTC)


@pytest.fixture
def dialect() -> MongoDialect:
    return MongoDialect()


def where(dialect: MongoDialect, condition: Any) -> Any:
    asked = dialect.fetch(Select(AUTHOR, ("id",), condition))
    assert isinstance(asked, Find)
    return asked.filter


# ── conditions ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (Compare("==", ID, 1), {"_id": {"$eq": 1}}),
        (Compare("!=", NAME, "x"), {"name": {"$ne": "x"}}),
        (Compare("==", EMAIL, None), {"email": {"$eq": None}}),
        (Compare("<=", RATING, Decimal("1.5")), {"rating": {"$lte": Decimal128("1.5")}}),
        (Compare(">", BORN, DAY), {"born": {"$gt": DAY}}),
        (Compare("<", BORN, None), {"_id": {"$in": []}}),
        (Not(Compare("<", BORN, DAY)), {"$nor": [{"born": {"$lt": DAY}}]}),
        (Not(Not(Compare("<", BORN, DAY))), {"born": {"$lt": DAY}}),
        (In(NAME, ("a", None)), {"name": {"$in": ["a", None]}}),
        (In(NAME, ()), {"name": {"$in": []}}),
        (Truth(True), {}),
        (Truth(False), {"_id": {"$in": []}}),
        (And(()), {}),
        (Or(()), {"_id": {"$in": []}}),
        (
            Or((Compare("==", ID, 1), Or((Compare("==", ID, 2), Compare("==", ID, 3))))),
            {"$or": [{"_id": {"$eq": 1}}, {"_id": {"$eq": 2}}, {"_id": {"$eq": 3}}]},
        ),
        (
            Like(NAME, "A.d%_"),
            {"name": {"$gte": "A.d", "$lt": "A.e", "$regex": "^A\\.d.*.\\z", "$options": "s"}},
        ),
        (Like(NAME, "%"), {"name": {"$regex": "^", "$options": "s"}}),
        (
            Like(NAME, "%a%b%"),
            {"name": {"$regex": "^(?>.*?a)(?>.*?b)", "$options": "s"}},
        ),
        (
            Compare("==", NAME, EMAIL),
            {"$expr": {"$eq": [{"$ifNull": ["$name", None]}, {"$ifNull": ["$email", None]}]}},
        ),
        (
            Compare("!=", NOTES, '["$where"]'),
            {"$expr": {"$ne": [{"$ifNull": ["$notes", None]}, {"$literal": ["$where"]}]}},
        ),
    ],
)
def test_a_condition_is_this_filter(dialect: MongoDialect, condition: Any, expected: Any) -> None:
    assert where(dialect, condition) == expected


def test_a_value_is_never_an_operator(dialect: MongoDialect) -> None:
    for value in ("$where", "$$ROOT", "this.x"):
        assert where(dialect, Compare("==", NAME, value)) == {"name": {"$eq": value}}
        doubtful = Select(AUTHOR, ("id",), None, doubtful=Compare("==", NAME, value))
        asked: Any = dialect.fetch(doubtful)
        assert {"$literal": value} in asked.pipeline[-1]["$project"]["_graven_doubtful"]["$cond"][
            0
        ]["$eq"]


def test_an_unknown_operator_is_refused(dialect: MongoDialect) -> None:
    for condition in (Compare("~", NAME, "x"), Compare("~", NAME, EMAIL)):
        with pytest.raises(QueryError, match="~"):
            dialect.fetch(Select(AUTHOR, ("id",), condition))


# ── selects ─────────────────────────────────────────────────────────────────────────────────


def test_a_select_of_one_table_is_a_find(dialect: MongoDialect) -> None:
    order = Order(EMAIL, True), Order(EMAIL), Order(NAME)
    assert dialect.fetch(Select(AUTHOR, ("name",), None, order, 5, 2)) == Find(
        "author", {}, {"_id": 0, "name": 1}, (("email", -1), ("name", 1), ("_id", 1)), 2, 5
    )


def test_no_rows_are_asked_for_where_the_limit_is_none(dialect: MongoDialect) -> None:
    asked = dialect.fetch(Select(AUTHOR, ("id",), None, (), 0))
    assert isinstance(asked, Find)
    assert asked.filter == {"_id": {"$in": []}}


def test_a_reference_is_looked_up_after_what_can_be_asked_before(dialect: MongoDialect) -> None:
    condition = And((Compare("==", BOSS_NAME, "x"), Compare("==", NAME, "y")))
    select = Select(AUTHOR, ("id",), condition, (Order(BOSS_NAME),), 3)
    assert dialect.fetch(select) == Aggregate(
        "author",
        [
            {"$match": {"name": {"$eq": "y"}}},
            {
                "$lookup": {
                    "from": "author",
                    "localField": "boss_id",
                    "foreignField": "_id",
                    "as": "_graven_1",
                }
            },
            {"$unwind": {"path": "$_graven_1", "preserveNullAndEmptyArrays": True}},
            {"$match": {"_graven_1.name": {"$eq": "x"}}},
            {"$sort": {"_graven_1.name": 1, "_id": 1}},
            {"$limit": 3},
            {"$project": {"_id": 1}},
        ],
    )


def test_the_order_of_a_composite_key_is_that_of_its_document(dialect: MongoDialect) -> None:
    row = Path((), "row", "str")
    plain = dialect.fetch(Select(SEAT, ("author_id",)))
    turned = dialect.fetch(Select(SEAT, ("row",), None, (Order(row, True),)))

    assert plain == Find("seat", {}, {"_id": 0, "author_id": 1}, (("_id", 1),))
    assert turned == Find("seat", {}, {"_id": 1}, (("_id.row", -1), ("_id.number", 1)))


def test_a_count_is_a_pipeline(dialect: MongoDialect) -> None:
    select = Select(AUTHOR, (), Compare("==", ID, 1), (Order(NAME),), 3, 1, count=True)
    stages = [{"$match": {"_id": {"$eq": 1}}}, {"$skip": 1}, {"$limit": 3}, {"$count": "n"}]

    assert dialect.fetch(select) == Aggregate("author", stages)
    assert dialect.rows(select, [{"n": 2}]) == [(2,)]
    assert dialect.rows(select, []) == [(0,)]


def test_many_keys_go_as_few_finds(dialect: MongoDialect) -> None:
    keys = [(n,) for n in range(KEYS_PER_FIND + 1)]
    first, second = dialect.fetch_keys(FetchKeys(AUTHOR, ("id",), ("id",), keys))

    assert (len(first.filter["_id"]["$in"]), second.filter) == (
        KEYS_PER_FIND,
        {"_id": {"$in": [KEYS_PER_FIND]}},
    )
    request = FetchKeys(SEAT, ("author_id",), ("number", "row"), [(1, "A"), (None, "B")])
    assert dialect.fetch_keys(request) == [
        Find("seat", {"_id": {"$eq": {"row": "A", "number": 1}}}, {"_id": 0, "author_id": 1})
    ]


# ── writes ──────────────────────────────────────────────────────────────────────────────────


def test_an_insert_is_documents(dialect: MongoDialect) -> None:
    insert = Insert(AUTHOR, ("id", "name", "notes", "version"), [(1, "Ada", '{"a.b":[1]}', 1)])
    seats = Insert(SEAT, ("author_id", "number", "row"), [(1, 2, "A")])

    document = {"_id": 1, "name": "Ada", "notes": {"a%2Eb": [1]}, "version": 1}
    assert dialect.insert(insert) == Inserts("author", [document])
    seat = {"_id": {"row": "A", "number": 2}, "author_id": 1}
    assert dialect.insert(seats) == Inserts("seat", [seat])
    assert [*dialect.insert(seats).documents[0]["_id"]] == ["row", "number"]


def test_an_update_sets_what_changed_under_its_guards(dialect: MongoDialect) -> None:
    plain = Update(AUTHOR, ("name", "email"), ("version",), [("Ada", None, 1, 7)])
    changes = {"$set": {"name": "Ada", "email": None}, "$inc": {"version": 1}}
    wanted = {"_id": {"$eq": 1}, "version": {"$eq": 7}}
    assert dialect.update(plain) == Updates("author", [(wanted, changes)])

    fields = Update(AUTHOR, ("notes", "version"), ("notes", "name"), [("[1]", 8, 1, "[]", "x")])
    same = {"$eq": [{"$ifNull": ["$notes", None]}, {"$literal": []}]}
    guarded = {"_id": {"$eq": 1}, "name": {"$eq": "x"}, "$expr": {"$and": [same]}}
    assert dialect.update(fields) == Updates(
        "author", [(guarded, {"$set": {"notes": [1], "version": 8}})]
    )
    touched = Update(AUTHOR, (), ("version",), [(1, 7)])
    assert dialect.update(touched).updates == [(wanted, {"$inc": {"version": 1}})]


def test_deletes_go_together_where_nothing_guards_them(dialect: MongoDialect) -> None:
    guarded = Delete(AUTHOR, ("version",), [(1, 7), (2, 8)])
    free = Delete(SEAT, (), [("A", 1), ("B", 2)])
    swept = Sweep(SEAT, ("author_id", "row"), [(1, "A")])

    assert dialect.delete(guarded) == Deletes(
        "author",
        [
            {"_id": {"$eq": 1}, "version": {"$eq": 7}},
            {"_id": {"$eq": 2}, "version": {"$eq": 8}},
        ],
    )
    keys = [{"row": "A", "number": 1}, {"row": "B", "number": 2}]
    assert dialect.delete(free) == Deletes("seat", [{"_id": {"$in": keys}}], many=True)
    either = {"$or": [{"author_id": {"$eq": 1}, "_id.row": {"$eq": "A"}}]}
    assert dialect.sweep(swept) == Deletes("seat", [either], many=True)


# ── tables ──────────────────────────────────────────────────────────────────────────────────


def test_a_table_is_a_collection_with_a_rule_and_indexes(dialect: MongoDialect) -> None:
    made, indexed = dialect.create(Create(SEAT, whole=True))
    properties = {
        "_id": {
            "bsonType": "object",
            "title": "of several columns",
            "properties": {
                "row": {"description": "str", "bsonType": ["string"]},
                "number": {"description": "int", "bsonType": ["int", "long"]},
            },
            "required": ["row", "number"],
        },
        "author_id": {"description": "int", "bsonType": ["int", "long"]},
    }
    rule = {
        "bsonType": "object",
        "title": "a table of graven",
        "properties": properties,
        "required": ["_id", "author_id"],
    }
    described = {"validator": {"$jsonSchema": rule}, "validationLevel": "off"}
    adopted = Command({"collMod": "seat", **described})
    assert made == Command({"create": "seat", **described}, (48,), adopted)
    index = {"key": {"author_id": 1}, "name": "seat.author_id.index"}
    assert indexed.body == {"createIndexes": "seat", "indexes": [index]}


def test_a_unique_index_leaves_out_nulls_and_a_sparse_one_them_too(dialect: MongoDialect) -> None:
    table = Table(
        "due",
        (
            Column("id", "int"),
            Column("code", "str", True, unique=True),
            Column("at", "datetime", True),
        ),
        ("id",),
        sparse=(("at",),),
    )
    *_, indexed = dialect.create(Create(table, whole=True))

    assert indexed.body["indexes"] == [
        {
            "key": {"code": 1},
            "name": "due.code.unique",
            "unique": True,
            "partialFilterExpression": {"code": {"$gte": ""}},
        },
        {
            "key": {"at": 1},
            "name": "due.at.index",
            "partialFilterExpression": {"at": {"$gte": datetime(1, 1, 1, tzinfo=UTC)}},
        },
    ]


def test_references_alone_ask_for_nothing(dialect: MongoDialect) -> None:
    assert dialect.create(Create(SEAT, whole=False, references=SEAT.references)) == []


# ── values ──────────────────────────────────────────────────────────────────────────────────


def test_every_kind_has_all_its_forms() -> None:
    assert set(ENCODERS) == set(DECODERS) == set(BSON_TYPES) == set(PYTHON_TYPES)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("a$.%\0é\"\\", max_size=4),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("a$.%\0é", max_size=4), inner),
)  # fmt: skip


@given(JSON.map(json.dumps) | st.text())
@example("null")
@example('{"%text":"x"}')
@example('{"%text":5}')
@example('{"$ref":"x","$id":{"a.b":"\\u0000"}}')
@example("18446744073709551616")
@example('"\\ud800"')
@example("[1.0,1e400,-0.0]")
@example('{"a":1,"a":2}')
def test_a_text_comes_back_letter_by_letter_and_no_name_means_anything(text: str) -> None:
    kept = from_text(text)
    assert to_text(kept) == text
    assert kept is not None
    for name in names_in(kept):
        assert not name.startswith("$")
        assert not {".", "\0"} & set(name)


def names_in(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [*value, *(name for inner in value.values() for name in names_in(inner))]
    return [name for inner in value for name in names_in(inner)] if isinstance(value, list) else []


def test_what_the_codec_writes_is_kept_as_it_reads(dialect: MongoDialect) -> None:
    value = {"tags": ["a", None], "n": 1.5, "deep": {"x": [{"y": 2**53}]}, "id": str(UUID(int=0))}
    assert from_text(json_of(value).decode()) == value


# ── the caller's own ────────────────────────────────────────────────────────────────────────


def test_filters_and_pipelines_of_ones_own_are_cut_to_the_columns(dialect: MongoDialect) -> None:
    shown = {"_id": 1, "name": 1}
    given = {"name": {"$regex": "^A"}}

    assert dialect.from_filter(AUTHOR, ("id", "name"), given) == Find("author", given, shown)
    stages = [{"$match": given}, {"$project": shown}]
    found = dialect.from_pipeline(AUTHOR, ("id", "name"), [{"$match": given}])
    assert found == Aggregate("author", stages)


@pytest.mark.parametrize("given", ["x", [1], {1: 2}, None])
def test_what_is_no_filter_is_refused(dialect: MongoDialect, given: Any) -> None:
    with pytest.raises(QueryError, match="filter"):
        dialect.from_filter(AUTHOR, ("id",), given)


@pytest.mark.parametrize("given", ["x", {}, [1], [{}], [{"$match": {}, "$limit": 1}], None])
def test_what_is_no_pipeline_is_refused(dialect: MongoDialect, given: Any) -> None:
    with pytest.raises(QueryError, match="pipeline"):
        dialect.from_pipeline(AUTHOR, ("id",), given)


@pytest.mark.parametrize("stage", ["$out", "$merge"])
def test_a_pipeline_that_writes_is_refused(dialect: MongoDialect, stage: str) -> None:
    with pytest.raises(QueryError, match="only reads"):
        dialect.from_pipeline(AUTHOR, ("id",), [{stage: "other"}])


def test_the_dialect_loads_no_driver() -> None:
    code = "import sys, graven.dialects.mongo, graven.dialects.mongo_errors\n"
    code += "sys.exit('pymongo' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
