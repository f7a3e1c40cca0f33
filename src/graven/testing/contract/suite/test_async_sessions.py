"""What only async code can do: edit while a commit is awaited, and share a session among tasks."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from graven import (
    AsyncDatabase,
    AsyncSession,
    Model,
    ScopeError,
    SessionError,
    UniqueError,
    field,
    key,
)
from graven.testing.contract import WAITS

pytestmark = pytest.mark.asyncio


class Note(Model):
    id: int = key()
    text: str = field(default="", unique=True)
    size: int = 0
    words: list[str] = field(default_factory=list)
    after: Note | None = None


@pytest_asyncio.fixture
async def db(url: str) -> AsyncIterator[AsyncDatabase]:
    async with AsyncDatabase(url) as found:
        await found.create(Note)
        async with found.session() as session:
            session.add(Note(id=1, text="one"), Note(id=2, text="two"))
        yield found


async def stored(db: AsyncDatabase) -> dict[int, tuple[str, int, list[str]]]:
    async with db.session() as session:
        return {one.id: (one.text, one.size, one.words) for one in await session.query(Note).all()}


async def under_way(call: Any) -> asyncio.Task[Any]:
    """Start a call, and return once it waits for the store."""
    task = asyncio.ensure_future(call)
    await asyncio.sleep(0)
    assert not task.done()
    return task


async def test_edits_made_while_a_commit_is_awaited_belong_to_the_next_one(
    db: AsyncDatabase,
) -> None:
    async with db.session() as session:
        note, new = await session.get_one(Note, 1), Note(id=3, text="three")
        session.add(new)
        note.size, note.after = 1, new
        note.words.append("first")
        commit = await under_way(session.commit())
        note.size, note.after = 2, None
        note.words.append("second")
        new.text = "changed meanwhile"
        later = Note(id=4, text="added meanwhile")
        session.add(later)
        await commit
        assert await stored(db) == {
            1: ("one", 1, ["first"]),
            2: ("two", 0, []),
            3: ("three", 0, []),
        }
        assert set(session.dirty) == {note, new}
        assert list(session.new) == [later]
        assert (note.size, note.after, note.words) == (2, None, ["first", "second"])
    assert await stored(db) == {
        1: ("one", 2, ["first", "second"]),
        2: ("two", 0, []),
        3: ("changed meanwhile", 0, []),
        4: ("added meanwhile", 0, []),
    }


async def test_edits_made_while_a_commit_fails_stay_pending_with_the_others(
    db: AsyncDatabase,
) -> None:
    async with db.session() as session:
        note, new = await session.get_one(Note, 1), Note(id=3, text="two")
        session.add(new)
        note.size = 1
        commit = await under_way(session.commit())
        note.words.append("meanwhile")
        new.size = 5
        with pytest.raises(UniqueError):
            await commit
        assert list(session.dirty) == [note]
        assert list(session.new) == [new]
        new.text = "three"
    assert await stored(db) == {
        1: ("one", 1, ["meanwhile"]),
        2: ("two", 0, []),
        3: ("three", 5, []),
    }


async def test_edits_made_while_an_inner_scope_commits_are_the_outer_scopes(
    db: AsyncDatabase,
) -> None:
    async with db.session() as session:
        note = await session.get_one(Note, 1)
        note.text = "outer"
        scope = session.begin()
        note.size = 1

        async def edit() -> None:
            note.size = 2

        meanwhile = asyncio.create_task(edit())
        await scope.commit()
        await meanwhile
        assert (await stored(db))[1] == ("one", 1, [])
        assert note.size == 2
        session.cancel()
        assert (note.text, note.size) == ("one", 1)


@pytest.mark.needs(WAITS)
async def test_edit_made_by_another_tasks_scope_while_a_commit_is_awaited_can_be_cancelled(
    db: AsyncDatabase,
) -> None:
    async with db.session() as session:
        note = await session.get_one(Note, 1)
        note.size = 1
        commit = await under_way(session.commit())

        async def work() -> None:
            scope = session.begin()
            note.size, note.text = 5, "inner"
            with pytest.raises(SessionError, match="under way"):
                scope.cancel()
            await commit
            assert scope.dirty == [note]
            scope.cancel()

        await asyncio.create_task(work())
        assert (note.size, note.text) == (1, "one")
        assert not session.dirty


async def test_object_deleted_while_its_commit_is_awaited_is_deleted_by_the_next(
    db: AsyncDatabase,
) -> None:
    async with db.session() as session:
        note, new = await session.get_one(Note, 1), Note(id=3, text="three")
        note.size = 1
        session.add(new)
        commit = await under_way(session.commit())
        session.delete(note)
        with pytest.raises(SessionError, match="under way"):
            session.delete(new)
        await commit
        assert (await stored(db))[1] == ("one", 1, [])
        assert list(session.deleted) == [note]
        session.delete(new)
    assert set(await stored(db)) == {2}


async def test_what_a_commit_writes_cannot_be_thrown_away_meanwhile(db: AsyncDatabase) -> None:
    async with db.session() as session:
        note = await session.get_one(Note, 1)
        note.size = 1
        commit = await under_way(session.commit())
        for call in (session.cancel, session.clear, lambda: session.expunge(note)):
            with pytest.raises(SessionError, match="under way"):
                call()
        await commit
        session.cancel()
        assert note.size == 1


async def test_calls_of_several_tasks_on_one_session_queue(db: AsyncDatabase) -> None:
    async with db.session() as session:

        async def work(number: int) -> None:
            note = Note(id=number, text=f"note {number}")
            session.add(note)
            await session.commit(note)
            note.size = number
            await session.commit()
            assert await session.query(Note).where(Note.id == number).one() is note
            await session.refresh(note)

        await asyncio.gather(*(work(number) for number in range(10, 40)))
        one, other = await asyncio.gather(session.get(Note, 1), session.get(Note, 1))
        assert one is other
    assert [(await stored(db))[one][1] for one in (10, 39)] == [10, 39]


async def test_scopes_belong_to_the_task_that_began_them(db: AsyncDatabase) -> None:
    async with db.session() as session:
        one, two = await session.get_one(Note, 1), await session.get_one(Note, 2)
        may_end = asyncio.Event()
        scopes: list[Any] = []

        async def work() -> None:
            scopes.append(session.begin())
            one.size = 1
            await may_end.wait()
            scopes[0].cancel()

        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        two.size = 2
        assert list(session.dirty) == [two]
        assert scopes[0].dirty == [one]
        for end in (scopes[0].confirm, scopes[0].cancel):
            with pytest.raises(ScopeError, match="another task"):
                end()
        with pytest.raises(ScopeError, match="another task"):
            await scopes[0].commit()
        with pytest.raises(ScopeError, match="still open"):
            await session.commit()
        may_end.set()
        await task
        assert one.size == 0
    assert {key: size for key, (_, size, _) in (await stored(db)).items()} == {1: 0, 2: 2}


async def test_two_tasks_edit_one_object_in_scopes_of_their_own(db: AsyncDatabase) -> None:
    async with db.session() as session:
        note = await session.get_one(Note, 1)
        both, committed = asyncio.Barrier(2), asyncio.Event()

        async def size() -> None:
            with_size = session.begin()
            note.size = 7
            await both.wait()
            await with_size.commit()
            committed.set()

        async def text() -> None:
            with_text = session.begin()
            note.text = "lost"
            await both.wait()
            await committed.wait()
            with_text.cancel()

        await asyncio.gather(size(), text())
        assert (note.text, note.size) == ("one", 7)
        assert not session.dirty
    assert (await stored(db))[1] == ("one", 7, [])


async def test_a_finished_task_leaves_its_scope_to_nobody(db: AsyncDatabase) -> None:
    session = db.session()
    note = await session.get_one(Note, 1)

    async def forgetful() -> None:
        session.begin()
        note.size = 1

    await asyncio.create_task(forgetful())
    for _ in range(50):

        async def successor() -> None:
            assert not session.dirty
            with pytest.raises(ScopeError, match="inside it is still open"):
                await session.commit()

        await asyncio.create_task(successor())
    await session.rollback()
    assert note.size == 0
    await session.close()


async def test_leaving_with_another_tasks_call_under_way_is_refused_and_named(
    db: AsyncDatabase,
) -> None:
    with pytest.raises(SessionError, match="another task's call to commit is still under way"):
        async with db.session() as session:
            (await session.get_one(Note, 1)).size = 1
            late = await under_way(session.commit())
            note = Note(id=3, text="three")
            session.add(note)
    await late
    assert (await stored(db))[1] == ("one", 1, [])
    assert 3 not in await stored(db)
    with pytest.raises(SessionError, match="has ended"):
        await session.commit()


@pytest.mark.needs(WAITS)
async def test_a_call_that_waited_while_the_session_ended_is_refused(db: AsyncDatabase) -> None:
    session = db.session()
    first = await under_way(session.query(Note).all())
    second = await under_way(session.get(Note, 1))
    await session.close()
    assert len(await first) == 2
    with pytest.raises(SessionError, match="has ended"):
        await second


@pytest.mark.needs(WAITS)
async def test_a_query_under_way_is_named_and_one_that_waited_for_the_end_is_refused(
    db: AsyncDatabase,
) -> None:
    with pytest.raises(SessionError, match="another task's call to run a query is still under way"):
        async with db.session() as session:
            first = await under_way(session.query(Note).all())
            second = await under_way(session.query(Note).count())
    assert len(await first) == 2
    with pytest.raises(SessionError, match="cannot count: the session has ended"):
        await second


async def test_a_block_may_be_left_in_another_context(db: AsyncDatabase) -> None:
    session = db.session(autoadd=True)
    loop = asyncio.get_running_loop()
    await loop.create_task(session.__aenter__(), context=contextvars.copy_context())
    await loop.create_task(session.__aexit__(None, None, None), context=contextvars.copy_context())
    assert session.state(Note(id=9)) is None


async def test_child_task_of_a_block_adds_to_its_session_while_that_is_open(
    db: AsyncDatabase,
) -> None:
    may_end = asyncio.Event()
    made: list[Note] = []

    async def work() -> None:
        made.append(Note(id=3, text="in time"))
        await may_end.wait()
        made.append(Note(id=4, text="too late"))

    async with db.session(autoadd=True) as session:
        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        assert list(session.new) == made
    may_end.set()
    await task
    assert isinstance(session, AsyncSession)
    assert set(await stored(db)) == {1, 2, 3}


async def test_cancelled_commit_says_what_became_of_it_and_the_session_goes_on(
    db: AsyncDatabase,
) -> None:
    async with db.session() as session:
        note = await session.get_one(Note, 1)
        for size in range(1, 20):
            note.size = size
            commit = asyncio.ensure_future(session.commit())
            for _ in range(size % 4):
                await asyncio.sleep(0)
            commit.cancel()
            await asyncio.wait([commit])
            was_written = (await stored(db))[1][1] == size
            assert was_written == (not session.dirty)
            if commit.cancelled() and was_written:
                assert session.last_commit == "committed"
            await session.commit()
            assert (await stored(db))[1][1] == size
