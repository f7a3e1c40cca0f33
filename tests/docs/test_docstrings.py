"""The examples in docstrings are executed, each in the namespace of its own module."""

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import graven

MODULES = ["graven", *(info.name for info in pkgutil.walk_packages(graven.__path__, "graven."))]
EXAMPLES = [
    pytest.param(example, id=example.name)
    for name in MODULES
    if not name.endswith("__main__") and "._async" not in name  # its twin in _sync is run
    for example in doctest.DocTestFinder().find(importlib.import_module(name))
    if example.examples
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_example_in_a_docstring_holds(
    example: doctest.DocTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    report: list[str] = []

    doctest.DocTestRunner(optionflags=options).run(example, out=report.append)

    assert "".join(report) == ""
