"""Crash points: real processes, killed at each of their writes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from graven import Database, UsageError
from graven.testing import CrashpointFailure, crashpoints
from graven.testing.crashing import home_of
from graven.testing.postgres import PostgresBackend
from tests.testing import points

pytest_plugins = ["pytester"]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/bank.db"


@pytest.fixture
def postgresql(tmp_path: Path) -> Iterator[str]:
    backend = PostgresBackend()
    backend.start()
    with backend.fresh(tmp_path) as url:
        yield url
    backend.stop()


@pytest.mark.parametrize("function", [points.together, points.together_async])
def test_every_write_is_a_moment_before_and_after(url: str, function: Any) -> None:
    report = crashpoints(url, function, points.money_is_kept, prepare=points.prepare)

    verbs = [(when, text.split()[0]) for when, text in report.moments]
    assert verbs == [(w, v) for v in ("insert", "update", "commit") for w in ("before", "after")]
    assert list(report.tried) == [0, 1, 2, 3, 4, 5]
    assert report.deaths == 6
    assert str(report).startswith("killed at 6 of 6 moments, 6 deaths in all")


def test_on_postgresql_every_message_is_a_moment(postgresql: str) -> None:
    report = crashpoints(
        postgresql, points.together, points.money_is_kept, prepare=points.prepare, reads=True
    )

    assert [when for when, _ in report.moments] == ["before", "after"] * (len(report.moments) // 2)
    assert sum("update" in text for _, text in report.moments) == 2
    assert any(text.startswith("select") for _, text in report.moments)


@pytest.mark.parametrize("sample", [None, 2])
def test_the_process_really_dies_there(
    url: str, sample: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "told"
    monkeypatch.setenv("GRAVEN_POINTS", str(told))

    report = crashpoints(
        url, points.tells, points.money_is_kept, prepare=points.prepare, sample=sample
    )

    words = Counter(told.read_text().split())
    assert words == {"begun": 1 + len(report.tried), "done": 1}
    assert len(report.tried) == (sample or 6)


def test_a_death_between_two_commits_is_told_with_moment_and_statement(url: str) -> None:
    with pytest.raises(CrashpointFailure) as caught:
        crashpoints(url, points.one_after_the_other, points.money_is_kept, prepare=points.prepare)

    failure = caught.value
    assert (failure.number, failure.total, failure.when) == (1, 4, "after")
    assert failure.statement is not None
    assert failure.statement.startswith("update `account`")
    assert isinstance(failure.__cause__, AssertionError)
    told = str(failure)
    assert "the invariant broke after a death at one of 4 moments: moment 1, right after\n" in told
    assert failure.statement in told
    assert "AssertionError: {1: 70, 2: 100}" in told
    assert told.endswith("only=[1]")

    with pytest.raises(CrashpointFailure):
        crashpoints(
            url, points.one_after_the_other, points.money_is_kept, prepare=points.prepare, only=[1]
        )
    report = crashpoints(
        url, points.one_after_the_other, points.money_is_kept, prepare=points.prepare, only=[0, 3]
    )
    assert list(report.tried) == [0, 3]


def test_what_recovery_mends_is_no_failure(url: str) -> None:
    with pytest.raises(CrashpointFailure, match=r"\{1: 70, 2: 100\}"):
        crashpoints(
            url,
            points.by_intent,
            points.money_is_kept,
            prepare=points.prepare,
            recover=points.leaves_alone,
        )

    report = crashpoints(
        url, points.by_intent, points.money_is_kept, prepare=points.prepare, recover=points.pay
    )
    assert len(report.tried) == len(report.moments)


def test_a_recovery_that_bears_no_death_is_found_by_killing_it_too(url: str) -> None:
    def attempt(recover: Any, kill_recovery: bool, sample: int | None = None) -> Any:
        return crashpoints(
            url,
            points.by_intent,
            points.money_is_kept,
            prepare=points.prepare,
            recover=recover,
            kill_recovery=kill_recovery,
            sample=sample,
        )

    attempt(points.pay_carelessly, kill_recovery=False)
    with pytest.raises(CrashpointFailure, match="and of the recovery at moment"):
        attempt(points.pay_carelessly, kill_recovery=True)
    report = attempt(points.pay, kill_recovery=True, sample=4)
    assert 4 < report.deaths <= 8


def test_the_same_seed_chooses_the_same_moments(url: str) -> None:
    first, again, other = (
        crashpoints(
            url,
            points.together,
            points.money_is_kept,
            prepare=points.prepare,
            sample=3,
            seed=seed,
        ).tried
        for seed in (1, 1, 3)
    )
    assert first == again != other


def test_invariants_may_be_awaited_and_may_return_false(url: str) -> None:
    prepared = {"prepare": points.prepare, "only": [0]}
    crashpoints(url, points.together_async, points.money_is_kept_async, **prepared)
    crashpoints(url, points.together, points.money_has_arrived_or_not, **prepared)
    with pytest.raises(CrashpointFailure, match="though nobody killed it\nAssertionError: it ret"):
        crashpoints(url, points.together, points.is_never_true, **prepared)


def test_a_recovery_that_fails_is_a_failure_and_says_so(url: str) -> None:
    with pytest.raises(CrashpointFailure, match="the recovery failed though nobody killed it"):
        crashpoints(
            url,
            points.together,
            points.money_is_kept,
            prepare=points.prepare,
            recover=lambda db: 1 / 0,
        )


def test_a_function_that_fails_or_hangs_by_itself_is_told_as_that(url: str) -> None:
    with pytest.raises(CrashpointFailure, match="ZeroDivisionError: by itself"):
        crashpoints(url, points.fails, points.money_is_kept, prepare=points.prepare)
    with pytest.raises(CrashpointFailure, match=r"had not ended after 0\.5 s"):
        crashpoints(url, points.hangs, points.money_is_kept, prepare=points.prepare, timeout_s=0.5)


def test_options_of_the_database_are_those_in_every_process(url: str) -> None:
    with pytest.raises(CrashpointFailure, match="busy"), Database(url) as db:
        points.prepare(db)
        with db.transaction():
            db.execute("update account set balance = balance")
            crashpoints(url, points.together, points.money_is_kept, busy_timeout_s=0.01)


@pytest.mark.parametrize("url", ["memory:", "sqlite://", "memory:shared"])
def test_a_store_that_dies_with_its_process_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="dies with its process"):
        crashpoints(url, points.together, points.money_is_kept)


def test_a_store_whose_driver_is_not_known_is_refused() -> None:
    with pytest.raises(UsageError, match="its driver is not known here"):
        crashpoints("oracle://somewhere/db", points.together, points.money_is_kept)


def test_a_function_that_another_process_cannot_find_is_refused(url: str) -> None:
    def inner(db: Any) -> None: ...

    for function in (inner, lambda db: None):
        with pytest.raises(UsageError, match="another process cannot find"):
            crashpoints(url, function, points.money_is_kept)
    with pytest.raises(UsageError, match="another process cannot find"):
        crashpoints(
            url, points.together, points.money_is_kept, recover=lambda db: None, kill_recovery=True
        )


def test_a_function_that_writes_nothing_and_a_moment_that_is_not_there_are_refused(
    url: str,
) -> None:
    with pytest.raises(UsageError, match="wrote nothing"):
        crashpoints(url, points.reads, points.money_is_kept, prepare=points.prepare)
    with pytest.raises(UsageError, match=r"cannot kill at \[6\]: there are 6 moments"):
        crashpoints(url, points.together, points.money_is_kept, prepare=points.prepare, only=[2, 6])


def test_a_module_that_cannot_be_imported_twice_is_told(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    once = tmp_path / "imported_once.py"
    once.write_text("def function(db): ...\n")
    import imported_once  # type: ignore[import-not-found, unused-ignore]

    once.write_text("1 / 0\n")
    with pytest.raises(UsageError, match=r"(?s)cannot import the function.*ZeroDivisionError"):
        crashpoints(url, imported_once.function, points.money_is_kept)


def test_a_function_does_not_outlive_the_process_that_asked_for_it(tmp_path: Path) -> None:
    told = tmp_path / "told"
    code = (
        "from graven.testing import crashpoints\nfrom tests.testing import points\n"
        f"crashpoints('sqlite:///{tmp_path}/bank.db', points.hangs, points.money_is_kept,"
        " prepare=points.prepare)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "GRAVEN_POINTS": str(told)},
    )
    try:
        wait_until(lambda: told.exists() and told.read_text().endswith("\n"))
    finally:
        process.kill()
        process.wait()

    hanging = int(told.read_text())
    wait_until(lambda: not Path(f"/proc/{hanging}").exists())


def wait_until(is_true: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + 20
    while not is_true():
        assert time.monotonic() < ends_at
        time.sleep(0.01)


def test_the_home_of_a_function_is_its_module_and_file() -> None:
    home = home_of(points.together)

    assert home["module"] == "tests.testing.points"
    assert home["name"] == "together"
    assert Path(home["file"]).samefile(points.__file__)


def test_the_fixture_finds_functions_in_a_test_file_that_no_import_finds(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(
        """
        from graven import Model, key

        class Account(Model):
            id: int = key()

        def prepare(db):
            db.create(Account)
            with db.session() as session:
                session.delete(*session.query(Account).all())

        def opens(db):
            with db.session() as session:
                session.add(Account(id=1), Account(id=2))

        def opens_in_turn(db):
            for number in (1, 2):
                with db.session() as session:
                    session.add(Account(id=number))

        def all_or_none(db):
            with db.session() as session:
                assert session.query(Account).count() in {0, 2}

        def test_good(crashpoints, tmp_path):
            crashpoints(f"sqlite:///{tmp_path}/a.db", opens, all_or_none, prepare=prepare)

        def test_bad(crashpoints, tmp_path):
            crashpoints(f"sqlite:///{tmp_path}/b.db", opens_in_turn, all_or_none, prepare=prepare)
        """
    )
    result = pytester.runpytest_subprocess(
        "-p", "no:xdist", "-p", "no:cacheprovider", "--import-mode=importlib"
    )
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*insert into*account*"])
