"""``del obj.field``: refused at once or by the commit, and never an unnoticed loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from graven import DataError, Model, UsageError, field, key, many_to_many


class Writer(Model):
    id: int = key()


class Theme(Model):
    id: int = key()


class Novel(Model):
    id: int = key()
    pages: int = 0
    note: str | None = None
    writer: Writer | None = None
    tags: list[str] = field(default_factory=list)
    themes: list[Theme] = many_to_many()


Open = Callable[..., Any]
FIELDS = ("pages", "note", "writer", "tags", "themes")


def filled(number: int) -> Novel:
    return Novel(
        id=number,
        pages=3,
        note="new",
        writer=Writer(id=number),
        tags=["a"],
        themes=[Theme(id=number)],
    )


def stored(db: Any) -> list[tuple[Any, ...]]:
    """Return what another session reads."""
    with db.session() as session:
        return [(one.id, one.pages, one.note) for one in session.query(Novel).all()]


@pytest.fixture
def db(open_db: Open) -> Any:
    db = open_db(Novel)
    with db.session() as session:
        session.add(filled(1))
    return db


@pytest.mark.parametrize("name", [*FIELDS, "id"])
def test_del_is_refused_on_a_stored_object_which_keeps_its_value(db: Any, name: str) -> None:
    with db.session() as session:
        query = session.query(Novel).include(Novel.writer, Novel.themes)
        novel = query.one()
        before = getattr(novel, name)
        with pytest.raises(UsageError, match=rf"cannot delete Novel\.{name} of Novel 1"):
            delattr(novel, name)
        assert getattr(novel, name) is before
        assert list(session.dirty) == []


@pytest.mark.parametrize("name", FIELDS)
def test_commit_refuses_a_new_object_that_lost_a_value_and_takes_it_when_it_is_back(
    db: Any, name: str
) -> None:
    with db.session() as session:
        novel = filled(2)
        session.add(novel)
        value = getattr(novel, name)
        delattr(novel, name)
        with pytest.raises(AttributeError, match=name):
            getattr(novel, name)
        with pytest.raises(DataError, match=rf"Novel\.{name}"):
            session.commit()
        assert stored(db) == [(1, 3, "new")]
        setattr(novel, name, value)
        session.commit()
    assert stored(db) == [(1, 3, "new"), (2, 3, "new")]


@pytest.mark.parametrize("name", FIELDS)
def test_an_object_that_lost_a_value_before_it_was_added_is_refused(db: Any, name: str) -> None:
    with db.session() as session:
        novel = filled(2)
        delattr(novel, name)
        session.add(novel)
        with pytest.raises(DataError, match=rf"Novel\.{name}"):
            session.commit()
        session.rollback()


@pytest.mark.parametrize("name", ["pages", "note"])
def test_commit_refuses_a_changed_object_that_lost_a_value(db: Any, name: str) -> None:
    with db.session() as session:
        novel = session.get(Novel, 1)
        novel.pages, novel.note = 7, "changed"
        delattr(novel, name)
        assert list(session.dirty) == [novel]
        with pytest.raises(DataError, match=rf"Novel\.{name}.*a del took it away"):
            session.commit()
        session.rollback()
        assert (novel.pages, novel.note) == (3, "new")
    assert stored(db) == [(1, 3, "new")]


def test_del_of_a_reference_or_container_of_a_changed_object_takes_its_change_back(
    db: Any,
) -> None:
    with db.session() as session:
        novel = session.query(Novel).include(Novel.writer).one()
        writer = novel.writer
        novel.pages, novel.writer, novel.tags = 7, None, []
        del novel.writer, novel.tags
        assert novel.writer is writer
        assert novel.tags == ["a"]
        session.commit()
    with db.session() as session:
        novel = session.query(Novel).include(Novel.writer).one()
        assert (novel.pages, novel.writer.id, novel.tags) == (7, 1, ["a"])


def test_cancel_brings_a_deleted_value_back(db: Any) -> None:
    with db.session() as session:
        novel = session.get(Novel, 1)
        novel.pages = 7
        del novel.note
        scope = session.begin()
        with pytest.raises(UsageError, match=r"cannot delete Novel\.pages"):
            del novel.pages
        novel.note = "inner"
        scope.cancel()
        assert novel.pages == 7
        with pytest.raises(AttributeError, match="note"):
            _ = novel.note
        session.rollback()
        assert novel.note == "new"


@pytest.mark.parametrize("is_read_first", [True, False])
def test_an_object_added_again_after_its_deletion_has_what_it_had_been_read_with(
    db: Any, is_read_first: bool
) -> None:
    with db.session() as session:
        if is_read_first:
            novel = session.query(Novel).include(Novel.writer, Novel.themes).one()
            assert novel.tags == ["a"]
        else:
            novel, _ = session.get(Novel, 1), session.get(Writer, 1)
        session.delete(novel)
        session.commit()
        session.add(novel)
        novel.tags.append("b")
    with db.session() as session:
        again = session.query(Novel).include(Novel.writer, Novel.themes).one()
        assert (again.pages, again.tags, again.writer.id) == (3, ["a", "b"], 1)
        assert [theme.id for theme in again.themes] == ([1] if is_read_first else [])
