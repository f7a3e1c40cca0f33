"""A payment as a durable operation: a step outside of the store, and a transfer in it."""

from __future__ import annotations

import os
from uuid import UUID

from graven import atomic, step
from graven.demo.money import Account, Transfer


@atomic
def pay(source: Account, target: Account, amount: int, order: UUID, notary: str) -> Transfer:
    """Have the order stamped by the notary, and move its money."""
    step(stamp, notary, order, name="stamp")
    source.balance -= amount
    target.balance += amount
    return Transfer(id=order, source=source, target=target, amount=amount)


def stamp(notary: str, order: UUID) -> None:
    """Write the order into the notary's book, a file that knows nothing of transactions."""
    book = os.open(notary, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(book, f"{order}\n".encode())
    finally:
        os.close(book)
