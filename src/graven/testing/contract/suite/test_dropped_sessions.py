"""A session that nobody has any more gives its connection back."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from graven import Model, key
from graven.testing.contract import TRANSACTIONS

pytestmark = pytest.mark.needs(TRANSACTIONS)


class Thing(Model):
    id: int = key()


def flushed(db: Any) -> None:
    session = db.session()
    session.add(Thing(id=1))
    session.flush()


def read_from_one_point(db: Any) -> None:
    session = db.session(isolation="serializable")
    session.query(Thing).all()


def kept_by_a_circle(db: Any) -> None:
    things = [Thing(id=1)]
    session = db.session()
    session.add(*things)
    session.flush()
    things.append(session)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def quick_collection() -> Iterator[None]:
    """Let the collector look only at what the test makes."""
    gc.freeze()
    yield
    gc.unfreeze()


def drop_after(work: Callable[[Any], None], db: Any, colour: Any) -> None:
    work(db)
    gc.collect()
    colour.call(gc.collect)


@pytest.mark.parametrize("work", [flushed, read_from_one_point, kept_by_a_circle])
def test_connection_of_a_dropped_session_comes_back_and_nothing_is_written(
    open_db: Callable[..., Any], colour: Any, work: Callable[[Any], None]
) -> None:
    db = open_db(Thing, pool_size=1, pool_timeout_s=5.0)
    for _ in range(2):
        with pytest.warns(ResourceWarning, match="dropped with its transaction open"):
            drop_after(work, db, colour)
    with db.session() as session:
        assert session.query(Thing).all() == []


def test_session_that_was_ended_is_dropped_without_a_word(
    open_db: Callable[..., Any], colour: Any, recwarn: pytest.WarningsRecorder
) -> None:
    db = open_db(Thing, pool_size=1)
    for end in ("commit", "rollback", "close"):
        session = db.session()
        session.add(Thing(id=len(end)))
        session.flush()
        getattr(session, end)()
        del session
    gc.collect()
    colour.call(gc.collect)
    assert [str(one.message) for one in recwarn] == []
    with db.session() as session:
        assert [thing.id for thing in session.query(Thing).all()] == [6]
