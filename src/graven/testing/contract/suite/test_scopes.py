"""Scopes: begin, commit, confirm, cancel, rollback, at any depth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from graven import ForeignKeyError, Model, ScopeError, field, key

Open = Callable[..., Any]


class Plan(Model):
    id: int = key()
    name: str = ""
    size: int = 0
    notes: list[str] = field(default_factory=list)
    after: Plan | None = None


def stored(db: Any) -> dict[int, tuple[str, int]]:
    with db.session() as session:
        return {one.id: (one.name, one.size) for one in session.query(Plan).all()}


def plans(db: Any, *ids: int) -> None:
    with db.session() as session:
        session.add(*(Plan(id=one, name=f"plan {one}") for one in ids))


def test_begin_and_commit_stack_as_the_ancestor_has_it(open_db: Open, colour: Any) -> None:
    db = open_db(Plan)
    with db.session(autoadd=True) as session:
        a = colour.call(lambda: Plan(id=1))
        session.begin()
        b = colour.call(lambda: Plan(id=2))
        session.begin()
        c = colour.call(lambda: Plan(id=3))
        session.commit()
        assert set(stored(db)) == {3}
        d = colour.call(lambda: Plan(id=4))
        session.commit()
        assert set(stored(db)) == {2, 3, 4}
        session.commit()
        assert set(stored(db)) == {1, 2, 3, 4}
        assert [session.state(one) for one in (a, b, c, d)] == ["clean"] * 4


def test_inner_commit_leaves_the_changes_of_the_outer_scope_pending(open_db: Open) -> None:
    db = open_db(Plan)
    plans(db, 1)
    with db.session() as session:
        plan = session.get(Plan, 1)
        plan.name = "outer"
        with session.begin():
            plan.size = 7
        assert stored(db) == {1: ("plan 1", 7)}
        assert list(session.dirty) == [plan]
        session.cancel()
        assert (plan.name, plan.size) == ("plan 1", 7)


def test_field_changed_in_both_scopes_has_the_inner_value_written_and_kept(open_db: Open) -> None:
    db = open_db(Plan)
    plans(db, 1)
    with db.session() as session:
        plan = session.get(Plan, 1)
        plan.size = 1
        with session.begin():
            plan.size = 2
        assert stored(db)[1] == ("plan 1", 2)
        assert not session.dirty
        session.cancel()
        assert plan.size == 2


def test_inner_commit_takes_along_a_pending_object_that_it_refers_to(open_db: Open) -> None:
    db = open_db(Plan)
    plans(db, 1)
    with db.session() as session:
        plan, other = session.get(Plan, 1), Plan(id=2)
        session.add(other)
        with session.begin():
            plan.after = other
        assert set(stored(db)) == {1, 2}
        session.rollback()
        assert plan.after is other
        assert session.state(other) == "clean"


def test_inner_commit_takes_along_a_pending_object_that_it_edited(open_db: Open) -> None:
    db = open_db(Plan)
    with db.session() as session:
        one, two = Plan(id=1, name="made outside"), Plan(id=2)
        session.add(one, two)
        with session.begin():
            one.size = 5
        assert stored(db) == {1: ("made outside", 5)}
        assert list(session.new) == [two]


def test_cancel_restores_fields_changed_in_inner_scope(open_db: Open) -> None:
    db = open_db(Plan)
    plans(db, 1)
    with db.session() as session:
        plan = session.get(Plan, 1)
        plan.name, plan.size = "outer", 1
        plan.notes.append("outer")
        scope = session.begin()
        plan.name, plan.size = "inner", 2
        plan.notes.append("inner")
        scope.cancel()
        assert (plan.name, plan.size, plan.notes) == ("outer", 1, ["outer"])
        session.cancel()
        assert (plan.name, plan.size, plan.notes) == ("plan 1", 0, [])
        assert session.state(plan) == "clean"


def test_cancel_of_the_outer_scope_keeps_what_an_inner_one_committed(open_db: Open) -> None:
    db = open_db(Plan)
    plans(db, 1, 2)
    with db.session() as session:
        plan = session.get(Plan, 1)
        outer = session.begin()
        plan.name = "outer"
        session.begin()
        plan.size = 9
        session.add(Plan(id=3))
        session.delete(session.get(Plan, 2))
        session.commit()
        outer.cancel()
        assert (plan.name, plan.size) == ("plan 1", 9)
        session.commit()
    assert stored(db) == {1: ("plan 1", 9), 3: ("", 0)}


def test_confirm_folds_into_the_parent_and_writes_nothing(open_db: Open) -> None:
    db = open_db(Plan)
    plans(db, 1)
    with db.session() as session:
        plan = session.get(Plan, 1)
        with session.begin() as outer:
            with session.atomic():
                plan.size = 3
                session.add(Plan(id=2))
            assert stored(db) == {1: ("plan 1", 0)}
            assert outer.dirty == [plan]
            assert [one.id for one in outer.new] == [2]
            outer.cancel()
        assert plan.size == 0
        assert session.get(Plan, 2) is None


def test_atomic_block_takes_its_changes_back_on_an_exception(open_db: Open) -> None:
    db = open_db(Plan)
    plans(db, 1)
    with db.session() as session:
        plan = session.get(Plan, 1)
        plan.name = "kept"
        with pytest.raises(KeyError), session.atomic():
            plan.name, plan.size = "lost", 4
            raise KeyError
        assert (plan.name, plan.size) == ("kept", 0)
    assert stored(db) == {1: ("kept", 0)}


def test_an_edit_after_a_confirm_is_written_with_it(open_db: Open) -> None:
    """The outermost scope writes all that is pending, not only what a scope left to it."""
    db = open_db(Plan)
    plans(db, 1)
    with db.session() as session:
        plan = session.get(Plan, 1)
        with session.atomic():
            plan.size = 3
        plan.name = "later"
    assert stored(db) == {1: ("later", 3)}


def test_object_made_in_a_scope_is_clean_once_it_was_written_outside(open_db: Open) -> None:
    db = open_db(Plan)
    with db.session() as session:
        with session.atomic():
            plan = Plan(id=1)
            session.add(plan)
            plan.after = plan
            plan.notes.append("a note")
        session.commit()
        assert not session.dirty
        assert session.state(plan) == "clean"


def test_begin_block_cancels_with_the_scopes_left_open_inside(open_db: Open) -> None:
    db = open_db(Plan)
    plans(db, 1)
    with db.session() as session:
        plan = session.get(Plan, 1)
        with pytest.raises(KeyError), session.begin():
            plan.size = 1
            session.begin()
            plan.size = 2
            raise KeyError
        assert plan.size == 0
        assert not session.dirty


def test_cancelled_insert_leaves_no_record_and_cancelled_delete_gives_edits_back(
    open_db: Open,
) -> None:
    db = open_db(Plan)
    plans(db, 1)
    with db.session() as session:
        plan = session.get(Plan, 1)
        plan.size = 4
        with pytest.raises(KeyError), session.begin():
            made = Plan(id=2)
            session.add(made)
            session.delete(plan)
            assert session.get(Plan, 1) is None
            raise KeyError
        assert session.state(made) is None
        assert session.get(Plan, 2) is None
        assert session.get(Plan, 1) is plan
        assert plan.size == 4
        assert list(session.dirty) == [plan]


def test_cancel_brings_back_a_new_object_that_was_taken_out_inside(open_db: Open) -> None:
    db = open_db(Plan)
    with db.session() as session:
        made = Plan(id=1, name="made")
        session.add(made)
        scope = session.begin()
        session.delete(made)
        made.name = "changed as a stranger"
        assert session.state(made) is None
        scope.cancel()
        assert session.state(made) == "inserted"
        assert made.name == "made"
    assert stored(db) == {1: ("made", 0)}


def test_rollback_ends_all_scopes_and_takes_everything_back(open_db: Open) -> None:
    db = open_db(Plan)
    plans(db, 1, 2)
    with db.session() as session:
        one, two = session.query(Plan).order_by(Plan.id).all()
        one.size = 1
        outer = session.begin()
        one.size = 2
        session.delete(two)
        inner = session.begin()
        session.add(Plan(id=3))
        session.rollback()
        assert not outer.is_open
        assert not inner.is_open
        assert one.size == 0
        assert session.get(Plan, 2) is two
        assert not session.new
        assert not session.dirty
        assert not session.deleted
    assert set(stored(db)) == {1, 2}


def test_commit_of_objects_writes_what_they_need_and_does_not_end_the_scope(open_db: Open) -> None:
    db = open_db(Plan)
    plans(db, 1, 2)
    with db.session() as session:
        one, two = session.query(Plan).order_by(Plan.id).all()
        scope = session.begin()
        needed, unrelated = Plan(id=3), Plan(id=4)
        session.add(unrelated)
        one.size, one.after, two.size = 1, needed, 2
        session.commit(one)
        assert stored(db) == {1: ("plan 1", 1), 2: ("plan 2", 0), 3: ("", 0)}
        assert scope.is_open
        assert list(session.dirty) == [two]
        assert list(session.new) == [unrelated]
        scope.cancel()
        assert (one.size, two.size) == (1, 0)


def test_commit_of_objects_adds_one_that_is_not_part_of_the_session_yet(open_db: Open) -> None:
    db = open_db(Plan)
    with db.session() as session:
        session.add(Plan(id=1))
        session.commit(Plan(id=2))
        assert set(stored(db)) == {2}


def test_commit_of_a_deleted_object_writes_its_deletion(open_db: Open) -> None:
    db = open_db(Plan)
    plans(db, 1, 2)
    with db.session() as session:
        one, two = session.query(Plan).order_by(Plan.id).all()
        session.delete(one, two)
        session.commit(one)
        assert set(stored(db)) == {2}
        assert list(session.deleted) == [two]
        session.rollback()


def test_failing_commit_leaves_the_scope_open_and_a_retry_works(open_db: Open) -> None:
    db = open_db(Plan)
    plans(db, 1, 2)
    with db.session() as session:
        one, two = session.query(Plan).order_by(Plan.id).all()
        one.after = two
        session.commit()
        one.name = "outer"
        scope = session.begin()
        one.size = 1
        session.delete(two)
        with pytest.raises(ForeignKeyError):
            session.commit()
        assert scope.is_open
        assert scope.dirty == [one]
        assert scope.deleted == [two]
        one.after = None
        scope.commit()
        assert stored(db) == {1: ("plan 1", 1)}
        session.cancel()
        assert one.name == "plan 1"


def test_scope_ended_twice_is_refused(open_db: Open) -> None:
    with open_db(Plan).session() as session:
        for end in ("commit", "confirm", "cancel"):
            scope = session.begin()
            getattr(scope, end)()
            for again in (scope.commit, scope.confirm, scope.cancel):
                with pytest.raises(ScopeError, match="ended already"):
                    again()


def test_scope_ended_out_of_order_is_refused_and_nothing_is_lost(open_db: Open) -> None:
    db = open_db(Plan)
    plans(db, 1)
    with db.session() as session:
        plan = session.get(Plan, 1)
        outer = session.begin()
        plan.size = 1
        inner = session.begin()
        plan.name = "inner"
        for end in (outer.commit, outer.confirm, outer.cancel):
            with pytest.raises(ScopeError, match="inside it is still open"):
                end()
        inner.confirm()
        outer.commit()
    assert stored(db) == {1: ("inner", 1)}


def test_deletion_taken_back_inside_counts_outside_after_a_commit(open_db: Open) -> None:
    db = open_db(Plan)
    plans(db, 1)
    with db.session() as session:
        plan = session.get(Plan, 1)
        session.delete(plan)
        with session.begin():
            session.add(plan)
            plan.size = 2
        assert stored(db) == {1: ("plan 1", 2)}
        assert not session.deleted
    assert set(stored(db)) == {1}


def test_draft_of_an_inner_scope_stays_a_draft_outside(open_db: Open) -> None:
    db = open_db(Plan)
    with db.session() as session:
        draft = Plan(id=1)
        with session.begin():
            session.add(draft, draft=True)
        assert stored(db) == {}
        session.add(draft)
    assert set(stored(db)) == {1}


def test_draft_is_inserted_once_it_is_changed(open_db: Open) -> None:
    db = open_db(Plan)
    with db.session() as session:
        left, changed, inside = Plan(id=1), Plan(id=2), Plan(id=3)
        session.add(left, changed, inside, draft=True)
        changed.size = 1
        with session.begin():
            inside.size = 1
        assert set(stored(db)) == {3}
    assert set(stored(db)) == {2, 3}


@pytest.mark.parametrize("depth", [1, 2, 5, 30])
def test_any_depth_can_be_taken_back_step_by_step(open_db: Open, depth: int) -> None:
    db = open_db(Plan)
    plans(db, 1)
    with db.session() as session:
        plan = session.get(Plan, 1)
        for level in range(1, depth + 1):
            session.begin()
            plan.size = level
        for level in range(depth, 0, -1):
            assert plan.size == level
            session.cancel()
        assert plan.size == 0
        assert not session.dirty
