"""What pytest has wherever graven is installed: databases for tests, and the contract suite."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

pytest_plugins = ["pytester"]

MODELS = """
import asyncio
import pytest
from graven import Database, Model, key

class Account(Model):
    id: int = key()
    balance: int = 0
"""


def run(pytester: pytest.Pytester, tests: str, *options: str) -> pytest.RunResult:
    """Run *tests* as somebody does who has graven installed and set up nothing."""
    pytester.makepyfile(MODELS + dedent(tests))
    return pytester.runpytest_subprocess("-p", "no:xdist", "-p", "no:cacheprovider", *options)


def test_db_and_async_db_are_empty_stores_of_each_test_with_nothing_to_set_up(
    pytester: pytest.Pytester,
) -> None:
    result = run(
        pytester,
        """
        @pytest.mark.parametrize("turn", [1, 2])
        def test_deposit(db, turn):
            db.create(Account)
            with db.session() as session:
                assert session.query(Account).count() == 0
                session.add(Account(id=1))
            with db.session() as session:
                assert session.query(Account).count() == 1

        @pytest.mark.parametrize("turn", [1, 2])
        def test_awaited_deposit(async_db, turn):
            async def work():
                await async_db.create(Account)
                async with async_db.session() as session:
                    assert await session.query(Account).count() == 0
                    session.add(Account(id=1))
                async with async_db.session() as session:
                    return await session.query(Account).count()

            assert asyncio.run(work()) == 1
        """,
    )
    result.assert_outcomes(passed=4)


ROLLED_BACK = """
def accounts(url):
    with Database(url) as db, db.session() as session:
        return [one.balance for one in session.query(Account).all()]

@pytest.fixture(scope="module")
def url(tmp_path_factory):
    url = f"sqlite:///{tmp_path_factory.mktemp('bank')}/bank.db"
    with Database(url) as db:
        db.create(Account)
        with db.session() as session:
            session.add(Account(id=1, balance=10))
    return url

@pytest.mark.parametrize("turn", [1, 2])
def test_commits_are_seen_by_the_test(graven_db, url, turn):
    db = graven_db(url)
    for number in (2, 3):
        with db.session() as session:
            session.get(Account, 1).balance += 1
            session.add(Account(id=number))
    with db.session() as session:
        assert session.get(Account, 1).balance == 12
        assert session.query(Account).count() == 3

def test_a_failing_test_is_rolled_back_too(graven_db, url):
    with graven_db(url).session() as session:
        session.get(Account, 1).balance = 99
    raise ZeroDivisionError

@pytest.mark.parametrize("turn", [1, 2])
def test_commits_of_async_code(async_graven_db, url, turn):
    async def work():
        async with async_graven_db(url) as db:
            async with db.session() as session:
                session.add(Account(id=2))
            async with db.session() as session:
                return await session.query(Account).count()

    assert asyncio.run(work()) == 2

def test_tables_that_a_test_makes_go_too(graven_db, tmp_path):
    db = graven_db(f"sqlite:///{tmp_path}/new.db", Account)
    with db.session() as session:
        session.add(Account(id=1))

def test_nothing_is_left(url):
    assert accounts(url) == [10]
"""


def test_graven_db_rolls_back_whatever_a_test_commits(pytester: pytest.Pytester) -> None:
    result = run(pytester, ROLLED_BACK)
    result.assert_outcomes(passed=6, failed=1)
    result.stdout.fnmatch_lines(["*ZeroDivisionError*"])


def test_db_stays_with_the_plug_in_of_django_where_there_is_one(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(
        djangolike="""
        import pytest

        @pytest.fixture
        def db():
            return "theirs"
        """
    )
    pytester.makeconftest("")
    plugin = pytester.path / "hook.py"
    plugin.write_text(
        "import djangolike\n"
        "def pytest_addoption(parser, pluginmanager):\n"
        "    pluginmanager.register(djangolike, 'django')\n"
    )
    pytester.syspathinsert()
    result = run(pytester, "\ndef test_db(db):\n    assert db == 'theirs'\n", "-p", "hook")
    result.assert_outcomes(passed=1)


def test_the_contract_suite_runs_over_the_backend_of_a_third_party(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(
        mine="""
        from graven.testing.contract import MemoryBackend

        class Mine(MemoryBackend):
            name = "mine"
            capabilities = frozenset()
        """
    )
    pytester.makeini("[pytest]\ngraven_backends = mine:Mine\npythonpath = .\n")
    result = pytester.runpytest_subprocess(
        *("-p", "no:cacheprovider", "-p", "no:xdist", "-v"),
        *("--pyargs", "graven.testing.contract.suite.test_precision"),
    )
    outcomes = result.parseoutcomes()
    assert set(outcomes) == {"passed"}
    assert outcomes["passed"] > 10
    result.stdout.fnmatch_lines(["*mine-blocking*", "*mine-async*"])
    result.stdout.no_fnmatch_line("*sqlite]*")


def test_the_contract_suite_asks_for_backends_if_none_is_named(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\n")
    result = pytester.runpytest_subprocess(
        *("-p", "no:cacheprovider", "-p", "no:xdist"),
        *("--pyargs", "graven.testing.contract.suite.test_precision"),
    )
    assert result.ret != 0
    assert "graven_backends = [" in result.stdout.str() + result.stderr.str()


@pytest.mark.parametrize("module", ["graven.testing", "graven.testing.plugin"])
def test_importing_it_imports_neither_pytest_nor_a_driver(module: str, tmp_path: Path) -> None:
    code = f"import sys, {module}; print(sys.modules.keys() & {{'pytest', 'sqlite3', 'asyncio'}})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout == "set()\n"
