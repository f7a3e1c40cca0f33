"""What the async colour returns, as type checkers see it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import assert_type

from graven import AsyncDatabase, AsyncObjects, AsyncQuery, AsyncSession, RecoveryReport, step
from tests.typing.models import Author, Book


async def use(db: AsyncDatabase, session: AsyncSession) -> None:
    assert_type(db.session(), AsyncSession)
    assert_type(await session.get(Book, 1), Book | None)
    assert_type(await session.get_one(Book, 1), Book)
    query = session.query(Book)
    assert_type(query, AsyncQuery[Book])
    assert_type(await query.where(Book.pages > 10).include(Book.author).all(), list[Book])
    assert_type(await query.one(), Book)
    assert_type(await query.first(), Book | None)
    assert_type(await query.count(), int)
    assert_type(await query.exists(), bool)
    assert_type(query.stream(), AsyncGenerator[Book, None])
    async for book in query.stream():
        assert_type(book, Book)
    objects = db.objects(Book)
    assert_type(objects, AsyncObjects[Book])
    assert_type(await objects.filter(pages=3).order_by("-pages").all(), list[Book])
    assert_type(await session.objects(Book).get(1), Book)
    assert_type(await objects.create(title="x"), Book)
    await Book.objects.using(db).count()
    await (await objects.get(1)).save()
    async with db.session() as inner:
        assert_type(inner, AsyncSession)
        inner.add(Author(name="x"))
        await inner.commit()
    async for attempt in db.attempts(limit=3):
        async with attempt as tried:
            assert_type(tried, AsyncSession)
    assert_type(await db.run(count, "x"), int)


async def count(session: AsyncSession, name: str) -> int:
    return await session.query(Author).where(Author.name == name).count()


async def charged(amount: int) -> str:
    return str(amount)


async def steps_and_workers(db: AsyncDatabase) -> None:
    assert_type(await step(charged, 5, retries=2), str)
    assert_type(await db.worker("mail", concurrency=2).run(until_idle=True), RecoveryReport)
    assert_type(await db.unschedule("daily"), bool)
