"""Durable operations at large: recovery, workers, and a log of a million finished entries."""

import gc
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

import psycopg

from bench import server
from bench.report import Table, number, yes
from bench.store import expect
from graven import Database, Model, Operation, OperationLog, atomic, key
from graven.ops.operating import OPERATIONS

INTERRUPTED = 1_000
DEFERRED = 2_000
FINISHED = 1_000_000
CALLS = 50
TURNS = 4  # in a round, so that what disturbs one log disturbs the other too
RECOVERY_S_MAX = 5.0
THROUGHPUT_MIN = {"sqlite": 1_000, "postgresql": 500}
GROWTH_MAX = 1.25
COPIES = {
    "sqlite": "insert into graven_operation (id, {others}) with recursive numbers(n) as (select 1 "
    "union all select n + 1 from numbers where n < {count}) "
    "select randomblob(16), {others} from graven_operation, numbers where state = 'done' and n > 1",
    "postgresql": "insert into graven_operation (id, {others}) select gen_random_uuid(), {others} "
    "from graven_operation, generate_series(2, {count}) where state = 'done'",
}


class Account(Model):
    """What operations change."""

    id: int = key()
    balance: int = 0


@atomic
def deposit(account: Account, amount: int) -> int:
    """Change one object."""
    account.balance += amount
    return account.balance


@atomic
def do_nothing() -> None:
    """Change nothing."""


@dataclass(frozen=True)
class Figures:
    """What was measured on one backend."""

    recovery_s: float
    per_second: float
    empty_s: float
    full_s: float


def run(rounds: int, is_quick: bool) -> dict[str, Figures]:
    """Take all samples, on each backend in a store of its own."""
    found = {}
    for name, opened in (("sqlite", _file), ("postgresql", _server)):
        with opened() as urls:
            recovery_s = median(_recovery(urls("recovery")) for _ in range(min(rounds, 3)))
            per_second = median(_throughput(urls("worker")) for _ in range(min(rounds, 3)))
            growth = _growth(name, urls, rounds, FINISHED // 10 if is_quick else FINISHED)
            found[name] = Figures(recovery_s, per_second, *growth)
    return found


def table(found: dict[str, Figures], is_quick: bool) -> Table:
    """What was measured, backend by backend."""
    lines: list[list[str]] = []
    finished = FINISHED // 10 if is_quick else FINISHED
    for name, one in found.items():
        growth, least = one.full_s / one.empty_s, THROUGHPUT_MIN[name]
        each = f"{one.empty_s * 1e6:,.0f} µs, {one.full_s * 1e6:,.0f} µs: {number(growth)}"
        lines += [
            [name, f"recover {INTERRUPTED:,} interrupted operations", f"{one.recovery_s:.2f} s",
             f"≤ {RECOVERY_S_MAX:g} s", yes(one.recovery_s <= RECOVERY_S_MAX)],
            [name, "empty operations that a worker takes and finishes, per second",
             f"{one.per_second:,.0f}", f"≥ {least:,}", yes(one.per_second >= least)],
            [name, f"one operation: empty log, log of {finished:,} finished entries", each,
             f"≤ {GROWTH_MAX}", yes(growth <= GROWTH_MAX)],
        ]  # fmt: skip
    return Table(["backend", "", "measured", "must reach", "reached"], lines)


def _recovery(url: str) -> float:
    """Seconds to finish operations whose processes have died."""
    with Database(url) as db:
        _prepare(db)
        with db.session() as session:
            account = session.get_one(Account, 1)
            for _ in range(INTERRUPTED):
                entry = OperationLog.create(Operation(None, deposit, account, 1))
                entry.state, entry.attempts, entry.worker = "running", 1, "somebody who died"
                session.add(entry)
        before = _balance(db)
        seconds, report = _timed(db.recover)
        expect("operations recovered", report.finished, INTERRUPTED)
        expect("balance", _balance(db), before + INTERRUPTED)
    return seconds


def _throughput(url: str) -> float:
    """Operations per second that one worker takes out of a queue and finishes."""
    with Database(url) as db:
        _prepare(db)
        with db.session():
            for _ in range(DEFERRED):
                db.atomic(do_nothing).start()
        seconds, report = _timed(lambda: db.worker().run(until_idle=True))
        expect("operations done", report.finished, DEFERRED)
    return DEFERRED / seconds


def _growth(
    backend: str, urls: Callable[[str], str], rounds: int, count: int
) -> tuple[float, float]:
    """Seconds per operation with an empty log and with a full one, measured in turn."""
    samples: dict[str, list[float]] = {"empty": [], "full": []}
    with Database(urls("empty")) as empty, Database(urls("full")) as full:
        for db in (empty, full):
            _prepare(db)
            _calls(db, 1)
        _fill(backend, full, urls("full"), count)
        for _ in range(rounds * TURNS):
            samples["empty"].append(_timed(lambda: _calls(empty, CALLS))[0] / CALLS)
            samples["full"].append(_timed(lambda: _calls(full, CALLS))[0] / CALLS)
    return median(samples["empty"]), median(samples["full"])


def _calls(db: Database, count: int) -> None:
    with db.session() as session:
        account = session.get_one(Account, 1)
        for _ in range(count):
            deposit(account, 1)


def _fill(backend: str, db: Database, url: str, count: int) -> None:
    """Copy the one finished entry, and let the store know what there is."""
    columns = [column.name for column in OPERATIONS.columns]
    others = ", ".join(f'"{name}"' for name in columns if name != "id")
    text = COPIES[backend].format(others=others, count=count)
    if backend == "sqlite":
        with sqlite3.connect(url.removeprefix("sqlite:///").partition("?")[0]) as raw:
            raw.execute(text)
            raw.execute("analyze")
        raw.close()
    else:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(text)  # type: ignore[arg-type]
            connection.execute("vacuum analyze")
    with db.session() as session:
        expect("entries in the log", session.query(OperationLog).count(), count)


def _prepare(db: Database) -> None:
    db.create(Account, OperationLog)
    with db.session() as session:
        if session.get(Account, 1) is None:
            session.add(Account(id=1))


def _balance(db: Database) -> int:
    with db.session() as session:
        return session.get_one(Account, 1).balance


def _timed(function: Callable[[], object]) -> tuple[float, object]:
    gc.collect()
    start = perf_counter()
    result = function()
    return perf_counter() - start, result


@contextmanager
def _file() -> Iterator[Callable[[str], str]]:
    with TemporaryDirectory(prefix="graven-bench-") as directory:
        yield lambda name: f"sqlite:///{directory}/{name}.db?synchronous=normal"


@contextmanager
def _server() -> Iterator[Callable[[str], str]]:
    with server.opened(["recovery", "worker", "empty", "full"]) as urls:
        yield urls
