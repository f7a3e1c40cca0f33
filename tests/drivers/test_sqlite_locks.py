"""The right to write on SQLite: taken at once, waited for, or refused."""

import time

import pytest

from graven.drivers.sqlite import SQLiteConnection, SQLitePool
from graven.errors import BusyRetry
from graven.ops.conditions import Select
from graven.ops.requests import (
    Begin,
    Commit,
    Fetch,
    Release,
    Rollback,
    RollbackTo,
    Savepoint,
    SnapshotStale,
)
from tests.drivers.sqlite_things import AUTHOR

LOCKED = Select(AUTHOR, AUTHOR.key, lock="wait")
HURRIED = Select(AUTHOR, AUTHOR.key, lock="nowait")


def test_who_is_in_a_hurry_is_refused_at_once_and_waits_again_afterwards(
    pool: SQLitePool, connection: SQLiteConnection
) -> None:
    other = pool.acquire()
    other.statements.execute("pragma busy_timeout = 5000", ())
    connection.perform(Begin(True))
    started = time.monotonic()
    with pytest.raises(BusyRetry):
        other.perform(Begin(True, nowait=True))
    assert time.monotonic() - started < 2
    assert other.statements.execute("pragma busy_timeout", ())[0] == [(5000,)]
    connection.perform(Rollback())
    other.perform(Begin(True, nowait=True))
    pool.release(other)


@pytest.mark.parametrize("select", [LOCKED, HURRIED])
def test_a_locking_read_takes_the_right_to_write_in_a_reading_transaction(
    pool: SQLitePool, connection: SQLiteConnection, select: Select
) -> None:
    other = pool.acquire()
    connection.perform(Begin(False))
    connection.perform(Fetch(Select(AUTHOR, AUTHOR.key)))
    connection.perform(Fetch(select))
    with pytest.raises(BusyRetry):
        other.perform(Begin(True))
    connection.perform(Commit())
    other.perform(Begin(True))
    other.perform(Rollback())
    pool.release(other)


def test_a_locking_read_at_a_point_that_is_past_is_refused(
    pool: SQLitePool, connection: SQLiteConnection
) -> None:
    other = pool.acquire()
    connection.perform(Begin(False))
    connection.perform(Fetch(Select(AUTHOR, AUTHOR.key)))
    other.statements.execute("create table meanwhile (x)", ())
    with pytest.raises(SnapshotStale):
        connection.perform(Fetch(LOCKED))
    connection.perform(Rollback())
    pool.release(other)


def test_savepoints_of_one_name_end_from_the_inside(connection: SQLiteConnection) -> None:
    def tables() -> object:
        text = "select count(*) from sqlite_master where name like 't_'"
        ((found,),) = connection.statements.execute(text, ())[0]
        return found

    connection.perform(Begin(True))
    for name in ("t1", "t2"):
        connection.perform(Savepoint("here"))
        connection.statements.execute(f"create table {name} (x)", ())
    connection.perform(RollbackTo("here"))
    assert tables() == 1
    connection.perform(Release("here"))
    connection.perform(Commit())
    assert tables() == 1
