"""The command line, as it is called."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import graven
from graven import cli
from graven.demo import bank, edit, operations, stdlib

SMALL = ["demo", "--modules", "80", "--workers", "2", "--kills", "1", "--accounts", "4"]
GRAVEN = [sys.executable, "-c", "from graven.cli import main; main()"]


def invoke(*arguments: str) -> Any:
    return CliRunner().invoke(cli.commands(), [*arguments])


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which temporary folders are made."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_version_is_shown() -> None:
    result = invoke("--version")

    assert (result.exit_code, result.stdout) == (0, f"graven {graven.__version__}\n")


def test_a_call_without_a_command_lists_the_commands() -> None:
    assert "demo" in invoke().output


def test_an_option_that_makes_no_sense_is_refused() -> None:
    assert invoke("demo", "--accounts", "1").exit_code == 2


@pytest.mark.parametrize("package", ["rich", "typer"])
def test_a_missing_extra_says_what_to_install(
    package: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, package, None)

    with pytest.raises(SystemExit) as ended:
        cli.main()

    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert f"the package '{package}' is not installed" in said
    assert 'pip install "graven[cli]"' in said


def test_the_library_loads_nothing_of_the_extra() -> None:
    code = "import sys, graven, graven.cli; print({'rich', 'typer', 'click'} & sys.modules.keys())"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "set()\n"


def test_a_small_demo_finds_no_difference_and_leaves_no_file(folder: Path) -> None:
    result = invoke(*SMALL, "--json")

    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    assert data["differs"] is False
    assert [(part["name"], part["difference_count"]) for part in data["parts"]] == [
        ("standard library", 0),
        ("bank", 0),
        ("operations", 0),
        ("edit and cancel", 0),
    ]
    library, money, durable, cancelled = (part["figures"] for part in data["parts"])
    assert (library["modules"], library["transactions"]) == (80, 1)
    assert library["values compared"] > 9 * 80
    assert (money["workers killed"], money["money at the end"]) == (1, 4_000)
    assert (durable["workers killed"], durable["money at the end"]) == (1, 400_000)
    assert durable["operations in the log"] >= durable["done exactly once"] > 0
    assert cancelled == {"writes explained": 4, "writes sent": 0}
    assert list(folder.iterdir()) == []


def test_without_a_terminal_the_demo_speaks_in_plain_lines() -> None:
    result = invoke(*SMALL, "--seed", "5")

    assert result.exit_code == 0, result.output
    assert "seed 5" in result.stdout
    assert "a fresh process loads and compares" in result.stdout
    assert "nothing differs" in result.stdout
    assert "\x1b" not in result.stdout


def before(
    monkeypatch: pytest.MonkeyPatch, module: Any, name: str, change: Callable[..., None]
) -> None:
    """Let *change* happen right before a step of the demo, which then runs as ever."""
    original = getattr(module, name)

    def step(*arguments: Any, **options: Any) -> Any:
        change(*arguments)
        return original(*arguments, **options)

    monkeypatch.setattr(module, name, step)


def execute(url: str, statement: str) -> None:
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        assert connection.execute(statement).rowcount > 0
        connection.commit()


def failed_parts(result: Any) -> list[str]:
    return [part["name"] for part in json.loads(result.stdout)["parts"] if part["differences"]]


def test_a_row_changed_between_commit_and_check_ends_with_status_1(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    statement = "update module set sha256 = x'00' where name = '_ast'"

    before(monkeypatch, stdlib, "compare", lambda url, *_: execute(url, statement))

    result = invoke(*SMALL)
    assert result.exit_code == 1
    assert "differs standard library: module _ast: sha256" in result.stdout
    assert "something differs" in result.stdout


def test_a_file_spoilt_between_commit_and_check_ends_with_status_1(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def spoil(url: str, *_: Any) -> None:
        Path(url.removeprefix("sqlite:///")).write_bytes(b"no database at all" * 1000)

    before(monkeypatch, stdlib, "compare", spoil)

    result = invoke(*SMALL, "--json")
    assert result.exit_code == 1
    assert failed_parts(result) == ["standard library", "edit and cancel"]


def test_money_moved_behind_the_workers_back_ends_with_status_1(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    statement = "update account set balance = balance + 1 where number = 0"

    before(monkeypatch, bank, "check", lambda url, *_: execute(url, statement))

    result = invoke(*SMALL, "--json")
    assert result.exit_code == 1
    assert failed_parts(result) == ["bank"]


def test_a_transfer_that_vanishes_from_a_done_operation_ends_with_status_1(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    statement = "delete from transfer where id = (select id from transfer limit 1)"

    before(monkeypatch, operations, "check", lambda url, *_: execute(url, statement))

    result = invoke(*SMALL, "--json")
    assert result.exit_code == 1
    assert failed_parts(result) == ["operations"]


def test_an_edit_that_reaches_the_file_ends_with_status_1(monkeypatch: pytest.MonkeyPatch) -> None:
    before(
        monkeypatch,
        edit,
        "leftovers",
        lambda session, *_: session._db.execute("update module set lines = lines + 1"),
    )

    result = invoke(*SMALL, "--json")
    assert result.exit_code == 1
    assert failed_parts(result) == ["edit and cancel"]


def test_an_edit_that_stays_in_memory_ends_with_status_1(monkeypatch: pytest.MonkeyPatch) -> None:
    def change_again(session: Any, module: Any, *_: Any) -> None:
        module.lines += 1

    before(monkeypatch, edit, "leftovers", change_again)

    result = invoke(*SMALL, "--json")
    assert result.exit_code == 1
    assert failed_parts(result) == ["edit and cancel"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_ends_its_processes_and_removes_its_files(
    folder: Path, number: signal.Signals
) -> None:
    environment = {**os.environ, "TMPDIR": str(folder)}
    with subprocess.Popen(
        [*GRAVEN, *SMALL[:-4], "--kills", "1000"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            wait_for(lambda: any(folder.glob("*/worker-3.txt")) or process.poll() is not None)
            started = workers_in(folder)
            process.send_signal(number)
            said, _ = process.communicate(timeout=30)
        finally:
            process.kill()

    assert started
    assert process.returncode == 130, said
    assert "interrupted" in said
    assert workers_in(folder) == []
    assert list(folder.iterdir()) == []


def wait_for(is_true: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + 30
    while not is_true():
        assert time.monotonic() < ends_at
        time.sleep(0.02)


def workers_in(folder: Path) -> list[str]:
    """Return the processes whose arguments name a database in *folder*."""
    listed = subprocess.run(
        ["ps", "-ww", "-eo", "args"], capture_output=True, text=True, check=True
    )
    return [line for line in listed.stdout.splitlines() if f"sqlite:///{folder}" in line]
