"""Part three: workers are killed in the middle of durable operations; each is finished once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter, sleep
from uuid import UUID

from graven import Database, OperationLog, in_
from graven.demo.bank import open_accounts
from graven.demo.crew import Crew
from graven.demo.display import Display
from graven.demo.money import Account, Ledger, Order, Transfer, differences
from graven.demo.outcome import Outcome, rate
from graven.demo.payer import LEASE_S

BALANCE = 100_000  # more than anybody can pay in this time
RECOVERERS = 2
OPEN = ("pending", "running", "compensating", "paused")
RECOVERY_S_MAX = 60.0


def show(
    folder: Path, display: Display, seed: int, *, workers: int, kills: int, accounts: int
) -> Outcome:
    """Let *workers* pay until *kills* of them were killed; recover what they left, and check."""
    outcome = Outcome("operations")
    url, notary = f"sqlite:///{folder / 'operations.db'}", folder / "notary.txt"
    start = open_accounts(url, accounts, BALANCE)
    with Crew(url, folder, accounts, seed, "graven.demo.payer", notary) as crew:
        began = perf_counter()
        with display.task(f"{workers} workers pay, {kills} are killed", kills) as task:
            crew.work(workers, kills, task)
        seconds = perf_counter() - began
        outcome.differences += crew.failures
    done = len(crew.ledger.acknowledged)
    outcome.figures |= {
        "workers killed": crew.kills,
        "killed in the middle of an operation": crew.kills_in_the_middle,
        "operations acknowledged": done,
        "acknowledged per second": rate(done, seconds),
    }
    with display.task(f"{RECOVERERS} recoverers finish what is open") as task:
        recover(url, outcome)
        task.say(f"{outcome.figures['finished by recovery']:,} operations")
    check(url, notary, crew.ledger, start, outcome)
    return outcome


def recover(url: str, outcome: Outcome) -> None:
    """Finish what is open, as soon as its leases have run out, with several recoverers at once."""
    with Database(url) as db, db.session() as session:
        found = session.query(OperationLog).where(in_(OperationLog.state, OPEN)).count()
    began = perf_counter()
    with ThreadPoolExecutor(RECOVERERS) as pool:
        finished = sum(pool.map(_recover, [url] * RECOVERERS))
    outcome.figures |= {
        "operations found open": found,
        "finished by recovery": finished,
        "seconds, leases included": round(perf_counter() - began, 1),
    }


def _recover(url: str) -> int:
    """Recover until nothing is open; return how many operations were finished here."""
    finished, ends_at = 0, perf_counter() + RECOVERY_S_MAX
    with Database(url, lease_s=LEASE_S) as db:
        while perf_counter() < ends_at:
            finished += db.recover().finished
            with db.session() as session:
                if not session.query(OperationLog).where(in_(OperationLog.state, OPEN)).exists():
                    break
            sleep(0.05)
    return finished


def check(url: str, notary: Path, ledger: Ledger, start: dict[int, int], outcome: Outcome) -> None:
    """Hold the store, the log and the notary's book against what the workers said."""
    with Database(url) as db, db.session() as session:
        balances = {one.number: one.balance for one in session.query(Account).all()}
        transfers = [
            Order(one.id, one.source.number, one.target.number, one.amount)
            for one in session.query(Transfer).include(Transfer.source, Transfer.target).all()
        ]
        states = {UUID(one.key): one.state for one in session.query(OperationLog).all()}
    stamps = Counter(UUID(line) for line in notary.read_text("ascii").split())
    there = {one.id for one in transfers}
    outcome.differences += differences(ledger, balances, transfers, start)
    outcome.differences += log_differences(states, there, stamps)
    outcome.figures |= {
        "operations in the log": len(states),
        "done exactly once": len(there),
        "unacknowledged, finished": len(ledger.unacknowledged & there),
        "unacknowledged, never begun": len(ledger.unacknowledged - there),
        "steps done": len(stamps),
        "steps done again, their result not kept": stamps.total() - len(stamps),
        "money at first": sum(start.values()),
        "money at the end": sum(balances.values()),
    }


def log_differences(
    states: dict[UUID, str], transfers: set[UUID], stamps: Counter[UUID]
) -> Iterator[str]:
    """Yield where the log, the transfers and the notary's book do not agree."""
    for one, state in states.items():
        if state != "done" and (state in OPEN or one in transfers):
            yield f"operation {one} is {state}, transfer there: {one in transfers}"
        if state == "done" and one not in transfers:
            yield f"operation {one} is done, and its transfer is not there"
    for one in transfers - states.keys():
        yield f"transfer {one} is there, and no operation of it is in the log"
    for one in transfers - stamps.keys():
        yield f"operation {one} is done, and the notary has not stamped it"
    for one in stamps.keys() - states.keys():
        yield f"the notary has stamped {one}, and no operation of it is in the log"
