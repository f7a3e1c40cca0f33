"""A worker of part three: ``python -m graven.demo.payer URL SEED ACCOUNTS NOTARY``.

It pays by durable operations until its standard input ends, and says so as the workers of part two
do: that it begins, and, once the call has returned, that it is done.
"""

from __future__ import annotations

import sys
from random import Random
from uuid import UUID

from graven import Database, TransientError
from graven.demo.money import Account
from graven.demo.payments import pay
from graven.demo.worker import AMOUNT_MAX, finishing, say

LEASE_S = 1.5


def main(url: str, seed: int, accounts: int, notary: str) -> None:
    """Pay orders that are drawn with *seed*, one after another."""
    told_to_finish = finishing()
    dice = Random(seed)
    with Database(url, lease_s=LEASE_S) as db:
        while not told_to_finish.is_set():
            numbers = dice.sample(range(accounts), 2)
            order = UUID(int=dice.getrandbits(128), version=4)
            amount = dice.randint(1, AMOUNT_MAX)
            with db.session() as session:
                source, target = [session.get_one(Account, number) for number in numbers]
                say(begin=[str(order), *numbers, amount])
                try:
                    pay.options(key=str(order))(source, target, amount, order, notary)
                except TransientError as error:
                    say(gave_up=str(order), why=type(error).__name__)
                else:
                    say(done=str(order))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
