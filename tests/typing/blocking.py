"""What the blocking colour returns, as type checkers see it."""

from __future__ import annotations

from collections.abc import Generator
from datetime import timedelta
from typing import assert_type

from graven import (
    Database,
    Objects,
    Query,
    Queue,
    Rate,
    RecoveryReport,
    Session,
    Worker,
    desc,
    in_,
    like,
    step,
)
from tests.typing.models import Author, Book


def use(db: Database, session: Session) -> None:
    assert_type(db.session(), Session)
    assert_type(session.get(Book, 1), Book | None)
    assert_type(session.get_one(Book, 1), Book)
    query = session.query(Book)
    assert_type(query, Query[Book])
    assert_type(query.where(Book.pages > 10, Book.title == "x"), Query[Book])
    assert_type(query.where((Book.pages > 10) & ~in_(Book.id, [1, 2])), Query[Book])
    assert_type(query.where(like(Book.title, "a%"), Book.author.name == "Ada"), Query[Book])
    assert_type(query.order_by(Book.title, desc(Book.pages)).limit(3).offset(1), Query[Book])
    assert_type(query.include(Book.author, Book.tags).all(), list[Book])
    assert_type(query.one(), Book)
    assert_type(query.first(), Book | None)
    assert_type(query.count(), int)
    assert_type(query.exists(), bool)
    assert_type(query.stream(), Generator[Book, None, None])
    for book in query.stream():
        assert_type(book, Book)
    assert_type(session.import_instance(Author(name="x")), Author)
    objects = db.objects(Book)
    assert_type(objects, Objects[Book])
    assert_type(objects.filter(pages=3).order_by("-pages").all(), list[Book])
    assert_type(session.objects(Book).get(1), Book)
    assert_type(objects.create(title="x"), Book)
    Book.objects.using(db).count()
    objects.get(1).save()
    with db.session() as inner:
        assert_type(inner, Session)
        inner.add(Author(name="x"), Author(name="y"))
        inner.commit()
    for attempt in db.attempts(limit=3):
        with attempt as tried:
            assert_type(tried, Session)
    assert_type(db.run(count, "x"), int)


def count(session: Session, name: str) -> int:
    return session.query(Author).where(Author.name == name).count()


def charged(amount: int) -> str:
    return str(amount)


def steps_and_workers(db: Database) -> None:
    assert_type(step(charged, 5, retries=2), str)
    assert_type(db.worker("mail", concurrency=2), Worker)
    assert_type(db.worker([Queue("mail", rate=Rate(5))]).run(until_idle=True), RecoveryReport)
    assert_type(db.prune_operations(timedelta(days=1)), int)
    assert_type(db.unschedule("daily"), bool)
