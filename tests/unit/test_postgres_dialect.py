"""What the PostgreSQL dialect compiles: golden texts, and errors recognised without a server."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from graven.dialects.foldings import CASED_MAX
from graven.dialects.postgres import PostgresDialect
from graven.dialects.postgres_codec import kinds_held
from graven.dialects.postgres_tables import shortened
from graven.errors import (
    BusyRetry,
    DataError,
    DeadlockError,
    GravenError,
    IntegrityError,
    MappingError,
    StoreError,
    TransactionInactiveError,
    UnavailableError,
)
from graven.ops.conditions import Compare, In, Like, Not, Order, Path, Select, Step
from graven.ops.requests import (
    Create,
    Delete,
    FetchKeys,
    Insert,
    SnapshotStale,
    Sweep,
    Update,
)
from graven.ops.schema import Column, Reference, Table

AUTHOR = Table(
    "author",
    (
        Column("id", "int"),
        Column("name", "str", index=True),
        Column("nick", "str", nullable=True, unique=True),
        Column("mood", "str", choices=("glad", "it's 100%")),
        Column("version", "int"),
    ),
    ("id",),
    version="version",
    store_made=True,
)
BOOK = Table(
    "book",
    (
        Column("shelf", "int"),
        Column("place", "uuid"),
        Column("author_id", "int", nullable=True),
        Column("notes", "json", nullable=True),
        Column("version", "int"),
    ),
    ("shelf", "place"),
    version="version",
    references=(Reference(("author_id",), "author", ("id",)),),
)

NAME, NICK = Path((), "name", "str"), Path((), "nick", "str")
WRITER = Path((Step(("author_id",), AUTHOR),), "name", "str")


@pytest.fixture
def dialect() -> PostgresDialect:
    return PostgresDialect()


# ── reading ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("select", "text", "parameters"),
    [
        (Select(AUTHOR, ("id", "name")), 'select "id", "name" from "author" order by "id"', []),
        (
            Select(AUTHOR, ("id",), Compare("<", NAME, "x"), (Order(NICK, True), Order(NAME))),
            (
                'select "id" from "author" where "name" collate "C" < %s order by'
                ' "nick" collate "C" desc nulls last, "name" collate "C", "id"'
            ),
            ["x"],
        ),
        (
            Select(AUTHOR, ("id",), Compare("!=", NICK, "x"), limit=2, offset=3),
            (
                'select "id" from "author" where "nick" is distinct from %s order by "id"'
                " limit %s offset %s"
            ),
            ["x", 2, 3],
        ),
        (
            Select(AUTHOR, ("id",), offset=3),
            'select "id" from "author" order by "id" limit all offset %s',
            [3],
        ),
        (
            Select(AUTHOR, ("id",), Not(In(NAME, ("x", "y"))), count=True),
            'select count(*) from "author" where ("name" = any(%s::text[])) is not true',
            [["x", "y"]],
        ),
        (
            Select(BOOK, ("shelf",), Compare("==", WRITER, "x"), (Order(WRITER),)),
            (
                'select t0."shelf" from "book" as t0 left join "author" as t1'
                ' on t1."id" = t0."author_id" where t1."name" = %s'
                ' order by t1."name" collate "C" nulls first, t0."shelf", t0."place"'
            ),
            ["x"],
        ),
        (
            Select(AUTHOR, ("id",), Like(NAME, "50\\%_\\")),
            'select "id" from "author" where "name" like %s order by "id"',
            ["50\\%_\\\\"],
        ),
    ],
)
def test_a_select_reads_so(
    dialect: PostgresDialect, select: Select, text: str, parameters: list[object]
) -> None:
    assert dialect.fetch(select) == (text, parameters)


@pytest.mark.parametrize(
    ("lock", "words"),
    [("wait", "for update"), ("nowait", "for update nowait"), ("skip_locked", None)],
)
def test_rows_are_locked_as_asked(dialect: PostgresDialect, lock: str, words: str | None) -> None:
    plain, _ = dialect.fetch(Select(AUTHOR, ("id",), limit=1, lock=lock))
    joined, _ = dialect.fetch(Select(BOOK, ("shelf",), Compare("==", WRITER, "x"), lock=lock))
    counted, _ = dialect.fetch(Select(AUTHOR, (), count=True, lock=lock))

    words = words or "for update skip locked"
    assert plain.endswith(f" limit %s {words}")
    assert joined.endswith(f' t0."place" {words.replace("update", "update of t0")}')
    assert "for update" not in counted


def test_one_key_is_a_parameter_and_many_are_an_array(dialect: PostgresDialect) -> None:
    head = 'select "id", "name" from "author" where'
    one = FetchKeys(AUTHOR, ("id", "name"), ("id",), [(1,)])
    many = FetchKeys(AUTHOR, ("id", "name"), ("id",), [(n,) for n in range(5000)])

    assert dialect.fetch_keys(one) == ((f'{head} "id" = %s', (1,)),)
    assert dialect.fetch_keys(many) == [(f'{head} "id" = any(%s::bigint[])', [list(range(5000))])]


def test_keys_of_several_columns_are_one_array_each(dialect: PostgresDialect) -> None:
    request = FetchKeys(BOOK, ("notes",), ("shelf", "author_id"), [(1, 2), (3, 4)], encoded=True)

    assert dialect.fetch_keys(request) == [
        (
            (
                'select "notes" from "book" where ("shelf", "author_id") in'
                " (select * from unnest(%s::bigint[], %s::bigint[]))"
            ),
            [[1, 3], [2, 4]],
        )
    ]


# ── writing ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("request_", "text", "parameters"),
    [
        (
            Insert(AUTHOR, ("name", "version"), [("a", 1)]),
            'insert into "author" ("name", "version") values (%s, %s) returning "id"',
            ("a", 1),
        ),
        (
            Insert(AUTHOR, ("name", "version"), [("a", 1), ("b", 2)]),
            (
                'insert into "author" ("name", "version") select c0, c1 from'
                " unnest(%s::text[], %s::bigint[]) with ordinality as v (c0, c1, n)"
                ' order by n returning "id"'
            ),
            [["a", "b"], [1, 2]],
        ),
        (
            Insert(AUTHOR, (), [(), (), ()]),
            'insert into "author" select from generate_series(1, %s::bigint) returning "id"',
            (3,),
        ),
        (
            Insert(AUTHOR, ("id", "nick"), [(1, "a"), (2, None)]),
            'insert into "author" ("id", "nick") select * from unnest(%s::bigint[], %s::text[])',
            [[1, 2], ["a", None]],
        ),
        (
            Update(AUTHOR, ("name",), ("version",), [("a", 1, 7)]),
            (
                'update "author" set "name" = %s, "version" = "version" + 1'
                ' where "id" = %s and "version" = %s'
            ),
            ("a", 1, 7),
        ),
        (
            Update(BOOK, ("notes",), ("version", "notes"), [("[]", 1, "u", 7, None)] * 2),
            (
                'update "book" as t set "notes" = v.c0, "version" = t."version" + 1 from'
                " unnest(%s::json[], %s::bigint[], %s::uuid[], %s::bigint[], %s::json[])"
                " as v (c0, c1, c2, c3, c4)"
                ' where t."shelf" = v.c1 and t."place" = v.c2 and t."version" = v.c3'
                ' and t."notes"::text is not distinct from v.c4::text'
            ),
            [["[]"] * 2, [1, 1], ["u", "u"], [7, 7], [None, None]],
        ),
        (
            Delete(AUTHOR, ("nick",), [(1, None)]),
            'delete from "author" where "id" = %s and "nick" is not distinct from %s',
            (1, None),
        ),
        (
            Delete(AUTHOR, ("version",), [(1, 7), (2, 8)]),
            (
                'delete from "author" as t using unnest(%s::bigint[], %s::bigint[]) as v (c0, c1)'
                ' where t."id" = v.c0 and t."version" = v.c1'
            ),
            [[1, 2], [7, 8]],
        ),
        (
            Sweep(BOOK, ("author_id",), [(1,), (2,)]),
            (
                'delete from "book" as t using unnest(%s::bigint[]) as v (c0)'
                ' where t."author_id" = v.c0'
            ),
            [[1, 2]],
        ),
        (Sweep(BOOK, ("author_id",), [(1,)]), 'delete from "book" where "author_id" = %s', (1,)),
    ],
)
def test_a_write_is_one_statement(
    dialect: PostgresDialect, request_: Any, text: str, parameters: object
) -> None:
    assert dialect.write(request_) == (text, parameters)


def test_the_text_of_a_write_does_not_depend_on_the_number_of_rows(
    dialect: PostgresDialect,
) -> None:
    rows = [(n, 1) for n in range(100)]
    texts = {dialect.write(Delete(AUTHOR, ("version",), rows[:n]))[0] for n in (2, 3, 100)}

    assert len(texts) == 1


def test_writes_of_different_shapes_have_texts_of_their_own(dialect: PostgresDialect) -> None:
    rows = [(1, 1), (2, 2)]
    requests = [
        Delete(AUTHOR, ("version",), rows),
        Delete(AUTHOR, ("nick",), rows),
        Sweep(AUTHOR, ("version",), [(1,), (2,)]),
        Insert(AUTHOR, ("id", "version"), rows),
        Update(AUTHOR, ("nick",), (), rows),
    ]

    texts = [dialect.write(one)[0] for one in requests]

    assert len(set(texts)) == len(texts)
    assert texts == [dialect.write(one)[0] for one in requests]


def test_a_copy_announces_json_as_text(dialect: PostgresDialect) -> None:
    text, types = dialect.copy(Insert(BOOK, ("shelf", "place", "notes"), []))

    assert text == 'copy "book" ("shelf", "place", "notes") from stdin (format binary)'
    assert types == ["bigint", "uuid", "text"]


# ── tables ──────────────────────────────────────────────────────────────────────────────────


def test_a_table_is_made_with_its_indexes_and_checks(dialect: PostgresDialect) -> None:
    rule = '"author.mood.choices"'

    assert dialect.create(Create(AUTHOR, True)) == [
        (
            'create table "author" ("id" bigint generated by default as identity not null,'
            ' "name" text collate "C" not null, "nick" text collate "C",'
            ' "mood" text collate "C" not null'
            f""" constraint {rule} check ("mood" in ('glad', 'it''s 100%%')),"""
            ' "version" bigint not null, primary key ("id"))'
        ),
        'create unique index "author.nick.unique" on "author" ("nick" nulls first)',
        'create index "author.name.index" on "author" ("name")',
        (
            f'comment on constraint {rule} on "author" is'
            """ 'graven: one of ["glad", "it''s 100%%"]'"""
        ),
    ]


def test_references_are_added_afterwards_and_checked_at_the_commit(
    dialect: PostgresDialect,
) -> None:
    whole = dialect.create(Create(BOOK, True))
    later = dialect.create(Create(BOOK, False, references=BOOK.references))

    assert not any("references" in text for text in whole)
    assert later == [
        (
            'alter table "book" add constraint "book.author_id.reference" foreign key ("author_id")'
            ' references "author" ("id") deferrable initially deferred'
        )
    ]


def test_a_table_is_completed_renames_first(dialect: PostgresDialect) -> None:
    request = Create(
        AUTHOR,
        False,
        (("label", "name"),),
        ("nick",),
        ((("nick",), True),),
        (("author.mood.choices", "mood"),),
    )

    assert dialect.create(request) == [
        'alter table "author" rename column "label" to "name"',
        'alter table "author" add column "nick" text collate "C"',
        'alter table "author" drop constraint "author.mood.choices"',
        (
            'alter table "author" add constraint "author.mood.choices"'
            """ check ("mood" in ('glad', 'it''s 100%%'))"""
        ),
        (
            'comment on constraint "author.mood.choices" on "author" is'
            """ 'graven: one of ["glad", "it''s 100%%"]'"""
        ),
        'create unique index "author.nick.unique" on "author" ("nick" nulls first)',
    ]


@pytest.mark.parametrize("name", ["x" * 64, "ö" * 32])
def test_a_name_that_postgresql_would_cut_is_refused(dialect: PostgresDialect, name: str) -> None:
    with pytest.raises(MappingError, match="64 bytes"):
        dialect.quote(name)

    assert dialect.quote(name[:-1]) == f'"{name[:-1]}"'


def test_long_names_of_indexes_are_shortened_and_stay_apart() -> None:
    one, other = shortened("ö" * 60 + ".a.index"), shortened("ö" * 60 + ".b.index")

    assert one != other
    assert max(len(name.encode()) for name in (one, other)) <= 63
    assert shortened("author.name.index") == "author.name.index"


@pytest.mark.parametrize(
    "table",
    [
        Table("a", (Column("id", "uuid"),), ("id",), store_made=True),
        Table("a", (Column("x", "int"), Column("y", "int")), ("x", "y"), store_made=True),
    ],
)
def test_only_single_integers_are_made_by_the_store(dialect: PostgresDialect, table: Table) -> None:
    with pytest.raises(MappingError, match="single integer keys"):
        dialect.create(Create(table, True))


@pytest.mark.parametrize("said", [{"unique": True}, {"index": True}])
def test_a_document_cannot_be_indexed(dialect: PostgresDialect, said: dict[str, bool]) -> None:
    table = Table("a", (Column("id", "int"), Column("doc", "json", **said)), ("id",))

    with pytest.raises(MappingError, match="documents") as caught:
        dialect.create(Create(table, True))
    assert (caught.value.table, caught.value.field) == ("a", "doc")


@pytest.mark.parametrize(
    "declared",
    [
        "numeric(12,2)",
        "timestamp(3) with time zone",
        "real",
        "character(8)",
        "jsonb",
        "citext",
        "mood",
        "interval(0)",
    ],
)
def test_types_that_alter_values_hold_nothing(declared: str) -> None:
    assert kinds_held(declared) == frozenset()


# ── values ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("datetime", datetime(2024, 1, 1)),
        ("naive", datetime(2024, 1, 1, tzinfo=UTC)),
        ("float", float("nan")),
    ],
)
def test_values_that_mean_nothing_here_are_refused(
    dialect: PostgresDialect, kind: str, value: object
) -> None:
    with pytest.raises(DataError):
        dialect.encode(kind, value)


def test_no_letter_beyond_those_looked_at_has_case() -> None:
    beyond = (chr(n) for n in range(CASED_MAX, 0x110000) if not 0xD800 <= n < 0xE000)

    assert [letter for letter in beyond if letter.casefold() != letter] == []


# ── errors ──────────────────────────────────────────────────────────────────────────────────


def vendor(state: str | None, message: str, name: str = "Error", **diag: str) -> Exception:
    kind = type(name, (Exception,), {"__module__": "psycopg.errors"})
    error = kind(message)
    error.sqlstate = state
    error.diag = SimpleNamespace(message_primary=message, **diag)
    return error


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("08006", UnavailableError),
        ("08P01", StoreError),
        ("57P01", UnavailableError),
        ("57P03", UnavailableError),
        ("53300", UnavailableError),
        ("40001", SnapshotStale),
        ("40P01", DeadlockError),
        ("55P03", BusyRetry),
        ("57014", BusyRetry),
        ("25006", StoreError),
        ("25P02", TransactionInactiveError),
        ("25P03", UnavailableError),
        ("53100", StoreError),
        ("23P01", IntegrityError),
        ("22P02", DataError),
        ("54000", DataError),
        ("28P01", StoreError),
        ("3D000", StoreError),
        ("P0001", StoreError),
        ("XX001", StoreError),
    ],
)
def test_each_sqlstate_has_its_error(
    dialect: PostgresDialect, state: str, kind: type[GravenError]
) -> None:
    error = dialect.translate(vendor(state, "was sagt der Server"), "select 1")

    assert type(error) is kind
    assert all(words in str(error) for words in ("select 1", "was sagt der Server", "usually"))


@pytest.mark.parametrize(
    ("name", "message", "kind", "words"),
    [
        (
            "OperationalError",
            "server closed the connection unexpectedly",
            UnavailableError,
            "no connection",
        ),
        ("InterfaceError", "the connection is closed", UnavailableError, "no connection"),
        ("OperationalError", "password authentication failed", StoreError, "password"),
        ("OperationalError", 'database "x" does not exist', StoreError, "createdb"),
        ("OperationalError", "sorry, too many clients already", UnavailableError, "pool_size"),
        ("DataError", "cannot contain NUL", DataError, "value"),
        ("ProgrammingError", "the query has 1 placeholder", StoreError, "misspelt"),
    ],
)
def test_an_error_without_sqlstate_is_known_by_its_class_and_words(
    dialect: PostgresDialect, name: str, message: str, kind: type[GravenError], words: str
) -> None:
    bases = type(name, (Exception,), {"__module__": "psycopg"})
    error = dialect.translate(type("Inner", (bases,), {"__module__": "psycopg"})(message), "x")

    assert type(error) is kind
    assert words in str(error)


def test_columns_of_a_unique_error_are_read_in_any_language(dialect: PostgresDialect) -> None:
    detail = 'Schlüssel »(email, "Na""me")=(a)=(b, c)« existiert bereits.'
    error = dialect.translate(
        vendor("23505", "m", constraint_name="x", table_name="t", message_detail=detail), "insert"
    )

    assert isinstance(error, IntegrityError)
    assert (error.table, error.columns, error.constraint) == ("t", ("email", 'Na"me'), "x")


def test_an_error_of_the_caller_is_not_the_stores(dialect: PostgresDialect) -> None:
    assert dialect.translate(ValueError("mine"), "select 1") is None
    own = DataError("ours")
    assert dialect.translate(own, "select 1") is own
