"""What a commit asks of the store, whatever the store replies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from graven import Model, UniqueError, key
from graven.core.collect import collect
from graven.core.conflicts import LostRace
from graven.core.planner import make_plan
from graven.core.unit import UnitOfWork
from graven.dialects.sqlite import SQLiteDialect
from graven.errors import BusyRetry, ForeignKeyError, StoreError
from graven.flows.commit import (
    Checks,
    Question,
    ReadKeys,
    commit,
    commit_after_reading,
    commit_flushed,
    in_transaction,
    write_after_reading,
)
from graven.models.binding import ModelBinding
from graven.models.model import mapper_of
from graven.ops.conditions import Select
from graven.ops.requests import (
    Begin,
    Commit,
    Delete,
    Execute,
    Fetch,
    FetchKeys,
    Insert,
    Inspect,
    Operation,
    Orphan,
    Orphans,
    Rollback,
    SnapshotStale,
    TableShape,
    Update,
)

Reply = Any


class Coin(Model):
    id: int = key()
    worth: int


class Pouch(Model):
    id: int = key(store_made=True)
    coin: Coin


DIALECT = SQLiteDialect()
BINDINGS: dict[Any, ModelBinding] = {}


def binding(mapper: Any) -> ModelBinding:
    codecs = DIALECT.encoders, DIALECT.decoders, DIALECT.column_encoders
    return BINDINGS.setdefault(mapper, ModelBinding(mapper, *codecs))


def unit_with(*objects: Any) -> UnitOfWork:
    unit = UnitOfWork(lambda: None)
    for one in objects:
        unit.add(one)
    return unit


def plan_of(unit: UnitOfWork) -> Any:
    return make_plan(collect(unit, unit.root, None), binding, lambda: 77)


def loaded(unit: UnitOfWork, *rows: tuple[int, int, int]) -> list[Any]:
    mapper = mapper_of(Coin)
    return binding(mapper).hydrate(list(rows), unit, unit.map_of(mapper), False)


def play(flow: Any, *replies: Reply) -> tuple[list[Operation[Any]], Any]:
    """Drive a flow with *replies*; an exception is thrown. Return the requests and the outcome."""
    asked: list[Operation[Any]] = []
    queue: Iterator[Reply] = iter(replies)
    reply: Reply = None
    while True:
        try:
            if isinstance(reply, BaseException):
                asked.append(flow.throw(reply))
            else:
                asked.append(flow.send(reply))
        except StopIteration as end:
            assert next(queue, "all used") == "all used"
            return asked, end.value
        except BaseException as error:  # noqa: BLE001 - it is the outcome
            assert next(queue, "all used") == "all used"
            return asked, error
        reply = next(queue)


def kinds(asked: list[Operation[Any]]) -> list[type[Operation[Any]]]:
    return [type(one) for one in asked]


def two_inserts() -> Any:
    return plan_of(unit_with(Coin(id=1, worth=5), Coin(id=2, worth=6)))


def edited() -> tuple[UnitOfWork, Any]:
    unit = UnitOfWork(lambda: None)
    first, second = loaded(unit, (1, 5, 3), (2, 6, 3))
    unit.kept = [first, second]  # type: ignore[attr-defined]
    first.worth, second.worth = 50, 60
    return unit, plan_of(unit)


def test_one_row_is_one_request() -> None:
    plan = plan_of(unit_with(Coin(id=1, worth=5)))
    asked, made = play(commit(plan, Checks()), [])
    assert asked == [Insert(mapper_of(Coin).table, ("id", "worth", "version"), [(1, 5, 77)])]
    assert made == {}


def test_more_rows_are_one_transaction() -> None:
    asked, made = play(commit(two_inserts(), Checks()), None, [], None)
    assert asked[0] == Begin(True)
    assert kinds(asked) == [Begin, Insert, Commit]
    assert made == {}


def test_keys_made_by_the_store_are_put_where_they_are_waited_for() -> None:
    coin = Coin(id=1, worth=5)
    plan = plan_of(unit_with(Pouch(coin=coin), Pouch(coin=coin)))
    asked, made = play(commit(plan, Checks()), None, [], [41, 42], None)
    assert kinds(asked) == [Begin, Insert, Insert, Commit]
    assert made == {0: 41, 1: 42}


@pytest.mark.parametrize(("replies", "requests"), [
    ([StoreError("a")], [Begin]),
    ([None, StoreError("a"), None], [Begin, Insert, Rollback]),
    ([None, [], StoreError("a"), None], [Begin, Insert, Commit, Rollback]),
])  # fmt: skip
def test_an_error_at_any_request_rolls_back_and_goes_to_the_caller(
    replies: list[Reply], requests: list[Any]
) -> None:
    asked, error = play(commit(two_inserts(), Checks()), *replies)
    assert kinds(asked) == requests
    assert isinstance(error, StoreError)
    assert str(error) == "a"


def test_a_flow_that_is_dropped_asks_for_nothing_more() -> None:
    flow = commit(two_inserts(), Checks())
    next(flow)
    flow.send(None)
    flow.close()
    assert next(flow, "ended") == "ended"


def test_rows_that_do_not_match_are_looked_up_and_all_losers_named() -> None:
    _, plan = edited()
    asked, error = play(commit(plan, Checks()), None, 1, [(2, 9, 4)], None)
    assert kinds(asked) == [Begin, Update, FetchKeys, Rollback]
    assert asked[2].keys == [(1,), (2,)]  # type: ignore[attr-defined]
    assert isinstance(error, LostRace)
    assert [(one.key, one.expected, one.found) for one in error.losers] == [(1, 3, 0), (2, 3, 4)]


def test_a_row_that_was_changed_back_meanwhile_is_a_lost_race_too() -> None:
    _, plan = edited()
    _, error = play(commit(plan, Checks()), None, 1, [(1, 5, 3), (2, 6, 3)], None)
    assert isinstance(error, LostRace)
    assert error.losers == []
    assert "changed back" in error.reason


def test_a_deleted_row_that_has_changed_is_a_lost_race() -> None:
    unit = UnitOfWork(lambda: None)
    (coin,) = loaded(unit, (1, 5, 3))
    unit.delete(coin)
    asked, error = play(commit(plan_of(unit), Checks()), None, 0, [(1, 7, 4)], None)
    assert kinds(asked) == [Begin, Delete, FetchKeys, Rollback]
    assert isinstance(error, LostRace)
    assert [(one.expected, one.found) for one in error.losers] == [(3, 4)]


def unique(*columns: str) -> UniqueError:
    return UniqueError("taken", table="coin", columns=columns)


def test_a_taken_key_names_the_object() -> None:
    asked, error = play(
        commit(two_inserts(), Checks()), None, unique("id"), [(1, 5, 77), (2, 9, 1)], None
    )
    assert kinds(asked) == [Begin, Insert, FetchKeys, Rollback]
    assert isinstance(error, UniqueError)
    assert (error.model, error.key) == ("Coin", 2)


def test_a_taken_key_that_was_read_as_free_is_a_lost_race() -> None:
    unit = unit_with(Coin(id=1, worth=5), Coin(id=2, worth=6))
    unit.map_of(mapper_of(Coin)).absent.add(2)
    asked, error = play(commit(plan_of(unit), Checks()), None, unique("id"), [(2, 9, 12)], None)
    assert kinds(asked) == [Begin, Insert, FetchKeys, Rollback]
    assert isinstance(error, LostRace)
    assert [(one.key, one.expected, one.found) for one in error.losers] == [(2, 0, 12)]


def test_a_unique_error_that_nobody_can_be_blamed_for_stays_as_it_is() -> None:
    vague = UniqueError("taken", constraint="index 1")
    asked, error = play(commit(two_inserts(), Checks()), None, vague, None)
    assert kinds(asked) == [Begin, Insert, Rollback]
    assert error is vague


SHAPE = TableShape((), (), (), ())


def test_a_commit_refused_for_references_says_who_refers_before_it_rolls_back() -> None:
    coin = Coin(id=1, worth=5)
    plan = plan_of(unit_with(Pouch(coin=coin)))
    orphan = Orphan("pouch", (7,), ("coin_id",), "coin", (1,))
    refused = ForeignKeyError("no")
    asked, error = play(commit(plan, Checks()), None, [], [7], refused, SHAPE, [orphan], None)
    assert kinds(asked) == [Begin, Insert, Insert, Commit, Inspect, Orphans, Rollback]
    assert isinstance(error, ForeignKeyError)
    assert error.referrer == "pouch 7"


def test_who_refers_is_not_looked_for_in_tables_that_are_not_there() -> None:
    coin = Coin(id=1, worth=5)
    plan = plan_of(unit_with(Pouch(coin=coin)))
    refused = ForeignKeyError("no")
    asked, error = play(commit(plan, Checks()), None, [], [7], refused, None, None)
    assert kinds(asked)[3:] == [Commit, Inspect, Rollback]
    assert error is refused


def reads(**versions: int) -> ReadKeys:
    mapper = mapper_of(Coin)
    expected = {int(name[1:]): version for name, version in versions.items()}
    return ReadKeys(mapper, expected, binding(mapper).key_row)


def test_what_was_read_is_checked_before_anything_is_written() -> None:
    asked, made = play(commit(two_inserts(), Checks([reads(k7=3, k8=0)])), None, [(7, 3)], [], None)
    assert kinds(asked) == [Begin, FetchKeys, Insert, Commit]
    assert made == {}


def test_what_was_read_and_has_changed_ends_the_commit() -> None:
    asked, error = play(
        commit(two_inserts(), Checks([reads(k7=3, k8=0, k9=1)])),
        None, [(7, 4), (8, 1), (9, 1)], [(7, 50, 4), (8, 1, 1)], None,
    )  # fmt: skip
    assert kinds(asked) == [Begin, FetchKeys, FetchKeys, Rollback]
    assert isinstance(error, LostRace)
    assert [(one.key, one.expected, one.found) for one in error.losers] == [(7, 3, 4), (8, 0, 1)]


SELECT = Select(mapper_of(Coin).table, ("id", "version"))
LOOKUP = FetchKeys(mapper_of(Coin).table, ("id", "version"), ("worth",), [(5,)], True)


@pytest.mark.parametrize(("request_", "same", "other"), [
    (SELECT, [(1, 3), (2, 3)], [(2, 3), (1, 3)]),
    (LOOKUP, [(2, 3), (1, 3)], [(1, 3)]),
    (Execute("select 1"), ([(1, 3), (2, 3)], ("id",)), ([], ("id",))),
])  # fmt: skip
def test_questions_are_asked_again(request_: Any, same: Any, other: Any) -> None:
    def checks() -> Checks:
        return Checks((), [Question("Coin", request_, [(1, 3), (2, 3)])])

    asked, made = play(commit(two_inserts(), checks()), None, same, [], None)
    assert made == {}
    assert asked[1] == (Fetch(request_) if request_ is SELECT else request_)
    asked, error = play(commit(two_inserts(), checks()), None, other, None)
    assert kinds(asked)[2:] == [Rollback]
    assert isinstance(error, LostRace)
    assert "a query of Coin" in error.reason


def test_after_reading_the_open_transaction_is_used() -> None:
    asked, made = play(commit_after_reading(two_inserts(), Checks([reads(k7=3)])), [], None)
    assert kinds(asked) == [Insert, Commit]
    assert made == {}


@pytest.mark.parametrize("busy", [SnapshotStale, BusyRetry])
def test_after_reading_old_data_all_is_checked_in_a_new_transaction(
    busy: Callable[[str], BusyRetry],
) -> None:
    asked, made = play(
        commit_after_reading(two_inserts(), Checks([reads(k7=3)])),
        busy("old"), None, None, [(7, 3)], [], None,
    )  # fmt: skip
    assert kinds(asked) == [Insert, Rollback, Begin, FetchKeys, Insert, Commit]
    assert made == {}


def test_after_reading_any_other_error_ends_it() -> None:
    asked, error = play(
        commit_after_reading(two_inserts(), Checks([reads(k7=3)])), StoreError("full"), None
    )
    assert kinds(asked) == [Insert, Rollback]
    assert isinstance(error, StoreError)


def test_what_was_flushed_is_committed_with_the_rest() -> None:
    asked, _ = play(commit_flushed(two_inserts(), Checks([reads(k7=3)])), [(7, 3)], [], None)
    assert kinds(asked) == [FetchKeys, Insert, Commit]
    asked, error = play(commit_flushed(two_inserts(), Checks()), [], StoreError("full"), None)
    assert kinds(asked) == [Insert, Commit, Rollback]
    assert isinstance(error, StoreError)


def test_a_flush_in_a_snapshot_that_is_old_is_a_lost_race() -> None:
    asked, error = play(write_after_reading(two_inserts()), SnapshotStale("old"))
    assert kinds(asked) == [Insert]
    assert isinstance(error, LostRace)
    assert isinstance(error.__cause__, SnapshotStale)


def test_a_body_in_a_transaction_is_committed_or_rolled_back() -> None:
    def body() -> Any:
        return (yield Fetch(SELECT))

    asked, result = play(in_transaction(body()), None, [(1, 1)], None)
    assert kinds(asked) == [Begin, Fetch, Commit]
    assert result == [(1, 1)]
    asked, error = play(in_transaction(body()), None, KeyboardInterrupt(), None)
    assert kinds(asked) == [Begin, Fetch, Rollback]
    assert isinstance(error, KeyboardInterrupt)
