"""A pooler in transaction mode between graven and the server."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from graven import Model, key
from graven.errors import ConcurrentUpdate, UnavailableError
from graven.testing.postgres import PostgresServer
from tests.postgres.pooler import Pooler


class Till(Model):
    name: str = key()
    coins: int = 0


@pytest.fixture
def pooler(server: PostgresServer) -> Iterator[Pooler]:
    with tempfile.TemporaryDirectory(prefix="graven-pooler-") as folder:
        found = Pooler(Path(folder), server.folder)
        yield found
        found.close()


def through(pooler: Pooler, server: PostgresServer, url: str) -> str:
    return url.replace(quote(str(server.folder), safe=""), quote(str(pooler.folder), safe=""))


def test_everything_works_through_a_pooler_in_transaction_mode(
    open_db: Callable[..., Any], url: str, server: PostgresServer, pooler: Pooler
) -> None:
    db = open_db(Till, at=through(pooler, server, url) + "&pgbouncer=true", pool_size=1)
    names = [f"till {number:03d}" for number in range(300)]
    with db.session() as session:
        session.add(*[Till(name=name) for name in names])
    for isolation in ("optimistic", "snapshot", "serializable"):
        with db.session(isolation=isolation) as session:
            for till in session.query(Till).order_by(Till.name).limit(3).all():
                till.coins += 1
            session.get(Till, names[7]).coins += 1
    with db.transaction():
        assert db.execute("select sum(coins)::int from till") == [(12,)]
        with db.session() as session:
            session.get(Till, names[0]).coins += 1
    with db.session() as session:
        stale = session.get(Till, names[1])
        db.execute("update till set coins = 9, version = version + 1 where name = %s", [names[1]])
        stale.coins = 5
        with pytest.raises(ConcurrentUpdate):
            session.commit()
        session.rollback()
    assert db.execute("select sum(coins)::int from till") == [(19,)]
    assert all(count > 5 for count in pooler.transactions)
    assert db.pool.out == 0


def test_a_pooler_that_was_forgotten_in_the_url_is_named_and_costs_one_call(
    open_db: Callable[..., Any], url: str, server: PostgresServer, pooler: Pooler
) -> None:
    open_db(Till)
    db = open_db(at=through(pooler, server, url), pool_size=1)
    refused = []
    for number in range(8):
        try:
            with db.session() as session:
                session.add(Till(name=f"till {number}"))
        except UnavailableError as error:
            refused.append(str(error))
    assert len(refused) == 1
    assert "pgbouncer=true" in refused[0]
    assert db.execute("select count(*) from till") == [(7,)]
