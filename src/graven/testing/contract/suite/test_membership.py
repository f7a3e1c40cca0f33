"""How objects join a session and leave it, and what its views show."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from graven import (
    ConcurrentUpdate,
    DuplicateRecordError,
    Model,
    NotFoundError,
    SessionError,
    StateChangeError,
    UsageError,
    field,
    key,
)
from graven.testing.contract import rows

Open = Callable[..., Any]


class Song(Model):
    id: int = key()
    title: str = ""
    plays: int = 0
    tags: list[str] = field(default_factory=list)
    cover_of: Song | None = None


def songs(db: Any, *ids: int) -> None:
    with db.session() as session:
        session.add(*(Song(id=one, title=f"song {one}") for one in ids))


def stored(db: Any) -> dict[int, tuple[str, int]]:
    with db.session() as session:
        return {one.id: (one.title, one.plays) for one in session.query(Song).all()}


# -- adding ------------------------------------------------------------------------------------


def test_adding_an_object_adds_what_it_refers_to(open_db: Open) -> None:
    db = open_db(Song)
    with db.session() as session:
        first = Song(id=1)
        second = Song(id=2, cover_of=Song(id=3, cover_of=first))
        session.add(second)
        assert {one.id for one in session.new} == {1, 2, 3}
    assert set(stored(db)) == {1, 2, 3}


def test_second_object_with_a_key_is_refused_and_the_first_stays(open_db: Open) -> None:
    db = open_db(Song)
    songs(db, 1)
    with db.session() as session:
        session.get(Song, 1).plays = 1
        with pytest.raises(DuplicateRecordError, match="one object per key"):
            session.add(Song(id=1))
        session.add(Song(id=2))
        with pytest.raises(DuplicateRecordError):
            session.add(Song(id=2))
    assert stored(db) == {1: ("song 1", 1), 2: ("", 0)}


def test_new_object_with_the_key_of_one_that_is_to_be_deleted_has_to_wait(open_db: Open) -> None:
    db = open_db(Song)
    songs(db, 1)
    with db.session() as session:
        session.delete(session.get(Song, 1))
        with pytest.raises(DuplicateRecordError, match="commit that first"):
            session.add(Song(id=1))
        session.commit()
        session.add(Song(id=1, title="again"))
    assert stored(db) == {1: ("again", 0)}


def test_only_objects_of_models_can_join(open_db: Open) -> None:
    with open_db(Song).session() as session:
        for call in (session.add, session.delete, session.expunge, session.import_instance):
            with pytest.raises(UsageError):
                call("no model")


@pytest.mark.parametrize("model", ["Song", int, None])
def test_only_models_can_be_asked_for(open_db: Open, model: Any) -> None:
    db = open_db(Song)
    with db.session() as session:
        with pytest.raises(UsageError, match="derived from graven"):
            session.query(model)
        with pytest.raises(UsageError, match="derived from graven"):
            session.get(model, 1)
    with pytest.raises(UsageError, match="derived from graven"):
        db.create(model)


def test_constructing_adds_by_itself_only_with_autoadd(open_db: Open, colour: Any) -> None:
    db = open_db(Song)
    with db.session(autoadd=True) as session:
        made = colour.call(lambda: Song(id=1))
        assert list(session.new) == [made]
        with db.session() as inner:
            colour.call(lambda: Song(id=2))
            assert not inner.new
        assert list(session.new) == [made]
    outside = colour.call(lambda: Song(id=3))
    assert session.state(outside) is None
    assert set(stored(db)) == {1}


# -- deleting ----------------------------------------------------------------------------------


def test_delete_and_adding_the_deleted_takes_it_back_with_its_edits(open_db: Open) -> None:
    db = open_db(Song)
    songs(db, 1)
    with db.session() as session:
        song = session.get(Song, 1)
        song.plays = 3
        session.delete(song)
        session.delete(song)
        assert list(session.deleted) == [song]
        assert not session.has_key(Song, 1)
        session.add(song)
        assert not session.deleted
        assert session.get(Song, 1) is song
        song.title = "back"
    assert stored(db) == {1: ("back", 3)}


def test_deleted_object_is_readable_and_refuses_edits(open_db: Open) -> None:
    db = open_db(Song)
    songs(db, 1)
    with db.session() as session:
        song = session.get(Song, 1)
        session.delete(song)
        assert song.title == "song 1"
        with pytest.raises(StateChangeError):
            song.title = "late"
        session.commit()
        assert song.title == "song 1"
        assert session.state(song) is None
    assert stored(db) == {}


def test_object_whose_deletion_was_committed_can_be_added_as_new(open_db: Open) -> None:
    db = open_db(Song)
    songs(db, 1)
    with db.session() as session:
        song = session.get(Song, 1)
        session.delete(song)
        session.commit()
        session.add(song)
        song.plays = 1
    assert stored(db) == {1: ("song 1", 1)}


def test_deleting_a_new_object_takes_it_out(open_db: Open) -> None:
    db = open_db(Song)
    with db.session() as session:
        song = Song(id=1)
        session.add(song)
        session.delete(song)
        assert not session.new
        assert session.state(song) is None
        song.plays = 1
        with pytest.raises(StateChangeError, match="not part of this session"):
            session.delete(song)
    assert stored(db) == {}


# -- leaving -----------------------------------------------------------------------------------


def test_expunged_object_keeps_its_edits_and_is_checked_where_it_comes_back(open_db: Open) -> None:
    db = open_db(Song)
    songs(db, 1, 2)
    with db.session() as session:
        one, two = session.query(Song).order_by(Song.id).all()
        one.plays = 1
        with session.begin():
            two.plays = 1
            session.expunge(one, two)
            assert not session.has_key(Song, 1)
    assert stored(db) == {1: ("song 1", 0), 2: ("song 2", 0)}
    two.title = "edited while in no session"
    with db.session() as session:
        session.get(Song, 1).title = "newer"
    with db.session() as session:
        session.add(two)
        assert session.dirty
    with db.session() as session:
        session.add(one)
        with pytest.raises(ConcurrentUpdate):
            session.commit()
        session.rollback()
    assert stored(db) == {1: ("newer", 0), 2: ("edited while in no session", 1)}


def test_expunged_new_object_is_a_stranger(open_db: Open) -> None:
    db = open_db(Song)
    with db.session() as session:
        song = Song(id=1)
        session.add(song)
        session.expunge(song)
        with pytest.raises(StateChangeError):
            session.expunge(song)
        session.add(Song(id=1, title="another"))
    assert stored(db) == {1: ("another", 0)}


def test_clear_forgets_objects_changes_and_scopes(open_db: Open) -> None:
    db = open_db(Song)
    songs(db, 1, 2)
    with db.session() as session:
        one, two = session.query(Song).order_by(Song.id).all()
        one.plays = 1
        scope = session.begin()
        session.add(Song(id=3))
        session.delete(two)
        session.clear()
        assert not scope.is_open
        assert not session.has_key(Song, 1)
        assert one.plays == 1
        assert session.get(Song, 1) is not one
        assert session.get(Song, 2) is not None
    assert stored(db) == {1: ("song 1", 0), 2: ("song 2", 0)}


def test_has_key_asks_only_the_session(open_db: Open) -> None:
    db = open_db(Song)
    songs(db, 1)
    with db.session() as session:
        assert not session.has_key(Song, 1)
        song = session.get(Song, 1)
        assert session.has_key(Song, 1)
        session.add(Song(id=2))
        assert session.has_key(Song, 2)
        session.delete(song)
        assert not session.has_key(Song, 1)


# -- importing ---------------------------------------------------------------------------------


def test_import_returns_the_object_that_is_here_already(open_db: Open) -> None:
    db = open_db(Song)
    songs(db, 1)
    with db.session() as session, db.session() as other:
        mine, theirs = session.get(Song, 1), other.get(Song, 1)
        assert session.import_instance(theirs) is mine
        assert session.import_instance(mine) is mine
        assert session.import_instance(Song(id=1)) is mine
        assert other.get(Song, 1) is theirs


@pytest.mark.parametrize("is_open", [True, False])
def test_import_takes_a_stored_object_over_with_its_changes(open_db: Open, is_open: bool) -> None:
    db = open_db(Song)
    songs(db, 1, 2)
    other = db.session()
    song, gone = other.get(Song, 1), other.get(Song, 2)
    song.plays = 4
    song.tags.append("loud")
    other.delete(gone)
    if not is_open:
        other.close()
    with db.session() as session:
        assert session.import_instance(song) is song
        assert list(session.dirty) == [song]
        assert session.import_instance(gone) is gone
        assert not session.deleted
    if is_open:
        assert not other.dirty
        assert other.get(Song, 1) is not song
        other.close()
    assert stored(db) == {1: ("song 1", 4), 2: ("song 2", 0)}
    with db.session() as session:
        assert session.get(Song, 1).tags == ["loud"]


def test_import_of_a_new_object_makes_it_new_here(open_db: Open) -> None:
    db = open_db(Song)
    other = db.session()
    pending = Song(id=1)
    other.add(pending)
    with db.session() as session:
        session.import_instance(pending)
        session.import_instance(Song(id=2))
        assert {one.id for one in session.new} == {1, 2}
        assert not other.new
    other.commit()
    other.close()
    assert set(stored(db)) == {1, 2}


def test_object_of_another_open_session_cannot_be_added(open_db: Open) -> None:
    db = open_db(Song)
    songs(db, 1)
    with db.session() as session, db.session() as other:
        theirs = other.get(Song, 1)
        with pytest.raises(SessionError, match="still open"):
            session.add(theirs)
        other.delete(theirs)
        with pytest.raises(SessionError, match="still open"):
            session.add(theirs)
        other.rollback()


# -- after the end -----------------------------------------------------------------------------


def test_objects_stay_readable_after_commit_rollback_and_the_end(open_db: Open) -> None:
    db = open_db(Song)
    songs(db, 1)
    with db.session() as session:
        song = session.get(Song, 1)
        song.plays = 1
        session.commit()
        assert (song.title, song.plays) == ("song 1", 1)
        song.plays = 2
        session.rollback()
        assert (song.title, song.plays, song.tags) == ("song 1", 1, [])
    assert (song.title, song.plays, song.tags) == ("song 1", 1, [])


def test_edit_made_outside_a_session_is_written_by_the_next_one(open_db: Open) -> None:
    db = open_db(Song)
    songs(db, 1)
    with db.session() as session:
        song = session.get(Song, 1)
    song.plays = 5
    song.tags.append("late")
    with db.session() as session:
        session.add(song)
        assert list(session.dirty) == [song]
        assert session.get(Song, 1) is song
    with db.session() as session:
        assert (session.get(Song, 1).plays, session.get(Song, 1).tags) == (5, ["late"])


def test_edit_made_outside_a_session_is_refused_if_the_record_moved_on(open_db: Open) -> None:
    db = open_db(Song)
    songs(db, 1)
    with db.session() as session:
        song = session.get(Song, 1)
    song.plays = 5
    with db.session() as session:
        session.get(Song, 1).plays = 6
    with pytest.raises(ConcurrentUpdate) as caught, db.session() as session:
        session.add(song)
    conflict = caught.value.conflicts[0].fields["plays"]
    assert (conflict.base, conflict.mine, conflict.theirs) == (0, 5, 6)
    assert song.plays == 5


def test_newer_object_brought_in_is_refused_if_the_session_has_read_an_older_version(
    open_db: Open,
) -> None:
    db = open_db(Song)
    songs(db, 1)
    with pytest.raises(ConcurrentUpdate), db.session() as session:
        plays = session.get(Song, 1).plays
        gc.collect()
        with db.session() as other:
            song = other.get(Song, 1)
            song.plays = 6
        session.add(song)
        song.plays = plays + 1
    assert rows(db, Song, "plays") == [(6,)]


def test_work_that_was_refused_on_leaving_can_be_brought_into_another_session(
    open_db: Open,
) -> None:
    db = open_db(Song)
    songs(db, 1, 2)
    with pytest.raises(Exception, match=r"still refer|refers"), db.session() as session:
        one, two = session.query(Song).order_by(Song.id).all()
        made = Song(id=3, cover_of=two)
        one.cover_of = made
        session.delete(two)
        two_is_needed = session
    assert two_is_needed.state(one) is not None
    with db.session() as session:
        session.add(one)
        assert {each.id for each in session.new} == {3}
        session.add(two)
        assert not session.deleted
    with db.session() as session:
        one = session.query(Song).include(Song.cover_of).order_by(Song.id).first()
        assert one.cover_of.id == 3


def test_new_object_brings_along_what_an_ended_session_left_new(open_db: Open) -> None:
    db = open_db(Song)
    ended = db.session()
    left = Song(id=1)
    ended.add(left)
    ended.close()
    with db.session() as session:
        session.add(Song(id=2, cover_of=left))
        assert {one.id for one in session.new} == {1, 2}
    assert set(stored(db)) == {1, 2}


# -- refreshing --------------------------------------------------------------------------------


def test_refresh_takes_the_newer_values_and_drops_changes(open_db: Open) -> None:
    db = open_db(Song)
    songs(db, 1)
    with db.session() as session:
        song = session.get(Song, 1)
        song.plays = 1
        song.tags.append("mine")
        with db.session() as other:
            other.get(Song, 1).title = "newer"
        session.refresh(song)
        assert (song.title, song.plays, song.tags) == ("newer", 0, [])
        assert not session.dirty
        song.plays = 2
    assert stored(db) == {1: ("newer", 2)}


def test_refresh_can_keep_changes_on_top_of_the_newer_values(open_db: Open) -> None:
    db = open_db(Song)
    songs(db, 1)
    with db.session() as session:
        song = session.get(Song, 1)
        song.plays = 1
        song.tags.append("mine")
        with db.session() as other:
            other.get(Song, 1).title = "newer"
        with session.begin():
            session.refresh(song, keep_changes=True)
            assert (song.title, song.plays, song.tags) == ("newer", 1, ["mine"])
            assert not session.dirty
        assert list(session.dirty) == [song]
    assert stored(db) == {1: ("newer", 1)}


def test_refresh_of_what_is_gone_or_foreign_is_refused(open_db: Open) -> None:
    db = open_db(Song)
    songs(db, 1)
    with db.session() as session:
        song, made = session.get(Song, 1), Song(id=2)
        session.add(made)
        for one in (made, Song(id=3)):
            with pytest.raises((NotFoundError, SessionError)):
                session.refresh(one)
        session.expunge(made)
        with db.session() as other:
            other.delete(other.get(Song, 1))
        with pytest.raises(NotFoundError, match="deleted"):
            session.refresh(song)
        assert song.title == "song 1"


# -- views -------------------------------------------------------------------------------------


def test_views_are_live_and_belong_to_the_innermost_scope(open_db: Open) -> None:
    db = open_db(Song)
    songs(db, 1, 2)
    with db.session() as session:
        one, two = session.query(Song).order_by(Song.id).all()
        new, dirty, deleted = session.new, session.dirty, session.deleted
        assert (len(new), len(dirty), len(deleted)) == (0, 0, 0)
        made = Song(id=3)
        session.add(made)
        one.plays = 1
        session.delete(two)
        assert (list(new), list(dirty), list(deleted)) == ([made], [one], [two])
        assert one in dirty
        assert two not in dirty
        session.begin()
        assert (len(new), len(dirty), len(deleted)) == (0, 0, 0)
        made.plays = 1
        assert list(dirty) == [made]
        session.confirm()
        assert (list(new), list(dirty), list(deleted)) == ([made], [one], [two])
        session.rollback()
        assert (len(new), len(dirty), len(deleted)) == (0, 0, 0)


def test_object_set_back_to_its_clean_values_is_not_dirty(open_db: Open) -> None:
    db = open_db(Song)
    songs(db, 1)
    statements: list[str] = []
    with db.session() as session:
        song = session.get(Song, 1)
        song.plays = 1
        song.plays = 0
        song.title = "song 1"
        assert not session.dirty
        assert session.state(song) == "clean"
        song.plays = False  # type: ignore[assignment]
        assert session.dirty
        song.plays = 0
        db.on_statement(lambda text, *_: statements.append(text))
        session.commit()
        assert statements == []
        song.plays = 2
        assert list(session.dirty) == [song]


def test_container_changed_in_place_is_dirty_before_any_flush(open_db: Open) -> None:
    db = open_db(Song)
    songs(db, 1)
    with db.session() as session:
        session.get(Song, 1).tags.append("first")
        gc.collect()
        assert [one.tags for one in session.dirty] == [["first"]]
        session.begin()
        session.get(Song, 1).tags.append("second")
        assert len(session.dirty) == 1
        session.get(Song, 1).tags.remove("second")
        assert len(session.dirty) == 0
        session.get(Song, 1).tags.append("third")
        session.cancel()
        assert session.get(Song, 1).tags == ["first"]
    with db.session() as session:
        assert session.get(Song, 1).tags == ["first"]


def test_clean_objects_are_held_weakly_and_changed_ones_strongly(open_db: Open) -> None:
    db = open_db(Song)
    songs(db, 1, 2)
    with db.session() as session:
        clean = weakref.ref(session.get(Song, 1))
        song = session.get(Song, 2)
        song.plays = 1
        changed = weakref.ref(song)
        del song
        gc.collect()
        assert clean() is None
        assert changed() is not None
        session.get(Song, 2).plays = 2
    assert stored(db)[2] == ("song 2", 2)
