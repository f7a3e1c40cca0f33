"""The document codec, against pickle on the same graph of plain classes.

`python -m bench.codec`. pickle runs code that the data names and keeps no format that anything else
reads; it is the measure because nothing else in the standard library keeps a graph with its cycles.
"""

import gc
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from statistics import median
from time import process_time
from typing import Any

from bench.report import Table, number, yes
from bench.store import expect
from graven import document_type, flatten_object, from_json, to_json, unflatten_object

NODES = 10_000
ROUNDS_MIN = 5
LIMIT = 4.0
TEXTS = {
    "flatten": ("flatten_object", "pickle.dumps"),
    "restore": ("unflatten_object", "pickle.loads"),
    "write": ("to_json", "pickle.dumps"),
    "read": ("from_json", "pickle.loads"),
}
LIMITED = ("flatten", "restore")


@document_type(name="bench.Node")
@dataclass(eq=False)
class Node:
    """A node as graven documents hold it."""

    name: str
    number: int
    left: "Node | None" = None
    right: "Node | None" = None


class PlainNode:
    """The same, of a plain class."""

    def __init__(self, name: str, number: int) -> None:
        self.name, self.number = name, number
        self.left: PlainNode | None = None
        self.right: PlainNode | None = None


def graph(make: Callable[[str, int], Any], count: int, seed: int = 1) -> list[Any]:
    """A list of nodes in circles of ten, each of which leads to some node before it, too.

    No way through it is long, which suits pickle: it goes down every way to its end.
    """
    random = Random(seed)
    nodes = [make(f"node {n}", n) for n in range(count)]
    for n, node in enumerate(nodes):
        node.left = nodes[n - 9 if n % 10 == 9 else min(n + 1, count - 1)]
        node.right = nodes[random.randint(0, n)]
    return nodes


@dataclass(frozen=True)
class Line:
    """The seconds of one way, in graven and in pickle, by round."""

    way: str
    graven: list[float]
    pickle: list[float]

    @property
    def ratio(self) -> float:
        return median(ours / theirs for ours, theirs in zip(self.graven, self.pickle, strict=True))

    def cells(self) -> list[str]:
        ours, theirs = TEXTS[self.way]
        is_limited = self.way in LIMITED
        return [
            ours, theirs, _ms(self.pickle), _ms(self.graven), number(self.ratio),
            f"≤ {LIMIT:g}" if is_limited else "", yes(self.ratio <= LIMIT) if is_limited else "",
        ]  # fmt: skip


def _ms(samples: list[float]) -> str:
    return f"{median(samples) * 1e3:.1f} ms"


def table(lines: list[Line]) -> Table:
    """What was measured, as a table."""
    head = ["graven", "pickle", "ms (pickle)", "ms (graven)", "ratio", "must reach", "reached"]
    return Table(head, [line.cells() for line in lines])


def run(rounds: int, count: int = NODES) -> list[Line]:
    """Take all samples, graven and pickle in turn."""
    rounds = max(rounds, ROUNDS_MIN)
    nodes, plain = graph(Node, count), graph(PlainNode, count)
    document, text, data = flatten_object(nodes), to_json(nodes), pickle.dumps(plain)
    (again,) = from_json(to_json(unflatten_object(document)))
    expect("circles", [one.left.right.number for one in again], _ends(nodes))
    expect("circles", [one.left.right.number for one in pickle.loads(data)], _ends(nodes))
    ways: dict[str, Callable[[], Any]] = {
        "pickle.dumps": lambda: pickle.dumps(plain),
        "flatten": lambda: flatten_object(nodes),
        "write": lambda: to_json(nodes),
        "pickle.loads": lambda: pickle.loads(data),
        "restore": lambda: unflatten_object(document),
        "read": lambda: from_json(text),
    }
    samples: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, work in ways.items():
            samples[way].append(_timed(work))
    return [Line(way, samples[way], samples[TEXTS[way][1]]) for way in TEXTS]


def _ends(nodes: list[Any]) -> list[int]:
    return [one.left.right.number for one in nodes]


def _timed(work: Callable[[], Any]) -> float:
    gc.collect()
    start = process_time()
    made = work()
    seconds = process_time() - start
    del made
    return seconds


if __name__ == "__main__":
    for line in run(9):
        print(*line.cells())
