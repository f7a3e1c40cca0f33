"""A worker of part two: ``python -m graven.demo.worker URL SEED ACCOUNTS``.

It carries out transfers until its standard input ends. Of each it says on standard output that it
begins, and, once the commit has returned, that it is done; a word is one write, so a kill never
leaves half of one behind that could be taken for a whole.
"""

from __future__ import annotations

import json
import os
import sys
from random import Random
from threading import Event, Thread
from typing import Any
from uuid import UUID

from graven import Database, TransientError
from graven.demo.money import Order, carry_out

AMOUNT_MAX = 60


def main(url: str, seed: int, accounts: int) -> None:
    """Carry out transfers that are drawn with *seed*, one after another."""
    told_to_finish = finishing()
    dice = Random(seed)
    with Database(url) as db:
        while not told_to_finish.is_set():
            source, target = dice.sample(range(accounts), 2)
            transfer = UUID(int=dice.getrandbits(128), version=4)
            order = Order(transfer, source, target, dice.randint(1, AMOUNT_MAX))
            parts = [str(order.id), order.source, order.target, order.amount]
            say(begin=parts)
            try:
                receipt = carry_out(db, order)
            except TransientError as error:
                say(gave_up=str(order.id), why=type(error).__name__)
            else:
                word = "done" if receipt.is_done else "declined"
                say(**{word: str(order.id)}, conflicts=receipt.conflicts, busy=receipt.busy)


def finishing() -> Event:
    """Return what is set as soon as the standard input has ended, which tells to finish."""
    told_to_finish = Event()

    def listen() -> None:
        sys.stdin.read()
        told_to_finish.set()

    Thread(target=listen, daemon=True).start()
    return told_to_finish


def say(**word: Any) -> None:
    """Say a word on standard output, in one write."""
    os.write(1, (json.dumps(word) + "\n").encode())


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
