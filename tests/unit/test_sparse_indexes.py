"""Sparse indexes: what finished, or called, operations cost nothing for."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from graven import Database
from graven.core.limits import Queue
from graven.dialects.postgres import PostgresDialect
from graven.dialects.sqlite import SQLiteDialect
from graven.ops.requests import Create
from graven.ops.schema import Column, Table
from graven.testing.contract.suite.shop import broken

ENTRIES = Table(
    "entry",
    (Column("id", "uuid"), Column("queue", "str", nullable=True), Column("size", "int")),
    key=("id",),
    sparse=(("queue", "size"),),
)


@pytest.mark.parametrize(
    ("dialect", "condition"),
    [(SQLiteDialect(), "where `queue` is not null"), (PostgresDialect(), '"queue" is not null')],
    ids=["sqlite", "postgresql"],
)
def test_a_sparse_index_leaves_out_rows_whose_first_column_is_null(
    dialect: SQLiteDialect, condition: str
) -> None:
    (index,) = [text for text in dialect.create(Create(ENTRIES, whole=True)) if "index" in text]
    assert index.endswith(condition)


def test_a_worker_finds_what_is_due_in_an_index_and_in_its_order(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    asked: list[tuple[str, object]] = []
    with Database(f"sqlite:///{path}") as db:
        broken.on(db).start(1)
        db.on_statement(lambda text, _, __, given: asked.append((text, given)), parameters=True)
        db.worker([Queue("default")], concurrency=1).run(until_idle=True)
    (text, given), *_ = [one for one in asked if "`priority` = ?" in one[0]]
    with closing(sqlite3.connect(path)) as raw:
        plan = [row[-1] for row in raw.execute(f"explain query plan {text}", given)]
    assert len(plan) == 1
    assert "USING INDEX" in plan[0]
    assert "queue=? AND state=? AND priority=? AND due<?" in plan[0]
