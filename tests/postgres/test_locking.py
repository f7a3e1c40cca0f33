"""What locks, savepoints and commit records cost, and what PostgreSQL makes of them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from graven import BusyRetry, Model, TransactionInactiveError, UnavailableError
from tests.postgres.wiretap import Wiretap

Open = Callable[..., Any]


class Job(Model):
    name: str
    state: str = "open"


@pytest.fixture
def jobs() -> list[Job]:
    return [Job(name=f"job {number}") for number in range(6)]


def test_a_lock_is_one_round_trip_and_so_is_a_commit_with_its_record(
    open_db: Open, url: str, wiretap: Wiretap, jobs: list[Job]
) -> None:
    db = open_db(Job, at=wiretap.url(url))
    with db.session(commit_record=True) as session:
        session.add(*jobs)
    with db.session(commit_record=True) as session:
        query = session.query(Job).where(Job.name == "job 3")
        query.all()
        wiretap.watch()
        query.one().state = "done"
        assert wiretap.round_trips == 1
        session.commit()
        assert wiretap.round_trips == 2
    with db.session() as session:
        wiretap.watch()
        session.query(Job).where(Job.name == "job 3").for_update().one()
        assert wiretap.round_trips == 1


def test_workers_share_a_queue_and_each_job_is_done_once(open_db: Open, jobs: list[Job]) -> None:
    db = open_db(Job)
    with db.session() as session:
        session.add(*jobs)
    done: list[str] = []
    started = threading.Barrier(3, timeout=10)

    def work() -> None:
        started.wait()
        while True:
            with db.session() as session:
                free = session.query(Job).where(Job.state == "open")
                job = free.order_by(Job.name).for_update(skip_locked=True).first()
                if job is None:
                    return
                job.state = "done"
                done.append(job.name)

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(20)
    assert sorted(done) == [job.name for job in jobs]
    assert db.pool.out == 0


def test_only_the_rows_asked_for_are_locked(open_db: Open, url: str, jobs: list[Job]) -> None:
    db = open_db(Job, busy_timeout_s=0.1)
    with db.session() as session:
        session.add(*jobs)
    with db.session() as session, psycopg.connect(url, autocommit=True) as other:
        session.query(Job).where(Job.name == "job 3").for_update().one()
        other.execute("set lock_timeout = '100ms'")
        other.execute("update job set state = 'mine' where name <> 'job 3'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            other.execute("update job set state = 'mine' where name = 'job 3'")


def test_a_refused_lock_leaves_what_the_session_has_written(
    open_db: Open, url: str, jobs: list[Job]
) -> None:
    db = open_db(Job, busy_timeout_s=0.1)
    with db.session() as session:
        session.add(*jobs)
    with psycopg.connect(url) as other, db.session() as session:
        other.execute("select 1 from job where name = 'job 1' for update")
        query = session.query(Job)
        query.where(Job.name == "job 0").for_update().one().state = "done"
        session.flush()
        for nowait in (False, True):
            with pytest.raises(BusyRetry):
                query.where(Job.name == "job 1").for_update(nowait=nowait).all()
        query.where(Job.name == "job 2").for_update().one().state = "done"
        session.commit()
    found = db.execute("select name from job where state = 'done' order by name")
    assert found == [("job 0",), ("job 2",)]


def test_a_lock_refused_in_a_savepoint_costs_the_transaction_nothing(
    open_db: Open, url: str, jobs: list[Job]
) -> None:
    db = open_db(Job)
    with db.session() as session:
        session.add(*jobs)
    with psycopg.connect(url) as other, db.transaction(), db.session() as session:
        other.execute("select 1 from job where name = 'job 1' for update")
        with pytest.raises(BusyRetry):
            session.query(Job).where(Job.name == "job 1").for_update(nowait=True).all()
        session.query(Job).where(Job.name == "job 2").for_update().one().state = "done"
        session.commit()
    assert db.execute("select name from job where state = 'done'") == [("job 2",)]


def test_a_connection_lost_in_a_savepoint_ends_the_whole_transaction(
    open_db: Open, url: str, jobs: list[Job]
) -> None:
    db = open_db(Job)
    session = db.session()
    with pytest.raises(TransactionInactiveError), db.transaction():
        session.add(jobs[0])
        session.commit()
        with pytest.raises(UnavailableError), db.transaction(savepoint=True):
            with psycopg.connect(url, autocommit=True) as other:
                other.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity "
                    "where application_name = 'graven'"
                )
            db.execute("select 1")
    assert list(session.new) == [jobs[0]]
    assert db.execute("select * from job") == []
    session.commit()
    session.close()
    assert db.execute("select name from job") == [("job 0",)]
    assert db.pool.out == 0
