"""Real workers, really killed, and a check that can fail."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from rich.console import Console

from graven.demo import bank
from graven.demo.crew import Crew
from graven.demo.display import Display
from graven.demo.money import Ledger
from graven.demo.outcome import Outcome

SEED = 7


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def pids(crew: Crew) -> list[int]:
    return [worker.child.pid for worker in crew._team]


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ledger, dict[int, int], Crew]:
    """A bank of which two workers were killed, and what they said."""
    folder = tmp_path_factory.mktemp("bank")
    start = bank.open_accounts(bank.bank_url(folder), 4)
    with Crew(bank.bank_url(folder), folder, 4, SEED) as crew:
        crew.hire(2)
        crew.lose_one()
        crew.lose_one()
        crew.go_home()
    return folder, crew.ledger, start, crew


def found(worked: tuple[Path, Ledger, dict[int, int], Crew], folder: Path | None = None) -> Outcome:
    original, ledger, start, _ = worked
    outcome = Outcome("bank")
    bank.check(bank.bank_url(folder or original), ledger, start, outcome)
    return outcome


def copied(folder: Path, target: Path, statement: str) -> None:
    """Copy the bank, and change one row of the copy."""
    with (
        closing(sqlite3.connect(folder / "bank.db")) as source,
        closing(sqlite3.connect(target / "bank.db")) as copy,
    ):
        source.backup(copy)
        assert copy.execute(statement).rowcount == 1
        copy.commit()


def test_killed_workers_lose_nothing_and_do_nothing_twice(
    worked: tuple[Path, Ledger, dict[int, int], Crew],
) -> None:
    _, ledger, _, crew = worked

    outcome = found(worked)

    assert outcome.differences == []
    assert crew.failures == []
    assert crew.kills == 2
    assert len(ledger.acknowledged) > 2
    assert outcome.figures["money at the end"] == outcome.figures["money at first"] == 4_000
    assert len(ledger.unacknowledged) == crew.kills_in_the_middle
    assert outcome.figures["transfers in the store"] == (
        len(ledger.acknowledged) + int(outcome.figures["unacknowledged, wholly there"])
    )


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("update account set balance = balance + 1 where number = 2", "account 2 has"),
        ("update account set balance = balance - 1 where number = 0", "the total is 3999"),
        (
            "delete from transfer where rowid = (select min(rowid) from transfer)",
            "was acknowledged 1 times, and is there 0 times",
        ),
        (
            "update transfer set amount = 61 where id = (select min(id) from transfer)",
            "ordered was",
        ),
    ],
)
def test_a_bank_that_was_tampered_with_is_found_out(
    worked: tuple[Path, Ledger, dict[int, int], Crew], tmp_path: Path, statement: str, words: str
) -> None:
    copied(worked[0], tmp_path, statement)

    assert any(words in one for one in found(worked, tmp_path).differences)


def test_an_error_ends_every_worker(tmp_path: Path) -> None:
    bank.open_accounts(bank.bank_url(tmp_path), 2)
    started: list[int] = []

    with (
        pytest.raises(KeyboardInterrupt),
        Crew(bank.bank_url(tmp_path), tmp_path, 2, SEED) as crew,
    ):
        crew.hire(2)
        started += pids(crew)
        assert [is_running(pid) for pid in started] == [True, True]
        raise KeyboardInterrupt

    assert [is_running(pid) for pid in started] == [False, False]


LOSE_ONE = Crew.lose_one


def lose_one_that_has_ended(crew: Crew) -> None:
    crew._team[0].child.wait(30)
    LOSE_ONE(crew)


def test_a_worker_that_fails_by_itself_is_reported_with_its_last_words(tmp_path: Path) -> None:
    with Crew(bank.bank_url(tmp_path), tmp_path, 2, SEED) as crew:
        crew.hire(1)  # there is no bank in this folder
        lose_one_that_has_ended(crew)

    assert (crew.kills, len(crew.failures)) == (0, 1)
    assert "worker-1 ended with status 1: graven.errors." in crew.failures[0]


def test_a_part_with_a_failed_worker_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hire = Crew.hire

    def hire_on_a_foreign_bank(crew: Crew, count: int) -> None:
        crew._url = f"sqlite:///{tmp_path / 'elsewhere.db'}"
        hire(crew, count)

    monkeypatch.setattr(Crew, "hire", hire_on_a_foreign_bank)
    monkeypatch.setattr(Crew, "lose_one", lose_one_that_has_ended)

    display = Display(Console(quiet=True))
    outcome = bank.show(tmp_path, display, SEED, workers=1, kills=1, accounts=2)

    assert [one for one in outcome.differences if "worker-1 ended with status 1" in one]
