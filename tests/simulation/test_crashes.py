"""The process dies before request *k*, or request *k* is answered with an error: for every *k*."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from graven import BusyRetry, ConcurrentUpdate, Database, Model, field, key, many_to_many, owned
from graven.errors import StoreError, UsageError
from graven.testing import Crash, SimulatedSQLite

Work = Callable[[Any], None]


class Author(Model):
    id: int = key(store_made=True)
    name: str
    mentor: Author | None = None
    works: list[Work_] = owned("author")


class Genre(Model):
    name: str = key()
    rank: int = 0


class Work_(Model, table="work"):  # noqa: N801 - Work is what a scenario does
    id: int = key(store_made=True)
    title: str
    author: Author
    genres: list[Genre] = many_to_many()


class Loan(Model):
    work: Work_ = field(on_delete="cascade")
    reader: str


MODELS = (Author, Genre, Work_, Loan)
TABLES = ("author", "genre", "work", "loan")


def prepared(folder: Path) -> Any:
    """Return a database with a little in it."""
    db = Database(f"sqlite:///{folder}/store.db")
    db.create(*MODELS)
    with db.session() as session:
        old = Author(name="Old")
        genres = [Genre(name=name) for name in ("epic", "lyric", "prose")]
        works = [Work_(title=f"w{n}", author=old, genres=genres[:n]) for n in range(3)]
        session.add(*genres, *works, *(Loan(work=one, reader="Ada") for one in works))
    return db


def contents(path: Path | str) -> list[Any]:
    """Return everything in the file, as a process finds it that comes later."""
    raw = sqlite3.connect(path)
    try:
        assert raw.execute("pragma integrity_check").fetchall() == [("ok",)]
        assert raw.execute("pragma foreign_key_check").fetchall() == []
        links = [
            name
            for (name,) in raw.execute("select name from sqlite_master where type = 'table'")
            if name not in TABLES and not name.startswith("sqlite_")
        ]
        assert len(links) == 1
        return [
            (name, sorted(map(masked, raw.execute(f'select * from "{name}"').fetchall())))
            for name in (*TABLES, *links)
        ]
    finally:
        raw.close()


def masked(row: tuple[Any, ...]) -> tuple[str, ...]:
    """Return a row without what is made by chance: keys by graven, first versions."""
    chance = (bytes,)
    return tuple(
        "…" if isinstance(one, chance) or (isinstance(one, int) and one > 1000) else repr(one)
        for one in row
        if not (isinstance(one, str) and len(one) == 36)
    )


def many_tables(session: Any) -> None:
    """New objects of all tables, keys made by the store, circles, links, edits and deletes."""
    first, second = Author(name="First"), Author(name="Second")
    first.mentor, second.mentor = second, first
    genre = session.get(Genre, "epic")
    session.add(Loan(work=Work_(title="new", author=first, genres=[genre]), reader="Bob"))
    session.add(second, Genre(name="haiku"))
    genre.rank = 5
    session.get(Genre, "lyric").rank = 6
    session.delete(session.query(Loan).where(Loan.reader == "Ada").first())


def cascades(session: Any) -> None:
    """Delete an author with works, their loans and their links."""
    author = session.query(Author).include(Author.works).one()
    session.delete(*author.works)
    author.name = "Alone"


def links(session: Any) -> None:
    """Change nothing but a many-to-many list."""
    work = session.query(Work_).where(Work_.title == "w2").include(Work_.genres).one()
    work.genres.pop(0)
    work.genres.append(session.get(Genre, "prose"))


def flushes(session: Any) -> None:
    """Write in three steps of one transaction, the middle one taking something back."""
    author = Author(name="Flushed")
    session.add(author)
    session.flush()
    session.add(Work_(title="second", author=author))
    session.get(Genre, "epic").rank = 7
    session.flush()
    session.get(Genre, "epic").rank = 0
    session.get(Genre, "lyric").rank = 8


def single(session: Any) -> None:
    """One row, which is written without a transaction of its own."""
    session.get(Genre, "epic").rank = 9


SCENARIOS = [many_tables, cascades, links, flushes, single]
ISOLATIONS = ["optimistic", "snapshot", "serializable"]


def run(db: Any, work: Work, isolation: str) -> None:
    with db.session(isolation=isolation) as session:
        work(session)


@pytest.mark.parametrize("isolation", ISOLATIONS)
@pytest.mark.parametrize("work", SCENARIOS)
def test_a_crash_before_any_request_leaves_all_or_nothing(
    tmp_path: Path, work: Work, isolation: str
) -> None:
    db = prepared(tmp_path)
    before = contents(tmp_path / "store.db")
    (tmp_path / "whole").mkdir()
    whole = prepared(tmp_path / "whole")
    with SimulatedSQLite(whole) as recorded:
        run(whole, work, isolation)
    after = contents(tmp_path / "whole" / "store.db")
    whole.close()
    assert before != after
    outcomes = []
    for k in range(len(recorded.requests)):
        remains = tmp_path / f"crashed-{k}.db"
        with SimulatedSQLite(db, crash_before=k, remains=remains), pytest.raises(Crash):
            run(db, work, isolation)
        outcomes.append(contents(remains))
        assert contents(tmp_path / "store.db") == before, f"request {k} was taken back in full"
    db.close()

    assert all(found == before for found in outcomes)
    assert len(outcomes) > 1


@pytest.mark.parametrize("work", SCENARIOS)
def test_a_crash_after_the_last_request_leaves_everything(tmp_path: Path, work: Work) -> None:
    db = prepared(tmp_path)
    before = contents(tmp_path / "store.db")
    with db.session() as session:
        work(session)
        session.commit()
        done = contents(tmp_path / "store.db")
        remains = tmp_path / "crashed.db"
        with SimulatedSQLite(db, crash_before=0, remains=remains), pytest.raises(Crash):
            session.query(Genre).all()
    db.close()
    assert contents(tmp_path / "crashed.db") == done != before


@pytest.mark.parametrize("isolation", ISOLATIONS)
@pytest.mark.parametrize("work", SCENARIOS)
def test_an_error_at_any_request_leaves_memory_as_it_was_and_a_retry_works(
    tmp_path: Path, work: Work, isolation: str
) -> None:
    (tmp_path / "whole").mkdir()
    whole = prepared(tmp_path / "whole")
    with SimulatedSQLite(whole) as recorded, whole.session(isolation=isolation) as session:
        work(session)
        from_commit_on = len(recorded.requests)
        session.commit()
    after = contents(tmp_path / "whole" / "store.db")
    whole.close()

    for k in range(from_commit_on, len(recorded.requests)):
        folder = tmp_path / str(k)
        folder.mkdir()
        db = prepared(folder)
        before = contents(folder / "store.db")
        simulated = SimulatedSQLite(db, error_at=k, error=lambda: StoreError("the disk is full"))
        with simulated, db.session(isolation=isolation) as session:
            work(session)
            pending = picture(session)
            with pytest.raises(StoreError, match="the disk is full"):
                session.commit()
            assert contents(folder / "store.db") == before
            assert session.last_commit == "rolled back"
            assert picture(session) == pending
            session.commit()
            assert contents(folder / "store.db") == after, f"request {k}"
            assert not [*session.new, *session.dirty, *session.deleted]
        db.close()


def picture(session: Any) -> list[Any]:
    """Return what is pending, and its values but for keys, which a rollback takes back."""
    return [
        [(id(one), re.sub(r"id=\w+", "", repr(one))) for one in found]
        for found in (session.new, session.dirty, session.deleted)
    ]


def test_an_error_while_flushing_leaves_everything_pending(tmp_path: Path) -> None:
    db = prepared(tmp_path)
    before = contents(tmp_path / "store.db")
    for k in range(1, 4):
        simulated = SimulatedSQLite(db, error_at=k, error=lambda: StoreError("no"))
        with simulated, db.session() as session:
            author = Author(name="Flushed")
            genre = session.get(Genre, "epic")
            genre.rank = 3
            session.add(author)
            with pytest.raises(StoreError):
                session.flush()
            assert author.id is None
            assert [*session.new, *session.dirty] == [author, genre]
            assert contents(tmp_path / "store.db") == before
            session.rollback()
    db.close()


def test_a_store_that_is_busy_at_any_request_only_costs_another_attempt(tmp_path: Path) -> None:
    db = prepared(tmp_path)
    with SimulatedSQLite(db) as recorded:
        for attempt in db.attempts():
            with attempt as session:
                session.get(Genre, "epic").rank += 1
                session.get(Genre, "lyric").rank += 1
    for k in range(len(recorded.requests)):
        with SimulatedSQLite(db, error_at=k, error=lambda: BusyRetry("busy")):
            for attempt in db.attempts():
                with attempt as session:
                    session.get(Genre, "epic").rank += 1
                    session.get(Genre, "lyric").rank += 1
    count = len(recorded.requests) + 1
    with db.session() as session:
        assert session.get(Genre, "epic").rank == session.get(Genre, "lyric").rank == count
    db.close()


def test_a_conflict_is_told_though_the_rollback_after_it_fails(tmp_path: Path) -> None:
    db = prepared(tmp_path)
    with SimulatedSQLite(db) as recorded, db.session() as session:
        for name in ("epic", "lyric"):
            session.get(Genre, name).rank = 1
        with db.session() as other:
            other.get(Genre, "epic").rank = 2
        with pytest.raises(ConcurrentUpdate):
            session.commit()
        session.rollback()
    names = [type(one).__name__ for one in recorded.requests]
    assert names[-4:] == ["Begin", "Update", "FetchKeys", "Rollback"]
    db.close()


def test_only_a_blocking_database_in_a_file_can_be_simulated() -> None:
    with Database("sqlite://") as db, pytest.raises(UsageError, match="only a blocking Database"):
        SimulatedSQLite(db)


def test_what_to_simulate_has_to_be_said_in_full(tmp_path: Path) -> None:
    with Database(f"sqlite:///{tmp_path}/store.db") as db:
        with pytest.raises(UsageError, match="go together"):
            SimulatedSQLite(db, crash_before=1)
        with pytest.raises(UsageError, match="go together"):
            SimulatedSQLite(db, error_at=1)
