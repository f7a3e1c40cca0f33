"""Sessions with nested scopes, driven at random against a naive model of dictionaries.

The model keeps the whole world as it was when each scope began. What a scope has changed is what
differs from that; a cancel goes back to it; a commit carries the difference into the dictionary
that stands for the store, and into what the outer scopes remember.
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Callable, Iterable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from graven import DataError, ForeignKeyError, Model, field, key
from graven.testing.contract import Colour

KEYS = st.integers(1, 4)
NUMBERS = st.integers(0, 3)
BAD = "no number"
World = dict[int, "Row"]


class Node(Model):
    id: int = key()
    a: int = 0
    b: int = 0
    tags: list[int] = field(default_factory=list)
    friend: Node | None = None


class Row:
    """One object in the model: what it is to the session, and its values; a friend is a key.

    Two new objects may have the same key, one after the other: they differ in their *number*.
    """

    def __init__(self, status: str, number: int = 0, **values: Any) -> None:
        self.status, self.number, self.values = status, number, values

    def __repr__(self) -> str:
        return f"{self.status}{self.values}"

    def was_new(self, before: Row | None) -> bool:
        """Whether *before* is the same new object."""
        return before is not None and before.status == "new" and before.number == self.number


def stored(rows: dict[int, dict[str, Any]]) -> World:
    return {one: Row("stored", **deepcopy(values)) for one, values in rows.items()}


def differing(now: Row, before: Row) -> dict[str, Any]:
    """The values of *now* that *before* does not have; 1 is not True."""
    return {
        name: deepcopy(value)
        for name, value in now.values.items()
        if value != before.values[name] or type(value) is not type(before.values[name])
    }


class Writes:
    """What a commit of one scope writes, by the model."""

    def __init__(self, world: World, start: World, only: Iterable[int] | None) -> None:
        named = set(world) if only is None else set(only)
        self.inserts: dict[int, dict[str, Any]] = {}
        self.updates: dict[int, dict[str, Any]] = {}
        self.deletes: set[int] = set()
        for one in sorted(named & set(world)):
            now, before = world[one], start.get(one)
            if now.status == "new":
                if before is None or not now.was_new(before) or differing(now, before):
                    self.inserts[one] = deepcopy(now.values)
            elif now.status == "deleted":
                if before is not None and before.status == "stored":
                    self.deletes.add(one)
            elif before is not None and (changed := differing(now, before)):
                self.updates[one] = changed
        self._take_along(world)

    def _take_along(self, world: World) -> None:
        queue = [*self.inserts, *self.updates]
        while queue:
            friend = world[queue.pop()].values["friend"]
            if friend is None or friend in self.inserts or friend not in world:
                continue
            if world[friend].status == "new":
                self.inserts[friend] = deepcopy(world[friend].values)
                queue.append(friend)

    def is_bad(self) -> bool:
        values = (*self.inserts.values(), *self.updates.values())
        return any(one.get("a") == BAD for one in values)

    def apply(self, rows: dict[int, dict[str, Any]]) -> None:
        for one, values in self.inserts.items():
            rows[one] = deepcopy(values)
        for one, values in self.updates.items():
            rows[one].update(deepcopy(values))
        for one in self.deletes:
            del rows[one]

    def remember(self, world: World) -> None:
        """Carry what was written into what a scope remembers."""
        for one, values in self.inserts.items():
            world[one] = Row("stored", **deepcopy(values))
        for one, values in self.updates.items():
            if one in world:
                world[one].values.update(deepcopy(values))
        for one in self.deletes:
            world.pop(one, None)


class Sessions(RuleBasedStateMachine):
    """One session at a time, on a file of its own."""

    colour_name = "blocking"

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "stateful.db"
        self.colour = Colour(self.colour_name)
        self.db = self.colour.open(f"sqlite:///{self.path}?synchronous=normal")
        self.db.create(Node)
        self.rows: dict[int, dict[str, Any]] = {}
        self.starts: list[World] = []
        self.known: list[dict[int, Node]] = []
        self.session: Any = None
        self.made = 0

    # -- the life of a session ---------------------------------------------------------------------

    @initialize()
    def open(self) -> None:
        self.session = self.db.session()
        found = self.session.query(Node).order_by(Node.id).all()
        self.objects = {one.id: one for one in found}
        self.world = stored(self.rows)
        self.starts, self.known = [], []

    @rule()
    def reopen(self) -> None:
        self.session.close()
        self.open()

    def start(self) -> World:
        """The world when the innermost scope began; the outermost begins with what is stored."""
        return self.starts[-1] if self.starts else stored(self.rows)

    def living(self) -> list[int]:
        return [one for one, row in self.world.items() if row.status != "deleted"]

    # -- changes -----------------------------------------------------------------------------------

    @rule(one=KEYS, a=NUMBERS, friend=st.none() | KEYS)
    def add(self, one: int, a: int, friend: int | None) -> None:
        row = self.world.get(one)
        if row is not None and row.status == "deleted":
            row.status = "stored"
            self.session.add(self.objects[one])
        elif row is None:
            friend = friend if friend in self.living() else None
            made = Node(id=one, a=a, friend=self.objects.get(friend) if friend else None)
            self.objects[one] = made
            self.made += 1
            self.world[one] = Row("new", self.made, id=one, a=a, b=0, tags=[], friend=friend)
            self.session.add(made)

    @rule(one=KEYS, name=st.sampled_from(["a", "b"]), value=NUMBERS)
    def set(self, one: int, name: str, value: int) -> None:
        if one in self.living():
            self.world[one].values[name] = value
            setattr(self.objects[one], name, value)

    @rule(one=KEYS)
    def spoil(self, one: int) -> None:
        if one in self.living():
            self.world[one].values["a"] = BAD
            self.objects[one].a = BAD

    @rule(one=KEYS, value=NUMBERS)
    def change_in_place(self, one: int, value: int) -> None:
        if one in self.living():
            self.world[one].values["tags"].append(value)
            self.objects[one].tags.append(value)

    @rule(one=KEYS, values=st.lists(NUMBERS, max_size=2))
    def replace_list(self, one: int, values: list[int]) -> None:
        if one in self.living():
            self.world[one].values["tags"] = list(values)
            self.objects[one].tags = list(values)

    @rule(one=KEYS, other=st.none() | KEYS)
    def refer(self, one: int, other: int | None) -> None:
        if one in self.living() and (other is None or other in self.living()):
            self.world[one].values["friend"] = other
            self.objects[one].friend = None if other is None else self.objects[other]

    @rule(one=KEYS)
    def delete(self, one: int) -> None:
        if one not in self.living():
            return
        row = self.world[one]
        if row.status == "stored":
            row.status = "deleted"
        elif any(each.values["friend"] == one for each in self.world.values()):
            return
        else:
            del self.world[one]
        self.session.delete(self.objects[one])

    # -- scopes ------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.starts) < 4)
    @rule()
    def begin(self) -> None:
        self.session.begin()
        self.starts.append(deepcopy(self.world))
        self.known.append(dict(self.objects))

    @rule()
    def confirm(self) -> None:
        self.session.confirm()
        if self.starts:
            self.starts.pop()
            self.known.pop()

    @rule()
    def cancel(self) -> None:
        self.session.cancel()
        if self.starts:
            self.world, self.objects = self.starts.pop(), self.known.pop()
        else:
            self.world = stored(self.rows)

    @rule()
    def roll_back(self) -> None:
        self.session.rollback()
        self.starts.clear()
        self.known.clear()
        self.world = stored(self.rows)

    @rule()
    def commit(self) -> None:
        self._commit(None)

    @rule(names=st.lists(KEYS, min_size=1, max_size=3, unique=True))
    def commit_some(self, names: list[int]) -> None:
        names = [one for one in names if one in self.living()]
        if names:
            self._commit(names)

    def _commit(self, only: list[int] | None) -> None:
        writes = Writes(self.world, self.start(), only)
        rows = deepcopy(self.rows)
        writes.apply(rows)
        named = [self.objects[one] for one in only or ()]
        if writes.is_bad():
            self._refused(DataError, lambda: self.session.commit(*named))
        elif any(each["friend"] not in {None, *rows} for each in rows.values()):
            self._refused(ForeignKeyError, lambda: self.session.commit(*named))
        else:
            self.session.commit(*named)
            self.rows = rows
            for world in (self.world, *self.starts):
                writes.remember(world)
            for known in self.known:
                known.update({one: self.objects[one] for one in writes.inserts})
            if only is None and self.starts:
                self.starts.pop()
                self.known.pop()
        assert self.in_the_store() == self.rows

    def _refused(self, kind: type[Exception], call: Callable[[], object]) -> None:
        with pytest.raises(kind):
            call()

    @rule()
    def flush(self) -> None:
        if Writes(self.world, stored(self.rows), None).is_bad():
            self._refused(DataError, self.session.flush)
        else:
            self.session.flush()

    # -- what must hold ----------------------------------------------------------------------------

    def in_the_store(self) -> dict[int, dict[str, Any]]:
        connection = sqlite3.connect(self.path)
        try:
            found = connection.execute("select id, a, b, tags, friend_id from node").fetchall()
        finally:
            connection.close()
        return {
            one: {"id": one, "a": a, "b": b, "tags": json.loads(tags), "friend": friend}
            for one, a, b, tags, friend in found
        }

    @invariant()
    def memory_is_as_the_model(self) -> None:
        if self.session is None:
            return
        shown = {}
        for one in self.living():
            node = self.objects[one]
            friend = None if node.friend is None else node.friend.id
            assert node.friend is None or node.friend is self.objects[friend]
            shown[one] = {name: getattr(node, name) for name in ("id", "a", "b", "tags")}
            shown[one]["friend"] = friend
        assert shown == {one: self.world[one].values for one in self.living()}

    @invariant()
    def queries_are_as_the_model(self) -> None:
        """Judged as if what is pending had been written, whatever was flushed."""
        if self.session is None or any(row.values["a"] == BAD for row in self.world.values()):
            return
        wanted = {one for one in self.living() if self.world[one].values["a"] < 2}
        found = self.session.query(Node).where(Node.a < 2).all()
        assert {one.id: one for one in found} == {one: self.objects[one] for one in wanted}
        assert self.session.query(Node).where(Node.a < 2).count() == len(wanted)
        for one in range(1, 5):
            expected = self.objects[one] if one in self.living() else None
            assert self.session.get(Node, one) is expected

    @invariant()
    def views_are_as_the_model(self) -> None:
        if self.session is None:
            return
        start = self.start()
        new, dirty, deleted = set(), set(), set()
        for one, row in self.world.items():
            before = start.get(one)
            if row.status == "new" and not row.was_new(before):
                new.add(one)
            elif row.status == "deleted":
                if before is not None and before.status != "deleted":
                    deleted.add(one)
            elif before is not None and before.number == row.number and differing(row, before):
                dirty.add(one)
        assert {one.id for one in self.session.new} == new
        assert {one.id for one in self.session.dirty} == dirty
        assert {one.id for one in self.session.deleted} == deleted

    def teardown(self) -> None:
        try:
            if self.session is not None:
                self.session.close()
        finally:
            self.colour.close()
            self.folder.cleanup()


class AsyncSessions(Sessions):
    colour_name = "async"


BOUNDED = settings(
    max_examples=120,
    stateful_step_count=25,
    deadline=None,
    print_blob=True,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("machine", [Sessions, AsyncSessions])
def test_sessions_behave_like_dictionaries_that_remember(machine: type[Sessions]) -> None:
    run_state_machine_as_test(machine, settings=BOUNDED)
