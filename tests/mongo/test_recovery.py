"""Recovery while somebody who is gone still has entries of the log in an open transaction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from graven.testing import VirtualClock
from graven.testing.contract.suite.operations import Account, Die, both
from tests.mongo.raw import Raw

dying: set[str] = set()
"""The owners whose operations die in the middle."""


@both()
def earn(account: Account, amount: int) -> None:
    account.balance += amount
    if account.owner in dying:
        raise Die


def test_what_nobody_holds_is_recovered_while_another_entry_is_held(
    open_db: Callable[..., Any], colour: Any, raw: Raw
) -> None:
    db, log = open_db(Account), raw.client.get_default_database()["graven_operation"]
    owners = [f"Owner {n}" for n in range(5)]
    with VirtualClock() as clock, raw.client.start_session() as session:
        with db.session() as work:
            work.add(*(Account(owner=owner) for owner in owners))
        dying.update(owners)
        with db.session() as work:
            for account in work.query(Account).all():
                with pytest.raises(Die):
                    earn(colour, account, 5)
        dying.clear()
        clock.advance(31)
        session.start_transaction()
        held = log.find_one_and_update({}, {"$inc": {"held": 1}}, session=session)
        assert db.recover().finished == 4
        assert {one["state"] for one in log.find({"_id": {"$ne": held["_id"]}})} == {"done"}
        session.abort_transaction()
        assert db.recover().finished == 1
        with db.session() as work:
            assert [one.balance for one in work.query(Account).all()] == [5] * 5
