"""Workers in processes of their own: each operation is done once, and they end in order."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from graven import AsyncDatabase, Database
from graven.testing.contract import SURVIVES, TRANSACTIONS, rows
from graven.testing.contract.suite.operations import log_of
from graven.testing.contract.suite.shop import Counter, Sale, lingering, sell, told

GRAVEN = [sys.executable, "-c", "from graven.cli import main; main()"]
SHOP = "graven.testing.contract.suite.shop"

pytestmark = pytest.mark.needs(SURVIVES, TRANSACTIONS)


def graven(url: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*GRAVEN, *arguments],
        env={**os.environ, "GRAVEN_DB": url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> Any:
    said, complaints = process.communicate(timeout=60)
    assert process.returncode == 0, complaints
    return json.loads(said)


def test_two_processes_share_the_work_and_do_each_operation_once(url: str) -> None:
    with Database(url) as db:
        db.create(Counter, Sale)
        with db.session() as session:
            counters = [Counter(name=str(at)) for at in range(5)]
            session.add(*counters)
            for number in range(200):
                sell.start(counters[number % 5], number)
        work = ["worker", SHOP, "--until-idle", "--json", "--concurrency", "2"]
        found = [ended(one) for one in [graven(url, *work) for _ in range(2)]]
        assert sum(one["finished"] for one in found) == 200
        assert sorted(number for (number,) in rows(db, Sale, "number")) == list(range(200))
        assert rows(db, Counter, "sold") == [(40,)] * 5
        assert log_of(db, "state") == ["done"] * 200


def test_a_worker_process_runs_the_operations_of_both_colours(url: str) -> None:
    async def start_async() -> None:
        async with AsyncDatabase(url) as db:
            await told.on(db).start(7)

    with Database(url) as db:
        db.create(Counter, Sale)
        with db.session() as session:
            session.add(counter := Counter(name="one"))
            sell.start(counter, 1)
            sell.start(counter, 2)
        asyncio.run(start_async())
        assert ended(graven(url, "worker", SHOP, "--until-idle", "--json"))["finished"] == 3
        assert log_of(db, "state") == ["done"] * 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_process_that_is_asked_to_end_finishes_what_runs(
    url: str, tmp_path: Path, number: signal.Signals
) -> None:
    begun = tmp_path / "begun"
    with Database(url) as db:
        with db.session():
            lingering.on(db).start(str(begun))
            lingering.on(db).start(str(begun))
        process = graven(url, "worker", SHOP, "--json", "--concurrency", "1")
        ends_at = time.monotonic() + 60
        while not begun.exists():
            assert time.monotonic() < ends_at
            time.sleep(0.01)
        process.send_signal(number)
        assert ended(process)["finished"] == 1
        assert sorted(log_of(db, "state")) == ["done", "pending"]
