"""A block in which everything may be committed, and after which nothing was."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from graven import ConcurrentUpdate, Database, Model, TransactionInactiveError, key
from graven.testing import rolled_back, rolled_back_async
from graven.testing.contract import TABLE_UNDO, TRANSACTIONS, Backend, count, rows, shape, update

pytestmark = pytest.mark.needs(TRANSACTIONS)


class Purse(Model):
    id: int = key()
    coins: int = 0


class Token(Model):
    id: int = key()


@pytest.fixture
def db(url: str) -> Iterator[Database]:
    with Database(url) as opened:
        opened.create(Purse)
        with opened.session() as session:
            session.add(Purse(id=1, coins=10))
        yield opened


def test_what_the_block_commits_is_seen_in_it_and_gone_after_it(
    db: Database, url: str, backend: Backend
) -> None:
    with rolled_back(url, Purse, Token) as inner:
        with inner.session() as session:
            session.get_one(Purse, 1).coins += 5
            session.add(Purse(id=2), Token(id=1))
        with inner.session() as session:
            assert [one.coins for one in session.query(Purse).order_by(Purse.id).all()] == [15, 0]
            assert session.query(Token).count() == 1
    assert rows(db, Purse, "coins") == [(10,)]
    assert (shape(db, "token") is None) is (TABLE_UNDO in backend.capabilities)


@pytest.mark.asyncio
async def test_what_an_async_block_commits_is_seen_in_it_and_gone_after_it(
    db: Database, url: str, backend: Backend
) -> None:
    async with rolled_back_async(url, Purse, Token) as inner:
        async with inner.session() as session:
            (await session.get_one(Purse, 1)).coins += 5
            session.add(Purse(id=2), Token(id=1))
        async with inner.session() as session:
            assert await session.query(Purse).count() == 2
            assert await session.query(Token).count() == 1
    assert rows(db, Purse, "coins") == [(10,)]
    assert (shape(db, "token") is None) is (TABLE_UNDO in backend.capabilities)


def test_an_exception_leaves_the_block_as_it_is_and_nothing_behind(db: Database, url: str) -> None:
    with pytest.raises(ZeroDivisionError), rolled_back(url) as inner:
        with inner.session() as session:
            session.get_one(Purse, 1).coins += 5
        raise ZeroDivisionError
    assert rows(db, Purse, "coins") == [(10,)]


def test_after_a_commit_that_failed_the_block_says_so_and_can_be_left(
    db: Database, url: str
) -> None:
    with rolled_back(url) as inner:
        session = inner.session()
        session.get_one(Purse, 1).coins += 5
        update(inner, Purse, 1, coins=7)
        with pytest.raises(ConcurrentUpdate):
            session.commit()
        with pytest.raises(TransactionInactiveError):
            count(inner, Purse)
        session.rollback()
        session.close()
    assert rows(db, Purse, "coins") == [(10,)]
