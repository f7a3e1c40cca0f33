"""What can be wrong with a file: each has its own clear error, and nothing is half-written."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from graven import BusyRetry, Database, Model, key
from graven.errors import StoreError

Opened = Callable[..., Any]


class Page(Model):
    id: int = key()
    text: str = ""


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that every user may enter."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
        folder.chmod(0o755)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Give up the rights of root, who may write anything."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


def filled(path: Path, pages: int = 1) -> None:
    with Database(f"sqlite:///{path}") as db:
        db.create(Page)
        with db.session() as session:
            session.add(*(Page(id=n, text="x" * 500) for n in range(pages)))


def refused(db: Any, found: str) -> None:
    """See that a read and a commit are refused, with the cause, and that the session goes on."""
    with db.session() as session:
        with pytest.raises(StoreError, match=found) as caught:
            session.get(Page, 0)
        assert len(str(caught.value).split("; ")) >= 3
        new = Page(id=100)
        session.add(new)
        with pytest.raises(StoreError, match=found):
            session.commit()
        assert session.last_commit == "rolled back"
        assert list(session.new) == [new]
        session.rollback()


def test_a_read_only_file_is_refused(colour: Any, place: Path) -> None:
    filled(place / "store.db")
    (place / "store.db").chmod(0o444)
    before = (place / "store.db").read_bytes()
    with as_nobody():
        refused(colour.open(f"sqlite:///{place}/store.db"), "cannot be written")
    assert (place / "store.db").read_bytes() == before


def test_a_file_in_a_read_only_folder_is_refused(colour: Any, place: Path) -> None:
    filled(place / "store.db")
    (place / "store.db").chmod(0o666)
    place.chmod(0o555)
    with as_nobody():
        refused(colour.open(f"sqlite:///{place}/store.db"), "cannot be (written|opened)")


def test_a_truncated_file_is_refused(colour: Any, place: Path) -> None:
    filled(place / "store.db", pages=300)
    os.truncate(place / "store.db", 2 * 4096)
    refused(colour.open(f"sqlite:///{place}/store.db"), "damaged")


def test_a_file_of_another_kind_is_refused_and_left_alone(colour: Any, place: Path) -> None:
    (place / "store.db").write_bytes(b"%PDF-1.7" * 1000)
    refused(colour.open(f"sqlite:///{place}/store.db"), "not an SQLite database")
    assert (place / "store.db").read_bytes() == b"%PDF-1.7" * 1000


@pytest.mark.parametrize("path", [".", "missing/store.db"])
def test_a_folder_or_a_missing_folder_is_refused(colour: Any, place: Path, path: str) -> None:
    refused(colour.open(f"sqlite:///{place}/{path}"), "cannot be opened")


def test_a_full_disk_undoes_the_commit_and_a_smaller_one_fits(open_db: Opened) -> None:
    db = open_db(Page, pool_size=1)
    db.execute("pragma max_page_count = 20")
    with db.session() as session:
        session.add(Page(id=1, text="small"))
        session.commit()
        large = [Page(id=n, text="x" * 3000) for n in range(2, 100)]
        session.add(*large)
        with pytest.raises(StoreError, match="the disk is full"):
            session.commit()
        assert len(session.new) == 98
        assert db.execute("select id from page") == [(1,)]
        with pytest.raises(StoreError, match="the disk is full"):
            session.flush()
        assert db.execute("select id from page") == [(1,)]
        session.expunge(*large[1:])
    assert db.execute("select id from page order by id") == [(1,), (2,)]


def test_a_disk_that_fills_up_in_a_transaction_rolls_it_back(open_db: Opened) -> None:
    db = open_db(Page, pool_size=1)
    db.execute("pragma max_page_count = 20")
    with pytest.raises(StoreError, match="the disk is full"), db.transaction():
        db.execute("insert into page values (1, 'a', 1)")
        with db.session() as session:
            session.add(*(Page(id=n, text="x" * 3000) for n in range(2, 100)))
    assert db.execute("select id from page") == []


def test_a_file_that_is_locked_for_good_is_busy(colour: Any, place: Path) -> None:
    filled(place / "store.db")
    holder = sqlite3.connect(place / "store.db", isolation_level=None)
    holder.execute("pragma locking_mode = exclusive")
    holder.execute("begin immediate")
    db = colour.open(f"sqlite:///{place}/store.db", busy_timeout_s=0.05)
    with db.session() as session:
        page = Page(id=1)
        session.add(page)
        with pytest.raises(BusyRetry, match="stayed locked"):
            session.commit()
        assert list(session.new) == [page]
        holder.execute("rollback")
        holder.close()
    assert db.execute("select id from page order by id") == [(0,), (1,)]


@pytest.mark.parametrize("how", ["deleted", "replaced"])
@pytest.mark.parametrize("count", [1, 3])
def test_a_file_that_went_away_is_never_written_into_nothing(
    colour: Any, place: Path, how: str, count: int
) -> None:
    path = place / "store.db"
    filled(path)
    db = colour.open(f"sqlite:///{path}")
    with db.session() as session:
        page = session.get(Page, 0)
        shutil.copy(path, place / "backup.db")
        path.unlink()
        if how == "replaced":
            shutil.copy(place / "backup.db", path)
        page.text = "new"
        session.add(*(Page(id=n) for n in range(1, count)))
        with pytest.raises(StoreError, match="deleted, moved or replaced"):
            session.commit()
        assert list(session.dirty) == [page]
        if how == "deleted":
            for left in place.glob("store.db*"):
                left.unlink()
            shutil.copy(place / "backup.db", path)
        session.commit()
    with Database(f"sqlite:///{path}") as again:
        assert again.execute("select text from page where id = 0") == [("new",)]
        assert again.execute("select count(*) from page") == [(count,)]


def test_a_serializable_commit_notices_that_the_file_went_away(colour: Any, place: Path) -> None:
    path = place / "store.db"
    filled(path)
    db = colour.open(f"sqlite:///{path}")
    with db.session(isolation="serializable") as session:
        session.get(Page, 0).text = "new"
        path.unlink()
        with pytest.raises(StoreError, match="deleted, moved or replaced"):
            session.commit()
        session.rollback()


def test_a_table_that_is_not_there_is_refused_with_the_remedy(open_db: Opened) -> None:
    db = open_db()
    refused(db, "db.create")


FORK = """
import os, sys
from graven import Database, Model, key
from graven.errors import UsageError

class Page(Model):
    id: int = key()
    text: str = ""

db = Database(sys.argv[1])
db.create(Page)
with db.session() as session:
    session.add(Page(id=1))
open_session = db.session(isolation="serializable")
page = open_session.get(Page, 1)
page.text = "parent"
child = os.fork()
if child == 0:
    status = 1
    try:
        open_session.commit()
    except UsageError as error:
        if "forked" in str(error):
            with db.session() as session:
                session.add(Page(id=2, text="child"))
            status = 0
    finally:
        os._exit(status)
_, status = os.waitpid(child, 0)
open_session.commit()
print(os.waitstatus_to_exitcode(status), db.execute("select id, text from page order by id"))
"""


def test_a_fork_never_shares_a_session_but_the_database_works_on_both_sides(url: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORK, url], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == ""
    assert done.stdout.strip() == "0 [(1, 'parent'), (2, 'child')]"
