"""The blocking SQLite driver, on real files: rows, flows, errors, locks."""

import multiprocessing
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path as File
from typing import Any

import pytest

from graven.drivers.sqlite import SQLiteConnection, SQLitePool
from graven.errors import (
    BusyRetry,
    DataError,
    NotNullError,
    StoreError,
    UniqueError,
    UsageError,
)
from graven.flows.schema import create
from graven.ops.conditions import (
    Select,
)
from graven.ops.requests import (
    Begin,
    Close,
    Commit,
    Delete,
    Execute,
    Fetch,
    FetchKeys,
    Flow,
    Insert,
    Open,
    Operation,
    Page,
    Rollback,
    SnapshotStale,
    Update,
)
from graven.ops.schema import Column, Table
from tests.drivers.sqlite_things import ALL, AUTHOR, BOOK, COLUMNS, add, author, rows, url

# ── rows ─────────────────────────────────────────────────────────────────────────────────────


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


# ── errors leave the store as it was ─────────────────────────────────────────────────────────


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


# ── flows ────────────────────────────────────────────────────────────────────────────────────


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


def test_a_rollback_with_nothing_open_is_nothing(connection: SQLiteConnection) -> None:
    connection.perform(Rollback())

    assert not connection.in_transaction


# ── locks ────────────────────────────────────────────────────────────────────────────────────


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


# ── observation ──────────────────────────────────────────────────────────────────────────────


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


# ── cost ─────────────────────────────────────────────────────────────────────────────────────


def test_importing_the_driver_is_cheap() -> None:
    script = "import sys; import graven.drivers.sqlite; print(*sys.modules)"
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
