"""Several threads on one session of the blocking colour."""

from __future__ import annotations

from collections.abc import Callable
from threading import Barrier, Event, Thread
from typing import Any

import pytest

from graven import Database, Model, ScopeError, SessionError, key


class Tally(Model):
    id: int = key()
    size: int = 0
    total: int = 0


@pytest.fixture
def db(url: str) -> Any:
    with Database(url) as found:
        found.create(Tally)
        with found.session() as session:
            session.add(Tally(id=1), Tally(id=2))
        yield found


def run(*works: Callable[[], object]) -> None:
    """Run each work in a thread of its own; what one raises is raised."""
    errors: list[BaseException] = []

    def guarded(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - it is raised below
            errors.append(error)

    threads = [Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    for error in errors:
        raise error


def stored(db: Database) -> dict[int, tuple[int, int]]:
    with db.session() as session:
        return {one.id: (one.size, one.total) for one in session.query(Tally).all()}


def test_calls_of_several_threads_queue(db: Database) -> None:
    with db.session() as session:

        def work(number: int) -> Callable[[], None]:
            def add() -> None:
                tally = Tally(id=number)
                session.add(tally)
                session.commit(tally)
                assert session.query(Tally).where(Tally.id == number).one() is tally

            return add

        run(*(work(number) for number in range(10, 22)))
    assert set(stored(db)) == {1, 2, *range(10, 22)}


def test_scopes_belong_to_the_thread_that_began_them(db: Database) -> None:
    session = db.session()
    one, two = session.get_one(Tally, 1), session.get_one(Tally, 2)
    scope = session.begin()
    one.size = 1

    def other() -> None:
        two.size = 2
        assert list(session.dirty) == [two]
        with pytest.raises(ScopeError, match="another task"):
            scope.confirm()
        with session.begin():
            two.total = 3

    run(other)
    assert list(session.dirty) == [one]
    assert stored(db) == {1: (0, 0), 2: (0, 3)}
    scope.cancel()
    session.commit()
    session.close()
    assert stored(db) == {1: (0, 0), 2: (2, 3)}


def test_threads_with_scopes_of_their_own_do_not_disturb_each_other(db: Database) -> None:
    with db.session() as session:
        tally = session.get_one(Tally, 1)
        both = Barrier(2)

        def first() -> None:
            scope = session.begin()
            tally.size = 5
            both.wait()
            scope.commit()

        def second() -> None:
            scope = session.begin()
            tally.total = 6
            both.wait()
            scope.cancel()

        run(first, second)
        assert (tally.size, tally.total) == (5, 0)
    assert stored(db)[1] == (5, 0)


def test_leaving_with_another_threads_call_under_way_is_refused(db: Database) -> None:
    is_running, may_end = Event(), Event()

    def hold() -> None:
        session.query(Tally).all()

    def wait(*_: object) -> None:
        is_running.set()
        may_end.wait(timeout=30)

    thread = Thread(target=hold)
    with pytest.raises(SessionError, match="still under way"), db.session() as session:
        session.add(Tally(id=3))
        db.on_statement(wait)
        thread.start()
        is_running.wait(timeout=30)
        Thread(target=lambda: (thread.join(timeout=0.2), may_end.set())).start()
    thread.join(timeout=30)
    db.on_statement(None)
    assert set(stored(db)) == {1, 2}
