"""Committers, readers and recoverers at once, a request at a time, and some of them die.

The store is naive; what must come out is what a naive model says: money is conserved, one has the
token, names are unique, nobody refers to nothing, and what was acknowledged is there exactly once.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Generator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from graven.errors import BusyRetry, ForeignKeyError
from graven.ops.conditions import Compare, Path, Select
from graven.ops.requests import Apply, Delete, Fetch, FetchKeys, Insert, Update
from graven.ops.schema import Column, Reference, Table
from graven.ops.writesets import RecoverWriteSets
from tests.writesets.naive import NaiveStore, Process

Flow = Generator[Any, Any, Any]

ACCOUNTS = Table(
    "account",
    (
        Column("id", "int"),
        Column("name", "str", nullable=True, unique=True),
        Column("money", "int"),
        Column("token", "int"),
        Column("version", "int"),
    ),
    key=("id",),
    version="version",
)
RECEIPTS = Table(
    "receipt",
    (Column("id", "int"), Column("account_id", "int"), Column("version", "int")),
    key=("id",),
    version="version",
    references=(Reference(("account_id",), "account", ("id",)),),
)
COLUMNS = tuple(column.name for column in ACCOUNTS.columns)
NUMBER, MONEY = 4, 100


def receipt(serial: int, account: int) -> Insert:
    return Insert(RECEIPTS, ("id", "account_id", "version"), [(serial, account, 1)])


def look(*keys: int) -> Flow:
    rows = yield from FetchKeys(ACCOUNTS, COLUMNS, ("id",), [(key,) for key in keys], True)
    return {row[0]: dict(zip(COLUMNS, row, strict=True)) for row in rows}


def changed(columns: tuple[str, ...], *rows: Any) -> Update:
    return Update(ACCOUNTS, columns, ("version",), list(rows))


def transfer(serial: int, source: int, target: int) -> Flow:
    found = yield from look(source, target)
    if len(found) < 2 or source == target:
        return False
    one, other = found[source], found[target]
    writes = [
        changed(
            ("money",),
            (one["money"] - 1, source, one["version"]),
            (other["money"] + 1, target, other["version"]),
        ),
        receipt(serial, source),
    ]
    return (yield from Apply(writes, [True, False])) is not None


def pass_token(serial: int, source: int, target: int) -> Flow:
    found = yield from look(source, target)
    if len(found) < 2 or source == target or not found[source]["token"]:
        return False
    rows = [(0, source, found[source]["version"]), (1, target, found[target]["version"])]
    writes = [changed(("token",), *rows), receipt(serial, target)]
    return (yield from Apply(writes, [True, False])) is not None


def rename(serial: int, source: int, target: int) -> Flow:
    found = yield from look(source)
    if not found:
        return False
    name = None if serial % 7 == 0 else f"name {target}"
    writes = [changed(("name",), (name, source, found[source]["version"])), receipt(serial, source)]
    return (yield from Apply(writes, [True, False])) is not None


def earn_alone(serial: int, source: int, target: int) -> Flow:
    """A commit of one document: no set, and it minds the marks of others."""
    found = yield from look(source)
    if not found:
        return False
    again = changed(("money",), (found[source]["money"], source, found[source]["version"]))
    return (yield from again) == 1


def open_and_refer(serial: int, source: int, target: int) -> Flow:
    return (yield from Apply([receipt(serial, source)], [False])) is not None


def move_receipt(serial: int, source: int, target: int) -> Flow:
    rows = yield from Fetch(Select(RECEIPTS, ("id", "version"), limit=1))
    if not rows:
        return False
    update = Update(RECEIPTS, ("account_id",), ("version",), [(target, *rows[0])])
    return (yield from Apply([update], [True])) is not None


def close(serial: int, source: int, target: int) -> Flow:
    """Delete an account; its money and token go to another one."""
    found = yield from look(source, target)
    if len(found) < 2 or source == target:
        return False
    one, other = found[source], found[target]
    moved = other["money"] + one["money"], other["token"] + one["token"]
    writes = [
        changed(("money", "token"), (*moved, target, other["version"])),
        Delete(ACCOUNTS, ("version",), [(source, one["version"])]),
    ]
    return (yield from Apply(writes, [True, True])) is not None


def reopen(serial: int, source: int, target: int) -> Flow:
    new = Insert(ACCOUNTS, COLUMNS, [(source, None, 0, 0, serial)])
    return (yield from Apply([new, receipt(serial, source)], [False, False])) is not None


def count_money(store: NaiveStore) -> Flow:
    rows = yield from Fetch(Select(ACCOUNTS, ("money", "token")))
    assert sum(row[0] for row in rows) == NUMBER * MONEY
    assert sum(row[1] for row in rows) == 1


def find_token(store: NaiveStore) -> Flow:
    where = Compare("==", Path((), "token", "int"), 1)
    rows = yield from Fetch(Select(ACCOUNTS, ("id",), where))
    assert len(rows) == 1


def compare_pair(store: NaiveStore) -> Flow:
    """Receipts are written with what they are for: who sees one sees an account for it."""
    rows = yield from Fetch(Select(RECEIPTS, ("account_id",)))
    found = yield from look(*(row[0] for row in rows))
    if {row[0] for row in rows} <= found.keys():
        return
    again = yield from Fetch(Select(RECEIPTS, ("account_id",)))
    assert Counter(again) != Counter(rows)


def recover(store: NaiveStore) -> Flow:
    yield from RecoverWriteSets((ACCOUNTS, RECEIPTS))


WORK = (transfer, pass_token, rename, earn_alone, open_and_refer, move_receipt, close, reopen)
LOOKS = (count_money, find_token, compare_pair, recover)
PATIENT_MS = 40_000


class Town:
    """All that goes on, and what was acknowledged."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.store = NaiveStore(ACCOUNTS, RECEIPTS)
        rows = [(one, f"first {one}", MONEY, int(one == 0), 1) for one in range(NUMBER)]
        for row in rows:
            Process(self.store, iter(Insert(ACCOUNTS, COLUMNS, [row]))).run()
        self.running: list[tuple[Process, Any, int]] = []
        self.serial = 0
        self.acknowledged: list[int] = []
        self.refused: list[int] = []

    def start(self) -> None:
        self.serial += 1
        world = self.store.world(self.dice.random(), busy_timeout_s=60.0)
        if self.dice.random() < 0.3:
            what = self.dice.choice(LOOKS)
            self.running.append((Process(self.store, what(self.store), world), what, 0))
            return
        what = self.dice.choice(WORK)
        source, target = self.dice.randrange(NUMBER), self.dice.randrange(NUMBER)
        flow = what(self.serial, source, target)
        self.running.append((Process(self.store, flow, world), what, self.serial))

    def step(self, may_kill: bool = True) -> None:
        at = self.dice.randrange(len(self.running))
        process, what, serial = self.running[at]
        if may_kill and self.dice.random() < 0.01:
            process.kill()
            del self.running[at]
            return
        if not process.is_done:
            process.step()
        if not process.is_done:
            return
        del self.running[at]
        if process.failure is not None:
            assert isinstance(process.failure, ForeignKeyError | BusyRetry), process.failure
        if what in LOOKS:
            assert process.failure is None
        elif what not in (earn_alone, move_receipt, close):
            (self.acknowledged if process.result else self.refused).append(serial)

    def finish(self) -> None:
        while self.running:
            self.step(may_kill=False)
        self.store.now_ms += PATIENT_MS
        Process(self.store, recover(self.store)).run()

    def check(self) -> None:
        documents = self.store.documents
        assert not documents.get("graven_writeset")
        accounts = list(documents["account"].values())
        receipts = list(documents.get("receipt", {}).values())
        for one in (*accounts, *receipts):
            assert one.get("_graven_mark") is None
            assert one.get("_graven_next") is None
        assert sum(one["money"] for one in accounts) == NUMBER * MONEY
        assert [one["token"] for one in accounts].count(1) == 1
        names = [one["name"] for one in accounts if one["name"] is not None]
        assert all(isinstance(name, str) for name in names)
        assert len(names) == len(set(names))
        assert {one["account_id"] for one in receipts} <= {one["id"] for one in accounts}
        stored = {one["id"] for one in receipts}
        assert stored >= set(self.acknowledged)
        assert not stored & set(self.refused)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32), at_once=st.integers(2, 6), jumps=st.booleans())
def test_whatever_happens_at_once_and_whoever_dies_all_sets_are_whole(
    seed: int, at_once: int, jumps: bool
) -> None:
    town = Town(random.Random(seed))
    for _ in range(400):
        while len(town.running) < at_once:
            town.start()
        town.step()
        if jumps and town.dice.random() < 0.005:
            town.store.now_ms += 5_000
    town.finish()
    town.check()
    assert town.acknowledged
