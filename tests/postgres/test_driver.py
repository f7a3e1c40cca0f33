"""The PostgreSQL driver: addresses, round trips, prepared statements, pools, errors."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest

from graven import AsyncDatabase, Database, Model, NaiveDatetime, key
from graven.drivers.postgres_url import parse_postgres_url
from graven.drivers.urls import url_without_password
from graven.errors import (
    ForeignKeyError,
    StoreError,
    TransactionInactiveError,
    UnavailableError,
    UniqueError,
    UsageError,
)
from tests.postgres.wiretap import Wiretap


class Note(Model):
    text: str


class Reply(Model):
    note: Note
    text: str


class Counter(Model):
    name: str = key()
    value: int = 0


class Everything(Model):
    id: int = key()
    text: str = ""
    flag: bool | None = None
    ratio: float | None = None
    instant: datetime | None = None
    wall: NaiveDatetime | None = None
    day: date | None = None
    hour: time | None = None
    span: timedelta | None = None
    price: Decimal | None = None
    token: UUID | None = None
    data: bytes | None = None
    words: list[str] | None = None


AWKWARD = [
    '"',
    "\\",
    "{}",
    ",",
    "",
    " ",
    "NULL",
    "null",
    "\n\t\r",
    "'",
    "é\U0001f600",
    '\\"',
    "%s%%",
]


def everything(number: int) -> Everything:
    return Everything(
        id=number,
        text=AWKWARD[number % len(AWKWARD)],
        flag=(None, True, False)[number % 3],
        ratio=(None, float("inf"), -0.0, 1e-300, 0.1)[number % 5],
        instant=None if number % 4 == 0 else datetime(2024, 5, 1, 12, 30, 15, number, UTC),
        wall=None if number % 5 == 0 else datetime(1, 1, 1, 0, 0, 0, number),
        day=(None, date.min, date.max)[number % 3],
        hour=(None, time(23, 59, 59, 999_999))[number % 2],
        span=(None, timedelta(-3, 5, 7), timedelta(0, 0, -1), timedelta(40))[number % 4],
        price=(None, Decimal("0.000"), Decimal("-1E+30"), Decimal("12.340"))[number % 4],
        token=None if number % 2 else UUID(int=number * 7),
        data=(None, b"", b"\x00\\\xff")[number % 3],
        words=(None, [], AWKWARD)[number % 3],
    )


# ── addresses ───────────────────────────────────────────────────────────────────────────────────


def test_libpq_reads_the_url_and_graven_adds_what_is_not_said() -> None:
    url = (
        "postgresql://ada:secret@one,two:5433/bank?target_session_attrs=read-write"
        "&options=-csearch_path%3Dtill&application_name=till&connect_timeout=7&sslmode=require"
    )
    address = parse_postgres_url(url, 30.0, 1.5)
    given = psycopg.conninfo.conninfo_to_dict(address.conninfo)
    assert given == {
        "user": "ada",
        "password": "secret",
        "host": "one,two",
        "port": ",5433",
        "dbname": "bank",
        "target_session_attrs": "read-write",
        "options": "-c timezone=UTC -c lock_timeout=1500 -csearch_path=till",
        "application_name": "till",
        "connect_timeout": "7",
        "sslmode": "require",
        "fallback_application_name": "graven",
        "client_encoding": "UTF8",
    }
    assert address.prepares
    assert "secret" not in address.place


def test_a_pooler_is_sent_no_setting_and_no_prepared_statement() -> None:
    address = parse_postgres_url("postgres://h/d?pgbouncer=true&sslmode=disable", 30.0, 2.0)
    given = psycopg.conninfo.conninfo_to_dict(address.conninfo)
    assert "options" not in given
    assert given["sslmode"] == "disable"
    assert not address.prepares
    assert address.setting == "set local lock_timeout = 2000"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ada:secret@h/d?no_such_option=1",
        "postgresql://ada:secret@h/d?pgbouncer=perhaps",
        "postgresql://ada:secret@[h/d",
    ],
)
def test_an_address_that_is_none_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        Database(url)
    assert "secret" not in str(caught.value)
    assert url_without_password("postgres://h/d") == "postgres://h/d"


def test_a_server_that_is_not_there_is_unavailable_at_once(colour: Any, tmp_path: Any) -> None:
    db = colour.open(f"postgresql:///bank?host={tmp_path}")
    for _ in range(2):
        with pytest.raises(UnavailableError, match="bank at"):
            db.execute("select 1")
        assert db.pool.out == 0


def test_a_database_that_is_not_there_is_no_reason_to_try_again(colour: Any, url: str) -> None:
    db = colour.open(url.replace("/postgres?", "/nowhere?"))
    with pytest.raises(StoreError, match="not there"):
        db.execute("select 1")


# ── round trips ─────────────────────────────────────────────────────────────────────────────────


def test_a_get_and_a_commit_of_one_row_or_many_are_one_round_trip_each(
    open_db: Callable[..., Any], url: str, wiretap: Wiretap
) -> None:
    db = open_db(Reply, at=wiretap.url(url))
    note = Note(text="a")
    with db.session() as session:
        session.add(note)
    with db.session() as session:
        wiretap.watch()
        found = session.get(Note, note.id)
        assert wiretap.round_trips == 1
        found.text = "b"
        session.commit()
        assert wiretap.round_trips == 2
        session.add(Note(text="c"), Reply(note=found, text="d"), Reply(note=found, text="e"))
        found.text = "f"
        session.commit()
        assert wiretap.round_trips == 3
        session.delete(*session.query(Reply).all())
        session.commit()
        assert wiretap.round_trips == 5
    assert db.execute("select text from note order by text") == [("c",), ("f",)]


def test_a_snapshot_begins_with_its_first_read_and_ends_without_waiting(
    open_db: Callable[..., Any], url: str, wiretap: Wiretap
) -> None:
    db = open_db(Note, at=wiretap.url(url))
    db.execute("select 1")
    wiretap.watch()
    with db.session(isolation="snapshot") as session:
        assert session.query(Note).all() == []
    with db.session() as session:
        assert session.query(Note).all() == []
    assert wiretap.round_trips <= 3  # the rollback was answered together with the second read
    assert db.pool.out == 0


def test_many_rows_of_every_kind_come_back_as_they_were_sent(
    open_db: Callable[..., Any],
) -> None:
    db = open_db(Everything)
    for start, size in ((0, 1), (1, 40), (41, 620)):  # one row, arrays, copy
        with db.session() as session:
            session.add(*[everything(number) for number in range(start, start + size)])
    fields = list(Everything.__annotations__)
    with db.session() as session:
        found = session.query(Everything).order_by(Everything.id).all()
        assert len(found) == 661
        for number, one in enumerate(found):
            expected = everything(number)
            assert [getattr(one, name) for name in fields] == [
                getattr(expected, name) for name in fields
            ]
        for one in found:
            one.text, one.span = AWKWARD[one.id * 7 % len(AWKWARD)], timedelta(-1, 1)
    with db.session() as session:
        for one in session.query(Everything).all():
            assert (one.text, one.span) == (AWKWARD[one.id * 7 % len(AWKWARD)], timedelta(-1, 1))


# ── transactions ────────────────────────────────────────────────────────────────────────────────


def test_a_failed_statement_dooms_its_transaction_until_the_block_is_left(
    open_db: Callable[..., Any],
) -> None:
    db = open_db(Note)
    with pytest.raises(TransactionInactiveError), db.transaction():
        db.execute("insert into note values (gen_random_uuid(), 'lost', 1)")
        with pytest.raises(StoreError):
            db.execute("select no_such_column from note")
        with pytest.raises(TransactionInactiveError, match="savepoint"):
            db.execute("select 1")
    assert db.execute("select text from note") == []
    assert db.pool.out == 0


def test_a_savepoint_of_ones_own_saves_a_transaction(open_db: Callable[..., Any]) -> None:
    db = open_db(Note)
    with db.transaction():
        db.execute("insert into note values (gen_random_uuid(), 'kept', 1)")
        db.execute("savepoint here")
        with pytest.raises(StoreError):
            db.execute("select no_such_column from note")
        db.execute("rollback to savepoint here")
        db.execute("insert into note values (gen_random_uuid(), 'too', 1)")
    assert db.execute("select text from note order by text") == [("kept",), ("too",)]


@pytest.mark.parametrize("others", [0, 2])
def test_who_is_to_blame_is_told_though_the_server_has_rolled_back(
    open_db: Callable[..., Any], others: int
) -> None:
    db = open_db(Counter, Reply)
    note = Note(text="a")
    with db.session() as session:
        session.add(Counter(name="taken", value=1), note, Reply(note=note, text="b"))
    with db.session() as session:
        session.add(Counter(name="taken"), *[Counter(name=f"free {n}") for n in range(others)])
        with pytest.raises(UniqueError, match="Counter 'taken'") as caught:
            session.commit()
        assert (caught.value.model, caught.value.key) == ("Counter", "taken")
        session.rollback()
    reply = db.session().query(Reply).one()
    with db.session() as session:
        session.delete(session.get(Note, note.id))
        with pytest.raises(ForeignKeyError) as refused:
            session.commit()
        assert refused.value.referrer == f"reply {reply.id!r}"
        assert refused.value.key == note.id
        session.rollback()
    assert db.pool.out == 0


def test_parameters_of_statements_go_by_place_or_by_name(open_db: Callable[..., Any]) -> None:
    db = open_db()
    assert db.execute("select %s + 1, '100%%'", [1]) == [(2, "100%")]
    assert db.execute("select %(a)s || %(b)s || %(a)s", {"a": "x", "b": "y"}) == [("xyx",)]
    assert db.execute("select 7 % 4") == [(3,)]
    for statement, parameters in (
        ("select %s, %(a)s", [1]),
        ("select %s", [1, 2]),
        ("select %(a)s", {"b": 1}),
        ("select %d", [1]),
    ):
        with pytest.raises(StoreError):
            db.execute(statement, parameters)
    with pytest.raises(UsageError, match="block"):
        db.execute("commit")
    assert db.pool.out == 0


# ── connections ─────────────────────────────────────────────────────────────────────────────────


def prepared(db: Any) -> int:
    found: int = db.execute("select count(*) from pg_prepared_statements")[0][0]
    return found


def test_statements_are_prepared_unless_a_pooler_is_in_between(
    open_db: Callable[..., Any], url: str
) -> None:
    for extra, is_prepared in (("", True), ("&pgbouncer=true", False)):
        db = open_db(Note, at=url + extra, pool_size=1)
        with db.session() as session:
            session.add(*[Note(text=str(number)) for number in range(3)])
        with db.session() as session:
            assert len(session.query(Note).all()) >= 3
        assert (prepared(db) > 0) == is_prepared


def test_a_pooler_that_was_not_declared_is_noticed_and_nothing_is_lost(
    open_db: Callable[..., Any],
) -> None:
    db = open_db(Note, pool_size=1)
    with db.session() as session:
        session.add(Note(text="first"))
    db.execute("deallocate all")  # as if another server had been put below the connection
    with pytest.raises(UnavailableError, match="pgbouncer=true"), db.session() as session:
        session.add(Note(text="second"))
    for text in ("third", "fourth"):
        with db.session() as session:
            session.add(Note(text=text))
    assert db.execute("select text from note order by text") == [
        ("first",),
        ("fourth",),
        ("third",),
    ]


def test_a_table_altered_meanwhile_costs_one_connection_not_the_program(
    open_db: Callable[..., Any], url: str
) -> None:
    db = open_db(Counter, pool_size=1)
    with db.session() as session:
        session.add(Counter(name="a", value=1))
        session.commit()
        assert session.get(Counter, "a").value == 1
    assert db.session().query(Counter).one().value == 1
    with psycopg.connect(url) as other:
        other.execute("alter table counter alter value type integer")
    with pytest.raises(StoreError, match="altered"):
        db.session().query(Counter).one()
    assert db.session().query(Counter).one().value == 1


def test_what_a_user_leaves_open_is_rolled_back_as_the_connection_goes_back(
    open_db: Callable[..., Any], url: str
) -> None:
    db = open_db(Note, pool_size=1)
    session = db.session()
    session.add(Note(text="flushed"))
    session.flush()
    session.rollback()
    assert db.execute("select text from note") == []
    with psycopg.connect(url) as other:
        other.execute("set local lock_timeout = 2000")
        other.execute("drop table note")
    assert db.pool.out == 0


def test_statements_are_reported_with_rows_and_with_parameters_only_if_asked_for(
    open_db: Callable[..., Any],
) -> None:
    db = open_db(Note)
    seen: list[tuple[Any, ...]] = []
    db.on_statement(lambda *told: seen.append(told), parameters=True)
    db.execute("select * from generate_series(1, %s)", [3])
    db.on_statement(lambda *told: seen.append(told))
    db.execute("select 1 where %s", [True])
    db.on_statement(None)
    db.execute("select 1")
    assert [(text, rows, given) for text, rows, _, given in seen] == [
        ("select * from generate_series(1, %s)", 3, [3]),
        ("select 1 where %s", 1, None),
    ]
    assert all(0 < seconds < 10 for _, _, seconds, _ in seen)


def test_one_pool_serves_one_event_loop_after_the_other(url: str) -> None:
    db = AsyncDatabase(url, pool_size=1)
    pids = [asyncio.run(db.execute("select pg_backend_pid()")) for _ in range(3)]
    assert pids[0] == pids[1] == pids[2]
    asyncio.run(db.close())


def test_a_forked_child_opens_connections_of_its_own(url: str) -> None:
    with Database(url) as db:
        mine = db.execute("select pg_backend_pid()")
        child = os.fork()
        if child == 0:
            is_own = db.execute("select pg_backend_pid()") != mine
            os._exit(0 if is_own else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert db.execute("select pg_backend_pid()") == mine
