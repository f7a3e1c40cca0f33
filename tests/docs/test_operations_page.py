"""The page on the log of operations shows the states that the code has."""

from pathlib import Path

import pytest

from graven.core.operating import diagram, state_table

PAGE = Path(__file__).resolve().parents[2] / "docs" / "internals" / "operations.md"


@pytest.mark.parametrize(
    "shown",
    [f"\n\n{state_table()}\n\n", f"\n```mermaid\n{diagram()}\n```\n"],
    ids=["table", "diagram"],
)
def test_the_page_is_made_from_the_table_in_the_code(shown: str) -> None:
    assert shown in PAGE.read_text("utf-8"), f"put this into {PAGE.name}:\n{shown}"
