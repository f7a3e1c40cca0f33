"""The life of an operation, and the entries of the log as values."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest

from graven import Database, OperationError
from graven.core.entries import Entry, EntryRows, derived_id
from graven.core.operating import (
    FINISHED,
    PENDING,
    REFUSED,
    RUNNING,
    STATES,
    TRANSITIONS,
    transition,
)
from graven.models.documents.splitting import split
from graven.models.keys import uuid7
from graven.ops.operating import OPERATIONS

NOW = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(("event", "state"), list(product(TRANSITIONS, STATES)))
def test_every_event_leads_to_a_state_or_is_refused_by_name(event: str, state: Any) -> None:
    result = TRANSITIONS[event][state]
    if result == REFUSED:
        with pytest.raises(OperationError, match=str(state or "none")) as caught:
            transition(event, state, "op")
        assert caught.value.operation_id == "op"
    else:
        assert transition(event, state) == result
        assert result in STATES


def test_what_has_finished_goes_on_only_if_a_person_says_so() -> None:
    by_persons = {"retry", "rerun", "cancel", "call", "undo"}
    for event, state in product(TRANSITIONS, FINISHED):
        result = TRANSITIONS[event][state]
        assert result in (REFUSED, state) or event in by_persons


def test_every_state_can_be_reached_and_be_brought_to_an_end() -> None:
    reached: set[Any] = {None}
    for _ in STATES:
        reached |= {row[one] for row in TRANSITIONS.values() for one in reached if one in row}
        reached.discard(REFUSED)
    assert reached == set(STATES)
    for state in set(STATES) - FINISHED - {None}:
        ends = {state}
        for _ in STATES:
            ends |= {row[one] for row in TRANSITIONS.values() for one in ends} - {REFUSED}
        assert ends & FINISHED


def test_ids_that_are_derived_are_the_same_for_the_same_parts_only() -> None:
    assert derived_id("key", "f", "x") == derived_id("key", "f", "x")
    parts = [("a", "b"), ("ab",), ("a\0b",), ("a", "b", ""), ("b", "a"), ("1:a", "b"), ("\ud800",)]
    assert len({derived_id(*one) for one in parts}) == len(parts)
    assert (derived_id("a").version, derived_id("a").variant) == (8, uuid7().variant)


def entry(**more: Any) -> Entry:
    return Entry(uuid7(), "bank.transfer", "{}", NOW, RUNNING, NOW).but(**more)


@pytest.mark.parametrize("url", ["sqlite://", "memory:", "postgresql://nowhere/db"])
def test_entries_become_rows_and_entries_again(url: str) -> None:
    rows = EntryRows(Database(url).pool.dialect)
    given = entry(attempts=3, key="k", error="e", finished=NOW + timedelta(milliseconds=1))
    (row,) = rows.insert([given]).rows
    assert rows.entries([row]) == [given]
    assert len(row) == len(OPERATIONS.columns)


def test_every_change_of_an_entry_is_guarded_by_its_fence() -> None:
    rows = EntryRows(Database("memory:").pool.dialect)
    first, second = entry(version=7), entry(version=9, state="compensating")
    changed = rows.update([first, second], state=PENDING, due=None)
    assert changed.guards == ("version",)
    assert "version" not in changed.columns  # so one is added to it
    assert [row[-1] for row in changed.rows] == [7, 9]
    claimed = rows.claim([first, second], "me", NOW)
    assert [row[0] for row in claimed.rows] == [RUNNING, "compensating"]
    touched = rows.touch(first, due=NOW)
    assert touched.columns == ("due", "version")
    assert (touched.rows[0][1], touched.rows[0][-1]) == (7, 7)
    ended = rows.finish(first, "done", "{}", NOW)
    assert (ended.guards, ended.rows[0][-1]) == (("version",), 7)


def test_references_are_taken_out_of_a_document_with_their_places() -> None:
    ada, bob = {"__model__": "A", "__key__": 1}, {"__model__": "A", "__key__": 2}
    references, rest = split({"0": ada, "1": [1, {"a/b~c": bob}], "to": {"__tuple__": [ada]}})
    assert references == {"0": ada, "1/1/a~1b~0c": bob, "to/__tuple__/0": ada}
    assert rest == {"1": [1, {"a/b~c": None}], "to": {"__tuple__": [None]}}
