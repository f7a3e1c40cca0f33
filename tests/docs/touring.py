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

__all__ = ["take_tour"]

README = Path(__file__).resolve().parents[2] / "README.md"


def take_tour(url: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run every block of the README in an empty *folder*; see that what it says is printed."""
    module = ModuleType(f"tour_{folder.name}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.chdir(folder)
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
    assert not list(folder.iterdir())
