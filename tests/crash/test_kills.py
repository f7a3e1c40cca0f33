"""Real processes, killed at random moments: what was acknowledged is there, once, and whole."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from graven import Database
from tests.crash.worker import ACCOUNTS, START, Account, Transfer

ROOT = Path(__file__).parents[2]
WORKERS = 3


class Bank:
    """A database file, the processes that work on it, and what they acknowledged."""

    def __init__(self, folder: Path, colour: str) -> None:
        self.path = folder / "bank.db"
        self.url = f"sqlite:///{self.path}"
        self.colour = colour
        self.seed = int(os.environ.get("GRAVEN_SEED") or time.time_ns() % 10**9)
        self.dice = random.Random(self.seed)
        self.acknowledged: list[str] = []
        self.running: dict[str, tuple[subprocess.Popen[bytes], threading.Thread]] = {}
        self.started = 0
        with Database(self.url) as db:
            db.create(Account, Transfer)
            with db.session() as session:
                session.add(*(Account(id=n) for n in range(ACCOUNTS)))

    def start(self, count: int = 0) -> None:
        name = f"w{self.started}"
        self.started += 1
        command = [sys.executable, "-m", "tests.crash.worker", self.url, self.colour, name]
        process = subprocess.Popen(
            [*command, str(self.seed + self.started), str(count)],
            stdout=subprocess.PIPE,
            cwd=ROOT,
        )
        reader = threading.Thread(target=self._read, args=(process,))
        reader.start()
        self.running[name] = process, reader

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                if line.endswith(b"\n"):
                    self.acknowledged.append(line.decode().strip())

    def kill(self, name: str) -> int:
        process, reader = self.running.pop(name)
        process.kill()
        status = process.wait(timeout=10)
        reader.join(timeout=10)
        return status

    def wait(self, name: str, timeout_s: float) -> int:
        process, reader = self.running.pop(name)
        try:
            status = process.wait(timeout=timeout_s)
        finally:
            process.kill()
            reader.join(timeout=10)
        return status

    def wait_for_acknowledgements(self, count: int, timeout_s: float = 20) -> None:
        until = time.monotonic() + timeout_s
        while len(self.acknowledged) < count and time.monotonic() < until:
            time.sleep(0.005)

    def check(self) -> int:
        """See that everything holds; return how many transfers are stored."""
        raw = sqlite3.connect(self.path)
        assert raw.execute("pragma integrity_check").fetchall() == [("ok",)]
        raw.close()
        with Database(self.url) as db, db.session() as session:
            accounts = session.query(Account).all()
            transfers = session.query(Transfer).include(Transfer.source, Transfer.target).all()
        balances = Counter(dict.fromkeys(range(ACCOUNTS), START))
        moves: Counter[int] = Counter()
        for one in transfers:
            balances[one.source.id] -= one.amount
            balances[one.target.id] += one.amount
            moves.update((one.source.id, one.target.id))
        hint = f"seed {self.seed}: run again with GRAVEN_SEED={self.seed}"
        assert sum(one.balance for one in accounts) == ACCOUNTS * START, hint
        assert {one.id: one.balance for one in accounts} == dict(balances), hint
        assert {one.id: one.moves for one in accounts if one.moves} == dict(moves), hint
        stored = Counter(one.name for one in transfers)
        assert all(stored[name] == 1 for name in self.acknowledged), hint
        assert len(set(self.acknowledged)) == len(self.acknowledged), hint
        return len(transfers)


@pytest.fixture(params=["blocking", "async"])
def bank(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bank]:
    bank = Bank(tmp_path, request.param)
    print(f"seed {bank.seed}")
    yield bank
    for name in list(bank.running):
        bank.kill(name)


def test_what_was_acknowledged_before_a_kill_is_there_exactly_once_and_nothing_partial(
    bank: Bank,
) -> None:
    kills = 20
    for _ in range(WORKERS):
        bank.start()
    for _ in range(kills):
        bank.wait_for_acknowledgements(len(bank.acknowledged) + bank.dice.randint(3, 30))
        time.sleep(bank.dice.uniform(0, 0.02))
        assert bank.kill(bank.dice.choice(list(bank.running))) == -9
        bank.start()
    for name in list(bank.running):
        assert bank.kill(name) == -9

    stored = bank.check()
    in_flight = stored - len(bank.acknowledged)
    assert 0 <= in_flight <= kills + WORKERS
    assert len(bank.acknowledged) >= 3 * kills


def test_processes_that_are_left_alone_count_exactly_what_they_acknowledged(bank: Bank) -> None:
    each = 60
    for _ in range(WORKERS):
        bank.start(each)
    for name in list(bank.running):
        assert bank.wait(name, timeout_s=60) == 0
    assert bank.check() == len(bank.acknowledged) == WORKERS * each


def test_a_process_that_died_holding_the_lock_does_not_keep_the_others_from_writing(
    tmp_path: Path,
) -> None:
    path = tmp_path / "held.db"
    with Database(f"sqlite:///{path}", busy_timeout_s=10) as db:
        db.create(Account)
        script = (
            "import sys, time; from graven import Database\n"
            "from tests.crash.worker import Account\n"
            "db = Database(sys.argv[1])\n"
            "with db.transaction():\n"
            "    with db.session() as session: session.add(Account(id=1))\n"
            "    print('held', flush=True); time.sleep(60)\n"
        )
        holder = subprocess.Popen(
            [sys.executable, "-c", script, db.url], stdout=subprocess.PIPE, cwd=ROOT
        )
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"held\n"
            killer = threading.Timer(0.2, holder.kill)
            killer.start()
            with db.session() as session:
                session.add(Account(id=2))
            killer.join()
        finally:
            holder.kill()
            holder.communicate(timeout=10)
        assert db.execute("select id from account") == [(2,)]
