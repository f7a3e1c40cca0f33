"""Errors provoked on a real server, and what they become."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from graven.dialects.postgres import PostgresDialect
from graven.errors import (
    BusyRetry,
    CheckError,
    DataError,
    DeadlockError,
    ForeignKeyError,
    GravenError,
    IntegrityError,
    NotNullError,
    StoreError,
    TransactionInactiveError,
    TransientError,
    UnavailableError,
    UniqueError,
)
from graven.flows.schema import create
from graven.ops.conditions import Select
from graven.ops.requests import Delete, Execute, Fetch, Insert, SnapshotStale
from graven.ops.schema import Column, Reference, Table
from tests.postgres.raw import Raw

AUTHOR = Table(
    "author",
    (
        Column("id", "int"),
        Column("email", "str", nullable=True, unique=True),
        Column("mood", "str", nullable=True, choices=("glad", "sad")),
        Column("name", "str"),
        Column("x" * 60, "int", nullable=True, unique=True),
    ),
    ("id",),
    uniques=(("email", "mood"),),
)
BOOK = Table(
    "book",
    (Column("id", "int"), Column("author_id", "int")),
    ("id",),
    references=(Reference(("author_id",), "author", ("id",)),),
)
NAMES = ("id", "email", "mood", "name", "x" * 60)


TOO_LONG = (
    "insert into author (id, name, email)"
    " select 5, '', string_agg(md5(n::text), '') from generate_series(1, 2000) as n"
)


@pytest.fixture(scope="module")
def made(raw_kept: Raw) -> Raw:
    raw_kept.run(create([AUTHOR, BOOK]))
    raw_kept.perform(Insert(AUTHOR, NAMES, [(1, "a@b", "glad", "Ada", 7)]))
    raw_kept.perform(Insert(BOOK, ("id", "author_id"), [(1, 1)]))
    return raw_kept


@pytest.fixture
def store(made: Raw) -> Iterator[Raw]:
    yield made
    made.connection.execute("rollback")


@pytest.fixture
def other(made: Raw) -> Iterator[Raw]:
    found = Raw(made.url)
    yield found
    found.close()


def author(key: int | None, **values: Any) -> Insert:
    row = {"id": key, "email": None, "mood": None, "name": "", NAMES[-1]: None, **values}
    return Insert(AUTHOR, NAMES, [tuple(row.values())])


def refused(store: Raw, request: Any) -> Any:
    with pytest.raises(GravenError, match=r"PostgreSQL was asked to .*; usually ") as caught:
        store.perform(request)
    assert caught.value.__cause__ is not None
    return caught.value


# ── rules of the tables ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("request_", "kind", "table", "columns", "constraint"),
    [
        (author(2, email="a@b"), UniqueError, "author", ("email",), "author.email.unique"),
        (author(1), UniqueError, "author", ("id",), "author_pkey"),
        (author(2, mood="so-so"), CheckError, "author", ("mood",), "author.mood.choices"),
        (author(2, name=None), NotNullError, "author", ("name",), None),
        (author(2, **{"x" * 60: 7}), UniqueError, "author", ("x" * 60,), None),
    ],
)
def test_a_broken_rule_names_table_columns_and_constraint(
    store: Raw,
    request_: Insert,
    kind: type[IntegrityError],
    table: str,
    columns: tuple[str, ...],
    constraint: str | None,
) -> None:
    error = refused(store, request_)

    assert type(error) is kind
    assert (error.table, error.columns) == (table, columns)
    assert constraint in (error.constraint, None)
    assert "Failing row" not in str(error)


@pytest.mark.parametrize(
    "request_", [Insert(BOOK, ("id", "author_id"), [(2, 99)]), Delete(AUTHOR, (), [(1,)])]
)
def test_a_broken_reference_names_who_refers(store: Raw, request_: Any) -> None:
    error = refused(store, request_)

    assert type(error) is ForeignKeyError
    assert error.referrer == "book"
    assert error.columns == ("author_id",)
    assert error.constraint == "book.author_id.reference"


def test_an_exclusion_is_a_broken_rule(store: Raw) -> None:
    store.execute("create table stay (at int4range, exclude using gist (at with &&))")
    store.execute("insert into stay values ('[1, 5]')")

    error = refused(store, Execute("insert into stay values ('[3, 7]')"))

    assert type(error) is IntegrityError
    assert (error.table, error.constraint) == ("stay", "stay_at_excl")


# ── others ──────────────────────────────────────────────────────────────────────────────────


def test_a_snapshot_that_is_old_cannot_be_written_in(store: Raw, other: Raw) -> None:
    store.execute("begin isolation level repeatable read")
    store.perform(Fetch(Select(AUTHOR, ("id",))))
    other.execute("update author set name = name || 'x'")

    error = refused(store, Execute("update author set name = 'y'"))

    assert type(error) is SnapshotStale


def test_a_deadlock_ends_for_one_of_the_two(store: Raw, other: Raw) -> None:
    store.execute("insert into author (id, name) values (50, 'a'), (51, 'b')")
    store.execute("set deadlock_timeout to '20ms'")
    for one, key in ((store, 50), (other, 51)):
        one.execute("begin")
        one.execute("update author set name = 'x' where id = %s", (key,))

    def update(one: Raw, key: int) -> Exception | None:
        try:
            one.execute("update author set name = 'x' where id = %s", (key,))
        except GravenError as error:
            one.connection.execute("rollback")
            return error
        return None

    with ThreadPoolExecutor(2) as pool:
        ends = list(pool.map(update, (store, other), (51, 50)))
    store.connection.execute("reset deadlock_timeout")
    other.connection.execute("rollback")

    assert sorted(type(end).__name__ for end in ends) == ["DeadlockError", "NoneType"]
    assert issubclass(DeadlockError, BusyRetry)


@pytest.mark.parametrize(
    ("setting", "statement", "words"),
    [
        ("lock_timeout", "update author set name = 'z'", "busy_timeout_s"),
        ("statement_timeout", "select pg_sleep(5)", "statement_timeout"),
    ],
)
def test_a_timeout_of_the_server_is_worth_another_try(
    store: Raw, other: Raw, setting: str, statement: str, words: str
) -> None:
    other.execute("begin")
    other.execute("update author set name = 'held'")
    store.connection.execute(f"set {setting} to '30ms'")
    try:
        error = refused(store, Execute(statement))
    finally:
        store.connection.execute(f"reset {setting}")
    other.connection.execute("rollback")

    assert type(error) is BusyRetry
    assert words in str(error)
    assert store.perform(Fetch(Select(BOOK, ("id",)))) == [(1,)]


def test_a_statement_after_a_failed_one_says_that_the_transaction_is_over(store: Raw) -> None:
    store.execute("begin")
    refused(store, Execute("select 1/0"))

    assert type(refused(store, Execute("select 1"))) is TransactionInactiveError


def test_a_server_that_only_reads_says_so(store: Raw) -> None:
    store.execute("begin read only")

    error = refused(store, author(9))

    assert type(error) is StoreError
    assert "standby" in str(error)


def test_a_connection_that_the_server_ends_is_unavailable(other: Raw) -> None:
    victim = Raw(other.url)
    pid = victim.connection.info.backend_pid
    other.execute("select pg_terminate_backend(%s::int, 5000)", (pid,))

    first = refused(victim, Execute("select 1"))
    second = refused(victim, Execute("select 1"))

    assert type(first) is type(second) is UnavailableError
    assert isinstance(first, TransientError)


@pytest.mark.parametrize(
    ("statement", "kind", "words"),
    [
        ("select * from nowhere", StoreError, "db.create"),
        ("select nothing from author", StoreError, "db.create"),
        ("selec 1", StoreError, "misspelt"),
        ("select 1/0", DataError, "division"),
        ("select 'x'::bigint", DataError, "bigint"),
        ("select 99999999999999999999::bigint", DataError, "out of range"),
        ("select 'abc'::varchar(2)::uuid", DataError, "uuid"),
        ("do $$ begin raise 'not on Sundays'; end $$", StoreError, "not on Sundays"),
        ("create table author (id int)", StoreError, "already exists"),
        (TOO_LONG, DataError, "index"),
    ],
)  # fmt: skip
def test_a_statement_that_is_refused(
    store: Raw, statement: str, kind: type[GravenError], words: str
) -> None:
    error = refused(store, Execute(statement))

    assert type(error) is kind
    assert words in str(error)
    assert isinstance(error, StoreError)
    assert error.statement == statement


@pytest.mark.parametrize("value", [Decimal("1E+140000"), 2**70, "\ud800", "\0"])
def test_a_value_that_cannot_be_sent_is_a_data_error(store: Raw, value: object) -> None:
    assert type(refused(store, Execute("select %s::text || '' = ''", (value,)))) is DataError


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"dbname": "nowhere"}, StoreError, "createdb"),
        ({"user": "nobody"}, StoreError, "let this user in"),
        ({"port": 1}, UnavailableError, "no connection"),
        ({"user": "graven_full"}, UnavailableError, "max_connections"),
    ],
)
def test_a_connection_that_cannot_be_made_says_why(
    store: Raw, change: dict[str, Any], kind: type[GravenError], words: str
) -> None:
    store.execute("drop role if exists graven_full")
    store.execute("create role graven_full login connection limit 0")
    try:
        with pytest.raises(psycopg.OperationalError) as caught:
            psycopg.connect(store.url, **change)
    finally:
        store.execute("drop role graven_full")

    error = PostgresDialect().translate(caught.value, "connect to the server")

    assert type(error) is kind
    assert words in str(error)
