"""The tour of the README, with the URL replaced and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.touring import take_tour


def test_the_tour_runs_with_the_url_replaced(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_tour(url, tmp_path, monkeypatch)
