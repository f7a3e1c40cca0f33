"""Which backends a test of the contract is run over, and what each declares."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

from graven import Database, Model, key
from graven.testing.contract import (
    RAW_SQL,
    SURVIVES,
    Backend,
    MemoryBackend,
    SQLiteBackend,
    able,
    count,
    insert,
)


class Thing(Model):
    id: int = key()


class Bare(Backend):
    name = "bare"

    def fresh(self, folder: Path) -> AbstractContextManager[str]:
        return nullcontext("memory:")


def test_a_test_is_run_over_the_backends_that_have_all_it_needs() -> None:
    sqlite, memory, bare = SQLiteBackend(), MemoryBackend(), Bare()
    every = [sqlite, memory, bare]
    assert able(every, []) == every
    assert able(every, [RAW_SQL]) == [sqlite]
    assert able(every, [RAW_SQL, SURVIVES, "unheard of"]) == []


@pytest.mark.parametrize("backend", [SQLiteBackend(), MemoryBackend()], ids=lambda one: one.name)
def test_each_store_of_a_backend_is_fresh_and_shared_by_those_who_have_its_url(
    backend: Backend, tmp_path: Path
) -> None:
    with backend.fresh(tmp_path) as first, backend.fresh(tmp_path) as second:
        with Database(first) as one, Database(first) as again, Database(second) as other:
            one.create(Thing)
            other.create(Thing)
            insert(one, Thing, id=1)
            assert (count(again, Thing), count(other, Thing)) == (1, 0)
            assert (SURVIVES in backend.capabilities) is (backend.name == "sqlite")
        with Database(first) as reopened:
            reopened.create(Thing)
            assert count(reopened, Thing) == (1 if SURVIVES in backend.capabilities else 0)
