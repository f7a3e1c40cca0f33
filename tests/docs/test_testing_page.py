"""The test file that the guide to testing shows is run, as pytest runs it."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent

import pytest

pytest_plugins = ["pytester"]

PAGE = Path(__file__).parents[2] / "docs" / "guides" / "testing.md"


def test_the_shown_test_of_every_death_passes_and_finds_what_it_is_there_to_find(
    pytester: pytest.Pytester,
) -> None:
    shown = re.search(
        r"\n((?:    .*\n|\n)*    # test_transfer\.py\n(?:    .*\n|\n)*)", PAGE.read_text()
    )
    assert shown is not None
    text = dedent(shown[1])
    pytester.makepyfile(
        test_transfer=text,
        test_unsafe=text.replace(
            "transfer(session.get(Account, 1), session.get(Account, 2), 30)",
            "session.get(Account, 1).balance -= 30\n"
            "        session.commit()\n"
            "        session.get(Account, 2).balance += 30",
        ),
    )
    result = pytester.runpytest_subprocess("-p", "no:xdist", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*the invariant broke after a death at one of*"])
