"""Databases for tests whose commits are all taken back at the end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graven import AsyncDatabase, Database

__all__ = ["rolled_back", "rolled_back_async"]


class _Over(Exception):
    """Ends the transaction of a test, so that it is rolled back."""


@contextmanager
def rolled_back(url: str, *models: type[Any], **options: Any) -> Iterator[Database]:
    """Open a database whose commits last until the end of the block.

    The block is one ``db.transaction()``, which is rolled back however the block ends: the store is
    as it was before, the tables of *models* included, which are made if they are not there; only on
    MongoDB, which makes tables outside of transactions, do they stay.

    The transaction belongs to the thread of the block; other threads do not see what it wrote. A
    commit that fails ends it, as it ends every ``db.transaction()``.
    """
    from graven import Database

    with Database(url, **options) as db:
        try:
            if models and not db.pool.dialect.undoes_tables:
                db.create(*models)
            with db.transaction():
                if models:
                    db.create(*models)
                yield db
                raise _Over
        except _Over:
            pass


@asynccontextmanager
async def rolled_back_async(
    url: str, *models: type[Any], **options: Any
) -> AsyncIterator[AsyncDatabase]:
    """Open an ``AsyncDatabase`` likewise; its transaction belongs to the task of the block."""
    from graven import AsyncDatabase

    async with AsyncDatabase(url, **options) as db:
        try:
            if models and not db.pool.dialect.undoes_tables:
                await db.create(*models)
            async with db.transaction():
                if models:
                    await db.create(*models)
                yield db
                raise _Over
        except _Over:
            pass
