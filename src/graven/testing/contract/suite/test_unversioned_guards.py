"""Updates that do not check the version: the object knows afterwards which one it has made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from graven import ConcurrentUpdate, Model, key
from graven.testing.contract import TRANSACTIONS


class Loose(Model, guard="fields"):
    id: int = key()
    name: str = ""
    size: int = 0


class Open(Model, guard="none"):
    id: int = key()
    name: str = ""
    size: int = 0


Opened = Callable[..., Any]


@pytest.fixture
def db(open_db: Opened) -> Any:
    db = open_db(Loose, Open)
    with db.session() as session:
        session.add(*(model(id=n) for model in (Loose, Open) for n in (1, 2)))
    return db


def edit_elsewhere(db: Any, model: Any, times: int) -> None:
    for count in range(times):
        with db.session() as session:
            session.get(model, 1).size += count + 1


def stored(db: Any, model: Any) -> tuple[str, int, int]:
    with db.session() as session:
        one = session.get(model, 1)
        return one.name, one.size, one._origin.version


@pytest.mark.needs(TRANSACTIONS)
@pytest.mark.parametrize("model", [Loose, Open])
@pytest.mark.parametrize("by_flush", [False, True])
def test_version_in_memory_is_that_of_the_row_after_writing_over_an_edit_of_another(
    db: Any, model: Any, by_flush: bool
) -> None:
    with db.session() as session:
        mine = session.get(model, 1)
        edit_elsewhere(db, model, 3)
        mine.name = "mine"
        if by_flush:
            session.flush()
        session.commit()
        assert stored(db, model) == ("mine", 6, mine._origin.version)

        mine.name = "again"
        session.commit()
        assert stored(db, model) == ("again", 6, mine._origin.version)
        session.guard(mine)
        session.get(model, 2).name = "other"
        session.commit()
        session.delete(mine)
        session.commit()
    with db.session() as session:
        assert session.get(model, 1) is None


@pytest.mark.parametrize("model", [Loose, Open])
def test_many_rows_at_once_each_know_their_version(db: Any, model: Any) -> None:
    with db.session() as session:
        session.add(*(model(id=n) for n in range(3, 40)))
    with db.session() as session:
        found = session.query(model).order_by(model.id).all()
        edit_elsewhere(db, model, 2)
        for one in found:
            one.name = f"name {one.id}"
        session.commit()
        kept = {one.id: one._origin.version for one in found}
    with db.session() as session:
        assert {one.id: one._origin.version for one in session.query(model).all()} == kept


@pytest.mark.parametrize("model", [Loose, Open])
def test_an_edit_of_another_after_the_write_is_noticed_by_who_asks_for_the_check(
    db: Any, model: Any
) -> None:
    with pytest.raises(ConcurrentUpdate, match=f"{model.__name__} 1"), db.session() as session:
        mine = session.get(model, 1)
        mine.name = "mine"
        session.commit()
        edit_elsewhere(db, model, 1)
        session.guard(mine)
        session.get(model, 2).name = "other"
