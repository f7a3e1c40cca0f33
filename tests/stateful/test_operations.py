"""Operations, crashes, recoveries and clocks in any order, against a naive model: exact accounts.

The process dies before a request to the store that Hypothesis chooses; what it leaves in the file
is what the next one finds. Of each operation the model knows that it is done, that it has failed,
or that nobody knows; in the end every one of the last kind is done, once, or never began.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
)

from graven import Database, Model, OperationLog, atomic, key, step
from graven.testing import Crash, SimulatedSQLite, VirtualClock

ACCOUNTS = 3
START = 100
LEASE_S = 30.0
DAY_S = 86_400.0

told: Counter[int] = Counter()
"""How often the step of each operation has had its effect."""


class Account(Model):
    id: int = key()
    balance: int = START


class Receipt(Model):
    id: int = key()
    source: Account
    target: Account
    amount: int


class Refused(Exception):
    pass


def tell(number: int) -> int:
    told[number] += 1
    return number


@atomic
def transfer(source: Account, target: Account, number: int, amount: int) -> Receipt:
    assert step(tell, number) == number
    if amount > source.balance:
        raise Refused
    source.balance -= amount
    target.balance += amount
    return Receipt(id=number, source=source, target=target, amount=amount)


accounts = st.integers(1, ACCOUNTS)
amounts = st.integers(1, 60)
moments = st.integers(0, 16)


class Operations(RuleBasedStateMachine):
    done = Bundle("done")

    def __init__(self) -> None:
        super().__init__()
        told.clear()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = VirtualClock().__enter__()
        self.deaths = self.calls = 0
        self.finished: dict[int, tuple[int, int, int]] = {}
        self.refused: set[int] = set()
        self.unknown: dict[int, tuple[int, int, int]] = {}
        self.edits: Counter[int] = Counter()
        self.deferred: dict[int, UUID] = {}
        self.db = self.opened()
        self.db.create(Account, Receipt, OperationLog)
        with self.db.session() as session:
            session.add(*(Account(id=number) for number in range(1, ACCOUNTS + 1)))

    def path(self) -> Path:
        return Path(self.folder.name, f"{self.deaths}.db")

    def opened(self) -> Database:
        return Database(f"sqlite:///{self.path()}?synchronous=off", lease_s=LEASE_S)

    def dies(self, at: int, work: Any) -> bool:
        """Do *work* in a process that dies before request *at*; say whether it came to that."""
        old = self.db
        self.deaths += 1
        world = SimulatedSQLite(old, crash_before=at, remains=self.path())
        try:
            with world:
                work()
        except Crash:
            pass
        if world.is_crashed:
            self.db = self.opened()
            old.close()
        else:
            self.deaths -= 1
        return world.is_crashed

    def call(self, source: int, target: int, number: int, amount: int) -> Receipt:
        with self.db.session() as session:
            objects = session.get_one(Account, source), session.get_one(Account, target)
            before = [one.balance for one in objects]
            try:
                receipt = transfer.options(key=str(number))(*objects, number, amount)
            except Refused:
                assert [one.balance for one in objects] == before
                raise
            assert receipt.source is objects[0]
            return receipt

    # ── calls ───────────────────────────────────────────────────────────────────────────────

    @rule(target=done, source=accounts, to=accounts, amount=amounts)
    def transfers(self, source: int, to: int, amount: int) -> Any:
        self.calls += 1
        number = self.calls
        try:
            receipt = self.call(source, to, number, amount)
        except Refused:
            assert amount > self.balances()[source]
            self.refused.add(number)
            return multiple()
        assert (receipt.id, receipt.amount) == (number, amount)
        assert told[number] == 1
        self.finished[number] = source, to, amount
        return number

    @rule(source=accounts, to=accounts, amount=amounts, at=moments)
    def dies_in_a_transfer(self, source: int, to: int, amount: int, at: int) -> None:
        self.calls += 1
        number = self.calls

        def work() -> None:
            try:
                self.call(source, to, number, amount)
            except Refused:
                self.refused.add(number)
            else:
                self.finished[number] = source, to, amount

        if self.dies(at, work) and number not in self.finished and number not in self.refused:
            self.unknown[number] = source, to, amount

    @rule(number=done)
    def asks_again_for_what_is_done(self, number: int) -> None:
        source, to, amount = self.finished[number]
        receipt = self.call(source, to, number, amount)
        assert (receipt.id, receipt.amount) == (number, amount)
        assert told[number] == 1

    @rule(number=consumes(done))
    def the_entry_is_removed_and_the_receipt_stays(self, number: int) -> None:
        with self.db.session() as session:
            entry = session.query(OperationLog).where(OperationLog.key == str(number)).one()
            session.delete(entry)

    @rule(account=accounts, amount=amounts)
    def somebody_pays_in(self, account: int, amount: int) -> None:
        with self.db.session() as session:
            session.get_one(Account, account).balance += amount
        self.edits[account] += amount

    # ── deferred ones ───────────────────────────────────────────────────────────────────────

    @rule(source=accounts, to=accounts, amount=amounts, is_kept=st.booleans())
    def defers(self, source: int, to: int, amount: int, is_kept: bool) -> None:
        """Defer a transfer together with a payment; both are there, or neither."""
        self.calls += 1
        with self.db.session() as session:
            objects = session.get_one(Account, source), session.get_one(Account, to)
            objects[0].balance += 1
            handle = transfer.start(*objects, self.calls, amount)
            if not is_kept:
                session.rollback()
        if is_kept:
            self.edits[source] += 1
            self.unknown[self.calls] = source, to, amount
            self.deferred[self.calls] = handle.id

    @rule(data=st.data())
    def cancels_a_deferred_one(self, data: st.DataObject) -> None:
        waiting = sorted(self.deferred.keys() & self.unknown.keys())
        if not waiting:
            return
        number = data.draw(st.sampled_from(waiting))
        handle = self.db.operation(self.deferred[number])
        state = handle.state
        handle.cancel()
        assert state in {"pending", "running", "quarantined"}
        assert handle.state == "cancelled"
        del self.unknown[number], self.deferred[number]

    @rule()
    def a_worker_does_what_is_due(self) -> None:
        self.db.worker(concurrency=1).run(until_idle=True)

    # ── recoveries and time ─────────────────────────────────────────────────────────────────

    @rule()
    def recovers(self) -> None:
        self.db.recover()

    @rule(at=moments)
    def dies_in_a_recovery(self, at: int) -> None:
        self.dies(at, self.db.recover)

    @rule(seconds=st.sampled_from([1.0, LEASE_S + 1, 3600.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(seconds=st.sampled_from([-7200.0, -LEASE_S, LEASE_S, 7200.0]))
    def the_clock_jumps(self, seconds: float) -> None:
        self.clock.jump(seconds)

    # ── what must be true ───────────────────────────────────────────────────────────────────

    def balances(self) -> dict[int, int]:
        with self.db.session() as session:
            return {one.id: one.balance for one in session.query(Account).all()}

    @invariant()
    def every_balance_is_what_the_receipts_make_of_it(self) -> None:
        with self.db.session() as session:
            receipts = session.query(Receipt).include(Receipt.source, Receipt.target).all()
            found = {one.id: (one.source.id, one.target.id, one.amount) for one in receipts}
            entries = session.query(OperationLog).all()
            states = {int(one.key): one.state for one in entries if one.key}
        for number in self.unknown.keys() & found.keys():
            self.finished[number] = self.unknown.pop(number)
        assert found == self.finished
        expected = {number: START + self.edits[number] for number in range(1, ACCOUNTS + 1)}
        for source, target, amount in found.values():
            expected[source] -= amount
            expected[target] += amount
        assert self.balances() == expected
        assert all(states[number] == "done" for number in found.keys() & states.keys())
        assert all(states[number] == "failed" for number in self.refused)
        assert all(told[number] >= 1 for number in found)

    def teardown(self) -> None:
        try:
            self.everything_is_finished_in_the_end()
        finally:
            self.db.close()
            self.clock.__exit__(None, None, None)
            self.folder.cleanup()

    def everything_is_finished_in_the_end(self) -> None:
        for _ in range(8):
            self.clock.advance(DAY_S)
            self.db.recover()
            self.db.worker(concurrency=1).run(until_idle=True)
        self.every_balance_is_what_the_receipts_make_of_it()
        with self.db.session() as session:
            numbers = {one: number for number, one in self.deferred.items()}
            ended = {
                int(one.key or numbers.get(one.id, 0)): (one.state, one.error)
                for one in session.query(OperationLog).all()
            }
        assert self.unknown.keys() & self.deferred.keys() <= ended.keys()
        for number in self.unknown.keys() & ended.keys():
            assert ended[number] == ("quarantined", "Refused: "), "it is done, or refused each time"


TestOperations = pytest.mark.filterwarnings("ignore::ResourceWarning")(Operations.TestCase)
TestOperations.settings = settings(
    max_examples=500 if os.environ.get("GRAVEN_EVERY_POINT") else 25,
    stateful_step_count=15,
    deadline=None,
)
