"""``graven ops``, ``graven recover`` and ``graven worker``, as they are called."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from typer.testing import CliRunner

from graven import Database, cli
from graven.testing.contract import rows, update
from graven.testing.contract.suite.operations import log_of
from graven.testing.contract.suite.shop import Counter, Sale, broken, sell

from graven.ops.operating import OPERATIONS  # isort: skip

GRAVEN = [sys.executable, "-c", "from graven.cli import main; main()"]
SHOP = "graven.testing.contract.suite.shop"


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    """Hold a shop whose operations wait: two that sell, one that fails."""
    with Database(f"sqlite:///{tmp_path}/shop.db?synchronous=off") as found:
        found.create(Counter, Sale)
        with found.session() as session:
            session.add(counter := Counter(name="one"))
            for number in (1, 2):
                sell.start(counter, number)
            broken.options(queue="bad").start(3)
        yield found


def invoke(db: Database, *arguments: Any, status: int = 0) -> Any:
    result = CliRunner(env={"GRAVEN_DB": db.url}).invoke(cli.commands(), [*map(str, arguments)])
    assert result.exit_code == status, result.output
    return result


def data(db: Database, *arguments: Any, status: int = 0) -> Any:
    return json.loads(invoke(db, *arguments, "--json", status=status).stdout)


def id_of(db: Database, **having: Any) -> UUID:
    (found,) = log_of(db, "id", **having)
    return UUID(str(found))


def run(db: Database) -> None:
    db.worker(["default", "bad"], concurrency=1).run(until_idle=True)


# -- as processes --------------------------------------------------------------------------------


def test_operations_are_listed_run_and_shown_by_processes(db: Database) -> None:
    def graven(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*GRAVEN, *arguments],
            env={**os.environ, "GRAVEN_DB": db.url},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )

    listed = graven("ops", "ls", "--state", "pending").stdout.splitlines()
    assert listed[0].split()[:3] == ["id", "method", "state"]
    assert len(listed) == 4
    worked = graven("worker", SHOP, "--queue", "default", "--queue", "bad", "--until-idle")
    assert "ran 3 operations" in worked.stdout
    assert "2 finished, 1 retried" in worked.stdout
    assert "working on default, bad" in worked.stderr
    found = id_of(db, state="pending")
    shown = graven("ops", "show", str(found)).stdout
    assert "ValueError: 3 cannot be sold" in shown
    assert "logged" in shown


def test_a_database_that_is_not_named_is_asked_for() -> None:
    done = subprocess.run(
        [*GRAVEN, "ops", "ls"],
        env={name: value for name, value in os.environ.items() if name != "GRAVEN_DB"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "--db" in done.stderr


# -- looking -------------------------------------------------------------------------------------


def test_what_is_listed_can_be_chosen(db: Database) -> None:
    run(db)
    assert [one["state"] for one in data(db, "ops", "ls", "--state", "done")] == ["done"] * 2
    assert len(data(db, "ops", "ls", "--state", "done", "--state", "pending")) == 3
    (bad,) = data(db, "ops", "ls", "--queue", "bad")
    assert (bad["attempts"], bad["error"]) == (1, "ValueError: 3 cannot be sold")
    assert len(data(db, "ops", "ls", "--name", "%.sell")) == 2
    assert len(data(db, "ops", "ls", "--limit", 1)) == 1


def test_a_database_without_operations_has_an_empty_list(tmp_path: Path) -> None:
    with Database(f"sqlite:///{tmp_path}/new.db") as empty:
        assert data(empty, "ops", "ls") == []


def test_an_operation_is_shown_whole(db: Database) -> None:
    run(db)
    first = id_of(db, result='{"graven":1,"roots":[1],"nodes":[]}')
    shown = data(db, "ops", "show", first)
    assert shown["result"]["roots"] == [1]
    assert shown["arguments"]["roots"][0][1] == 1
    assert [what for _, what in shown["history"]] == ["logged", "done"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["ops", "ls", "--state", "lost"],
        ["ops", "show", "seven"],
        ["ops", "ls", "--limit", "0"],
        ["worker", "no.such.module"],
        ["recover", "no.such.module"],
        ["worker", SHOP, "--concurrency", "0"],
    ],
)
def test_a_call_that_is_not_understood_ends_with_2(db: Database, arguments: list[str]) -> None:
    invoke(db, *arguments, status=2)


def test_what_graven_refuses_is_told_and_ends_with_1(db: Database) -> None:
    unknown = uuid4()
    assert str(unknown) in invoke(db, "ops", "show", unknown, status=1).stderr
    pending = id_of(db, queue="bad")
    assert "cannot retry" in invoke(db, "ops", "retry", pending, status=1).stderr
    with Database("sqlite:////no/such/folder/x.db") as nowhere:
        invoke(nowhere, "ops", "ls", status=1)


# -- changing ------------------------------------------------------------------------------------


def test_operations_are_paused_resumed_cancelled_and_tried_again(db: Database) -> None:
    ids = [str(one) for one in log_of(db, "id", queue="default")]
    changed = data(db, "ops", "pause", *ids)
    assert changed == [{"id": one, "state": "paused"} for one in ids]
    assert invoke(db, "ops", "resume", ids[0]).stdout == f"{ids[0]} is pending\n"
    assert data(db, "ops", "cancel", ids[1])[0]["state"] == "cancelled"
    bad = id_of(db, queue="bad")
    update(db, OPERATIONS, bad, state="quarantined", due=None)
    assert data(db, "ops", "retry", bad)[0]["state"] == "pending"
    run(db)
    assert sorted(log_of(db, "state")) == ["cancelled", "done", "pending"]


def test_an_operation_is_done_once_more(db: Database) -> None:
    run(db)
    first = log_of(db, "id", state="done")[0]
    assert data(db, "ops", "rerun", first)[0]["state"] == "pending"
    run(db)
    assert rows(db, Counter, "sold") == [(3,)]
    invoke(db, "ops", "rerun", first, "--from", "no such step", status=1)


# -- recover -------------------------------------------------------------------------------------


def test_a_recovery_tells_by_its_status_whether_somebody_is_needed(db: Database) -> None:
    assert data(db, "recover", SHOP)["finished"] == 0
    broken.on(db).start(4)
    left = id_of(db, queue="default", method=broken.name)
    past = db.operation(left).entry.timestamp - timedelta(hours=1)
    update(db, OPERATIONS, left, queue=None, attempts=5, due=past)
    assert data(db, "recover", SHOP, status=1)["quarantined"] == 1
    assert "recovered 0 operations" in invoke(db, "recover", SHOP).stdout
