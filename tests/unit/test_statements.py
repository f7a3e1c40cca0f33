"""What is told of a statement by how it begins."""

from __future__ import annotations

import pytest

from graven.ops.statements import only_reads, steers_transaction


@pytest.mark.parametrize(
    ("statement", "reads"),
    [
        ("select 1", True),
        (" \n(SELECT 1)", True),
        ("-- why\nselect 1", True),
        ("/* a\n b */ values (1)", True),
        ("with a as (select 1) select * from a", True),
        ("with a as (select 1) delete from b", False),
        ("selection", False),
        ("update a set b = 1", False),
        ("pragma user_version = 3", False),
        ("", False),
    ],
)
def test_only_what_surely_changes_nothing_only_reads(statement: str, reads: bool) -> None:
    assert only_reads(statement) is reads


@pytest.mark.parametrize(
    ("statement", "steers"),
    [
        ("begin", True),
        ("BEGIN IMMEDIATE", True),
        ("; commit", True),
        ("/* now */ end transaction", True),
        ("rollback", True),
        ("rollback transaction", True),
        ("rollback to here", False),
        ("rollback transaction to savepoint here", False),
        ("savepoint here", False),
        ("release here", False),
        ("select 'commit'", False),
        ("ending", False),
    ],
)
def test_only_whole_transactions_are_steered(statement: str, steers: bool) -> None:
    assert steers_transaction(statement) is steers
