"""The check of the bank, against ledgers and stores that are wrong in one way each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

import pytest

from graven.demo.money import Ledger, Order, differences

START = {0: 100, 1: 100, 2: 100}
DONE = Order(UUID(int=1), 0, 1, 30)
DECLINED = Order(UUID(int=2), 1, 2, 500)
GIVEN_UP = Order(UUID(int=3), 2, 0, 10)
OPEN = Order(UUID(int=4), 1, 2, 20)


class Books:
    """A ledger and a store that agree, to be spoilt."""

    def __init__(self) -> None:
        self.ledger = Ledger({one.id: one for one in (DONE, DECLINED, GIVEN_UP, OPEN)})
        self.ledger.acknowledged[DONE.id] = 1
        self.ledger.declined.add(DECLINED.id)
        self.ledger.given_up.add(GIVEN_UP.id)
        self.balances = {0: 70, 1: 130, 2: 100}
        self.transfers = [DONE]

    def move(self, source: int, target: int, amount: int) -> None:
        self.balances[source] -= amount
        self.balances[target] += amount

    def store(self, order: Order) -> None:
        self.transfers.append(order)
        self.move(order.source, order.target, order.amount)

    def differences(self) -> list[str]:
        return list(differences(self.ledger, self.balances, self.transfers, START))


def test_an_unacknowledged_transfer_may_be_wholly_absent() -> None:
    books = Books()

    assert books.differences() == []
    assert books.ledger.unacknowledged == {OPEN.id}


def test_an_unacknowledged_transfer_may_be_wholly_there() -> None:
    books = Books()
    books.store(OPEN)

    assert books.differences() == []


def lose_an_acknowledged_one(books: Books) -> None:
    books.transfers.remove(DONE)
    books.move(DONE.target, DONE.source, DONE.amount)


def store_it_twice(books: Books) -> None:
    books.store(DONE)


def move_the_money_twice(books: Books) -> None:
    books.move(DONE.source, DONE.target, DONE.amount)


def write_half_of_an_open_one(books: Books) -> None:
    books.balances[OPEN.source] -= OPEN.amount


def move_the_money_of_an_open_one_without_it(books: Books) -> None:
    books.move(OPEN.source, OPEN.target, OPEN.amount)


def store_an_open_one_without_its_money(books: Books) -> None:
    books.transfers.append(OPEN)


def store_one_that_was_declined(books: Books) -> None:
    books.store(replace(DECLINED, amount=1))


def store_one_that_was_given_up(books: Books) -> None:
    books.store(GIVEN_UP)


def store_one_that_nobody_ordered(books: Books) -> None:
    books.store(Order(UUID(int=9), 0, 1, 1))


def store_another_amount(books: Books) -> None:
    books.store(replace(OPEN, amount=21))


def store_another_target(books: Books) -> None:
    books.store(replace(OPEN, target=0))


def acknowledge_it_twice(books: Books) -> None:
    books.ledger.acknowledged[DONE.id] += 1


def lose_an_account(books: Books) -> None:
    del books.balances[2]


def add_an_account(books: Books) -> None:
    books.balances[3] = 0


def overdraw_an_account(books: Books) -> None:
    overdraft = replace(OPEN, amount=500)
    books.ledger.ordered[OPEN.id] = overdraft
    books.store(overdraft)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lose_an_acknowledged_one, "acknowledged 1 times, and is there 0 times"),
        (store_it_twice, "acknowledged 1 times, and is there 2 times"),
        (move_the_money_twice, "account 0 has 40, its transfers make it 70"),
        (write_half_of_an_open_one, "the total is 280, should be 300"),
        (move_the_money_of_an_open_one_without_it, "account 1 has 110, its transfers make it 130"),
        (store_an_open_one_without_its_money, "account 2 has 100, its transfers make it 120"),
        (store_one_that_was_declined, "told that it is not"),
        (store_one_that_was_given_up, "told that it is not"),
        (store_one_that_nobody_ordered, "nobody ordered it"),
        (store_another_amount, "ordered was"),
        (store_another_target, "ordered was"),
        (acknowledge_it_twice, "acknowledged 2 times, and is there 1 times"),
        (lose_an_account, "account 2 has None"),
        (add_an_account, "account 3 has 0, its transfers make it None"),
        (overdraw_an_account, "account 1 is overdrawn"),
    ],
)
def test_books_that_do_not_agree_are_found_out(spoil: Callable[[Books], None], words: str) -> None:
    books = Books()

    spoil(books)

    assert any(words in one for one in books.differences())
