"""The states of a record: every cell of the table that the design gives, in words of its own."""

from collections.abc import Callable

import pytest

from graven.core.cache import RecordCache
from graven.core.lifecycle import STATES, TRANSITIONS, diagram, state_table, transition
from graven.errors import DuplicateRecordError, StateChangeError

# The design's table, written again; "Duplicate" and "StateChange" are errors.
TABLE = """
call           none         initializing initialized inserted    changed     deleted     clean
insert_record  initializing Duplicate    Duplicate   Duplicate   Duplicate   changed     Duplicate
initialized    StateChange  initialized  StateChange StateChange StateChange StateChange StateChange
write_dirty    changed      initializing inserted    inserted    changed     StateChange changed
write_clean    clean        initializing initialized inserted    changed     deleted     clean
delete_record  deleted      none         none        none        deleted     deleted     deleted
make_clean     none         clean        clean       clean       clean       none        clean
remove         none         none         none        none        none        none        none
"""
HEAD, *ROWS = (line.split() for line in TABLE.strip().splitlines())
CELLS = [
    pytest.param(row[0], before, after, id=f"{row[0]}-{before}")
    for row in ROWS
    for before, after in zip(HEAD[1:], row[1:], strict=True)
]
ERRORS = {"Duplicate": DuplicateRecordError, "StateChange": StateChangeError}


def begin_record(cache: RecordCache) -> None:
    cache.insert_record("t", 1)
    cache.write_dirty("t", 1, "a", "first")


def make_draft(cache: RecordCache) -> None:
    begin_record(cache)
    cache.initialized("t", 1)


def make_inserted(cache: RecordCache) -> None:
    make_draft(cache)
    cache.write_dirty("t", 1, "a", "second")


def make_read(cache: RecordCache) -> None:
    cache.write_clean("t", 1, {"a": "read"})


def make_changed(cache: RecordCache) -> None:
    make_read(cache)
    cache.write_dirty("t", 1, "a", "changed")


def make_deleted(cache: RecordCache) -> None:
    make_changed(cache)
    cache.delete_record("t", 1)


PREPARE: dict[str, Callable[[RecordCache], None]] = {
    "none": lambda cache: None,
    "initializing": begin_record,
    "initialized": make_draft,
    "inserted": make_inserted,
    "changed": make_changed,
    "deleted": make_deleted,
    "clean": make_read,
}
CALLS: dict[str, Callable[[RecordCache], None]] = {
    "insert_record": lambda cache: cache.insert_record("t", 1),
    "initialized": lambda cache: cache.initialized("t", 1),
    "write_dirty": lambda cache: cache.write_dirty("t", 1, "a", "new"),
    "write_clean": lambda cache: cache.write_clean("t", 1, {"a": "of the store"}),
    "delete_record": lambda cache: cache.delete_record("t", 1),
    "make_clean": lambda cache: cache.make_clean("t", 1),
    "remove": lambda cache: cache.remove("t", 1),
}


def state_in(cache: RecordCache) -> str:
    return cache.state("t", 1) or "none"


def value(cache: RecordCache, dirty: bool) -> object:
    try:
        return cache.read("t", 1, "a", dirty)
    except KeyError:
        return "absent"


def everything(cache: RecordCache) -> tuple[object, ...]:
    return cache.state("t", 1), value(cache, True), value(cache, False), cache.dirty_tables()


@pytest.mark.parametrize(("call", "before", "after"), CELLS)
def test_a_call_leads_to_the_state_that_the_design_says(call: str, before: str, after: str) -> None:
    cache = RecordCache()
    PREPARE[before](cache)
    assert state_in(cache) == before
    known = everything(cache)

    if after in ERRORS:
        with pytest.raises(ERRORS[after]) as caught:
            CALLS[call](cache)
        assert everything(cache) == known
        assert (caught.value.table, caught.value.row) == ("t", 1)  # type: ignore[attr-defined]
        assert caught.value.state == (None if before == "none" else before)  # type: ignore[attr-defined]
    else:
        CALLS[call](cache)
        assert state_in(cache) == after


@pytest.mark.parametrize(("call", "before", "after"), CELLS)
@pytest.mark.parametrize("how", ["confirm", "cancel"])
def test_a_scope_around_a_call_keeps_its_state_or_takes_it_back(
    call: str, before: str, after: str, how: str
) -> None:
    cache = RecordCache()
    PREPARE[before](cache)
    known = everything(cache)
    cache.begin()

    if after in ERRORS:
        with pytest.raises(ERRORS[after]):
            CALLS[call](cache)
    else:
        CALLS[call](cache)
    later = everything(cache)
    getattr(cache, how)()

    is_forgotten = call in ("make_clean", "remove", "write_clean")
    assert everything(cache) == (later if how == "confirm" or is_forgotten else known)


@pytest.mark.parametrize(("call", "before", "after"), CELLS)
def test_the_table_in_the_code_is_the_design_s(call: str, before: str, after: str) -> None:
    result = TRANSITIONS[call][None if before == "none" else before]

    expected = {"none": None, "Duplicate": "!duplicate", "StateChange": "!refused"}
    assert result == expected.get(after, after)


def test_the_table_has_every_call_and_every_state() -> None:
    assert list(TRANSITIONS) == [row[0] for row in ROWS]
    assert [state or "none" for state in STATES] == HEAD[1:]
    assert all(tuple(row) == STATES for row in TRANSITIONS.values())


def test_a_refused_call_names_what_was_tried_what_was_found_and_the_remedy() -> None:
    with pytest.raises(StateChangeError) as change:
        transition("write_dirty", "deleted", "account", 7)
    with pytest.raises(DuplicateRecordError) as duplicate:
        transition("insert_record", "clean", "account", 7)
    with pytest.raises(StateChangeError) as never:
        transition("initialized", None, "account", 7)

    assert str(change.value) == (
        "cannot do write_dirty on record 7 of table 'account': its state is 'deleted'. What has "
        "been deleted cannot be changed; cancel the deletion or add the object again first."
    )
    assert change.value.attempted == "write_dirty"
    assert "cannot insert record 7 of table 'account'" in str(duplicate.value)
    assert "its state is 'clean'" in str(duplicate.value)
    assert "use another key" in str(duplicate.value)
    assert "its state is 'none'" in str(never.value)
    assert "fresh from insert_record" in str(never.value)


def test_the_diagram_has_an_arrow_for_every_change_and_for_nothing_else() -> None:
    head, *lines = diagram().splitlines()
    arrows = set()
    for line in lines:
        ends, calls = line.strip().split(": ")
        source, target = ends.split(" --> ")
        arrows |= {(call, source, target) for call in calls.split(", ")}

    expected = {
        (row[0], before.replace("none", "[*]"), after.replace("none", "[*]"))
        for row in ROWS
        for before, after in zip(HEAD[1:], row[1:], strict=True)
        if after not in (*ERRORS, before)
    }
    assert head == "stateDiagram-v2"
    assert arrows == expected


def test_the_state_table_is_the_design_s_in_markdown() -> None:
    names = {"Duplicate": "DuplicateRecordError", "StateChange": "StateChangeError"}
    head, rule, *lines = state_table().splitlines()

    assert head == f"| call ↓ state → | {' | '.join(HEAD[1:])} |"
    assert rule == "|---" * len(HEAD) + "|"
    assert lines == [
        f"| `{call}` | {' | '.join(names.get(cell, cell) for cell in cells)} |"
        for call, *cells in ROWS
    ]
