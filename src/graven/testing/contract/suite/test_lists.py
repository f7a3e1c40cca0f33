"""Owned lists and many-to-many lists: what is done to the list is what is stored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from graven import Model, key, many_to_many, owned
from graven.errors import DataError, NotLoadedError
from graven.testing.contract import count, link_table, rows


class Owner(Model):
    id: int = key()
    name: str = ""
    parts: list[Part] = owned("owner")


class Part(Model):
    id: int = key()
    name: str = ""
    owner: Owner | None = None
    screws: list[Screw] = owned("part")


class Screw(Model):
    id: int = key()
    part: Part | None = None


class Album(Model):
    id: int = key(store_made=True)
    title: str = ""
    tracks: list[Track] = owned("album")


class Track(Model):
    id: int = key(store_made=True)
    title: str = ""
    album: Album | None = None


class Post(Model):
    id: int = key()
    labels: list[Label] = many_to_many()


class Label(Model):
    id: int = key()
    name: str = ""


class Node(Model):
    id: int = key(store_made=True)
    name: str = ""
    friends: list[Node] = many_to_many()


@pytest.fixture
def db(open_db: Callable[..., Any]) -> Any:
    """Owner 1 has the parts 1, 2 and 3, owner 2 has part 4."""
    db = open_db(Owner, Album, Post, Label, Node)
    with db.session() as session:
        one, two = Owner(id=1), Owner(id=2)
        one.parts = [Part(id=3), Part(id=1), Part(id=2)]
        two.parts.append(Part(id=4, screws=[Screw(id=1)]))
        session.add(one, two)
    return db


def loaded(session: Any, number: int) -> Owner:
    found = session.query(Owner).where(Owner.id == number).include(Owner.parts.screws).one()
    assert isinstance(found, Owner)
    return found


def stored(db: Any) -> dict[int, int | None]:
    """Return the owner of every part in the store."""
    return dict(rows(db, Part, "id", "owner_id"))


def keys(members: list[Any]) -> list[int]:
    return [one.id for one in members]


def test_a_list_is_loaded_in_the_order_of_the_keys(db: Any) -> None:
    with db.session() as session:
        assert keys(loaded(session, 1).parts) == [1, 2, 3]
        assert keys(session.get(Part, 4).screws) == [1] if loaded(session, 2) else []


def test_what_is_appended_is_inserted_and_refers_to_its_owner(db: Any) -> None:
    with db.session() as session:
        owner = loaded(session, 1)
        part = Part(id=9)
        owner.parts.append(part)
        session.commit()
        assert part.owner is owner
    assert stored(db)[9] == 1


def test_a_change_of_the_list_alone_does_not_make_a_later_edit_of_the_owner_conflict(
    db: Any,
) -> None:
    with db.session() as session:
        owner = loaded(session, 1)
        owner.parts.append(Part(id=9))
        session.commit()
        owner.name = "again"
        session.commit()
        owner.parts.clear()
        session.commit()
        owner.name = "and again"
    assert rows(db, Owner, "name", id=1) == [("and again",)]
    assert stored(db) == {4: 2}


def test_what_is_taken_out_and_put_nowhere_else_is_deleted(db: Any) -> None:
    with db.session() as session:
        owner = loaded(session, 1)
        part = owner.parts.pop(0)
        assert session.plan()
        assert session.state(part) == "deleted"
    assert stored(db) == {2: 1, 3: 1, 4: 2}


def test_what_moves_from_one_list_to_another_is_kept_whatever_comes_first(db: Any) -> None:
    with db.session() as session:
        one, two = loaded(session, 1), loaded(session, 2)
        to_two, to_one = one.parts[0], two.parts[0]
        one.parts.remove(to_two)
        two.parts.append(to_two)
        one.parts.append(to_one)
        two.parts.remove(to_one)
        session.commit()
        assert to_two.owner is two
        assert to_one.owner is one
    assert stored(db) == {1: 2, 2: 1, 3: 1, 4: 1}


def test_what_is_only_appended_elsewhere_leaves_its_former_list(db: Any) -> None:
    with db.session() as session:
        one, two = loaded(session, 1), loaded(session, 2)
        part = one.parts[0]
        two.parts.append(part)
        session.commit()
        assert keys(one.parts) == [2, 3]
        assert keys(two.parts) == [4, 1]
    assert stored(db) == {1: 2, 2: 1, 3: 1, 4: 2}


def test_a_reference_that_is_set_moves_the_child_between_loaded_lists(db: Any) -> None:
    with db.session() as session:
        one, two = loaded(session, 1), loaded(session, 2)
        part = one.parts[0]
        part.owner = two
        session.commit()
        assert keys(one.parts) == [2, 3]
        assert keys(two.parts) == [4, 1]
    assert stored(db) == {1: 2, 2: 1, 3: 1, 4: 2}


def test_what_was_taken_out_and_looked_at_can_still_be_put_elsewhere(db: Any) -> None:
    with db.session() as session:
        one, two = loaded(session, 1), loaded(session, 2)
        part = one.parts.pop(0)
        assert session.explain()
        two.parts.append(part)
    assert stored(db) == {1: 2, 2: 1, 3: 1, 4: 2}


def test_replacing_a_list_deletes_what_is_not_in_the_new_one(db: Any) -> None:
    with db.session() as session:
        owner = loaded(session, 1)
        owner.parts = [owner.parts[1], Part(id=9)]
    assert stored(db) == {2: 1, 4: 2, 9: 1}


def test_replacing_a_list_that_was_never_loaded_is_refused_with_the_remedy(db: Any) -> None:
    with db.session() as session:
        owner = session.get(Owner, 1)
        owner.parts = [Part(id=9)]
        with pytest.raises(NotLoadedError, match=r"session\.load\(obj, Owner\.parts\)") as caught:
            session.commit()
        assert (caught.value.model, caught.value.field) == ("Owner", "parts")
        session.rollback()
        session.load(owner, Owner.parts)
        owner.parts = [Part(id=9)]
    assert stored(db) == {4: 2, 9: 1}


def test_a_new_child_that_is_taken_out_again_is_not_inserted(db: Any) -> None:
    with db.session() as session:
        owner = loaded(session, 1)
        part = Part(id=9)
        owner.parts.append(part)
        assert "insert part" in session.explain()
        owner.parts.remove(part)
        assert session.plan() == []
    assert 9 not in stored(db)


def test_pending_children_appear_in_a_list_that_is_loaded_now(db: Any) -> None:
    with db.session() as session:
        one = session.get(Owner, 1)
        session.add(Part(id=0, owner=one))
        moved_away, moved_in, deleted, renamed = (session.get(Part, n) for n in (1, 4, 2, 3))
        moved_away.owner = session.get(Owner, 2)
        moved_in.owner = one
        session.delete(deleted)
        renamed.name = "new"
        session.load(one, Owner.parts)
        assert keys(one.parts) == [0, 3, 4]
        assert one.parts[1] is renamed
    assert stored(db) == {0: 1, 1: 2, 3: 1, 4: 1}


def test_loading_one_list_does_not_bring_back_what_was_taken_out_of_another(db: Any) -> None:
    with db.session() as session:
        one = loaded(session, 1)
        one.parts.clear()
        session.query(Owner).include(Owner.parts).all()
        assert one.parts == []
    assert stored(db) == {4: 2}


def test_cancelling_a_scope_gives_a_list_back(db: Any) -> None:
    with db.session() as session:
        owner = loaded(session, 1)
        before = list(owner.parts)
        scope = session.begin()
        owner.parts.append(Part(id=9))
        del owner.parts[0]
        assert session.plan()
        scope.cancel()
        assert owner.parts == before
        assert [session.state(one) for one in before] == ["clean"] * 3
    assert stored(db) == {1: 1, 2: 1, 3: 1, 4: 2}


def test_a_failed_commit_leaves_the_lists_as_they_were_and_can_be_repeated(db: Any) -> None:
    with db.session() as session:
        owner = loaded(session, 1)
        part, wrong = owner.parts[0], Part(id=9, name=5)  # type: ignore[arg-type]
        owner.parts.remove(part)
        owner.parts.append(wrong)
        with pytest.raises(DataError, match=r"Part\.name"):
            session.commit()
        assert keys(owner.parts) == [2, 3, 9]
        wrong.name = "right"
        session.commit()
    assert stored(db) == {2: 1, 3: 1, 4: 2, 9: 1}


@pytest.mark.parametrize("is_loaded", [False, True])
def test_deleting_an_owner_deletes_children_and_grandchildren(db: Any, is_loaded: bool) -> None:
    with db.session() as session:
        owner = loaded(session, 2) if is_loaded else session.get(Owner, 2)
        session.delete(owner)
    assert stored(db) == {1: 1, 2: 1, 3: 1}
    assert rows(db, Screw) == []


def test_deleting_an_owner_spares_the_child_that_has_moved_and_takes_the_new_one(db: Any) -> None:
    with db.session() as session:
        owner = session.get(Owner, 2)
        session.get(Part, 4).owner = session.get(Owner, 1)
        session.add(Part(id=9, owner=owner))
        session.delete(owner)
    assert stored(db) == {1: 1, 2: 1, 3: 1, 4: 1}


def test_a_member_of_another_class_is_refused_before_anything_is_written(db: Any) -> None:
    with db.session() as session:
        owner = loaded(session, 1)
        owner.name = "new"
        for wrong in ("part", None, Label(id=1)):
            owner.parts.append(wrong)  # type: ignore[arg-type]
            with pytest.raises(DataError, match=r"Owner\.parts.*list of Part"):
                session.commit()
            owner.parts.pop()
        assert rows(db, Owner, "name", id=1) == [("",)]


def test_a_whole_family_with_keys_made_by_the_store_is_one_commit(db: Any) -> None:
    with db.session() as session:
        album = Album(title="A")
        album.tracks = [Track(title="x"), Track(title="y")]
        session.add(album)
        session.commit()
        assert [one.album for one in album.tracks] == [album, album]
        assert None not in keys(album.tracks)
    with db.session() as session:
        again = session.query(Album).include(Album.tracks).one()
        assert [one.title for one in again.tracks] == ["x", "y"]


# -- many to many ----------------------------------------------------------------------------------


def pairs(db: Any) -> list[tuple[int, int]]:
    return sorted(rows(db, link_table(Post, "labels"), "post_id", "label_id"))


@pytest.fixture
def linked(db: Any) -> Any:
    """Post 1 has the labels 1 and 2, post 2 has label 2."""
    with db.session() as session:
        labels = [Label(id=n) for n in (2, 1)]
        session.add(Post(id=1, labels=labels), Post(id=2, labels=labels[:1]), Label(id=3))
    return db


def post(session: Any, number: int) -> Post:
    found = session.query(Post).where(Post.id == number).include(Post.labels).one()
    assert isinstance(found, Post)
    return found


def test_linked_objects_are_loaded_in_the_order_of_their_keys(linked: Any) -> None:
    with linked.session() as session:
        first, second = session.query(Post).include(Post.labels).all()
        assert keys(first.labels) == [1, 2]
        assert second.labels[0] is first.labels[1]


def test_links_are_added_and_removed_and_the_objects_stay(linked: Any) -> None:
    with linked.session() as session:
        one = post(session, 1)
        one.labels.append(session.get(Label, 3))
        one.labels.append(Label(id=4, name="new"))
        del one.labels[0]
    assert pairs(linked) == [(1, 2), (1, 3), (1, 4), (2, 2)]
    assert count(linked, Label) == 4
    with linked.session() as session:
        one = post(session, 1)
        one.labels = list(reversed(one.labels))[:1]
        session.commit()
        one.labels.clear()
        session.commit()
        one.labels.append(session.get(Label, 1))
    assert pairs(linked) == [(1, 1), (2, 2)]


def test_deleting_either_side_removes_the_links(linked: Any) -> None:
    with linked.session() as session:
        session.delete(session.get(Label, 2))
    assert pairs(linked) == [(1, 1)]
    with linked.session() as session:
        session.delete(post(session, 1))
    assert pairs(linked) == []
    assert count(linked, Label) == 2


def test_deleting_both_sides_in_one_commit_works_loaded_or_not(linked: Any) -> None:
    with linked.session() as session:
        one = post(session, 1)
        session.delete(one.labels[1], one, session.get(Post, 2))
    assert pairs(linked) == []
    assert rows(linked, Label, "id") == [(1,), (3,)]


def test_a_linked_object_that_is_deleted_leaves_the_loaded_list(linked: Any) -> None:
    with linked.session() as session:
        one = post(session, 1)
        session.delete(one.labels[0])
        session.commit()
        assert keys(one.labels) == [2]


def test_a_model_linked_with_itself_keeps_its_direction_with_keys_made_by_the_store(
    db: Any,
) -> None:
    with db.session() as session:
        a, b, c = Node(name="a"), Node(name="b"), Node(name="c")
        a.friends = [b, c, a]
        b.friends = [a]
        session.add(a)
    with db.session() as session:
        nodes = session.query(Node).include(Node.friends).order_by(Node.name).all()
        assert [[one.name for one in node.friends] for node in nodes] == [
            ["a", "b", "c"],
            ["a"],
            [],
        ] or [sorted(one.name for one in node.friends) for node in nodes] == [
            ["a", "b", "c"],
            ["a"],
            [],
        ]
        session.delete(nodes[0])
    assert count(db, link_table(Node, "friends")) == 0
