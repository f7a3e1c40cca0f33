"""Accounts, transfers among them, and what has to be true of them whatever was killed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from graven import Attempt, ConcurrentUpdate, Database, Model, key


class Account(Model):
    """An account that must not be overdrawn."""

    number: int = key()
    balance: int


class Transfer(Model):
    """Money that was moved; its key was chosen by who ordered it."""

    source: Account
    target: Account
    amount: int


@dataclass(frozen=True, slots=True)
class Order:
    """A transfer as it is wanted."""

    id: UUID
    source: int
    target: int
    amount: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of an order, and how often it lost to another or had to wait in vain."""

    is_done: bool
    conflicts: int
    busy: int


def carry_out(db: Database, order: Order) -> Receipt:
    """Move the money of an order, all or nothing, again until nobody was faster.

    It is declined, and nothing is written, where the source has too little.

    :raises TransientError: if it did not get through in the usual number of attempts.
    """
    tries: list[Attempt] = []
    is_covered = False
    for attempt in db.attempts():
        tries.append(attempt)
        with attempt as session:
            source = session.get_one(Account, order.source)
            target = session.get_one(Account, order.target)
            is_covered = source.balance >= order.amount
            if is_covered:
                source.balance -= order.amount
                target.balance += order.amount
                session.add(
                    Transfer(id=order.id, source=source, target=target, amount=order.amount)
                )
    refused = [one.error for one in tries if one.error is not None]
    conflicts = sum(isinstance(error, ConcurrentUpdate) for error in refused)
    return Receipt(is_covered, conflicts, len(refused) - conflicts)


@dataclass(slots=True)
class Ledger:
    """What the workers have said: kept outside of the store, to hold the store against."""

    ordered: dict[UUID, Order] = field(default_factory=dict[UUID, Order])
    acknowledged: Counter[UUID] = field(default_factory=Counter[UUID])
    declined: set[UUID] = field(default_factory=set[UUID])
    given_up: set[UUID] = field(default_factory=set[UUID])
    conflicts: int = 0
    busy: int = 0

    @property
    def unacknowledged(self) -> set[UUID]:
        """The orders of which nobody knows what became: their workers were killed meanwhile."""
        return self.ordered.keys() - self.acknowledged.keys() - self.declined - self.given_up


def differences(
    ledger: Ledger,
    balances: Mapping[int, int],
    transfers: Iterable[Order],
    start: Mapping[int, int],
) -> Iterator[str]:
    """Yield what is wrong with the accounts and transfers in the store.

    Every acknowledged transfer has to be there exactly once, as it was ordered, and every balance
    has to be what the transfers that are there make of the *start*: so an unacknowledged one is
    there in all its three parts, or in none.
    """
    found = list(transfers)
    count = Counter(one.id for one in found)
    for transfer in found:
        order = ledger.ordered.get(transfer.id)
        if order is None:
            yield f"transfer {transfer.id} is there, and nobody ordered it"
        elif order != transfer:
            yield f"transfer {transfer.id} is there as {transfer}, ordered was {order}"
        if transfer.id in ledger.declined or transfer.id in ledger.given_up:
            yield f"transfer {transfer.id} is there, though its worker was told that it is not"
    for one, times in ledger.acknowledged.items():
        if times != 1 or count[one] != 1:
            yield f"transfer {one} was acknowledged {times} times, and is there {count[one]} times"
    yield from _balance_differences(balances, found, start)


def _balance_differences(
    balances: Mapping[int, int], transfers: list[Order], start: Mapping[int, int]
) -> Iterator[str]:
    expected = dict(start)
    for transfer in transfers:
        for number, sign in ((transfer.source, -1), (transfer.target, 1)):
            expected[number] = expected.get(number, 0) + sign * transfer.amount
    for number in sorted(balances.keys() | expected.keys()):
        if balances.get(number) != expected.get(number):
            yield (
                f"account {number} has {balances.get(number)}, its transfers make it "
                f"{expected.get(number)}"
            )
    if (total := sum(balances.values())) != sum(start.values()):
        yield f"the total is {total}, should be {sum(start.values())}"
    yield from (f"account {number} is overdrawn" for number in balances if balances[number] < 0)
