"""The pool of SQLite, memory, addresses and damaged files."""

import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path as File
from typing import Any

import pytest

from graven.dialects.sqlite import SQLiteDialect
from graven.drivers.sqlite import SQLiteConnection, SQLitePool
from graven.drivers.sqlite_opening import SQLiteOpener
from graven.drivers.sqlite_url import SQLiteAddress, parse_sqlite_url
from graven.errors import (
    StoreError,
    UnavailableError,
    UsageError,
)
from graven.flows.schema import create
from graven.ops.requests import (
    Begin,
    Commit,
    Execute,
    Flow,
    Insert,
    Inspect,
    Open,
    Page,
)
from tests.drivers.sqlite_things import ALL, AUTHOR, BOOK, COLUMNS, add, author, rows, url

# ── the pool ─────────────────────────────────────────────────────────────────────────────────


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


# ── in memory ────────────────────────────────────────────────────────────────────────────────


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


# ── addresses and files ──────────────────────────────────────────────────────────────────────


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


class Switching:
    """A file that somebody else is just switching to the log: SQLite says busy at once."""

    def __init__(self, times: int) -> None:
        self.times = times

    def execute(self, text: str) -> Any:
        if "=" in text and self.times > 0:
            self.times -= 1
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorname = "SQLITE_BUSY"
            raise error
        return self

    def fetchone(self) -> tuple[str]:
        return ("delete",)


@pytest.mark.parametrize(("busy_timeout_s", "waits"), [(5.0, True), (0.0, False)])
def test_opening_waits_for_others_that_open(busy_timeout_s: float, waits: bool) -> None:
    opener = SQLiteOpener(SQLiteAddress("x.db"), SQLiteDialect(), busy_timeout_s)
    raw = Switching(times=2)
    switch: Any = opener._use_write_ahead_log

    if waits:
        switch(raw)
    else:
        with pytest.raises(sqlite3.OperationalError):
            switch(raw)

    assert (raw.times == 0) is waits


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
