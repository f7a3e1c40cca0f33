"""The store against a naive model: a list of dictionaries, one for each commit."""

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from graven import ConcurrentUpdate, Store, UsageError
from graven.stm import Transaction, Value

KEYS = ["a", "b", ("c", 1)]
KEY = st.sampled_from(KEYS)
VALUE = st.sampled_from([None, 0, 1, True, "x", (1, 2), [1], {"k": [2]}])
STEP = st.one_of(
    st.tuples(st.just("set"), KEY, VALUE),
    st.tuples(st.just("delete"), KEY, st.none()),
    st.tuples(st.just("nest and fail"), KEY, VALUE),
    st.tuples(st.just("or else"), KEY, VALUE),
)
HISTORY = 12
State = dict[Any, tuple[Any, int]]


class Refused(Exception):
    """Ends a transaction, or a nested one, from inside."""


class StoreMachine(RuleBasedStateMachine):
    """Every rule does the same to the store and to the model, and compares."""

    handles = Bundle("handles")
    snapshots = Bundle("snapshots")

    @initialize()
    def begin(self) -> None:
        self.store = Store(history=HISTORY)
        self.states: list[State] = [{}]
        self.deleted = 0

    @property
    def now(self) -> State:
        return self.states[-1]

    def commit(self, changes: dict[Any, Any], gone: set[Any]) -> None:
        """Tell the model of a commit."""
        if not changes and not gone:
            return
        state = dict(self.now)
        first = self.deleted + 1
        for key in gone & state.keys():
            self.deleted = max(self.deleted, state.pop(key)[1])
        for key, value in changes.items():
            state[key] = (deepcopy(value), state[key][1] + 1 if key in state else first)
        self.states.append(state)

    @rule(steps=st.lists(STEP, max_size=4), fails=st.booleans())
    def transact(self, steps: list[tuple[str, Any, Any]], fails: bool) -> None:
        working: dict[Any, Any] = {key: value for key, (value, _) in self.now.items()}
        changes: dict[Any, Any] = {}
        gone: set[Any] = set()

        def fail(tx: Transaction, key: Any, value: Any) -> None:
            tx[key] = value
            raise Refused

        def retry(tx: Transaction, key: Any) -> None:
            tx[key] = "undone"
            tx.retry()

        def body(tx: Transaction) -> None:
            for what, key, value in steps:
                assert tx.get(key, "absent") == working.get(key, "absent")
                if what == "nest and fail":
                    with pytest.raises(Refused):
                        self.store.atomically(fail, key, value)
                elif what == "delete":
                    if key in working:
                        del tx[key], working[key]
                        changes.pop(key, None)
                        gone.add(key)
                else:
                    if what == "set":
                        tx[key] = value
                    else:
                        tx.or_else(
                            lambda tx, key=key: retry(tx, key),
                            lambda tx, key=key, value=value: tx.__setitem__(key, value),
                        )
                    working[key] = changes[key] = value
                    gone.discard(key)
            if fails:
                raise Refused

        try:
            self.store.atomically(body)
        except Refused:
            return
        self.commit(changes, gone)

    @rule(target=handles, key=KEY)
    def use(self, key: Any) -> Value:
        return self.store.usevar(key)

    @rule(target=handles, handle=handles)
    def clone(self, handle: Value) -> Value:
        return handle.clone()

    @rule(handle=handles, value=VALUE)
    def set(self, handle: Value, value: Any) -> None:
        handle.set(value)

    @rule(handle=handles)
    def change_in_place(self, handle: Value) -> None:
        if isinstance(handle.value, list):
            handle.value.append("in place")

    @rule(chosen=st.lists(handles, min_size=1, max_size=3))
    def commit_handles(self, chosen: list[Value]) -> None:
        members = {handle.key: handle for handle in chosen}
        lost = {k for k, h in members.items() if h.version != self.now.get(k, (None, 0))[1]}
        changed = {
            key: handle.value
            for key, handle in members.items()
            if handle._is_set or handle.value != self.now.get(key, (None, 0))[0]
        }
        try:
            self.store.set_values(members)
        except ConcurrentUpdate as error:
            found = {conflict.key for conflict in error.conflicts or ()}
        else:
            found = set()
        assert found == lost
        if lost:
            return
        self.commit(changed, set())
        assert all(members[key].version == self.now[key][1] for key in changed)

    @rule(target=snapshots)
    def look(self) -> tuple[Any, State]:
        return self.store.as_of(), self.now

    @rule(back=st.integers(0, 20))
    def look_back(self, back: int) -> None:
        version = self.store.version - back
        try:
            found = self.store.as_of(version)
        except UsageError:
            assert back > 0
            assert version < self.store.timeline.remembers_from
            return
        assert dict(found.items()) == {k: v for k, (v, _) in self.states[version].items()}

    @rule(pair=snapshots)
    def look_again(self, pair: tuple[Any, State]) -> None:
        snapshot, state = pair
        assert dict(snapshot.items()) == {key: value for key, (value, _) in state.items()}
        for key in KEYS:
            assert snapshot.version(key) == state.get(key, (None, 0))[1]

    @rule(key=KEY)
    def history(self, key: Any) -> None:
        first = self.store.timeline.remembers_from
        past = self.store.history(key)
        assert (past[-1].value, past[-1].version) == self.now.get(key, (None, 0))
        for one in past:
            if one.store_version >= first:
                held = self.states[one.store_version].get(key, (None, 0))
                assert (one.value, one.version) == held

    @invariant()
    def the_store_holds_what_the_model_holds(self) -> None:
        assert self.store.version == len(self.states) - 1
        found = {key: (handle.value, handle.version) for key, handle in self.store.dump().items()}
        assert found == self.now


TestStore = StoreMachine.TestCase
TestStore.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, derandomize=True
)
