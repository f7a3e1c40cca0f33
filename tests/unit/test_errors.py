"""The tree of errors: who is what, what they carry, and that they travel."""

import copy
import pickle
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

import graven
from graven import Database, Model, errors
from graven.core.cache import RecordCache
from graven.errors import (
    ConcurrentUpdate,
    Conflict,
    DataError,
    FieldConflict,
    GravenError,
    ScopeError,
    SessionError,
)

# The design's tree, written again: each kind with its parent.
TREE = {
    "UsageError": "GravenError",
    "StateChangeError": "UsageError",
    "DuplicateRecordError": "UsageError",
    "ScopeError": "UsageError",
    "SessionError": "UsageError",
    "NotLoadedError": "UsageError",
    "MappingError": "UsageError",
    "QueryError": "UsageError",
    "NotFoundError": "GravenError",
    "MultipleFoundError": "GravenError",
    "TransientError": "GravenError",
    "ConcurrentUpdate": "TransientError",
    "BusyRetry": "TransientError",
    "DeadlockError": "BusyRetry",
    "UnavailableError": "BusyRetry",
    "StoreError": "GravenError",
    "IntegrityError": "StoreError",
    "UniqueError": "IntegrityError",
    "ForeignKeyError": "IntegrityError",
    "CheckError": "IntegrityError",
    "NotNullError": "IntegrityError",
    "DataError": "StoreError",
    "TransactionInactiveError": "StoreError",
    "CommitUnknownError": "GravenError",
    "OperationError": "GravenError",
    "QuarantinedError": "OperationError",
    "NotSerializableError": "OperationError",
    "UnknownOperationError": "OperationError",
    "InvariantError": "GravenError",
}


class Parcel(Model):
    label: str


@pytest.mark.parametrize(("name", "parent"), TREE.items())
def test_an_error_has_its_place_in_the_tree(name: str, parent: str) -> None:
    assert getattr(errors, name).__mro__[1] is getattr(errors, parent)


def test_the_tree_has_every_error_and_graven_exports_them() -> None:
    kinds = {
        name
        for name in errors.__all__
        if isinstance(getattr(errors, name), type) and issubclass(getattr(errors, name), Exception)
    }

    assert kinds == {*TREE, "GravenError"}
    assert all(getattr(graven, name) is getattr(errors, name) for name in kinds)


def test_the_picture_in_the_module_shows_every_error_once() -> None:
    picture = (errors.__doc__ or "").partition("A message says")[0]

    words = picture.replace("(", " ").replace(")", " ").replace(",", " ").replace(";", " ").split()
    assert sorted(word for word in words if word in TREE) == sorted(TREE)


def test_what_was_not_found_is_a_lookup_error_too() -> None:
    assert issubclass(errors.NotFoundError, LookupError)


def test_one_question_decides_a_retry() -> None:
    transient = {name for name in TREE if issubclass(getattr(errors, name), errors.TransientError)}

    assert transient == {
        "TransientError",
        "ConcurrentUpdate",
        "BusyRetry",
        "DeadlockError",
        "UnavailableError",
    }


def test_a_subclass_carries_the_attributes_of_all_its_bases() -> None:
    error = errors.ForeignKeyError("m", statement="s", table="t", key=1, referrer="r")

    assert (error.statement, error.table, error.key, error.referrer) == ("s", "t", 1, "r")
    assert (error.model, error.columns, error.constraint) == (None, None, None)
    assert errors.UnavailableError("m", attempts=3, waited_s=0.5).attempts == 3


def test_an_attribute_that_an_error_does_not_have_is_refused() -> None:
    with pytest.raises(TypeError, match="DataError has no attribute colour, size"):
        DataError("m", size=1, colour=2, field="f")


def test_str_is_the_message_alone() -> None:
    assert str(errors.NotFoundError("there is none", model="A", key=1)) == "there is none"
    assert str(GravenError()) == ""


# ── pickling ────────────────────────────────────────────────────────────────────────────────


def through_pickle(error: Any) -> Any:
    return pickle.loads(pickle.dumps(error))


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        2**70,
        1.5,
        "text",
        b"\0",
        Decimal("1.50"),
        UUID(int=7),
        datetime(2024, 5, 1, tzinfo=UTC),
        (1, [2, {"a": {3}}], frozenset({4})),
    ],
)
def test_plain_data_travel_as_they_are(value: object) -> None:
    there = through_pickle(DataError("m", value=value)).value

    assert there == value
    assert type(there) is type(value)


def test_what_is_no_plain_data_travels_as_its_representation() -> None:
    def local() -> None: ...

    parcel = Parcel(label="box")
    there = through_pickle(DataError("m", value=local, key=(1, local), field="f"))

    assert there.value == repr(local)
    assert there.key == (1, repr(local))
    assert there.field == "f"
    assert through_pickle(DataError("m", value=parcel)).value == repr(parcel)


def test_a_value_that_contains_itself_travels_as_its_representation() -> None:
    circle: list[object] = []
    circle.append(circle)

    assert through_pickle(DataError("m", value=circle)).value == "[[...]]"


def test_a_lost_race_travels_with_both_sides_of_every_field() -> None:
    fields = {"balance": FieldConflict(100, 70, 50), "at": FieldConflict(None, object, None)}
    conflict = Conflict("Account", (1, "x"), 3, 4, fields)
    error = ConcurrentUpdate("m", conflicts=(conflict,), key=(1, "x"), expected=3, found=4)

    there = through_pickle(error)

    assert there.conflicts[0].fields["balance"] == FieldConflict(100, 70, 50)
    assert there.conflicts[0].fields["at"].mine == repr(object)
    assert (there.conflicts[0].model, there.conflicts[0].key) == ("Account", (1, "x"))
    assert (there.expected, there.found, there.value) == (3, 4, None)
    assert through_pickle(there).conflicts == there.conflicts


def ended_twice(session: Any) -> None:
    scope = session.begin()
    scope.cancel()
    scope.cancel()


def used_after_the_end(session: Any) -> None:
    session.close()
    session.commit()


@pytest.mark.parametrize(
    ("act", "kind"), [(ended_twice, ScopeError), (used_after_the_end, SessionError)]
)
def test_an_error_about_a_live_scope_or_session_travels(
    tmp_path: Path, act: Callable[[Any], None], kind: type[GravenError]
) -> None:
    db = Database(f"sqlite:///{tmp_path}/errors.db")
    with pytest.raises(kind) as caught:
        act(db.session())

    there = through_pickle(caught.value)

    db.close()
    assert type(there) is kind
    assert str(there) == str(caught.value)
    assert copy.copy(caught.value).args == caught.value.args


def test_a_refusal_of_the_cache_travels_with_the_record_and_its_state() -> None:
    cache = RecordCache()
    cache.write_clean("t", (1, 2), {"a": 1})
    with pytest.raises(errors.DuplicateRecordError) as caught:
        cache.insert_record("t", (1, 2))

    there = through_pickle(caught.value)

    assert (there.table, there.row, there.state) == ("t", (1, 2), "clean")


# ── conflicts are values ────────────────────────────────────────────────────────────────────


def test_conflicts_are_equal_when_all_they_say_is() -> None:
    def conflict(**changes: Any) -> Conflict:
        said = {"model": "A", "key": 1, "expected": 1, "found": 2, "fields": {}, **changes}
        return Conflict(**said)

    assert conflict() == conflict()
    assert hash(conflict()) == hash(conflict())
    for change in (
        {"model": "B"},
        {"key": 2},
        {"expected": 0},
        {"found": 0},
        {"fields": {"x": FieldConflict(1, 2, 3)}},
    ):
        assert conflict() != conflict(**change)
    assert conflict() != "A"
    assert FieldConflict(1, 2, 3) == FieldConflict(1, 2, 3)
    assert FieldConflict(1, 2, 3) != FieldConflict(1, 2, 4)
    assert FieldConflict(1, 2, 3) != (1, 2, 3)
    assert len({FieldConflict(1, [2], 3), FieldConflict(1, [2], 3)}) == 1


def test_the_representation_of_a_conflict_says_everything() -> None:
    conflict = Conflict("A", 1, 2, 3, {"x": FieldConflict(1, 2, None)})

    assert repr(conflict) == (
        "Conflict(model='A', key=1, expected=2, found=3, "
        "fields={'x': FieldConflict(base=1, mine=2, theirs=None)})"
    )
