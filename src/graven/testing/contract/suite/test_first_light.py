"""The main job, end to end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graven import Model


class Purse(Model):
    owner: str
    balance: int = 0


class Payment(Model):
    source: Purse
    target: Purse
    amount: int


def test_what_was_committed_is_there_for_another_database_object(
    open_db: Callable[..., Any],
) -> None:
    db = open_db(Purse, Payment)
    with db.session() as session:
        ada, bob = Purse(owner="Ada", balance=100), Purse(owner="Bob")
        session.add(Payment(source=ada, target=bob, amount=30))
        ada.balance -= 30
        bob.balance += 30

    with open_db().session() as session:
        payment = session.query(Payment).include(Payment.source, Payment.target).one()
        purses = session.query(Purse).order_by(Purse.owner).all()

    assert [(one.owner, one.balance) for one in purses] == [("Ada", 70), ("Bob", 30)]
    assert payment.source is purses[0]
    assert payment.target is purses[1]
