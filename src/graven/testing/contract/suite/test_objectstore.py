"""The registry face, by its ancestor's document: every name in it works, in both colours."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable, Iterator
from threading import Thread
from typing import Any

import pytest

from graven import (
    AsyncDatabase,
    Database,
    DuplicateRecordError,
    Model,
    UsageError,
    key,
    objectstore,
)
from graven.testing.contract import TRANSACTIONS, count, insert

Open = Callable[..., Any]


class Foo(Model):
    id: int = key()
    foo: str = ""


@pytest.fixture
def db(url: str) -> Iterator[Database]:
    with Database(url) as found:
        found.create(Foo)
        objectstore.bind(found)
        yield found
        objectstore.bind(None)
        objectstore.uow.defaultscope = "task"


def stored(db: Database) -> dict[int, str]:
    with db.session() as session:
        return {one.id: one.foo for one in session.query(Foo).all()}


def in_thread(work: Callable[[], Any]) -> Any:
    answers: list[Any] = []
    thread = Thread(target=lambda: answers.append(work()))
    thread.start()
    thread.join(timeout=30)
    return answers[0]


def test_the_nesting_example_of_the_ancestor(db: Database) -> None:
    a = Foo(id=1)
    objectstore.begin()
    b = Foo(id=2)
    objectstore.begin()
    c = Foo(id=3)
    objectstore.commit()
    assert stored(db).keys() == {3}
    d = Foo(id=4)
    objectstore.commit()
    assert stored(db).keys() == {2, 3, 4}
    objectstore.commit()
    assert stored(db).keys() == {1, 2, 3, 4}
    assert not objectstore.uow().new
    assert [one.foo for one in (a, b, c, d)] == [""] * 4


def test_only_what_changed_since_begin_is_committed(db: Database) -> None:
    myobj1, myobj2 = Foo(id=1), Foo(id=2)
    objectstore.commit()
    myobj1.foo = "something new"
    objectstore.begin()
    myobj2.foo = "something new"
    assert list(objectstore.uow().dirty) == [myobj2]
    objectstore.commit()
    assert stored(db) == {1: "", 2: "something new"}
    assert list(objectstore.uow().dirty) == [myobj1]


def test_every_function_acts_on_the_current_unit_of_work(db: Database) -> None:
    one, two = Foo(id=1), Foo(id=2)
    u = objectstore.uow()
    assert objectstore.uow() is u
    assert list(u.new) == [one, two]
    objectstore.commit(one)
    assert stored(db).keys() == {1}
    assert objectstore.has_key(Foo, 1)
    objectstore.delete(one)
    assert list(u.deleted) == [one]
    objectstore.rollback()
    assert (list(u.new), list(u.deleted)) == ([], [])
    with db.session() as session:
        foreign = session.get_one(Foo, 1)
    assert objectstore.import_instance(foreign) is one
    objectstore.clear()
    assert not objectstore.has_key(Foo, 1)
    assert objectstore.import_instance(foreign) is foreign
    objectstore.delete(foreign)
    objectstore.commit()
    assert stored(db) == {}


@pytest.mark.needs(TRANSACTIONS)
def test_commit_nests_in_a_transaction_of_the_database(db: Database) -> None:
    with db.transaction():
        insert(db, Foo, id=9, foo="own")
        Foo(id=1)
        objectstore.commit()
        assert count(db, Foo) == 2
    with pytest.raises(KeyError), db.transaction():
        Foo(id=2)
        objectstore.commit()
        raise KeyError
    assert stored(db) == {1: "", 9: "own"}
    assert [one.id for one in objectstore.uow().new] == [2]


def test_a_unit_of_work_of_ones_own_is_placed_with_set(db: Database) -> None:
    before = objectstore.uow()
    u = objectstore.UnitOfWork()
    one = Foo(id=1)
    assert list(before.new) == [one]
    objectstore.uow.set(u)
    two = Foo(id=2)
    assert list(u.new) == [two]
    objectstore.commit()
    assert stored(db).keys() == {2}
    before.close()


def test_clear_lets_the_current_one_go_and_the_next_use_makes_another(db: Database) -> None:
    before = objectstore.uow()
    Foo(id=1)
    objectstore.uow.clear()
    objectstore.uow.clear()
    assert objectstore.uow() is not before
    assert not objectstore.uow().new
    objectstore.commit()
    assert stored(db) == {}


def test_a_unit_of_work_that_was_closed_is_replaced(db: Database) -> None:
    before = objectstore.uow()
    before.close()
    Foo(id=1)
    assert objectstore.uow() is not before
    objectstore.commit()
    assert stored(db).keys() == {1}


@pytest.mark.parametrize("scope", ["task", "thread"])
def test_each_thread_has_one_of_its_own(db: Database, scope: str) -> None:
    objectstore.uow.defaultscope = scope
    mine = objectstore.uow()
    Foo(id=1)

    def work() -> tuple[bool, list[int]]:
        Foo(id=2)
        u = objectstore.uow()
        objectstore.begin()
        return u is mine, [one.id for one in u.new]

    for _ in range(30):
        assert in_thread(work) == (False, [])
    assert [one.id for one in mine.new] == [1]


def test_a_finished_thread_leaves_nothing_behind(db: Database) -> None:
    def work() -> weakref.ref[Any]:
        objectstore.begin()
        Foo(id=1).foo = "changed"
        return weakref.ref(objectstore.uow())

    left = in_thread(work)
    gc.collect()
    assert left() is None


def test_the_application_scope_is_one_for_all_threads(db: Database) -> None:
    objectstore.uow.defaultscope = "application"
    assert in_thread(objectstore.uow) is objectstore.uow()
    objectstore.uow.defaultscope = "thread"
    assert in_thread(objectstore.uow) is not objectstore.uow()
    with pytest.raises(UsageError, match="'task'"):
        objectstore.uow.defaultscope = "process"
    assert objectstore.uow.defaultscope == "thread"


def test_the_block_of_a_session_goes_before_the_registry(db: Database) -> None:
    with db.session() as session:
        Foo(id=1)
        assert not session.new
    with db.session(autoadd=True) as session:
        Foo(id=2)
        assert [one.id for one in session.new] == [2]
    assert not objectstore.uow().new
    assert stored(db).keys() == {2}


def test_constructing_a_second_object_with_a_key_is_refused(db: Database) -> None:
    Foo(id=1)
    with pytest.raises(DuplicateRecordError):
        Foo(id=1)
    objectstore.commit()
    assert stored(db).keys() == {1}


def test_without_a_database_the_error_says_what_to_do() -> None:
    free = Foo(id=1)
    for call in (objectstore.uow, objectstore.UnitOfWork, objectstore.commit, objectstore.begin):
        with pytest.raises(UsageError, match=r"objectstore\.bind"):
            call()
    assert free._origin is None


def test_async_functions_are_awaited_and_each_task_has_one_of_its_own(url: str) -> None:
    async def child(number: int) -> weakref.ref[Any]:
        a = Foo(id=number)
        objectstore.begin()
        b = Foo(id=number + 1)
        await objectstore.commit()
        assert list(objectstore.uow().new) == [a]
        b.foo = "changed"
        await objectstore.commit()
        Foo(id=number + 2)
        await objectstore.rollback()
        Foo(id=number + 3)
        objectstore.begin()
        return weakref.ref(objectstore.uow())

    async def main() -> None:
        async with AsyncDatabase(url) as db:
            await db.create(Foo)
            objectstore.bind(db)
            mine = objectstore.uow()
            Foo(id=1)
            left = await asyncio.gather(*(child(number) for number in (10, 20, 30)))
            assert [one.id for one in mine.new] == [1]
            await asyncio.sleep(0)  # the loop lets go of what it woke this task with
            gc.collect()
            assert [one() for one in left] == [None] * 3
            await objectstore.commit()
            async with db.session() as session:
                found = {one.id: one.foo for one in await session.query(Foo).all()}
            numbers = dict.fromkeys((10, 20, 30), "") | dict.fromkeys((11, 21, 31), "changed")
            assert found == numbers | {1: ""}

    try:
        asyncio.run(main())
    finally:
        objectstore.bind(None)
