"""Random graphs of objects, with cycles and sharing, come back the same in shape and in type."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from graven import Model, document_type, flatten_object, from_json, to_json, unflatten_object


@document_type
@dataclasses.dataclass(eq=False)
class Cell:
    label: str
    link: Any = None
    cells: list[Any] = dataclasses.field(default_factory=list)


@document_type
@dataclasses.dataclass(frozen=True)
class Token:
    number: int
    mark: str = ""


class Vertex(Model):
    label: str
    next: Vertex | None = None
    data: Any = None


ZONES = st.sampled_from([None, UTC, timezone(timedelta(hours=-7, minutes=-30))])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(2**63 - 2, 2**80)
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    | st.binary(max_size=6)
    | st.decimals(allow_nan=False)
    | st.uuids()
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=ZONES)
    | st.builds(Token, st.integers(0, 3), st.sampled_from("ab"))
)
HASHED = (
    st.none()
    | st.integers(-2, 2)
    | st.booleans()
    | st.text("ab", max_size=2)
    | st.dates()
    | st.builds(Token, st.integers(0, 3), st.sampled_from("ab"))
    | st.frozensets(st.integers(0, 5), max_size=3)
)
KEYS = st.text(max_size=4, alphabet="a_$.\0") | st.integers(0, 3) | st.tuples(st.integers(0, 2))


@st.composite
def graphs(draw: st.DrawFn, *more: str) -> Any:
    """Make some objects, then let each hold scalars and any of the others, itself included."""
    kinds = st.sampled_from(["cell", "list", "dict", "set", *more])
    things: list[Any] = []
    for kind in draw(st.lists(kinds, min_size=1, max_size=9)):
        made = {
            "cell": Cell("c"),
            "list": [],
            "dict": {},
            "set": set(),
            "vertex": Vertex(label="v"),
        }
        things.append(made[kind])
    count = len(things)
    any_thing = st.integers(0, count - 1).map(lambda index: things[index])
    items = st.one_of(SCALARS, any_thing, st.tuples(any_thing, SCALARS), st.tuples(any_thing))
    for one in things:
        if isinstance(one, Cell):
            one.label, one.link = draw(st.text("xyz", max_size=3)), draw(items)
            one.cells = draw(st.lists(items, max_size=3))
        elif isinstance(one, Vertex):
            others = [other for other in things if isinstance(other, Vertex)]
            one.next, one.data = draw(st.none() | st.sampled_from(others)), draw(items)
        elif isinstance(one, list):
            one.extend(draw(st.lists(items, max_size=4)))
        elif isinstance(one, dict):
            one.update(draw(st.dictionaries(KEYS, items, max_size=3)))
        else:
            members = [other for other in things if isinstance(other, Cell | Vertex)]
            one.update(draw(st.lists(HASHED, max_size=3)))
            one.update(draw(st.lists(st.sampled_from(members), max_size=2)) if members else [])
    return things


PARTS = {
    Cell: lambda one: [one.label, one.link, one.cells],
    Vertex: lambda one: [one.id, one.label, one.next, one.data],
    list: list,
    tuple: list,
    dict: lambda one: [*one.keys(), *one.values()],
}


def shape(root: Any) -> list[Any]:
    """Describe a graph: each thing by type and parts, each part by value or by number."""
    numbers: dict[int, int] = {}
    queue: list[Any] = []

    def name(one: Any) -> Any:
        kind = one.__class__
        if kind not in PARTS and kind not in (set, frozenset):
            return kind.__name__, repr(one)
        if id(one) not in numbers:
            numbers[id(one)] = len(queue)
            queue.append(one)
        return numbers[id(one)]

    described: list[Any] = [name(root)]
    for one in queue:
        if isinstance(one, set | frozenset):
            plain = sorted(repr(each) for each in one if each.__class__ not in PARTS)
            objects = [each for each in one if each.__class__ in PARTS]
            objects.sort(key=lambda each: (each.__class__.__name__, each.label))
            labels = [(each.__class__.__name__, each.label) for each in objects]
            described.append((type(one).__name__, plain, labels))
        else:
            described.append(
                (one.__class__.__name__, [name(part) for part in PARTS[one.__class__](one)])
            )
    return described


RANDOM = settings(max_examples=150, deadline=None, database=None)


@seed(20240502)
@RANDOM
@given(graphs("vertex"))
def test_a_random_graph_survives_as_text(things: list[Any]) -> None:
    text = to_json(things)

    (found,) = from_json(text)

    assert shape(found) == shape(things)
    assert len(to_json(found)) == len(text)


@seed(20240503)
@RANDOM
@given(graphs())
def test_a_random_graph_survives_as_a_document(things: list[Any]) -> None:
    document = json.loads(json.dumps(flatten_object(things)))

    found = unflatten_object(document)

    assert shape(found) == shape(things)


@seed(20240504)
@settings(max_examples=200, deadline=None, database=None)
@given(
    st.recursive(HASHED, lambda inner: st.tuples(inner, inner) | st.frozensets(inner), max_leaves=9)
)
def test_random_immutable_values_are_equal_and_hash_alike(value: Any) -> None:
    (found,) = from_json(to_json([value]))[0]

    assert found == value
    assert hash(found) == hash(value)
    assert unflatten_object(flatten_object(value)) == value


CHILD = """
import importlib.util, json, sys
name, place = sys.argv[1:]
spec = importlib.util.spec_from_file_location(name, place)
module = sys.modules[name] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
from graven import flatten_object, from_json, to_json, unflatten_object
for line in sys.stdin:
    text, document = json.loads(line)
    again = flatten_object(unflatten_object(document)) if document is not None else None
    print(json.dumps([to_json(*from_json(text)), again]), flush=True)
"""


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Callable[[str, Any], tuple[str, Any]]]:
    """Lets a fresh process, with hashes of its own, read texts and documents and write them again.

    It imports the types, and is given nothing else.
    """
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, __name__, str(Path(__file__))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONHASHSEED": "7"},
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        given, said = child.stdin, child.stdout

        def ask(text: str, document: Any) -> tuple[str, Any]:
            given.write(json.dumps([text, document]) + "\n")
            given.flush()
            answer, again = json.loads(said.readline())
            return answer, again

        yield ask
        given.close()


@seed(20240505)
@settings(max_examples=100, deadline=None, database=None)
@given(graphs("vertex"))
def test_random_graphs_survive_a_fresh_process_as_text(elsewhere: Any, things: list[Any]) -> None:
    text = to_json(things)

    answer, _ = elsewhere(text, None)

    (found,) = from_json(answer)
    assert shape(found) == shape(things)
    assert len(answer) == len(text)


@seed(20240506)
@settings(max_examples=100, deadline=None, database=None)
@given(graphs())
def test_random_graphs_survive_a_fresh_process_as_documents(
    elsewhere: Any, things: list[Any]
) -> None:
    _, again = elsewhere(to_json(), flatten_object(things))

    assert shape(unflatten_object(again)) == shape(things)


def test_graphs_survive_a_process_that_knows_nothing_but_the_text(elsewhere: Any) -> None:
    loop, vertex = Cell("loop"), Vertex(label="v", data={Token(1), Token(2)})
    loop.link, vertex.next = [loop, (vertex, loop)], vertex
    things = [loop, vertex, Decimal("1.10"), UUID(int=3), date(2024, 1, 1), time(1), {1: {2, 3}}]

    answer, _ = elsewhere(to_json(things), None)

    (found,) = from_json(answer)
    assert shape(found) == shape(things)
    assert found[0].link[1][1] is found[0]
    assert found[1].data == {Token(1), Token(2)}
