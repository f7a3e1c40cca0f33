"""Part two: workers move money, and are killed while they do; nothing is lost or done twice."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

from graven import Database
from graven.demo.crew import Crew
from graven.demo.display import Display
from graven.demo.money import Account, Ledger, Order, Transfer, differences
from graven.demo.outcome import Outcome, rate

BALANCE = 1_000


def show(
    folder: Path, display: Display, seed: int, *, workers: int, kills: int, accounts: int
) -> Outcome:
    """Let *workers* move money among *accounts* until *kills* of them were killed; then check."""
    outcome = Outcome("bank")
    url = bank_url(folder)
    start = open_accounts(url, accounts)
    with Crew(url, folder, accounts, seed) as crew:
        began = perf_counter()
        with display.task(f"{workers} workers move money, {kills} are killed", kills) as task:
            crew.work(workers, kills, task)
        seconds = perf_counter() - began
        outcome.differences += crew.failures
    done = len(crew.ledger.acknowledged)
    outcome.figures |= {
        "workers at a time": workers,
        "workers killed": crew.kills,
        "killed in the middle of a transfer": crew.kills_in_the_middle,
        "transfers acknowledged": done,
        "acknowledged per second": rate(done, seconds),
        "transfers declined": len(crew.ledger.declined),
        "attempts lost to another (conflicts)": crew.ledger.conflicts,
        "attempts that found it locked": crew.ledger.busy,
        "transfers given up after 20 attempts": len(crew.ledger.given_up),
    }
    with display.task("checking every account and transfer") as task:
        check(url, crew.ledger, start, outcome)
        task.say(f"{outcome.figures['transfers in the store']:,} transfers")
    return outcome


def bank_url(folder: Path) -> str:
    """Return the URL of the database of this part."""
    return f"sqlite:///{folder / 'bank.db'}"


def open_accounts(url: str, count: int, balance: int = BALANCE) -> dict[int, int]:
    """Make *count* accounts with money in them; return their balances by number."""
    with Database(url) as db:
        db.create(Account, Transfer)
        with db.session() as session:
            session.add(*(Account(number=number, balance=balance) for number in range(count)))
    return dict.fromkeys(range(count), balance)


def check(url: str, ledger: Ledger, start: dict[int, int], outcome: Outcome) -> None:
    """Hold the store against what the workers said."""
    with Database(url) as db:
        with db.session() as session:
            balances = {one.number: one.balance for one in session.query(Account).all()}
            transfers = [
                Order(one.id, one.source.number, one.target.number, one.amount)
                for one in session.query(Transfer).include(Transfer.source, Transfer.target).all()
            ]
        # The total once more, and the health of the file, in the store's own words.
        ((total,),) = db.execute("select sum(balance) from account")
        ((health,),) = db.execute("pragma integrity_check")
    outcome.differences += differences(ledger, balances, transfers, start)
    if health != "ok":
        outcome.differences.append(f"the file is damaged: {health}")
    there = {one.id for one in transfers}
    outcome.figures |= {
        "transfers in the store": len(transfers),
        "unacknowledged, wholly there": len(ledger.unacknowledged & there),
        "unacknowledged, wholly absent": len(ledger.unacknowledged - there),
        "money at first": sum(start.values()),
        "money at the end": total,
    }
