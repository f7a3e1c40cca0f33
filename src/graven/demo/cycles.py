"""Cycles in a graph: its strongly connected groups, found in one pass (Tarjan, 1972)."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Generic, TypeVar

N = TypeVar("N", bound=Hashable)


def cyclic_groups(nodes: Iterable[N], following: Callable[[N], Iterable[N]]) -> list[set[N]]:
    """Return the groups of two or more nodes that can all reach one another, the largest first.

    *following* names the nodes that a node leads to. The depth of the graph does not matter: no
    recursion is used.
    """
    search = _Search(following)
    for node in nodes:
        if node not in search.lowest:
            search.visit(node)
    return sorted(search.groups, key=len, reverse=True)


class _Search(Generic[N]):
    def __init__(self, following: Callable[[N], Iterable[N]]) -> None:
        self.following = following
        self.groups: list[set[N]] = []
        self.lowest: dict[N, int] = {}  # the earliest visited node that each node can reach
        self.numbers: dict[N, int] = {}
        self.open: dict[N, None] = {}  # visited nodes that are in no finished group, in order
        self.path: list[tuple[N, Iterator[N]]] = []

    def visit(self, start: N) -> None:
        """Follow everything that can be reached from *start*."""
        self._enter(start)
        while self.path:
            node, rest = self.path[-1]
            step = next(rest, None)
            if step is None:
                self._leave()
            elif step not in self.numbers:
                self._enter(step)
            elif step in self.open:
                self.lowest[node] = min(self.lowest[node], self.numbers[step])

    def _enter(self, node: N) -> None:
        self.numbers[node] = self.lowest[node] = len(self.numbers)
        self.open[node] = None
        self.path.append((node, iter(self.following(node))))

    def _leave(self) -> None:
        node, _ = self.path.pop()
        if self.path:
            before = self.path[-1][0]
            self.lowest[before] = min(self.lowest[before], self.lowest[node])
        if self.lowest[node] == self.numbers[node]:
            group = set[N]()
            while node not in group:
                group.add(self.open.popitem()[0])
            if len(group) > 1:
                self.groups.append(group)
