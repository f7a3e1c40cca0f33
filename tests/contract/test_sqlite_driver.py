"""The blocking SQLite driver, on real files."""

import multiprocessing
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path as File
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graven.drivers.sqlite import SQLiteConnection, SQLitePool
from graven.drivers.sqlite_url import parse_sqlite_url
from graven.errors import (
    BusyRetry,
    DataError,
    ForeignKeyError,
    NotNullError,
    StoreError,
    UnavailableError,
    UniqueError,
    UsageError,
)
from graven.flows.diagnose import blame, who_refers
from graven.flows.schema import create
from graven.ops.conditions import (
    And,
    Compare,
    Condition,
    In,
    Like,
    Not,
    Or,
    Order,
    Path,
    Select,
    Step,
    Truth,
)
from graven.ops.requests import (
    Begin,
    Call,
    Close,
    Commit,
    Delete,
    Execute,
    Fetch,
    FetchKeys,
    Flow,
    Insert,
    Inspect,
    Open,
    Operation,
    Page,
    Rollback,
    SnapshotStale,
    Update,
)
from graven.ops.schema import Column, Reference, Table
from graven.ops.text import like_matcher

AUTHOR = Table(
    "author",
    (
        Column("id", "int"),
        Column("name", "str"),
        Column("email", "str", nullable=True, unique=True),
        Column("version", "int"),
    ),
    ("id",),
    "version",
)
BOOK = Table(
    "book",
    (Column("id", "int"), Column("title", "str"), Column("author_id", "int", nullable=True)),
    ("id",),
    references=(Reference(("author_id",), "author", ("id",)),),
    store_made=True,
)
COLUMNS = ("id", "name", "email", "version")
ALL = Select(AUTHOR, COLUMNS)


def url(folder: File, name: str = "test.db") -> str:
    return f"sqlite:///{folder / name}"


@pytest.fixture
def pool(tmp_path: File) -> Iterator[SQLitePool]:
    pool = SQLitePool(url(tmp_path), size=3, timeout_s=0.05, busy_timeout_s=0.05)
    yield pool
    pool.close()


@pytest.fixture
def connection(pool: SQLitePool) -> SQLiteConnection:
    connection = pool.acquire()
    connection.run(create([AUTHOR, BOOK]))
    return connection


def author(number: int, name: str = "Ada", email: str | None = None) -> tuple[object, ...]:
    return (number, name, email, 1)


def add(connection: SQLiteConnection, *rows: tuple[object, ...]) -> None:
    connection.perform(Insert(AUTHOR, COLUMNS, rows))


def rows(connection: SQLiteConnection) -> list[Any]:
    return connection.perform(Fetch(ALL))


# ── rows ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 99, 100, 119, 1234])
def test_every_row_is_inserted_exactly_once(connection: SQLiteConnection, count: int) -> None:
    wanted = [author(n) for n in range(count)]

    assert connection.perform(Insert(AUTHOR, COLUMNS, wanted)) == []
    assert rows(connection) == wanted


@pytest.mark.parametrize("count", [0, 1, 3, 10, 257])
def test_made_keys_come_in_the_order_of_the_rows(connection: SQLiteConnection, count: int) -> None:
    titles = [(f"title {n}",) for n in range(count)]

    keys = connection.perform(Insert(BOOK, ("title",), titles))

    stored = dict(connection.perform(Fetch(Select(BOOK, ("id", "title")))))
    assert [(stored[key],) for key in keys] == titles


def test_a_row_of_nothing_but_a_made_key_is_inserted(connection: SQLiteConnection) -> None:
    bare = Table("bare", (Column("id", "int"),), ("id",), store_made=True)
    connection.run(create([bare]))

    assert connection.perform(Insert(bare, (), [(), (), ()])) == [1, 2, 3]


def test_a_made_key_never_comes_back(connection: SQLiteConnection) -> None:
    (first,) = connection.perform(Insert(BOOK, ("title",), [("a",)]))
    connection.perform(Delete(BOOK, (), [(first,)]))

    assert connection.perform(Insert(BOOK, ("title",), [("b",)])) != [first]


def test_an_update_touches_only_rows_that_still_hold_their_guards(
    connection: SQLiteConnection,
) -> None:
    add(connection, author(1), author(2), author(3))
    update = Update(AUTHOR, ("name",), ("version",), [("x", 1, 1), ("x", 2, 7), ("x", 3, 1)])

    assert connection.perform(update) == 2
    assert rows(connection) == [(1, "x", None, 2), author(2), (3, "x", None, 2)]


def test_a_guard_can_expect_null(connection: SQLiteConnection) -> None:
    add(connection, author(1), author(2, email="e"))
    update = Update(AUTHOR, ("name",), ("email",), [("x", 1, None), ("x", 2, None)])

    assert connection.perform(update) == 1


def test_a_delete_touches_only_rows_that_still_hold_their_guards(
    connection: SQLiteConnection,
) -> None:
    add(connection, author(1), author(2))

    assert connection.perform(Delete(AUTHOR, ("version",), [(1, 1), (2, 9), (3, 1)])) == 1
    assert rows(connection) == [author(2)]


@pytest.mark.parametrize("count", [0, 1, 2, 256, 257, 3000])
def test_keys_are_fetched_whatever_their_number(connection: SQLiteConnection, count: int) -> None:
    add(connection, *(author(n) for n in range(3000)))
    keys = [(n,) for n in range(count)]

    found = connection.perform(FetchKeys(AUTHOR, ("id",), ("id",), keys))

    assert sorted(found) == keys


def test_rows_are_fetched_by_several_columns(connection: SQLiteConnection) -> None:
    add(connection, author(1, "a"), author(2, "b"), author(3, "a"))
    keys = [("a", 1), ("b", 2), ("a", 2)]

    found = connection.perform(FetchKeys(AUTHOR, ("id",), ("name", "id"), keys))

    assert sorted(found) == [(1,), (2,)]
    assert connection.perform(FetchKeys(AUTHOR, ("id",), ("name", "id"), [("a", 3)])) == [(3,)]


def test_own_statements_return_rows_and_names(connection: SQLiteConnection) -> None:
    add(connection, author(1))

    statement = Execute("select id as nr, name from author where id = :id", {"id": 1})
    assert connection.perform(statement) == ([(1, "Ada")], ("nr", "name"))
    assert connection.perform(Execute("delete from author")) == ([], ())


def test_a_stream_hands_out_every_row_page_by_page(connection: SQLiteConnection) -> None:
    add(connection, *(author(n) for n in range(5)))

    handle = connection.perform(Open(Select(AUTHOR, ("id",))))
    pages = [connection.perform(Page(handle, 2)) for _ in range(4)]
    connection.perform(Close(handle))
    connection.perform(Close(handle))

    assert pages == [[(0,), (1,)], [(2,), (3,)], [(4,)], []]
    with pytest.raises(UsageError, match="closed"):
        connection.perform(Page(handle, 2))


# ── conditions agree with Python ────────────────────────────────────────────────────────────

THING = Table(
    "thing",
    (
        Column("id", "int"),
        Column("number", "int", nullable=True),
        Column("text", "str", nullable=True),
        Column("price", "decimal", nullable=True),
        Column("other_id", "int", nullable=True),
    ),
    ("id",),
)
NUMBER, TEXT, PRICE = (
    Path((), n, k) for n, k in (("number", "int"), ("text", "str"), ("price", "decimal"))
)
OTHER = Step(("other_id",), THING)
OTHER_NUMBER = Path((OTHER,), "number", "int")
FAR_TEXT = Path((OTHER, OTHER), "text", "str")
PRICES = [Decimal(text) for text in ("1.0", "1.00", "10", "9", "-3", "1E+2")]
THINGS: list[dict[str, Any]] = [
    {
        "id": n,
        "number": [None, 0, 1, 2][n % 4],
        "text": [None, "", "a", "Ab", "a\0b", "ß", "a%"][n % 7],
        "price": [None, *PRICES][n % 7 if n % 2 else 0],
        "other_id": [None, 0, 5, 11, 99][n % 5],
    }
    for n in range(30)
]


def value_at(thing: dict[str, Any] | None, path: Path) -> Any:
    for step in path.steps:
        by_id = {t["id"]: t for t in THINGS}
        thing = by_id.get(thing[step.columns[0]]) if thing else None
    return thing[path.column] if thing else None


def judge(condition: Condition, thing: dict[str, Any]) -> bool:
    match condition:
        case Truth(holds):
            return holds
        case Not(inner):
            return not judge(inner, thing)
        case And(inner_conditions):
            return all(judge(c, thing) for c in inner_conditions)
        case Or(inner_conditions):
            return any(judge(c, thing) for c in inner_conditions)
        case In(path, values):
            return value_at(thing, path) in values
        case Like(path, pattern, ignore_case):
            text = value_at(thing, path)
            return text is not None and like_matcher(pattern, ignore_case)(text)
        case Compare(operator, left, right):
            a = value_at(thing, left)
            b = value_at(thing, right) if isinstance(right, Path) else right
            if operator in ("==", "!="):
                return (a == b) is (operator == "==")
            if a is None or b is None:
                return False
            return bool({"<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b}[operator])
    raise AssertionError(condition)


OPERATORS = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
NUMBERS = st.sampled_from([None, 0, 1, 2, 3])
TEXTS = st.sampled_from([None, "", "a", "A", "ab", "a\0b", "ss", "a%"])
MAYBE_PRICES = st.sampled_from([None, *PRICES])
PATTERNS = st.text("aAbß%_\\\0[*", max_size=5)
LEAVES = st.one_of(
    st.builds(Truth, st.booleans()),
    st.builds(Compare, OPERATORS, st.sampled_from([NUMBER, OTHER_NUMBER]), NUMBERS),
    st.builds(Compare, OPERATORS, st.just(NUMBER), st.just(OTHER_NUMBER)),
    st.builds(Compare, OPERATORS, st.sampled_from([TEXT, FAR_TEXT]), TEXTS),
    st.builds(Compare, OPERATORS, st.just(PRICE), MAYBE_PRICES),
    st.builds(In, st.just(TEXT), st.lists(TEXTS, max_size=4).map(tuple)),
    st.builds(In, st.just(OTHER_NUMBER), st.lists(NUMBERS, max_size=4).map(tuple)),
    st.builds(In, st.just(PRICE), st.lists(MAYBE_PRICES, max_size=4).map(tuple)),
    st.builds(Like, st.sampled_from([TEXT, FAR_TEXT]), PATTERNS, st.booleans()),
)
CONDITIONS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(And, st.lists(inner, max_size=3).map(tuple)),
        st.builds(Or, st.lists(inner, max_size=3).map(tuple)),
    ),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def things() -> Iterator[SQLiteConnection]:
    pool = SQLitePool("sqlite://")
    connection = pool.acquire()
    connection.run(create([THING]))
    columns = tuple(THINGS[0])
    stored = [tuple(str(v) if isinstance(v, Decimal) else v for v in t.values()) for t in THINGS]
    connection.perform(Insert(THING, columns, stored))
    yield connection
    pool.close()


@settings(max_examples=400)
@given(condition=CONDITIONS, doubtful=CONDITIONS)
def test_the_store_judges_as_python_does(
    things: SQLiteConnection, condition: Condition, doubtful: Condition
) -> None:
    expected = [(t["id"],) for t in THINGS if judge(condition, t)]

    assert things.perform(Fetch(Select(THING, ("id",), condition))) == expected
    assert things.perform(Fetch(Select(THING, (), condition, count=True))) == [(len(expected),)]
    both = [
        (t["id"], int(judge(doubtful, t)))
        for t in THINGS
        if judge(condition, t) or judge(doubtful, t)
    ]
    assert things.perform(Fetch(Select(THING, ("id",), condition, doubtful=doubtful))) == both


@given(
    orders=st.lists(
        st.builds(Order, st.sampled_from([NUMBER, TEXT, PRICE, OTHER_NUMBER]), st.booleans()),
        max_size=3,
    ).map(tuple)
)
def test_the_store_orders_as_python_does(
    things: SQLiteConnection, orders: tuple[Order, ...]
) -> None:
    expected = [*THINGS]
    for order in reversed(orders):

        def place(thing: dict[str, Any], path: Path = order.path) -> tuple[bool, Any]:
            value = value_at(thing, path)
            return value is not None, value if value is not None else 0

        expected.sort(key=place, reverse=order.descending)
        # sorting in reverse keeps equal ones in order, as a sort by several terms does

    found = things.perform(Fetch(Select(THING, ("id",), None, orders)))

    assert found == [(thing["id"],) for thing in expected]


@pytest.mark.parametrize(
    ("kind", "make"),
    [
        ("int", int),
        ("str", lambda n: f"text {n} \0 é"),
        ("float", lambda n: n / 7),
        ("uuid", lambda n: UUID(int=n)),
        ("bytes", lambda n: b"\0%d" % n),
        ("decimal", lambda n: Decimal(n) / 8),
        ("datetime", lambda n: datetime.fromtimestamp(n, UTC)),
    ],
)
def test_membership_in_very_many_values_is_exact(
    connection: SQLiteConnection, kind: str, make: Any
) -> None:
    table = Table("big", (Column("id", "int"), Column("v", kind, nullable=True)), ("id",))
    connection.run(create([table]))
    dialect = SQLitePool("sqlite://").dialect
    stored = [(n, dialect.encode(kind, make(n))) for n in range(50)]
    connection.perform(Insert(table, ("id", "v"), [*stored, (50, None)]))
    path = Path((), "v", kind)
    wanted = tuple(make(n) for n in range(10, 40_010))

    inside = connection.perform(Fetch(Select(table, ("id",), In(path, wanted))))
    outside = connection.perform(Fetch(Select(table, ("id",), Not(In(path, (*wanted, None))))))

    assert [n for (n,) in inside] == list(range(10, 50))
    assert [n for (n,) in outside] == list(range(10))


def test_thousands_of_alternatives_are_no_obstacle(connection: SQLiteConnection) -> None:
    add(connection, author(1), author(4999), author(9999))
    name, key = Path((), "name", "str"), Path((), "id", "int")
    either = Or(
        tuple(And((Compare("==", key, n), Compare("==", name, "Ada"))) for n in range(5000))
    )

    assert connection.perform(Fetch(Select(AUTHOR, ("id",), either))) == [(1,), (4999,)]


def test_an_index_serves_a_prefix(connection: SQLiteConnection) -> None:
    email = Path((), "email", "str")
    text, values = SQLitePool("sqlite://").dialect.fetch(
        Select(AUTHOR, ("id",), Like(email, "ada%"))
    )

    plan, _ = connection.perform(Execute(f"explain query plan {text}", values))

    assert "INDEX author.email.unique (email>? AND email<?)" in str(plan)


# ── errors leave the store as it was ────────────────────────────────────────────────────────


def test_a_taken_value_is_named(connection: SQLiteConnection) -> None:
    add(connection, author(1, email="e"))

    with pytest.raises(UniqueError) as caught:
        add(connection, author(2, email="e"))
    assert (caught.value.table, caught.value.columns) == ("author", ("email",))
    assert isinstance(caught.value.__cause__, sqlite3.IntegrityError)
    with pytest.raises(UniqueError) as caught:
        add(connection, author(1))
    assert caught.value.columns == ("id",)


def test_a_missing_value_is_named(connection: SQLiteConnection) -> None:
    with pytest.raises(NotNullError) as caught:
        add(connection, (1, None, None, 1))
    assert (caught.value.table, caught.value.columns) == ("author", ("name",))


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, "\ud800", object()])
def test_what_sqlite_cannot_hold_is_refused_whole(
    connection: SQLiteConnection, value: object
) -> None:
    bad = [author(n) for n in range(150)]
    bad[120] = (120, value, None, 1)

    def flow() -> Flow[None]:
        yield from Begin(write=True)
        yield from Insert(AUTHOR, COLUMNS, bad)

    with pytest.raises(DataError):
        connection.run(flow())
    assert rows(connection) == []


def test_a_table_that_was_never_made_is_named_with_the_remedy(pool: SQLitePool) -> None:
    with pytest.raises(StoreError, match=r"no such table: author.*db\.create"):
        rows(pool.acquire())


def test_a_column_that_is_not_there_is_an_error_and_not_a_text(
    connection: SQLiteConnection,
) -> None:
    other = Table("author", (*AUTHOR.columns, Column("nmae", "str")), ("id",))

    with pytest.raises(StoreError, match="no such column: nmae"):
        connection.perform(Fetch(Select(other, ("nmae",))))


# ── flows ───────────────────────────────────────────────────────────────────────────────────


def insert_two() -> Flow[str]:
    yield from Begin(write=True)
    yield from Insert(AUTHOR, COLUMNS, [author(1)])
    yield from Insert(AUTHOR, COLUMNS, [author(2)])
    yield from Commit()
    return "done"


def test_a_flow_is_run_to_its_end_and_settled_once(connection: SQLiteConnection) -> None:
    settled: list[object] = []

    result = connection.run(insert_two(), lambda *outcome: settled.append(outcome))

    assert result == "done"
    assert settled == [("done", None)]
    assert rows(connection) == [author(1), author(2)]


def test_a_flow_that_fails_is_rolled_back_and_settled_once(connection: SQLiteConnection) -> None:
    add(connection, author(2))
    settled: list[Any] = []

    with pytest.raises(UniqueError) as caught:
        connection.run(insert_two(), lambda *outcome: settled.append(outcome))

    assert settled == [(None, caught.value)]
    assert not connection.in_transaction
    assert rows(connection) == [author(2)]


def test_a_flow_may_handle_the_error_of_a_request(connection: SQLiteConnection) -> None:
    add(connection, author(1))

    def flow() -> Flow[str]:
        try:
            yield from Insert(AUTHOR, COLUMNS, [author(1)])
        except UniqueError:
            return "taken"
        return "free"

    assert connection.run(flow()) == "taken"


def test_a_transaction_spans_flows_and_survives_the_error_of_one(
    connection: SQLiteConnection,
) -> None:
    def begin() -> Flow[None]:
        yield from Begin(write=True)
        yield from Insert(AUTHOR, COLUMNS, [author(1)])

    def fail() -> Flow[None]:
        yield from Insert(AUTHOR, COLUMNS, [author(1)])

    def commit() -> Flow[None]:
        yield from Commit()

    connection.run(begin())
    with pytest.raises(UniqueError):
        connection.run(fail())
    assert connection.in_transaction
    connection.run(commit())
    assert rows(connection) == [author(1)]


def test_a_rollback_that_fails_never_hides_the_cause(
    pool: SQLitePool, connection: SQLiteConnection
) -> None:
    class Stubborn:
        in_transaction = True

        def execute(self, *_: object) -> None:
            raise sqlite3.OperationalError("rollback failed")

        def close(self) -> None:
            pass

    def flow() -> Flow[None]:
        yield from Begin(write=True)
        connection.statements._raw.execute("rollback")
        connection.statements._raw = Stubborn()  # type: ignore[assignment]
        raise LookupError("the cause")

    with pytest.raises(LookupError, match="the cause"):
        connection.run(flow())
    assert connection.statements.broken
    pool.release(connection)
    assert pool.acquire() is not connection


def test_calls_of_a_flow_are_made(connection: SQLiteConnection) -> None:
    assert connection.perform(Call(max, (1, 5))) == 5


def test_a_rollback_with_nothing_open_is_nothing(connection: SQLiteConnection) -> None:
    connection.perform(Rollback())

    assert not connection.in_transaction


# ── locks ───────────────────────────────────────────────────────────────────────────────────


def test_a_second_writer_is_told_to_retry(pool: SQLitePool, connection: SQLiteConnection) -> None:
    other = pool.acquire()
    connection.perform(Begin(write=True))

    with pytest.raises(BusyRetry) as caught:
        other.perform(Begin(write=True))

    assert not isinstance(caught.value, SnapshotStale)
    assert rows(other) == []  # who reads is not kept waiting


def test_a_reader_that_would_write_on_old_data_is_told_so(
    pool: SQLitePool, connection: SQLiteConnection
) -> None:
    other = pool.acquire()
    connection.perform(Begin(write=False))
    rows(connection)
    add(other, author(1))

    with pytest.raises(SnapshotStale):
        add(connection, author(2))
    assert rows(connection) == []  # still one point in time
    connection.perform(Rollback())
    assert rows(connection) == [author(1)]


def test_threads_share_one_file(tmp_path: File) -> None:
    pool = SQLitePool(url(tmp_path), size=4)
    first = pool.acquire()
    first.run(create([AUTHOR]))
    pool.release(first)

    def work(offset: int) -> None:
        for n in range(25):
            connection = pool.acquire()
            connection.perform(Begin(write=True))
            add(connection, author(offset + n))
            connection.perform(Commit())
            pool.release(connection)

    threads = [threading.Thread(target=work, args=(100 * t,)) for t in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(rows(pool.acquire())) == 200
    pool.close()


def _create_and_add(where: str, number: int, ready: Any) -> None:
    ready.wait()
    pool = SQLitePool(where)
    connection = pool.acquire()
    connection.run(create([AUTHOR, BOOK]))
    add(connection, author(number))
    pool.close()


def test_processes_create_and_write_one_file_at_once(tmp_path: File) -> None:
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(4)
    workers = [
        context.Process(target=_create_and_add, args=(url(tmp_path), n, ready)) for n in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert [worker.exitcode for worker in workers] == [0] * 4
    pool = SQLitePool(url(tmp_path))
    assert len(rows(pool.acquire())) == 4
    pool.close()


# ── creating tables ─────────────────────────────────────────────────────────────────────────


def test_created_tables_fit(connection: SQLiteConnection) -> None:
    seen: list[str] = []

    def inspections(flow: Flow[None]) -> Flow[None]:
        request = next(flow)
        while True:
            seen.append(type(request).__name__)
            try:
                request = flow.send((yield request))
            except StopIteration:
                return

    connection.run(inspections(create([AUTHOR, BOOK, THING])))
    seen.clear()
    connection.run(inspections(create([AUTHOR, BOOK, THING])))

    assert seen == ["Inspect"] * 3


def test_a_changed_model_gets_its_columns_with_the_rows_kept(connection: SQLiteConnection) -> None:
    add(connection, author(1))
    newer = Table(
        "author",
        (
            Column("id", "int"),
            Column("full_name", "str", renamed_from=("name",), index=True),
            Column("email", "str", nullable=True, unique=True),
            Column("version", "int"),
            Column("boss_id", "int", nullable=True),
        ),
        ("id",),
        "version",
        references=(Reference(("boss_id",), "author", ("id",)),),
    )

    connection.run(create([newer]))

    names = tuple(column.name for column in newer.columns)
    assert connection.perform(Fetch(Select(newer, names))) == [(1, "Ada", None, 1, None)]
    shape = connection.perform(Inspect("author"))
    assert shape is not None
    assert {(columns, unique) for _, columns, unique in shape.indexes} == {
        (("email",), True),
        (("full_name",), False),
        (("boss_id",), False),
    }
    connection.perform(Begin(write=True))
    connection.perform(Update(newer, ("boss_id",), (), [(77, 1)]))
    with pytest.raises(ForeignKeyError):
        connection.perform(Commit())


def test_creating_is_all_or_nothing(connection: SQLiteConnection) -> None:
    connection.perform(Execute('create table "zoo" (id text primary key, other blob not null)'))
    zoo = Table("zoo", (Column("id", "str"),), ("id",))

    with pytest.raises(Exception, match="no default"):
        connection.run(create([THING, zoo]))

    assert connection.perform(Inspect("thing")) is None


def test_names_that_sql_reserves_or_quotes_work(connection: SQLiteConnection) -> None:
    names = ("select", 'a"b', "c`d", "e.f", "group by")
    odd = Table(
        'or"der',
        (Column("id", "int"), *(Column(n, "str", nullable=True, unique=True) for n in names)),
        ("id",),
    )

    connection.run(create([odd]))
    connection.perform(Insert(odd, ("id", *names), [(1, *names)]))

    condition = And(tuple(Compare("==", Path((), n, "str"), n) for n in names))
    assert connection.perform(Fetch(Select(odd, names, condition))) == [names]
    assert connection.perform(Update(odd, ("select",), ('a"b',), [("x", 1, 'a"b')])) == 1
    connection.run(create([odd]))


def test_a_collation_is_never_part_of_a_table(connection: SQLiteConnection) -> None:
    connection.run(create([THING]))

    found, _ = connection.perform(Execute("select sql from sqlite_master"))

    assert "graven" not in str(found)


# ── who refers ──────────────────────────────────────────────────────────────────────────────


def test_a_refused_commit_names_who_refers(connection: SQLiteConnection) -> None:
    add(connection, author(1), author(2))
    books = [("a", 1), ("b", 2), ("c", 1)]
    keys = connection.perform(Insert(BOOK, ("title", "author_id"), books))

    def flow() -> Flow[None]:
        yield from Begin(write=True)
        yield from Delete(AUTHOR, (), [(1,)])
        try:
            yield from Commit()
        except ForeignKeyError as error:
            orphans = yield from who_refers([AUTHOR, BOOK], {"author"})
            yield from Rollback()
            raise blame(orphans, error) from error

    with pytest.raises(ForeignKeyError) as caught:
        connection.run(flow())

    error = caught.value
    assert (error.table, error.key, error.columns) == ("author", 1, ("author_id",))
    assert error.referrer == f"book {keys[0]}"
    assert "1 more row" in str(error)
    assert len(rows(connection)) == 2


def test_only_tables_that_can_be_to_blame_are_looked_through() -> None:
    flow = who_refers([AUTHOR, BOOK, THING], {"thing"})

    with pytest.raises(StopIteration) as end:
        next(flow)
    assert end.value.value == ()


def test_blame_changes_nothing_when_nobody_is_found() -> None:
    error = ForeignKeyError("as it was")

    assert blame((), error) is error


# ── observation ─────────────────────────────────────────────────────────────────────────────


def test_every_statement_is_observed_and_parameters_only_if_asked_for(
    pool: SQLitePool, connection: SQLiteConnection
) -> None:
    seen: list[tuple[Any, ...]] = []
    pool.observe(lambda *report: seen.append(report))
    requests: list[Operation[Any]] = [
        Begin(write=True),
        Insert(AUTHOR, COLUMNS, [author(n) for n in range(12)]),
        Update(AUTHOR, ("name",), (), [("x", 1), ("x", 2)]),
        Fetch(ALL),
        Commit(),
    ]
    for request in requests:
        connection.perform(request)
    handle = connection.perform(Open(ALL))
    connection.perform(Page(handle, 5))
    connection.perform(Close(handle))

    words = [text.split()[0] for text, *_ in seen]
    assert words == ["begin", "insert", "insert", "update", "select", "commit", "select"]
    assert [count for _, count, _, _ in seen] == [0, 10, 2, 2, 12, 0, 5]
    assert all(0 <= seconds < 1 for _, _, seconds, _ in seen)
    assert {parameters for *_, parameters in seen} == {None}

    pool.observe(lambda *report: seen.append(report), parameters=True)
    connection.perform(FetchKeys(AUTHOR, ("id",), ("id",), [(3,)]))
    assert seen[-1][3] == (3,)
    pool.observe(None)
    connection.perform(Fetch(ALL))
    assert len(seen) == 8


# ── the pool ────────────────────────────────────────────────────────────────────────────────


def test_the_last_connection_given_back_is_the_first_taken(pool: SQLitePool) -> None:
    one, two = pool.acquire(), pool.acquire()
    pool.release(one)
    pool.release(two)

    assert pool.acquire() is two
    assert pool.acquire() is one


def test_a_dry_pool_says_how_many_are_out(pool: SQLitePool) -> None:
    held = [pool.acquire() for _ in range(3)]

    with pytest.raises(UnavailableError, match="3 of 3 are out") as caught:
        pool.acquire()

    assert caught.value.waited_s == 0.05
    pool.release(held.pop())
    pool.release(pool.acquire())


def test_waiting_threads_are_served_in_order(tmp_path: File) -> None:
    pool = SQLitePool(url(tmp_path), size=1)
    held = pool.acquire()
    order: list[int] = []

    def wait(number: int) -> None:
        connection = pool.acquire()
        order.append(number)
        pool.release(connection)

    threads = [threading.Thread(target=wait, args=(n,)) for n in range(5)]
    for thread in threads:
        thread.start()
        time.sleep(0.02)
    pool.release(held)
    for thread in threads:
        thread.join()

    assert order == [0, 1, 2, 3, 4]
    pool.close()


def test_what_a_user_left_open_is_rolled_back(
    pool: SQLitePool, connection: SQLiteConnection
) -> None:
    add(connection, author(1), author(2))
    connection.perform(Begin(write=True))
    add(connection, author(3))
    handle = connection.perform(Open(ALL))
    pool.release(connection)

    again = pool.acquire()

    assert again is connection
    assert not again.in_transaction
    assert len(rows(again)) == 2
    with pytest.raises(UsageError):
        again.perform(Page(handle, 1))


def test_a_closed_pool_refuses_and_closes_what_comes_back(tmp_path: File) -> None:
    pool = SQLitePool(url(tmp_path))
    out, idle = pool.acquire(), pool.acquire()
    pool.release(idle)
    pool.close()

    with pytest.raises(UsageError, match="closed"):
        pool.acquire()
    pool.release(out)
    for connection in (out, idle):
        with pytest.raises(UnavailableError):
            connection.perform(Execute("select 1"))
    assert pool.out == 0


def test_closing_wakes_who_waits(tmp_path: File) -> None:
    pool = SQLitePool(url(tmp_path), size=1, timeout_s=30)
    pool.acquire()
    caught: list[BaseException] = []

    def wait() -> None:
        try:
            pool.acquire()
        except UsageError as error:
            caught.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.05)
    pool.close()
    thread.join(5)

    assert len(caught) == 1


def test_a_broken_connection_makes_room_for_another(tmp_path: File) -> None:
    pool = SQLitePool(url(tmp_path), size=1)
    connection = pool.acquire()
    connection.statements.broken = True
    pool.release(connection)

    assert pool.acquire() is not connection
    pool.close()


def test_a_failed_opening_leaves_room_for_the_next(tmp_path: File) -> None:
    pool = SQLitePool(url(tmp_path, "missing/test.db"), size=1)
    with pytest.raises(StoreError):
        pool.acquire()
    (tmp_path / "missing").mkdir()

    assert rows_of_nothing(pool.acquire()) == []
    pool.close()


def rows_of_nothing(connection: SQLiteConnection) -> list[Any]:
    return connection.perform(Execute("select 1 where false"))[0]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_never_uses_connections_of_its_parent(tmp_path: File) -> None:
    script = f"""
import os
from graven.drivers.sqlite import SQLitePool
from graven.errors import StoreError, UsageError
from graven.ops.requests import Execute
def flow():
    return (yield Execute("select 1"))
pool, memory = SQLitePool({url(tmp_path)!r}), SQLitePool("sqlite://")
held, idle, inside = pool.acquire(), pool.acquire(), memory.acquire()
pool.release(idle)
child = os.fork()
if child == 0:
    status = 1
    try:
        held.run(flow())
    except UsageError as error:
        assert "fork" in str(error)
        pool.release(held)
        fresh = pool.acquire()
        assert fresh not in (held, idle)
        fresh.run(flow())
        pool.release(fresh)
        assert pool.acquire() is fresh
        memory.release(inside)
        try:
            memory.acquire()
        except StoreError as error:
            status = 0 if "fork" in str(error) else 2
    os._exit(status)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
held.run(flow())
assert pool.acquire() is idle
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")


# ── in memory ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("address", ["sqlite://", "sqlite:///:memory:"])
def test_connections_of_a_pool_share_its_memory(address: str) -> None:
    pool, stranger = SQLitePool(address), SQLitePool(address)
    one, two = pool.acquire(), pool.acquire()
    one.run(create([AUTHOR]))
    add(one, author(1))

    assert rows(two) == [author(1)]
    pool.release(one)
    pool.release(two)
    assert rows(pool.acquire()) == [author(1)]
    assert stranger.acquire().perform(Inspect("author")) is None
    pool.close()
    stranger.close()


def test_memory_outlives_its_connections() -> None:
    pool = SQLitePool("sqlite://", size=1)
    connection = pool.acquire()
    connection.run(create([AUTHOR]))
    connection.statements.broken = True
    pool.release(connection)

    assert rows(pool.acquire()) == []
    pool.close()


# ── addresses and files ─────────────────────────────────────────────────────────────────────


def test_addresses_are_read_as_documented(tmp_path: File, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert parse_sqlite_url("sqlite://").path is None
    assert parse_sqlite_url("sqlite:///:memory:").path is None
    assert parse_sqlite_url("sqlite:///a.db").path == str(tmp_path / "a.db")
    assert parse_sqlite_url("sqlite:////var/a.db").path == "/var/a.db"
    assert parse_sqlite_url("sqlite:////a%20b%3F%25.db").path == "/a b?%.db"
    assert parse_sqlite_url("sqlite:////a.db").synchronous == "full"
    assert parse_sqlite_url("sqlite:////a.db?synchronous=Normal").synchronous == "normal"


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("postgresql://x/y", "sqlite:///relative.db"),
        ("sqlite:bank.db", "sqlite://"),
        ("sqlite://bank.db", "slashes are missing"),
        ("sqlite:///", "no file"),
        ("sqlite:///a.db?cache=shared&mode=ro", "cache, mode"),
        ("sqlite:///a.db?synchronous=extra", "full, normal, off"),
        ("sqlite:///a%00.db", "NUL"),
    ],
)
def test_an_address_that_means_nothing_is_refused(address: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        SQLitePool(address)


@pytest.mark.parametrize(("option", "level"), [("", 2), ("?synchronous=normal", 1)])
def test_durability_is_full_unless_the_url_says_otherwise(
    tmp_path: File, option: str, level: int
) -> None:
    pool = SQLitePool(url(tmp_path) + option)
    connection = pool.acquire()

    for pragma, expected in (("synchronous", level), ("foreign_keys", 1), ("journal_mode", "wal")):
        assert connection.perform(Execute(f"pragma {pragma}"))[0] == [(expected,)]
    pool.close()


def test_a_missing_folder_is_a_clear_error(tmp_path: File) -> None:
    with pytest.raises(StoreError, match=r"nowhere/a\.db.*folder is missing"):
        SQLitePool(url(tmp_path, "nowhere/a.db")).acquire()


def test_a_folder_is_no_database(tmp_path: File) -> None:
    with pytest.raises(StoreError, match="it is a folder itself"):
        SQLitePool(f"sqlite:///{tmp_path}").acquire()


def test_another_kind_of_file_is_no_database(tmp_path: File) -> None:
    (tmp_path / "test.db").write_bytes(b"GIF89a" * 1000)

    with pytest.raises(StoreError, match="not an SQLite database"):
        SQLitePool(url(tmp_path)).acquire()
    assert (tmp_path / "test.db").read_bytes() == b"GIF89a" * 1000


def test_a_truncated_file_is_noticed_at_once(tmp_path: File) -> None:
    pool = SQLitePool(url(tmp_path))
    connection = pool.acquire()
    connection.run(create([AUTHOR, BOOK]))
    add(connection, *(author(n, "x" * 100) for n in range(500)))
    pool.release(connection)
    pool.close()
    os.truncate(tmp_path / "test.db", 3 * 4096)

    with pytest.raises(StoreError, match="damaged"):
        SQLitePool(url(tmp_path)).acquire()


def test_a_read_only_file_is_noticed_at_once() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = File(name)
        folder.chmod(0o755)
        pool = SQLitePool(url(folder))
        pool.acquire().run(create([AUTHOR]))
        pool.close()
        (folder / "test.db").chmod(0o444)
        is_root = os.geteuid() == 0
        if is_root:
            os.seteuid(65534)  # root may write anything
        try:
            with pytest.raises(StoreError, match="cannot be written"):
                SQLitePool(url(folder)).acquire()
        finally:
            if is_root:
                os.seteuid(0)


def test_a_full_disk_is_a_clear_error_and_undoes_the_transaction(
    connection: SQLiteConnection,
) -> None:
    connection.perform(Execute("pragma max_page_count = 30"))

    def flow() -> Flow[None]:
        yield from Begin(write=True)
        yield from Insert(AUTHOR, COLUMNS, [author(n, "x" * 3000) for n in range(200)])
        yield from Commit()

    with pytest.raises(StoreError, match="the disk is full"):
        connection.run(flow())
    assert not connection.in_transaction
    assert rows(connection) == []
    add(connection, author(1))


# ── cost ────────────────────────────────────────────────────────────────────────────────────


def test_importing_the_driver_is_cheap() -> None:
    script = (
        "import sys; import graven.drivers.sqlite; print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    dear = {"asyncio", "dataclasses", "inspect", "msgspec", "logging", "pathlib", "uuid"}
    assert dear & set(done.stdout.split()) == set()


def test_a_fetch_by_key_is_one_statement(connection: SQLiteConnection, pool: SQLitePool) -> None:
    add(connection, author(1))
    seen: list[str] = []
    pool.observe(lambda text, *_: seen.append(text))

    connection.perform(FetchKeys(AUTHOR, COLUMNS, ("id",), [(1,)]))

    assert len(seen) == 1
