"""Runs the contract, which is shipped with graven, over the backends that pyproject.toml names."""

from __future__ import annotations

from pathlib import Path

import pytest

from graven.testing.contract import suite

SUITE = Path(suite.__file__).parent


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect the whole suite where this file is."""
    if file_path != Path(__file__):
        return None
    package: pytest.Collector = pytest.Package.from_parent(parent, path=SUITE)
    return package
