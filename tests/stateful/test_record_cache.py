"""The record cache against a naive model: plain dictionaries, copied whole at each begin."""

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from graven.core.cache import RecordCache
from graven.errors import DuplicateRecordError, StateChangeError

ROWS = [("t", 1), ("t", 2), ("u", 1)]
FIELDS = ["a", "b"]
AT = st.sampled_from(ROWS)
FIELD = st.sampled_from(FIELDS)
VALUE = st.sampled_from([None, 0, 1, True, 2.0, float("nan"), "x", [1], [True]])
DATA = st.dictionaries(FIELD, VALUE)
Row = tuple[str, int]


class Naive:
    """Every record is a dictionary; a scope is a copy of all of them."""

    def __init__(self) -> None:
        self.records: dict[Row, dict[str, Any]] = {}
        self.copies: list[dict[Row, dict[str, Any]]] = []

    def state(self, at: Row) -> str | None:
        return self.records[at]["state"] if at in self.records else None

    def change(self, at: Row, state: str | None) -> dict[str, Any]:
        """Give a record a state, in a scope."""
        if not self.copies:
            self.begin()
        record = self.records.setdefault(at, {"clean": {}, "dirty": {}})
        record["state"] = state
        if state is None:
            del self.records[at]
        return record

    def begin(self) -> None:
        self.copies.append(deepcopy(self.records))

    def confirm(self) -> None:
        if self.copies:
            self.copies.pop()

    def cancel(self) -> None:
        if not self.copies:
            return
        later, self.records = self.records, self.copies.pop()
        for at, record in later.items():
            if at not in self.records and record["clean"]:
                self.records[at] = {"state": "clean", "clean": record["clean"], "dirty": {}}

    def write_clean(self, at: Row, data: dict[str, object]) -> None:
        if not data:
            return
        self.records.setdefault(at, {"state": "clean", "clean": {}, "dirty": {}})
        for records in (self.records, *self.copies):  # loaded values stay, whatever is cancelled
            if at in records:
                records[at]["clean"] = {**data, **records[at]["clean"]}

    def write_dirty(self, at: Row, field: str, value: object) -> None:
        state = self.state(at)
        old = self.records.get(at, {"clean": {}, "dirty": {}})
        if is_in({**old["clean"], **old["dirty"]}, field, value):
            return
        after = {None: "changed", "clean": "changed", "initialized": "inserted"}.get(state, state)
        record = self.change(at, after)
        record["dirty"][field] = value
        if is_in(record["clean"], field, value):
            del record["dirty"][field]
        if after == "changed" and not record["dirty"]:
            record["state"] = "clean"

    def make_clean(self, at: Row) -> None:
        record = self.records.get(at)
        if record is None:
            return
        if record["state"] == "deleted":
            self.remove(at)
            return
        clean = {**record["clean"], **record["dirty"]}
        for records in (self.records, *self.copies):
            records[at] = {"state": "clean", "clean": dict(clean), "dirty": {}}

    def remove(self, at: Row) -> None:
        for records in (self.records, *self.copies):
            records.pop(at, None)

    def clear_old(self) -> None:
        for records in (self.records, *self.copies):
            for at, record in list(records.items()):
                record["clean"] = {}
                if record["state"] == "clean":
                    del records[at]


def is_in(values: dict[str, Any], field: str, value: object) -> bool:
    return field in values and is_same(values[field], value)


def is_same(left: Any, right: Any) -> bool:
    """The representation tells 1 from True and 2.0 from 2, and has one word for every NaN."""
    return repr(left) == repr(right)


class CacheMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.cache = RecordCache()
        self.naive = Naive()

    @rule(at=AT)
    def insert_record(self, at: Row) -> None:
        state = self.naive.state(at)
        if state not in (None, "deleted"):
            with pytest.raises(DuplicateRecordError):
                self.cache.insert_record(*at)
            return
        self.cache.insert_record(*at)
        self.naive.change(at, "changed" if state else "initializing")["dirty"].clear()

    @rule(at=AT)
    def initialized(self, at: Row) -> None:
        if self.naive.state(at) != "initializing":
            with pytest.raises(StateChangeError):
                self.cache.initialized(*at)
            return
        self.cache.initialized(*at)
        self.naive.change(at, "initialized")

    @rule(at=AT, field=FIELD, value=VALUE)
    def write_dirty(self, at: Row, field: str, value: object) -> None:
        if self.naive.state(at) == "deleted":
            with pytest.raises(StateChangeError):
                self.cache.write_dirty(*at, field, value)
            return
        self.cache.write_dirty(*at, field, value)
        self.naive.write_dirty(at, field, value)

    @rule(at=AT, data=DATA, as_pairs=st.booleans())
    def write_clean(self, at: Row, data: dict[str, object], as_pairs: bool) -> None:
        self.cache.write_clean(*at, list(data.items()) if as_pairs else data)
        self.naive.write_clean(at, data)

    @rule(at=AT)
    def delete_record(self, at: Row) -> None:
        is_new = self.naive.state(at) in ("initializing", "initialized", "inserted")
        self.cache.delete_record(*at)
        self.naive.change(at, None if is_new else "deleted")

    @rule(at=AT)
    def make_clean(self, at: Row) -> None:
        self.cache.make_clean(*at)
        self.naive.make_clean(at)

    @rule(at=AT)
    def remove(self, at: Row) -> None:
        self.cache.remove(*at)
        self.naive.remove(at)

    @rule()
    def clear_old(self) -> None:
        self.cache.clear(old_only=True)
        self.naive.clear_old()

    @rule()
    def clear(self) -> None:
        self.cache.clear()
        self.naive = Naive()

    @rule()
    def begin(self) -> None:
        self.cache.begin()
        self.naive.begin()

    @rule()
    def confirm(self) -> None:
        self.cache.confirm()
        self.naive.confirm()

    @rule()
    def cancel(self) -> None:
        self.cache.cancel()
        self.naive.cancel()

    @rule()
    def confirm_all(self) -> None:
        while self.naive.copies:
            self.confirm()

    @invariant()
    def cells_and_states_agree(self) -> None:
        for at in ROWS:
            record = self.naive.records.get(at, {"clean": {}, "dirty": {}})
            assert self.cache.state(*at) == self.naive.state(at)
            current = {**record["clean"], **record["dirty"]}
            for field in FIELDS:
                self._agree(at, field, record, current)
            absent = [field for field in FIELDS if field not in current]
            assert self.cache.uncached_fields(*at, FIELDS) == absent

    def _agree(
        self, at: Row, field: str, record: dict[str, Any], current: dict[str, object]
    ) -> None:
        assert self.cache.has(*at, field) == (field in current)
        assert self.cache.has(*at, field, dirty=True) == (field in record["dirty"])
        assert self.cache.has(*at, field, dirty=False) == (field in record["clean"])
        for dirty, values in ((True, current), (False, record["clean"])):
            if field in values:
                assert is_same(self.cache.read(*at, field, dirty), values[field])
            else:
                with pytest.raises(KeyError):
                    self.cache.read(*at, field, dirty)

    @invariant()
    def dirty_tables_agree(self) -> None:
        expected: dict[str, dict[int, str]] = {}
        for (table, row), record in self.naive.records.items():
            if record["state"] in ("inserted", "changed", "deleted"):
                shown = repr(sorted(record["dirty"].items()))
                expected.setdefault(table, {})[row] = shown
        found = {
            table: {row: repr(sorted(fields.items())) for row, fields in rows.items()}
            for table, rows in self.cache.dirty_tables().items()
        }
        assert found == expected

    @invariant()
    def nothing_is_kept_of_records_that_nobody_can_bring_back(self) -> None:
        if not self.naive.copies:
            kept = {(t, row) for t, rows in self.cache._tables.items() for row in rows}
            assert kept == set(self.naive.records)


TestRecordCache = CacheMachine.TestCase
TestRecordCache.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
