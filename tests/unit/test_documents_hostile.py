"""Documents that nobody should have written: a clear error, no code run, nothing changed."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import json
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from graven import (
    DataError,
    GravenError,
    Model,
    ModelSerializer,
    document_type,
    flatten_object,
    from_json,
    to_json,
    unflatten_object,
)

RAN: list[str] = []


class Shade(enum.Enum):
    DARK = "d"


@document_type
@dataclasses.dataclass
class Trap:
    """Says when any of its code is run."""

    name: str
    count: int = 0
    shade: Shade = Shade.DARK
    inner: Trap | None = None
    bag: list[Any] = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        RAN.append("post_init")

    def __setattr__(self, name: str, value: object) -> None:
        RAN.append("setattr")
        object.__setattr__(self, name, value)


class Herder(Model):
    name: str


class Trinket(Model):
    owner: Herder
    size: int = 0


ID = {"__uuid__": str(UUID(int=1))}
OWNER = {"__model__": "Herder", "id": ID, "name": "x"}
TRAP: dict[str, Any] = {"__model__": "Trap", "name": "x"}

STATES = {
    "unknown type": {"__model__": "os.system", "command": "true"},
    "type that is no name": {"__model__": ["Trap"]},
    "dotted path": {"__model__": "tests.unit.test_documents_hostile.Trap", "name": "x"},
    "base class": {"__model__": "Model"},
    "builtin": {"__model__": "type"},
    "enumeration as object": {"__model__": "Shade"},
    "class mark": {"__class__": "Trap", "name": "x"},
    "class as a field": {**TRAP, "__class__": "Herder"},
    "dict as a field": {**TRAP, "__dict__": {}},
    "reduce": {"__reduce__": ["os.system", ["true"]]},
    "missing field": {"__model__": "Trap"},
    "number for text": {**TRAP, "name": 1},
    "text for number": {**TRAP, "count": "1"},
    "bool for number": {**TRAP, "count": True},
    "null for text": {**TRAP, "name": None},
    "list for text": {**TRAP, "name": ["x"]},
    "object for number": {**TRAP, "count": TRAP},
    "mark for number": {**TRAP, "count": {"__uuid__": ID["__uuid__"]}},
    "other class in a field": {**TRAP, "inner": OWNER},
    "dict for list": {**TRAP, "bag": {}},
    "member that is none": {**TRAP, "shade": {"__enum__": ["Shade", "LIGHT"]}},
    "dunder as member": {**TRAP, "shade": {"__enum__": ["Shade", "__class__"]}},
    "member of a class": {**TRAP, "shade": {"__enum__": ["Trap", "name"]}},
    "enum of nothing": {**TRAP, "shade": {"__enum__": []}},
    "dangling ordinal": {"__ref__": 7},
    "dangling ordinal inside": {**TRAP, "bag": [{"__ref__": 7}]},
    "ordinal that is a bool": {**TRAP, "__ordinal__": 1, "inner": {"__ref__": True}},
    "ordinal that is a text": {"__ref__": "x"},
    "ordinal with company": [{"__list__": [], "__ordinal__": 0}, {"__ref__": 0, "x": 1}],
    "ordinal twice": [{"__list__": [], "__ordinal__": 0}, {"__list__": [], "__ordinal__": 0}],
    "ordinal of a wrong kind": {"__list__": [], "__ordinal__": "0"},
    "reference to itself": {"__ref__": 0, "__ordinal__": 0},
    "tuple in itself": {"__tuple__": [{"__ref__": 0}], "__ordinal__": 0},
    "frozenset in itself": {"__frozenset__": [{"__ref__": 0}], "__ordinal__": 0},
    "set of lists": {"__set__": [[]]},
    "key that is a list": {"__dict__": [[[], 1]]},
    "pair of three": {"__dict__": [[1, 2, 3]]},
    "pairs that are none": {"__dict__": 5},
    "tuple of a number": {"__tuple__": 5},
    "two marks": {"__tuple__": [], "__set__": []},
    "hidden mark": {"a": 1, "__tuple__": []},
    "broken uuid": {"__uuid__": "x"},
    "uuid of a number": {"__uuid__": 5},
    "broken decimal": {"__decimal__": "1e999999999999999999999"},
    "broken date": {"__date__": "2024-02-30"},
    "broken datetime": {"__datetime__": ["2024-01-01T00:00:00", 2]},
    "datetime of three": {"__datetime__": ["2024-01-01T00:00:00", 0, 0]},
    "broken bytes": {"__bytes__": "*"},
    "broken int": {"__int__": "12z"},
    "number as float": {"__float__": "1.5"},
    "timedelta too long": {"__timedelta__": [10**12, 0, 0]},
    "timedelta of texts": {"__timedelta__": ["1", "2", "3"]},
    "version zero": {**TRAP, "__version__": 0},
    "version of a text": {**TRAP, "__version__": "1"},
    "version of the future": {**TRAP, "__version__": 2},
    "reference without a key": {"__model__": "Herder", "__key__": None},
    "reference with a wrong key": {"__model__": "Herder", "__key__": "x"},
    "reference with two keys": {"__model__": "Herder", "__key__": [ID, ID]},
    "reference with fields": {"__model__": "Herder", "__key__": ID, "name": "x"},
    "reference to a value": {"__model__": "Trap", "__key__": ID},
    "key of a wrong type": {**OWNER, "id": 5},
    "two of one key": [OWNER, {**OWNER, "name": "y"}],
    "reference to another class": {
        "__model__": "Trinket",
        "id": ID,
        "owner": {"__model__": "Trinket", "__key__": ID},
    },
    "embedded in place of a reference": {"__model__": "Trinket", "id": ID, "owner": TRAP},
    "reference that is null": {"__model__": "Trinket", "id": ID, "owner": None},
    "reference that is left out": {"__model__": "Trinket", "id": ID},
}


@pytest.fixture(autouse=True)
def _known() -> None:
    flatten_object(Trap("x"))
    RAN.clear()


@pytest.mark.parametrize("name", STATES)
def test_a_hostile_document_gets_a_clear_error_and_runs_nothing(name: str) -> None:
    state = json.loads(json.dumps(STATES[name]))
    nodes = [state]
    scope: dict[Any, Any] = {}

    for read in (
        lambda: unflatten_object(state, scope),
        lambda: unflatten_object([state], scope),
        lambda: from_json(json.dumps({"graven": 1, "roots": nodes, "nodes": []}), scope),
    ):
        with pytest.raises(GravenError, match="cannot restore") as caught:
            read()
        assert len(str(caught.value)) < 1500
    assert RAN == []
    assert scope == {}
    assert unflatten_object(TRAP, scope).name == "x"


TEXTS = {
    "nothing": "",
    "cut short": to_json([1, 2, 3])[:-5],
    "no object": "[]",
    "no roots": '{"graven":1,"nodes":[]}',
    "more than that": '{"graven":1,"roots":[],"nodes":[],"x":1}',
    "another format": '{"graven":2,"roots":[],"nodes":[]}',
    "a format that is true": '{"graven":true,"roots":[],"nodes":[]}',
    "roots that are none": '{"graven":1,"roots":5,"nodes":[]}',
    "nodes that are none": '{"graven":1,"roots":[],"nodes":{}}',
    "a node that is a reference": '{"graven":1,"roots":[{"__ref__":0}],"nodes":[{"__ref__":0}]}',
    "references in a circle": (
        '{"graven":1,"roots":[{"__ref__":0}],"nodes":[{"__ref__":1},{"__ref__":0}]}'
    ),
    "a node that is not there": '{"graven":1,"roots":[{"__ref__":1}],"nodes":[[]]}',
    "a negative node": '{"graven":1,"roots":[{"__ref__":-1}],"nodes":[[]]}',
    "nested far too deeply": '{"graven":1,"nodes":[],"roots":'
    + "[" * 100_000
    + "]" * 100_000
    + "}",
    "no text at all": b"\xff\xfe",
    "a number out of range": '{"graven":1,"roots":[1e999],"nodes":[]}',
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_hostile_text_gets_a_clear_error(name: str) -> None:
    with pytest.raises(DataError, match="cannot re"):
        from_json(TEXTS[name])


def test_a_deep_document_that_is_no_text_is_no_matter() -> None:
    state: Any = []
    for _ in range(100_000):
        state = [state]

    found = unflatten_object(state)

    assert found == [found[0]]


def test_a_document_that_contains_itself_as_python_data_ends() -> None:
    state: list[Any] = []
    state.append(state)

    found = unflatten_object(state)

    assert found[0] is found


def test_a_closed_serializer_reads_no_other_type_though_it_is_known_elsewhere() -> None:
    with pytest.raises(DataError, match="no type of that name"):
        ModelSerializer(Shade).unflatten_object(TRAP)


def test_an_error_while_filling_in_leaves_the_scope_as_it_was() -> None:
    scope: dict[Any, Any] = {}

    with pytest.raises(DataError):
        unflatten_object([OWNER, {**TRAP, "name": 1}], scope)

    assert scope == {}


def test_a_model_is_never_found_as_an_object_of_another_class() -> None:
    owner = Herder(name="x")
    thing_state = {"__model__": "Herder", "id": {"__uuid__": str(owner.id)}, "name": "x"}

    with pytest.raises(DataError, match="in the scope"):
        unflatten_object(thing_state, {(Herder, owner.id): Trap("x")})


MARKS = [
    "__model__", "__ref__", "__ordinal__", "__key__", "__version__", "__enum__", "__tuple__",
    "__set__", "__frozenset__", "__dict__", "__list__", "__uuid__", "__int__", "__float__",
    "__datetime__", "__timedelta__", "__decimal__", "__class__", "name", "count", "bag", "inner",
    "shade", "id", "owner",
]  # fmt: skip
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | st.floats() | st.sampled_from(
        ["Trap", "Herder", "Trinket", "Shade", "DARK", "x", "", "1", "0x1f", ID["__uuid__"], "nan"]
    ),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(MARKS), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@seed(20240501)
@settings(max_examples=1500, deadline=None, database=None)
@given(JUNK, st.lists(JUNK, max_size=3))
def test_no_junk_raises_anything_but_an_error_of_graven(root: Any, nodes: list[Any]) -> None:
    for read in (
        lambda: unflatten_object(root),
        lambda: from_json(json.dumps({"graven": 1, "roots": [root], "nodes": nodes})),
    ):
        with contextlib.suppress(GravenError):
            read()
    assert RAN == []
