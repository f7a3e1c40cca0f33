"""What only SQLite has, files above all, with the fixtures of the contract, in both colours."""

from __future__ import annotations

from graven.testing.contract import SQLiteBackend
from graven.testing.contract.fixtures import backend, colour, new_url, open_db, over, url

__all__ = ["backend", "colour", "new_url", "open_db", "url"]

pytest_generate_tests = over([SQLiteBackend()])
