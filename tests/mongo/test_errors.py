"""Errors of MongoDB, provoked for real, become the documented ones and say what to do."""

from __future__ import annotations

import pickle
from contextlib import closing
from typing import Any

import pytest
from pymongo import MongoClient, UpdateOne
from pymongo.errors import PyMongoError

from graven.drivers.mongo_errors import cause_of
from graven.errors import (
    BusyRetry,
    CommitUnknownError,
    DataError,
    GravenError,
    MappingError,
    StoreError,
    UnavailableError,
    UniqueError,
)
from graven.flows.schema import create
from graven.ops.conditions import Select
from graven.ops.requests import Fetch, Insert, SnapshotStale
from graven.ops.schema import Column, Table
from graven.testing.mongo import MongoServer
from tests.mongo.raw import Raw

ITEM = Table(
    "item",
    (Column("id", "int"), Column("code", "str", unique=True), Column("at", "datetime", True)),
    ("id",),
)
STATEMENT = "insert item"


def translated(raw: Raw, function: Any, *arguments: Any, **options: Any) -> GravenError:
    """Return the error of a call as ours; every one says attempt and remedy, and pickles."""
    with pytest.raises((PyMongoError, ValueError, OverflowError, Exception)) as caught:
        function(*arguments, **options)
    error = raw.dialect.translate(cause_of(caught.value), STATEMENT)
    assert error is not None
    assert "MongoDB was asked to insert item" in str(error)
    assert "; " in str(error)
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (type(error), str(error))
    return error


def test_a_taken_value_names_index_columns_and_value(raw: Raw) -> None:
    raw.run(create([ITEM]))
    raw.perform(Insert(ITEM, ("id", "code"), [(1, "a")]))
    error = translated(raw, raw.db["item"].insert_one, {"_id": 2, "code": "a"})

    assert isinstance(error, UniqueError)
    assert (error.table, error.columns, error.constraint) == ("item", ("code",), "item.code.unique")
    assert '"a"' in str(error)
    change = UpdateOne({"_id": 1}, {"$set": {"code": "a"}}, upsert=True)
    raw.db["item"].insert_one({"_id": 3, "code": "c"})
    taken = UpdateOne({"_id": 3}, {"$set": {"code": "a"}})
    bulk = translated(raw, raw.db["item"].bulk_write, [change, taken])
    assert (type(bulk), getattr(bulk, "columns", None)) == (UniqueError, ("code",))


def test_two_who_write_one_document_conflict(raw: Raw) -> None:
    items = raw.db["item"]
    items.insert_one({"_id": 1})
    with raw.client.start_session() as one, raw.client.start_session() as two:
        one.start_transaction()
        items.update_one({"_id": 1}, {"$set": {"n": 1}}, session=one)
        two.start_transaction()
        change = {"_id": 1}, {"$set": {"n": 2}}
        conflict = translated(raw, items.update_one, *change, session=two)
        ended = translated(raw, items.update_one, *change, session=two)
        one.abort_transaction()

    assert type(conflict) is type(ended) is SnapshotStale
    assert isinstance(conflict, BusyRetry)


def test_a_server_that_is_not_there_is_unavailable(raw: Raw) -> None:
    lost: MongoClient[Any] = MongoClient("mongodb://127.0.0.1:1", serverSelectionTimeoutMS=100)
    with closing(lost):
        error = translated(raw, lost["x"]["item"].find_one)

    assert type(error) is UnavailableError
    closed = translated(raw, lost["x"]["item"].find_one)
    assert type(closed) is UnavailableError
    assert "closed" in str(closed)


def test_a_server_that_is_killed_is_unavailable(raw: Raw, mortal: MongoServer) -> None:
    options: dict[str, Any] = {"serverSelectionTimeoutMS": 500, "retryReads": False}
    with closing(MongoClient(mortal.url, **options)) as client:
        client["x"]["item"].insert_one({"_id": 1})
        mortal.stop("immediate")
        error = translated(raw, client["x"]["item"].find_one)

    assert isinstance(error, UnavailableError)


def test_who_is_not_known_is_told_to_look_at_the_url(raw: Raw, server: MongoServer) -> None:
    url = server.url.replace("://", "://nobody:secret@")
    with closing(MongoClient(url)) as client:
        error = translated(raw, client["x"]["item"].find_one)

    assert type(error) is StoreError
    assert "authSource" in str(error)
    assert "secret" not in str(error)


@pytest.mark.parametrize(
    ("document", "kind", "words"),
    [
        ({"_id": 2**70}, DataError, "64 bits"),
        ({"_id": "\ud800"}, DataError, "surrogate"),
        ({"_id": object()}, DataError, "BSON"),
        ({"a\0b": 1}, DataError, "BSON"),
        ({"a": "x" * 17_000_000}, DataError, "16 MB"),
    ],
    ids=["int", "text", "object", "name", "size"],
)
def test_a_value_that_cannot_be_sent_is_a_data_error(
    raw: Raw, document: Any, kind: type[GravenError], words: str
) -> None:
    error = translated(raw, raw.db["item"].insert_one, document)

    assert type(error) is kind
    assert words in str(error)
    assert raw.db["item"].find_one() is None


def test_a_document_that_grows_too_large_is_a_data_error(raw: Raw) -> None:
    raw.db["item"].insert_one({"_id": 1, "a": "x" * 10_000_000})
    error = translated(raw, raw.db["item"].update_one, {}, {"$set": {"b": "x" * 9_000_000}})

    assert type(error) is DataError
    assert "16 MB" in str(error)


def test_an_index_that_cannot_be_made_is_told(raw: Raw) -> None:
    raw.db["item"].insert_many([{"_id": 1, "code": "a"}, {"_id": 2, "code": "a"}])
    with pytest.raises(UniqueError, match="code"):
        raw.run(create([ITEM]))
    raw.db["item"].delete_one({"_id": 2})
    raw.run(create([ITEM]))
    index = {"key": {"code": 1}, "name": "item.code.unique"}
    changed = {"createIndexes": "item", "indexes": [index]}
    error = translated(raw, raw.db.command, changed)

    assert type(error) is MappingError
    assert "db.create()" in str(error)


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        ({"find": "item", "filter": {"x": {"$nope": 1}}}, "misspelt"),
        ({"nope": 1}, "newer version"),
        ({"update": "item", "updates": [{"q": {"_id": 1}, "u": {"$set": {"_id": 2}}}]}, "_id"),
    ],
)
def test_what_the_server_does_not_understand_is_a_store_error(
    raw: Raw, ask: dict[str, Any], words: str
) -> None:
    raw.db["item"].insert_one({"_id": 1})

    def sent() -> None:
        from graven.drivers.mongo_errors import raise_refusal

        raise_refusal(raw.db.command(ask))

    error = translated(raw, sent)
    assert type(error) is StoreError
    assert words in str(error)


@pytest.mark.parametrize(
    ("code", "labels", "kind"),
    [
        (50, [], BusyRetry),
        (64, [], CommitUnknownError),
        (10107, [], UnavailableError),
        (189, [], UnavailableError),
        (91, ["UnknownTransactionCommitResult"], CommitUnknownError),
        (8, ["TransientTransactionError"], SnapshotStale),
        (112, [], SnapshotStale),
        (13, [], StoreError),
        (14031, [], StoreError),
        (99999, [], StoreError),
    ],
)
def test_codes_and_labels_that_a_server_under_way_gives(
    raw: Raw, code: int, labels: list[str], kind: type[GravenError]
) -> None:
    from pymongo.errors import OperationFailure

    details = {"errmsg": "said so", "code": code, "errorLabels": labels}
    error = raw.dialect.translate(OperationFailure("said so", code, details), STATEMENT)

    assert type(error) is kind
    assert "said so" in str(error)


def test_a_date_that_python_cannot_tell_is_a_data_error(raw: Raw) -> None:
    from bson import encode
    from bson.datetime_ms import DatetimeMS

    raw.run(create([ITEM]))
    data = encode({"_id": 1, "at": DatetimeMS(2**50)})
    from bson import decode

    error = translated(raw, decode, data, raw.dialect.options)

    assert type(error) is DataError
    assert raw.perform(Fetch(Select(ITEM, ("id",)))) == []


def test_errors_of_others_are_none_of_ours(raw: Raw) -> None:
    assert raw.dialect.translate(KeyError("x"), STATEMENT) is None
    ours = StoreError("x")
    assert raw.dialect.translate(ours, STATEMENT) is ours
