"""Tables that were made in a transaction which was rolled back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from graven import Model, key
from graven.testing.contract import TABLE_UNDO


class Owner(Model):
    id: int = key()


class Pet(Model):
    id: int = key()
    owner: Owner


@pytest.mark.needs(TABLE_UNDO)
def test_table_made_in_a_transaction_that_was_rolled_back_is_known_no_more(
    open_db: Callable[..., Any],
) -> None:
    db = open_db(Owner)
    with db.session() as session:
        session.add(Owner(id=1), Owner(id=2))
    with pytest.raises(ZeroDivisionError), db.transaction():
        db.create(Pet)
        _ = 1 // 0

    with db.session() as session:  # a deletion asks every table that could refer to the row
        session.delete(session.get(Owner, 1))
    with db.session() as session:
        assert [one.id for one in session.query(Owner).all()] == [2]

    with db.transaction():
        db.create(Pet)
    with db.session() as session:
        session.add(Pet(id=1, owner=session.get(Owner, 2)))
    with db.session() as session:
        session.delete(session.get(Pet, 1))
        session.delete(session.get(Owner, 2))
