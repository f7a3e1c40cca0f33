"""The error of SQLite itself stays with ours, as its cause."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

import pytest

from graven import BusyRetry, Database, Model, UniqueError, key


class Mark(Model):
    id: int = key()


def test_a_key_that_is_taken_has_the_error_of_the_store_as_its_cause(
    open_db: Callable[..., Any],
) -> None:
    db = open_db(Mark)
    with db.session() as session:
        session.add(Mark(id=1))
    with db.session() as session:
        session.add(Mark(id=1))
        with pytest.raises(UniqueError) as caught:
            session.commit()
        session.rollback()
    assert isinstance(caught.value.__cause__, sqlite3.IntegrityError)


def test_a_lock_held_too_long_has_the_error_of_the_store_as_its_cause(
    open_db: Callable[..., Any], url: str
) -> None:
    db = open_db(Mark, busy_timeout_s=0.02)
    with Database(url) as holder, holder.transaction(), db.session() as session:
        session.add(Mark(id=1))
        with pytest.raises(BusyRetry) as caught:
            session.commit()
        session.rollback()
    assert isinstance(caught.value.__cause__, sqlite3.OperationalError)
