"""What follows a deletion, as the references to the deleted object declare."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from graven import Model, field, key
from graven.errors import ForeignKeyError
from graven.testing.contract import rows, sweep


class Root(Model):
    id: int = key()
    name: str = ""


class Kept(Model):
    """Refuses the deletion of its root."""

    id: int = key()
    root: Root | None = None


class Branch(Model):
    """Is deleted with its root."""

    id: int = key()
    root: Root | None = field(default=None, on_delete="cascade")


class Leaf(Model):
    """Is deleted with its branch, and so with the root of that."""

    id: int = key()
    branch: Branch | None = field(default=None, on_delete="cascade")


class Bird(Model):
    """Stays, wherever it sat."""

    id: int = key()
    branch: Branch | None = field(default=None, on_delete="set_null")
    name: str = ""


class Link(Model):
    id: int = key()
    before: Link | None = field(default=None, on_delete="cascade")


@pytest.fixture
def db(open_db: Callable[..., Any]) -> Any:
    """Root 1 has the branches 1 and 2, each with a leaf and a bird; root 2 has branch 3."""
    db = open_db(Root, Kept, Branch, Leaf, Bird, Link)
    with db.session() as session:
        one, two = Root(id=1), Root(id=2)
        branches = [Branch(id=1, root=one), Branch(id=2, root=one), Branch(id=3, root=two)]
        for branch in branches:
            session.add(Leaf(id=branch.id, branch=branch), Bird(id=branch.id, branch=branch))
    return db


def ids_in(db: Any, model: Any) -> list[int]:
    return [row[0] for row in rows(db, model, "id")]


def load_all(session: Any) -> list[Any]:
    return [
        *session.query(Branch).include(Branch.root).all(),
        *session.query(Leaf).include(Leaf.branch).all(),
        *session.query(Bird).include(Bird.branch).all(),
    ]


@pytest.mark.parametrize("is_loaded", [False, True])
def test_deletion_runs_along_chains_of_references(db: Any, is_loaded: bool) -> None:
    with db.session() as session:
        held = load_all(session) if is_loaded else []
        session.delete(session.get(Root, 1))
        session.commit()
        states = [session.state(one) for one in held if isinstance(one, Branch | Leaf)]
        assert states == ([None, None, "clean"] * 2 if is_loaded else [])
        birds = [one for one in held if isinstance(one, Bird)]
        assert [one.branch is None for one in birds] == [True, True, False][: len(birds)]
    assert ids_in(db, Branch) == [3]
    assert ids_in(db, Leaf) == [3]
    assert rows(db, Bird, "id", "branch_id") == [
        (1, None),
        (2, None),
        (3, 3),
    ]


def test_pending_objects_take_part_in_what_follows(db: Any) -> None:
    with db.session() as session:
        root, other = session.get(Root, 1), session.get(Root, 2)
        session.get(Branch, 1).root = other
        session.get(Branch, 3).root = root
        session.add(Branch(id=9, root=root), Bird(id=9, branch=session.get(Branch, 3)))
        session.get(Bird, 2).branch = session.get(Branch, 1)
        session.delete(root)
    assert ids_in(db, Branch) == [1]
    assert ids_in(db, Leaf) == [1]
    assert rows(db, Bird, "id", "branch_id") == [
        (1, 1),
        (2, 1),
        (3, None),
        (9, None),
    ]


def test_a_chain_of_objects_of_one_model_is_deleted_to_its_end(db: Any) -> None:
    with db.session() as session:
        before = None
        for number in range(1, 8):
            before = Link(id=number, before=before)
        session.add(before)
    with db.session() as session:
        session.delete(session.get(Link, 3))
    assert ids_in(db, Link) == [1, 2]


def test_objects_that_refer_to_each_other_are_deleted_together(db: Any) -> None:
    with db.session() as session:
        a, b = Link(id=1), Link(id=2)
        a.before, b.before = b, a
        session.add(a)
    with db.session() as session:
        session.delete(session.get(Link, 1))
    assert ids_in(db, Link) == []


@pytest.mark.parametrize("is_loaded", [False, True])
def test_deleting_what_is_still_referred_to_is_refused_and_names_who_refers(
    db: Any, is_loaded: bool
) -> None:
    with db.session() as session:
        session.add(Kept(id=7, root=session.get(Root, 1)))
    with db.session() as session:
        root, kept = session.get(Root, 1), session.get(Kept, 7) if is_loaded else None
        session.delete(root)
        with pytest.raises(ForeignKeyError, match=r"(?i)kept 7") as caught:
            session.commit()
        assert "7" in str(caught.value.referrer)
        assert caught.value.key == 1
        assert session.state(root) == "deleted"
        if kept is None:
            kept = session.get(Kept, 7)
        kept.root = None
        session.commit()
    assert ids_in(db, Root) == [2]
    assert ids_in(db, Leaf) == [3]


def test_a_refused_commit_leaves_what_would_have_followed_as_it_was(db: Any) -> None:
    with db.session() as session:
        session.add(Kept(id=7, root=session.get(Root, 1)))
    with db.session() as session:
        held = load_all(session)
        root = session.get(Root, 1)
        session.delete(root)
        with pytest.raises(ForeignKeyError):
            session.commit()
        assert {session.state(one) for one in held} == {"clean"}
        assert [one.branch.id for one in held if isinstance(one, Bird)] == [1, 2, 3]
        session.add(root)
        root.name = "kept"
    assert ids_in(db, Leaf) == [1, 2, 3]
    assert rows(db, Root, "name", id=1) == [("kept",)]
    assert rows(db, Bird, "branch_id") == [(1,), (2,), (3,)]


def test_a_query_sees_what_follows_a_pending_deletion_and_leaves_it_undone(db: Any) -> None:
    with db.session() as session:
        root = session.get(Root, 1)
        session.delete(root)
        assert [one.id for one in session.query(Leaf).all()] == [3]
        assert session.query(Branch).count() == 1
        assert [one.id for one in session.query(Branch).stream()] == [3]
        nowhere = session.query(Bird).where(Bird.branch == None)  # noqa: E711
        assert [one.id for one in nowhere.all()] == [1, 2]
        assert list(session.deleted) == [root]
        assert list(session.dirty) == []
        session.add(root)
        assert session.query(Leaf).count() == 3
        assert session.query(Bird).where(Bird.branch.root.id == 1).count() == 2
    assert ids_in(db, Leaf) == [1, 2, 3]


def test_referring_to_what_is_not_there_is_refused_and_names_it(db: Any) -> None:
    with db.session() as session:
        session.add(Kept(id=8, root=session.get(Root, 2)))
        sweep(db, Bird, Leaf, Branch, Root)
        with pytest.raises(ForeignKeyError, match=r"(?i)kept 8.*root"):
            session.commit()
        session.rollback()
