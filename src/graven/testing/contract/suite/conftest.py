"""Runs the suite over the backends that the setting ``graven_backends`` of pytest names."""

from __future__ import annotations

from graven.testing.contract.fixtures import backend, colour, new_url, open_db, over, url

__all__ = ["backend", "colour", "new_url", "open_db", "url"]

pytest_generate_tests = over()
