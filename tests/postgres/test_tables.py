"""Tables are made, looked at and completed on a real server."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from graven.errors import CheckError, ForeignKeyError, MappingError, StoreError
from graven.flows.schema import create
from graven.ops.requests import Begin, Commit, Insert, Inspect, Orphans, Rollback, TableShape
from graven.ops.schema import Column, Reference, Table
from tests.postgres.raw import Raw

AUTHOR = Table(
    'au"thor 100%',
    (
        Column("id", "int"),
        Column("na%me", "str", index=True),
        Column("nick", "str", nullable=True, unique=True),
        Column("mood", "str", nullable=True, choices=("glad", "it's 100%")),
        Column("level", "int", nullable=True, choices=(1, -2)),
        Column("version", "int"),
    ),
    ("id",),
    version="version",
    store_made=True,
    uniques=(("na%me", "level"),),
)
BOOK = Table(
    "book",
    (
        Column("shelf", "int"),
        Column("place", "uuid"),
        Column("author_id", "int", nullable=True),
        Column("next_shelf", "int", nullable=True),
        Column("next_place", "uuid", nullable=True),
    ),
    ("shelf", "place"),
    references=(
        Reference(("author_id",), 'au"thor 100%', ("id",)),
        Reference(("next_shelf", "next_place"), "book", ("shelf", "place")),
    ),
)


def shape(raw: Raw, name: str) -> TableShape:
    found = raw.perform(Inspect(name))
    assert isinstance(found, TableShape)
    return found


def test_created_tables_fit(raw: Raw) -> None:
    raw.run(create([BOOK, AUTHOR]))
    author, book = shape(raw, AUTHOR.name), shape(raw, "book")

    assert author.key == ("id",)
    assert author.makes_key
    assert author.defaulted == {"id"}
    assert [not_null for _, _, not_null in author.columns] == [
        True,
        True,
        False,
        False,
        False,
        True,
    ]
    assert {(columns, unique) for _, columns, unique in author.indexes} == {
        (("id",), True),
        (("nick",), True),
        (("na%me", "level"), True),
    }
    assert {(column, choices) for _, column, choices in author.choices} == {
        ("mood", ("glad", "it's 100%")),
        ("level", (1, -2)),
    }
    assert (book.key, book.makes_key, book.defaulted) == (("shelf", "place"), False, frozenset())
    raw.run(create([AUTHOR, BOOK]))
    assert (shape(raw, AUTHOR.name), shape(raw, "book")) == (author, book)


def test_tables_that_refer_to_each_other_are_made_and_checked_at_the_commit(raw: Raw) -> None:
    columns = (Column("id", "int"), Column("other", "int"))
    one = Table("one", columns, ("id",), references=(Reference(("other",), "two", ("id",)),))
    two = Table("two", columns, ("id",), references=(Reference(("other",), "one", ("id",)),))
    raw.run(create([one, two]))

    raw.perform(Begin(True))
    raw.perform(Insert(one, ("id", "other"), [(1, 2)]))
    raw.perform(Insert(two, ("id", "other"), [(2, 1)]))
    raw.perform(Commit())
    raw.perform(Begin(True))
    raw.perform(Insert(one, ("id", "other"), [(3, 99)]))
    orphans = raw.perform(Orphans((one, two)))
    with pytest.raises(ForeignKeyError) as caught:
        raw.perform(Commit())

    assert orphans == [(3, 99)]
    assert (caught.value.referrer, caught.value.columns) == ("one", ("other",))


def test_a_table_is_completed_and_keeps_its_rows(raw: Raw) -> None:
    mood = Column("mood", "str", choices=("glad",))
    old = Table("note", (Column("id", "int"), Column("label", "str", index=True), mood), ("id",))
    raw.run(create([AUTHOR, old]))
    raw.perform(Insert(old, ("id", "label", "mood"), [(1, "a", "glad")]))
    new = Table(
        "note",
        (
            Column("id", "int"),
            Column("title", "str", unique=True, renamed_from=("label",)),
            Column("mood", "str", choices=("glad", "sad")),
            Column("tone", "str", nullable=True, choices=("high",)),
            Column("author_id", "int", nullable=True),
        ),
        ("id",),
        references=(Reference(("author_id",), AUTHOR.name, ("id",)),),
    )

    raw.run(create([new, AUTHOR]))
    names = ("id", "title", "mood", "tone")
    raw.perform(Insert(new, names, [(2, "b", "sad", "high")]))

    with pytest.raises(CheckError) as caught:
        raw.perform(Insert(new, names, [(3, "c", "sad", "low")]))
    assert caught.value.columns == ("tone",)
    with pytest.raises(ForeignKeyError):
        raw.perform(Insert(new, ("id", "title", "mood", "author_id"), [(3, "c", "sad", 77)]))
    raw.run(create([new, AUTHOR]))
    assert raw.execute("select * from note order by id").fetchall() == [
        (1, "a", "glad", None, None),
        (2, "b", "sad", "high", None),
    ]


def test_an_enumeration_cannot_lose_what_rows_still_hold(raw: Raw) -> None:
    def table(*choices: str) -> Table:
        return Table("t", (Column("id", "int"), Column("mood", "str", choices=choices)), ("id",))

    raw.run(create([table("glad", "sad")]))
    raw.perform(Insert(table(), ("id", "mood"), [(1, "sad")]))

    with pytest.raises(CheckError):
        raw.run(create([table("glad")]))
    assert shape(raw, "t").choices[0][2] == ("glad", "sad")
    raw.run(create([table()]))
    assert shape(raw, "t").choices == ()


def test_a_table_of_somebody_else_is_read_as_it_is(raw: Raw) -> None:
    raw.execute("create domain email as varchar(80) not null")
    raw.execute(
        'create table "Old" ("Id" serial, b uuid default gen_random_uuid(), c email, d integer,'
        " e numeric(12,2), f jsonb, g char(3), h double precision, i timestamptz(3), j bigint"
        ' generated always as (d * 2) stored, primary key (b, "Id"), check (d > 0))'
    )
    raw.execute('create unique index x on "Old" (d) where d > 5')
    raw.execute('create unique index y on "Old" (lower(c), d)')
    raw.execute('create index z on "Old" (d) include (h)')
    raw.execute('create index hashed on "Old" using hash (h)')
    raw.execute('alter table "Old" drop column g')

    found = shape(raw, "Old")

    assert found.key == ("b", "Id")
    assert not found.makes_key
    assert found.defaulted == {"Id", "b", "j"}
    assert found.indexes == (("Old_pkey", ("b", "Id"), True), ("z", ("d",), False))
    assert [
        (name, sorted(kinds))
        for (name, _, _), kinds in zip(found.columns, found.kinds, strict=False)
    ] == [
        ("Id", ["int"]),
        ("b", ["uuid"]),
        ("c", ["json", "objectid", "str"]),
        ("d", ["int"]),
        ("e", []),
        ("f", []),
        ("h", ["float"]),
        ("i", []),
        ("j", ["int"]),
    ]
    assert {name: not_null for name, _, not_null in found.columns}["c"]
    assert found.choices == ()


def test_a_type_that_would_alter_values_is_refused_by_name(raw: Raw) -> None:
    raw.execute("create table price (id bigint primary key, amount numeric(12,2) not null)")
    table = Table("price", (Column("id", "int"), Column("amount", "decimal")), ("id",))

    with pytest.raises(MappingError, match=r"numeric\(12,2\)', which holds no value unchanged"):
        raw.run(create([table]))


def test_a_view_an_index_and_another_schema_are_no_tables_in_the_way(raw: Raw) -> None:
    raw.execute("create table t (id bigint primary key)")
    raw.execute("create view v as select 1 as id")

    assert raw.perform(Inspect("t_pkey")) is None
    assert shape(raw, "v").key == ()
    raw.execute("set search_path to pg_catalog")
    assert raw.perform(Inspect("t")) is None
    raw.execute(f"set search_path to pg_catalog, {raw.schema}")
    assert shape(raw, "t").key == ("id",)


def test_without_a_schema_to_make_tables_in_the_error_says_so(raw: Raw) -> None:
    raw.execute("set search_path to nowhere")

    with pytest.raises(StoreError, match="search_path"):
        raw.run(create([AUTHOR]))


def test_tables_are_made_in_the_first_schema_and_found_in_all(raw: Raw) -> None:
    note = Table("note", (Column("id", "int"),), ("id",))
    raw.execute(f"create schema {raw.schema}_b")
    try:
        raw.run(create([note]))
        raw.execute(f"set search_path to {raw.schema}_b, {raw.schema}")
        raw.run(create([note]))
        ((count,),) = raw.execute("select count(*) from pg_class where relname = 'note'")
    finally:
        raw.execute(f"drop schema {raw.schema}_b cascade")

    assert count == 1


def test_long_names_stay_apart(raw: Raw) -> None:
    long = "x" * 61
    table = Table(
        long,
        (
            Column("id", "int"),
            Column("a" * 63, "int", index=True),
            Column("b" * 63, "int", index=True),
        ),
        ("id",),
    )

    raw.run(create([table]))
    raw.run(create([table]))

    assert len({name for name, _, _ in shape(raw, long).indexes}) == 3


def test_creators_at_the_same_time_wait_for_each_other(raw: Raw) -> None:
    tables = [AUTHOR, BOOK]
    others = [Raw(raw.url) for _ in range(4)]

    with ThreadPoolExecutor(4) as pool:
        ends = list(pool.map(lambda other: other.run(create(tables)), others))
    for other in others:
        other.close()

    assert ends == [None] * 4
    assert shape(raw, "book").key == ("shelf", "place")


def test_a_failure_leaves_no_table_behind(raw: Raw) -> None:
    lost = Table(
        "lost", (Column("id", "int"),), ("id",), references=(Reference(("id",), "gone", ("id",)),)
    )

    with pytest.raises(StoreError, match="gone"):
        raw.run(create([lost]))

    assert raw.perform(Inspect("lost")) is None
    raw.perform(Rollback())
