"""The tour of the README, with the URL replaced and nothing else."""

from __future__ import annotations

import asyncio
import doctest
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from tests.docs.test_pages import expectations, run

README = Path(__file__).resolve().parents[2] / "README.md"


def test_the_tour_runs_with_the_url_replaced(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType(f"tour_{tmp_path.name}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.chdir(tmp_path)
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    replaced = 0
    with asyncio.Runner() as loop:
        for block, expected in expectations(README.read_text("utf-8")):
            replaced += block.text.count("sqlite:///bank.db")
            text = block.text.replace("sqlite:///bank.db", url)
            printed = run(replace(block, text=text), str(README), vars(module), loop)
            if expected is not None:
                assert doctest.OutputChecker().check_output(expected, printed, options), printed
    assert replaced
    assert not list(tmp_path.iterdir())
