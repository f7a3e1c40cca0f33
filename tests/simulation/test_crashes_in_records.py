"""The process dies before any request of a recorded commit, or of a transaction with savepoints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from graven import Database, Model
from graven.errors import StoreError
from graven.ops.recording import COMMITS
from graven.testing import Crash, SimulatedSQLite
from graven.testing.contract import count, rows, shape


class Note(Model):
    text: str


def session_with_record(db: Database) -> None:
    with db.session(commit_record=True) as session:
        session.add(Note(text="kept"))


def transaction_with_parts(db: Database) -> None:
    with db.transaction(commit_record=True), db.session() as session:
        session.add(Note(text="kept"))
        session.commit()
        try:
            with db.transaction(savepoint=True):
                session.add(Note(text="dropped"))
                session.commit()
                raise KeyError
        except KeyError:
            session.rollback()


def prepared(folder: Path) -> Database:
    folder.mkdir()
    db = Database(f"sqlite:///{folder}/store.db?synchronous=off")
    db.create(Note)
    return db


@pytest.mark.parametrize("work", [session_with_record, transaction_with_parts])
def test_record_and_data_are_there_together_or_not_at_all(
    tmp_path: Path, work: Callable[[Any], None]
) -> None:
    outcomes = []
    for moment in range(60):
        folder = tmp_path / str(moment)
        db = prepared(folder)
        remains = folder / "remains.db"
        with SimulatedSQLite(db, crash_before=moment, remains=remains) as simulated:
            try:
                work(db)
            except Crash:
                pass
        crashed = simulated.is_crashed
        db.close()
        with Database(f"sqlite:///{remains if crashed else folder / 'store.db'}") as after:
            notes = [text for (text,) in rows(after, Note, "text")]
            records = count(after, COMMITS) if shape(after, COMMITS.name) else 0
            assert (notes, records) in (([], 0), (["kept"], 1))
            outcomes.append(bool(notes))
        if not crashed:
            break
    assert outcomes[-1]
    assert outcomes == sorted(outcomes)
    assert len(outcomes) > 4


def test_an_error_of_any_request_leaves_memory_and_store_in_step(tmp_path: Path) -> None:
    for moment in range(60):
        db = prepared(tmp_path / str(moment))
        session = db.session()
        note = Note(text="kept")
        session.add(note)
        with SimulatedSQLite(db, error_at=moment, error=lambda: StoreError("full")) as simulated:
            try:
                with db.transaction(), db.transaction(savepoint=True):
                    session.commit()
                is_done = True
            except StoreError:
                is_done = False
        assert rows(db, Note, "text") == ([("kept",)] if is_done else [])
        assert list(session.new) == ([] if is_done else [note])
        session.commit()
        assert rows(db, Note, "text") == [("kept",)]
        session.close()
        assert db.pool.out == 0
        db.close()
        if len(simulated.requests) < moment:
            return
    pytest.fail("there are more requests than expected")
