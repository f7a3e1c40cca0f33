"""The operations of a small shop, for workers in processes of their own."""

from __future__ import annotations

import time

from graven import Model, atomic, step

__all__ = ["Counter", "Sale", "broken", "lingering", "sell", "told"]


class Counter(Model):
    name: str
    sold: int = 0


class Sale(Model):
    number: int


@atomic
def sell(counter: Counter, number: int) -> int:
    """Count a sale, and keep it."""
    counter.sold += 1
    Sale(number=number)
    return number


@atomic
async def told(number: int) -> int:
    """Be there in the other colour."""
    return number


@atomic
def broken(number: int) -> None:
    """Fail."""
    raise ValueError(f"{number} cannot be sold")


@atomic
def lingering(path: str) -> str:
    """Say that it has begun, by making a file, and take a while."""
    step(lambda: open(path, "w").close(), name="begun")  # noqa: PTH123
    time.sleep(1.0)
    return "in time"
