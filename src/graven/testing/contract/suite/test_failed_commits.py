"""A commit that fails leaves the store and the memory as they were, and can be sent again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from graven import (
    ConcurrentUpdate,
    DataError,
    ForeignKeyError,
    Model,
    UniqueError,
    field,
    key,
    owned,
)

Open = Callable[..., Any]


class Folder(Model):
    id: int = key(store_made=True)
    name: str = field(unique=True)
    size: int = 0
    labels: list[str] = field(default_factory=list)
    parent: Folder | None = None
    papers: list[Paper] = owned("folder")


class Paper(Model):
    id: int = key(store_made=True)
    title: str = ""
    folder: Folder | None = None


def names(db: Any) -> list[str]:
    with db.session() as session:
        return sorted(one.name for one in session.query(Folder).all())


def filled(open_db: Open) -> Any:
    db = open_db(Folder, Paper)
    with db.session() as session:
        session.add(Folder(name="taken"), Folder(name="edited"), Folder(name="gone"))
    return db


def spoil_unique(session: Any, made: Folder) -> Callable[[], None]:
    made.name = "taken"
    return lambda: setattr(made, "name", "free")


def spoil_value(session: Any, made: Folder) -> Callable[[], None]:
    made.size = "large"  # type: ignore[assignment]
    return lambda: setattr(made, "size", 3)


def spoil_document(session: Any, made: Folder) -> Callable[[], None]:
    made.labels.append(3)  # type: ignore[arg-type]
    return made.labels.clear


def spoil_reference(session: Any, made: Folder) -> Callable[[], None]:
    gone = session.query(Folder).where(Folder.name == "gone").first()
    made.parent = gone
    if gone is not None:
        session.delete(gone)
    return lambda: setattr(made, "parent", None)


SPOILERS = {
    UniqueError: spoil_unique,
    DataError: spoil_value,
    ForeignKeyError: spoil_reference,
}


@pytest.mark.parametrize("error", SPOILERS, ids=lambda one: one.__name__)
@pytest.mark.parametrize("depth", [0, 1])
def test_failed_commit_leaves_memory_as_it_was_and_a_retry_works(
    open_db: Open, error: type[Exception], depth: int
) -> None:
    db = filled(open_db)
    with db.session() as session:
        for _ in range(depth):
            session.begin()
        made = Folder(name="made", papers=[Paper(title="first")])
        edited = session.query(Folder).where(Folder.name == "edited").one()
        session.add(made)
        edited.size, edited.parent = 5, made
        mend = SPOILERS[error](session, made)
        for _ in range(2):
            with pytest.raises(error):
                session.commit()
            assert made.id is None
            assert made.papers[0].id is None
            assert edited.parent is made
            assert session.state(made) == "inserted"
            assert list(session.dirty) == [edited]
            assert names(db) == ["edited", "gone", "taken"]
        mend()
        session.commit()
        assert made.id is not None
        assert not session.new
    with db.session() as session:
        edited = session.query(Folder).where(Folder.name == "edited").include(Folder.parent).one()
        assert (edited.size, edited.parent.id) == (5, made.id)
        assert [one.title for one in session.query(Paper).all()] == ["first"]


def test_commit_that_lost_a_race_is_pending_again(open_db: Open) -> None:
    db = filled(open_db)
    with db.session() as session:
        mine = session.query(Folder).where(Folder.name == "edited").one()
        with db.session() as other:
            other.get(Folder, mine.id).size = 1
        made = Folder(name="made")
        mine.size = 2
        session.add(made)
        with pytest.raises(ConcurrentUpdate):
            session.commit()
        assert made.id is None
        assert list(session.dirty) == [mine]
        assert names(db) == ["edited", "gone", "taken"]
        session.refresh(mine, keep_changes=True)
        session.commit()
    assert "made" in names(db)


def test_value_that_cannot_be_stored_hinders_neither_views_nor_scopes(open_db: Open) -> None:
    db = filled(open_db)
    with db.session() as session:
        folder = session.query(Folder).where(Folder.name == "edited").one()
        folder.labels.append("good")
        scope = session.begin()
        mend = spoil_document(session, folder)
        assert list(session.dirty) == [folder]
        with pytest.raises(DataError):
            session.commit()
        with pytest.raises(DataError):
            session.plan()
        scope.cancel()
        assert folder.labels == ["good"]
        session.rollback()
        assert folder.labels == []
        mend()


def test_plan_and_explain_write_nothing_and_change_nothing(open_db: Open) -> None:
    db = filled(open_db)
    statements: list[str] = []
    with db.session() as session:
        folder = session.query(Folder).where(Folder.name == "edited").one()
        folder.size = 1
        made = Folder(name="made")
        session.add(made)
        session.delete(session.query(Folder).where(Folder.name == "gone").one())
        db.on_statement(lambda text, *_: statements.append(text))
        before = (list(session.new), list(session.dirty), list(session.deleted))
        words = [line.split()[0] for line in session.explain().splitlines()]
        assert len(session.plan()) == 3
        db.on_statement(None)
        assert words == ["insert", "update", "delete"]
        assert statements == []
        assert (list(session.new), list(session.dirty), list(session.deleted)) == before
        assert made.id is None
        session.rollback()
        assert session.explain() == "nothing to write"
