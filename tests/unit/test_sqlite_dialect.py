"""What the SQLite dialect writes: pure, no database."""

import sqlite3
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID, SafeUUID

import pytest
from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st

from graven.dialects.sqlite import SQLiteDialect
from graven.dialects.sqlite_codec import DECODERS, ENCODERS, TYPES, affinity
from graven.errors import (
    BusyRetry,
    DataError,
    ForeignKeyError,
    MappingError,
    NotNullError,
    StoreError,
    UnavailableError,
    UniqueError,
)
from graven.ops.conditions import And, Compare, In, Like, Not, Or, Order, Path, Select, Step, Truth
from graven.ops.indexes import wanted_indexes
from graven.ops.requests import Create, Delete, FetchKeys, Insert, SnapshotStale, Sweep, Update
from graven.ops.schema import Column, Reference, Table
from graven.ops.text import like_matcher

AUTHOR = Table(
    "author",
    (Column("id", "int"), Column("name", "str"), Column("nick", "str", nullable=True)),
    ("id",),
)
BOOK = Table(
    "book",
    (
        Column("id", "uuid"),
        Column("select", "str"),
        Column('a"b`c', "decimal", nullable=True),
        Column("author_id", "int", nullable=True),
        Column("version", "int"),
    ),
    ("id",),
    "version",
    references=(Reference(("author_id",), "author", ("id",)),),
)
NAME = Path((), "name", "str")
NICK = Path((), "nick", "str")
PRICE = Path((), 'a"b`c', "decimal")
OWNER = Path((Step(("author_id",), AUTHOR),), "name", "str")


@pytest.fixture
def dialect() -> SQLiteDialect:
    return SQLiteDialect()


def where(dialect: SQLiteDialect, condition: Any, table: Table = AUTHOR) -> tuple[str, Any]:
    text, parameters = dialect.fetch(Select(table, ("id",), condition))
    return text.partition(" where ")[2].partition(" order by ")[0], parameters


# ── values ──────────────────────────────────────────────────────────────────────────────────


def unfolded(value: Any) -> Any:
    """Without the fold: it counts in no comparison, and is not kept."""
    return value.replace(fold=0)


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "int": st.integers(-(2**63), 2**63 - 1),
    "str": st.text(),
    "bool": st.booleans(),
    "float": st.floats(allow_nan=False),
    "datetime": st.datetimes(timezones=st.just(UTC)).map(unfolded),
    "naive": st.datetimes().map(unfolded),
    "date": st.dates(),
    "time": st.times().map(unfolded),
    "timedelta": st.timedeltas(),
    "decimal": st.decimals(allow_nan=False),
    "uuid": st.uuids(),
    "bytes": st.binary(),
    "objectid": st.binary(min_size=12, max_size=12).map(ObjectId),
    "json": st.text(),
}


def there_and_back(kind: str, value: Any) -> Any:
    encode, decode = ENCODERS[kind], DECODERS[kind]
    stored = value if encode is None else encode(value)
    assert type(stored) in (int, str, float, bytes)
    return stored if decode is None else decode(stored)


@pytest.mark.parametrize("kind", sorted(VALUES))
def test_every_kind_comes_back_as_it_went(kind: str) -> None:
    @given(VALUES[kind])
    def check(value: Any) -> None:
        back = there_and_back(kind, value)
        assert (back, type(back), repr(back)) == (value, type(value), repr(value))

    check()


def test_every_kind_has_encoder_decoder_and_type() -> None:
    assert set(ENCODERS) == set(DECODERS) == set(TYPES) == set(VALUES)


@given(st.lists(VALUES["datetime"], min_size=2))
def test_stored_instants_sort_by_time(instants: list[datetime]) -> None:
    encode: Callable[[Any], str] = ENCODERS["datetime"]  # type: ignore[assignment]

    assert sorted(instants) == sorted(instants, key=encode)


def test_an_instant_of_another_zone_is_stored_in_utc() -> None:
    value = datetime(2024, 5, 1, 12, tzinfo=timezone(timedelta(hours=2)))

    assert ENCODERS["datetime"](value) == "2024-05-01T10:00:00+00:00"  # type: ignore[misc]


def test_a_decoded_uuid_is_a_whole_uuid() -> None:
    original = UUID("018f3a5e-7d6b-7c3a-9d2e-0123456789ab")

    copy = there_and_back("uuid", original)

    assert (copy, hash(copy), copy.is_safe, copy.version) == (
        original,
        hash(original),
        SafeUUID.unknown,
        7,
    )


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("float", float("nan")),
        ("decimal", Decimal("NaN")),
        ("decimal", Decimal("sNaN")),
        ("datetime", datetime(2024, 5, 1)),
        ("naive", datetime(2024, 5, 1, tzinfo=UTC)),
        ("uuid", "not a uuid"),
        ("date", 5),
        ("timedelta", "an hour"),
    ],
)
def test_what_a_kind_cannot_hold_is_refused(
    dialect: SQLiteDialect, kind: str, value: object
) -> None:
    with pytest.raises(DataError) as caught:
        dialect.encode(kind, value)

    assert caught.value.value is value


def test_parameters_of_own_statements_are_stored_as_fields_are(dialect: SQLiteDialect) -> None:
    key = UUID(int=7)
    given_values = [None, 1, True, "x", b"y", 1.5, Decimal("1.10"), key, timedelta(seconds=2)]
    given_values += [date(2024, 1, 2), time(3, 4), datetime(2024, 1, 2, tzinfo=UTC)]

    expected = [None, 1, 1, "x", b"y", 1.5, "1.10", key.bytes, 2_000_000]
    expected += ["2024-01-02", "03:04:00", "2024-01-02T00:00:00+00:00"]
    assert dialect.parameters(given_values) == expected
    assert dialect.parameters({"k": key}) == {"k": key.bytes}


# ── conditions ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("condition", "text", "parameters"),
    [
        (Compare("==", NAME, "Ada"), "`name` = ?", ["Ada"]),
        (Compare("!=", NAME, "Ada"), "`name` is not ?", ["Ada"]),
        (Compare("==", NAME, None), "`name` is null", []),
        (Not(Compare("==", NAME, None)), "`name` is not null", []),
        (Compare("==", NAME, NICK), "`name` is `nick`", []),
        (Compare("<", NAME, None), "false", []),
        (Not(Compare("<", NAME, None)), "true", []),
        (Not(Compare("<", NAME, "b")), "(`name` < ?) is not true", ["b"]),
        (Not(Not(Compare(">", NAME, "b"))), "`name` > ?", ["b"]),
        (In(NAME, ()), "false", []),
        (Not(In(NAME, ())), "(false) is not true", []),
        (In(NAME, ("a", None)), "(`name` in (?)) or (`name` is null)", ["a"]),
        (And(()), "true", []),
        (Or(()), "false", []),
        (Truth(True), "true", []),
        (Not(Truth(True)), "false", []),
        (
            Not(And((Compare("==", NAME, "a"), Compare("==", NICK, "b")))),
            "(`name` is not ?) or (`nick` is not ?)",
            ["a", "b"],
        ),
        (Like(NAME, "A_%", ignore_case=True), "graven_ilike(?, `name`)", ["A_%"]),
    ],
)
def test_a_condition_becomes_sql(
    dialect: SQLiteDialect, condition: Any, text: str, parameters: list[object]
) -> None:
    assert where(dialect, condition) == (text, parameters)


def test_values_are_never_part_of_the_text(dialect: SQLiteDialect) -> None:
    evil = "'; drop table author; --"
    conditions = (Compare("==", NAME, evil), In(NAME, (evil,)), Like(NAME, evil))

    text, parameters = where(dialect, Or(conditions))

    assert "drop" not in text
    assert [value for value in parameters if "drop" in value]


def test_odd_and_reserved_names_are_quoted(dialect: SQLiteDialect) -> None:
    text, _ = dialect.fetch(Select(BOOK, ("select", 'a"b`c')))

    assert text == 'select `select`, `a"b``c` from `book` order by `id`'


def test_decimals_compare_and_order_as_numbers(dialect: SQLiteDialect) -> None:
    condition = Compare(">=", PRICE, Decimal("1.0"))
    text, parameters = dialect.fetch(Select(BOOK, ("id",), condition, (Order(PRICE, True),)))

    assert 'where `a"b``c` collate graven_decimal >= ?' in text
    assert 'order by `a"b``c` collate graven_decimal desc, `id`' in text
    assert parameters == ["1.0"]


def test_one_join_serves_every_path_that_goes_the_same_way(dialect: SQLiteDialect) -> None:
    both = And((Compare("==", OWNER, "Ada"), Compare("!=", OWNER, "Bob")))
    text, _ = dialect.fetch(Select(BOOK, ("id",), both, (Order(OWNER),)))

    assert text == (
        "select t0.`id` from `book` as t0 left join `author` as t1 on t1.`id` = t0.`author_id` "
        "where (t1.`name` = ?) and (t1.`name` is not ?) order by t1.`name`, t0.`id`"
    )


def test_a_doubtful_row_is_returned_and_marked(dialect: SQLiteDialect) -> None:
    doubtful = Compare("==", NICK, "x")
    select = Select(AUTHOR, ("id",), Compare("==", NAME, "a"), limit=2, doubtful=doubtful)

    text, parameters = dialect.fetch(select)

    assert parameters == ["x", "a", "x", 2]
    assert text == (
        "select `id`, case when `nick` = ? then 1 else 0 end from `author` "
        "where (`name` = ?) or (`nick` = ?) order by `id` limit ?"
    )


def test_a_count_respects_the_limit(dialect: SQLiteDialect) -> None:
    plain = dialect.fetch(Select(AUTHOR, (), count=True))
    limited = dialect.fetch(Select(AUTHOR, (), limit=3, offset=1, count=True))

    assert plain == ("select count(*) from `author`", [])
    assert limited == (
        "select count(*) from (select 1 as n from `author` limit ? offset ?) as counted",
        [3, 1],
    )


# ── rows ────────────────────────────────────────────────────────────────────────────────────


def test_a_key_is_fetched_by_one_statement_of_one_text(dialect: SQLiteDialect) -> None:
    first = dialect.fetch_keys(FetchKeys(AUTHOR, ("id", "name"), ("id",), ((1,),)))
    second = dialect.fetch_keys(FetchKeys(AUTHOR, ("id", "name"), ("id",), ((2,),)))

    assert first == (("select `id`, `name` from `author` where `id` = ?", (1,)),)
    assert first[0][0] is second[0][0]


def test_many_keys_go_in_few_shapes(dialect: SQLiteDialect) -> None:
    keys = [(UUID(int=n),) for n in range(2800)]
    statements = dialect.fetch_keys(FetchKeys(BOOK, ("id",), ("id",), keys))

    assert [text.count("?") for text, _ in statements] == [1024, 1024, 1024]
    assert {value for _, values in statements for value in values} == {k.bytes for (k,) in keys}


def test_an_update_checks_its_guards_and_bumps_the_version(dialect: SQLiteDialect) -> None:
    update = Update(BOOK, ("select",), ("version", "author_id"), ())

    assert dialect.update(update) == (
        "update `book` set `select` = ?, `version` = `version` + 1 "
        "where `id` = ? and `version` = ? and `author_id` is ?"
    )


def test_a_table_without_versions_bumps_none(dialect: SQLiteDialect) -> None:
    assert dialect.update(Update(AUTHOR, ("name",), ("nick",), ())) == (
        "update `author` set `name` = ? where `id` = ? and `nick` is ?"
    )


def test_a_delete_checks_its_guards(dialect: SQLiteDialect) -> None:
    assert dialect.delete(Delete(BOOK, ("version",), ())) == (
        "delete from `book` where `id` = ? and `version` = ?"
    )


def test_a_sweep_deletes_by_any_columns(dialect: SQLiteDialect) -> None:
    assert dialect.sweep(Sweep(BOOK, ("author_id", "select"), ())) == (
        "delete from `book` where `author_id` = ? and `select` = ?"
    )


def test_keys_in_store_form_are_not_encoded_again(dialect: SQLiteDialect) -> None:
    key = UUID(int=5)
    ((_, plain),) = dialect.fetch_keys(FetchKeys(BOOK, ("id",), ("id",), [(key,)]))
    ((_, stored),) = dialect.fetch_keys(FetchKeys(BOOK, ("id",), ("id",), [(key.bytes,)], True))

    assert tuple(plain) == tuple(stored) == (key.bytes,)


def test_an_insert_returns_only_keys_that_the_store_makes(dialect: SQLiteDialect) -> None:
    made = Table("note", (Column("id", "int"), Column("text", "str")), ("id",), store_made=True)

    assert dialect.insert(Insert(made, ("text",), ()), 2) == (
        "insert into `note` (`text`) values (?), (?) returning `id`"
    )
    assert "returning" not in dialect.insert(Insert(made, ("id", "text"), ()), 1)
    assert "returning" not in dialect.insert(Insert(AUTHOR, ("id", "name"), ()), 1)


# ── tables ──────────────────────────────────────────────────────────────────────────────────


def test_a_table_is_made_with_its_key_references_and_indexes(dialect: SQLiteDialect) -> None:
    table, index = dialect.create(Create(BOOK, whole=True))

    assert table == (
        "create table `book` (`id` BLOB primary key not null, `select` TEXT not null, "
        '`a"b``c` TEXT, `author_id` INTEGER, `version` INTEGER not null, foreign key (`author_id`) '
        "references `author` (`id`) deferrable initially deferred)"
    )
    assert index == "create index `book.author_id.index` on `book` (`author_id`)"


def test_a_key_that_the_store_makes_never_comes_back(dialect: SQLiteDialect) -> None:
    made = Table("note", (Column("id", "int"),), ("id",), store_made=True)

    assert dialect.create(Create(made, whole=True)) == [
        "create table `note` (`id` INTEGER primary key autoincrement)"
    ]


def test_sqlite_makes_integer_keys_only(dialect: SQLiteDialect) -> None:
    made = Table("note", (Column("id", "uuid"),), ("id",), store_made=True)

    with pytest.raises(MappingError, match="declare it int"):
        dialect.create(Create(made, whole=True))


def test_no_index_is_wanted_that_another_one_serves() -> None:
    link = Table(
        "link",
        (Column("a", "int", index=True), Column("b", "int", unique=True), Column("c", "int")),
        ("a", "c"),
        references=(Reference(("a",), "x", ("id",)), Reference(("c",), "x", ("id",))),
        indexes=(("b",), ("b", "c"), ("c",)),
    )

    assert wanted_indexes(link) == ((("b",), True), (("b", "c"), False), (("c",), False))


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ("INTEGER", "INTEGER"),
        ("bigint unsigned", "INTEGER"),
        ("VARCHAR(20)", "TEXT"),
        ("", "BLOB"),
        ("double precision", "REAL"),
        ("DATETIME", "NUMERIC"),
        ("CHARINT", "INTEGER"),
        ("FLOATING POINT", "INTEGER"),
    ],
)
def test_affinity_follows_the_rules_of_sqlite(declared: str, expected: str) -> None:
    raw = sqlite3.connect(":memory:")
    raw.execute(f"create table t (c {declared}, x)")
    raw.execute("insert into t values ('5', 5)")
    (by_store,) = raw.execute("select typeof(c) from t").fetchone()
    raw.close()

    assert affinity(declared) == expected
    numeric = {"INTEGER": "integer", "NUMERIC": "integer", "REAL": "real"}
    assert by_store == numeric.get(expected, "text")


# ── like ────────────────────────────────────────────────────────────────────────────────────


def naive_like(pattern: str, text: str) -> bool:
    if not pattern:
        return not text
    if pattern[0] == "%":
        return any(naive_like(pattern[1:], text[at:]) for at in range(len(text) + 1))
    if pattern[0] == "\\" and len(pattern) > 1:
        pattern = pattern[1:]
    elif pattern[0] == "_":
        return bool(text) and naive_like(pattern[1:], text[1:])
    return text[:1] == pattern[0] and naive_like(pattern[1:], text[1:])


@given(st.text("aA%_\\\n", max_size=7), st.text("aA%_\\\n", max_size=7))
def test_like_agrees_with_its_definition(pattern: str, text: str) -> None:
    assert like_matcher(pattern, False)(text) is naive_like(pattern, text)
    folded = naive_like(pattern.casefold(), text.casefold())
    assert like_matcher(pattern, True)(text) is folded


def test_ignoring_case_folds_whole_texts() -> None:
    assert like_matcher("STRASSE", True)("straße")
    assert not like_matcher("STRASSE", False)("strasse")


def test_no_pattern_is_slow() -> None:
    matches = like_matcher("%a" * 30 + "%b", False)

    assert not matches("a" * 5_000)


# ── errors ──────────────────────────────────────────────────────────────────────────────────


def vendor(name: str, message: str) -> sqlite3.Error:
    error = sqlite3.OperationalError(message)
    error.sqlite_errorname = name
    return error


@pytest.mark.parametrize(
    ("name", "message", "kind"),
    [
        ("SQLITE_BUSY", "database is locked", BusyRetry),
        ("SQLITE_BUSY_SNAPSHOT", "database is locked", SnapshotStale),
        ("SQLITE_LOCKED_SHAREDCACHE", "database table is locked", BusyRetry),
        ("SQLITE_READONLY", "attempt to write a readonly database", StoreError),
        ("SQLITE_FULL", "database or disk is full", StoreError),
        ("SQLITE_CORRUPT", "database disk image is malformed", StoreError),
        ("SQLITE_NOTADB", "file is not a database", StoreError),
        ("SQLITE_CANTOPEN_ISDIR", "unable to open database file", StoreError),
        ("SQLITE_IOERR_FSYNC", "disk I/O error", StoreError),
        ("SQLITE_CONSTRAINT_FOREIGNKEY", "FOREIGN KEY constraint failed", ForeignKeyError),
        ("SQLITE_TOOBIG", "string or blob too big", DataError),
        ("SQLITE_ERROR", "no such table: author", StoreError),
    ],
)
def test_each_fault_of_the_store_has_its_error(
    dialect: SQLiteDialect, name: str, message: str, kind: type[Exception]
) -> None:
    error = dialect.translate(vendor(name, message), "select 1")

    assert type(error) is kind
    assert "usually" in str(error)
    assert "select 1" in str(error)


def test_a_stale_snapshot_is_told_from_a_lock(dialect: SQLiteDialect) -> None:
    assert issubclass(SnapshotStale, BusyRetry)
    assert type(dialect.translate(vendor("SQLITE_BUSY", "locked"), "x")) is not SnapshotStale


def test_a_unique_error_names_table_and_columns(dialect: SQLiteDialect) -> None:
    message = "UNIQUE constraint failed: author.email, author.name"
    error = dialect.translate(vendor("SQLITE_CONSTRAINT_UNIQUE", message), "insert into author")

    assert isinstance(error, UniqueError)
    assert (error.table, error.columns) == ("author", ("email", "name"))
    assert error.statement == "insert into author"


def test_a_missing_value_names_its_column(dialect: SQLiteDialect) -> None:
    message = "NOT NULL constraint failed: author.name"
    error = dialect.translate(vendor("SQLITE_CONSTRAINT_NOTNULL", message), "insert into author")

    assert isinstance(error, NotNullError)
    assert (error.table, error.columns) == ("author", ("name",))


@pytest.mark.parametrize(
    ("value", "kind"), [(2**63, DataError), ("\ud800", DataError), (object(), DataError)]
)
def test_values_that_sqlite_cannot_hold_are_data_errors(
    dialect: SQLiteDialect, value: object, kind: type[Exception]
) -> None:
    raw = sqlite3.connect(":memory:")
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the vendor's, whichever
        raw.execute("select ?", (value,))
    raw.close()

    assert type(dialect.translate(caught.value, "select ?")) is kind


def test_a_closed_connection_is_unavailable(dialect: SQLiteDialect) -> None:
    raw = sqlite3.connect(":memory:")
    raw.close()
    with pytest.raises(sqlite3.ProgrammingError) as caught:
        raw.execute("select 1")

    assert type(dialect.translate(caught.value, "select 1")) is UnavailableError


def test_an_error_of_the_caller_is_not_the_stores(dialect: SQLiteDialect) -> None:
    assert dialect.translate(ValueError("mine"), "select 1") is None
