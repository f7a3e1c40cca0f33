"""The search for cycles, against a slow and obvious one."""

from __future__ import annotations

from random import Random

from graven.demo.cycles import cyclic_groups

Graph = dict[int, list[int]]


def reachable(graph: Graph, start: int) -> set[int]:
    seen: set[int] = set()
    stack = [start]
    while stack:
        for step in graph[stack.pop()]:
            if step not in seen:
                seen.add(step)
                stack.append(step)
    return seen


def obvious_groups(graph: Graph) -> set[frozenset[int]]:
    reach = {node: reachable(graph, node) for node in graph}
    groups = (
        frozenset({node, *(other for other in reach[node] if node in reach[other])})
        for node in graph
    )
    return {group for group in groups if len(group) > 1}


def test_groups_are_those_whose_nodes_reach_one_another() -> None:
    for seed in range(200):
        dice = Random(seed)
        size = dice.randint(1, 14)
        graph = {
            node: [dice.randrange(size) for _ in range(dice.randint(0, 3))] for node in range(size)
        }

        found = cyclic_groups(graph, graph.__getitem__)

        assert {frozenset(group) for group in found} == obvious_groups(graph), f"seed {seed}"
        assert len(found) == len(obvious_groups(graph)), f"seed {seed}"
        assert [len(group) for group in found] == sorted(map(len, found), reverse=True)


def test_a_circle_longer_than_any_stack_is_found() -> None:
    size = 20_000

    (group,) = cyclic_groups(range(size), lambda node: [(node + 1) % size])

    assert len(group) == size
