"""Tests of the contract are run over the backends that have what they need, and over no others."""

from __future__ import annotations

from textwrap import dedent

import pytest

pytest_plugins = ["pytester"]

CONFTEST = """
    from graven.testing.contract import MemoryBackend, SQLiteBackend
    from graven.testing.contract.fixtures import backend, new_url, over, url

    pytest_generate_tests = over([MemoryBackend(), SQLiteBackend()])
"""

TESTS = """
    import pytest
    from graven.testing.contract import RAW_SQL

    PARAMETERS = ["plain", pytest.param("sql", marks=pytest.mark.needs(RAW_SQL))]

    @pytest.mark.parametrize("given", PARAMETERS)
    def test_a_part_needs_something(url, given):
        assert given == "plain" or url.startswith("sqlite")

    @pytest.mark.needs(RAW_SQL)
    def test_all_of_it_needs_something(url):
        assert url.startswith("sqlite")
"""


def test_a_test_and_a_parameter_that_need_what_a_backend_lacks_are_left_out_for_it(
    pytester: pytest.Pytester,
) -> None:
    pytester.makeconftest(dedent(CONFTEST))
    pytester.makepyfile(dedent(TESTS))
    result = pytester.runpytest_subprocess("-p", "no:xdist", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=4, deselected=1)
