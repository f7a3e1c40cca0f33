"""In which order things are written, whatever refers to what."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graven.core.ordering import in_levels, in_order

NODES = st.lists(st.integers(0, 7), unique=True, max_size=8)
NEEDS = st.dictionaries(st.integers(0, 7), st.lists(st.integers(0, 9), max_size=4))
Labelled = dict[int, dict[str, int]]


def reach(start: int, needs: dict[int, list[int]], nodes: list[int]) -> set[int]:
    """What *start* needs, directly or through others."""
    found: set[int] = set()
    stack = [start]
    while stack:
        for one in needs.get(stack.pop(), []):
            if one in nodes and one not in found:
                found.add(one)
                stack.append(one)
    return found


@given(NODES, NEEDS)
def test_every_need_is_met_that_is_not_part_of_a_circle(
    nodes: list[int], needs: dict[int, list[int]]
) -> None:
    ordered = in_order(nodes, needs)

    assert sorted(ordered) == sorted(nodes)
    place = {node: index for index, node in enumerate(ordered)}
    for node in nodes:
        for need in {*needs.get(node, [])} & {*nodes} - {node}:
            assert place[need] < place[node] or node in reach(need, needs, nodes)


def test_what_needs_nothing_stays_in_the_order_given() -> None:
    assert in_order("dbca", {}) == ["d", "b", "c", "a"]
    assert in_order(iter("ba"), {"b": "zb"}) == ["b", "a"]


def test_a_chain_may_be_longer_than_the_stack_of_calls_is_deep() -> None:
    chain = {n: [n + 1] for n in range(5000)}

    assert in_order(range(5001), chain) == list(range(5000, -1, -1))


LABELLED = st.lists(
    st.dictionaries(st.sampled_from(["must", "may", "might"]), st.integers(0, 6), max_size=3),
    min_size=7,
    max_size=7,
).map(lambda labels: dict(enumerate(labels)))


def refused(circle: list[tuple[int, str]]) -> Exception:
    return ValueError(circle)


@given(LABELLED)
def test_levels_meet_every_need_that_is_not_postponed(needs: Labelled) -> None:
    try:
        levels, postponed = in_levels(needs, lambda label: label != "must", refused)
    except ValueError as error:
        circle = error.args[0]
        assert {label for _, label in circle} == {"must"}
        ring = [*circle, circle[0]]
        assert all(needs[node][label] == after for (node, label), (after, _) in pairwise(ring))
        return

    assert sorted(node for level in levels for node in level) == sorted(needs)
    assert all(level == sorted(level) for level in levels)
    place = {node: index for index, level in enumerate(levels) for node in level}
    for node, labels in needs.items():
        waits = postponed.get(node, [])
        assert "must" not in waits
        for label, need in labels.items():
            assert label in waits or place[need] < place[node]


@given(LABELLED)
def test_nothing_is_postponed_where_there_is_no_circle(needs: Labelled) -> None:
    upwards = {
        node: {label: need for label, need in labels.items() if need > node}
        for node, labels in needs.items()
    }

    assert in_levels(upwards, lambda label: False, refused)[1] == {}


def test_levels_are_as_few_as_can_be() -> None:
    needs: Labelled = {1: {"a": 2, "b": 3}, 2: {"a": 4}, 3: {}, 4: {}, 5: {"a": 3}}

    assert in_levels(needs, lambda label: True, refused) == ([[3, 4], [2, 5], [1]], {})


def test_a_circle_without_a_weak_link_is_refused_and_named() -> None:
    needs: Labelled = {1: {"a": 2}, 2: {"b": 3}, 3: {"c": 2}}

    with pytest.raises(ValueError, match=r"\[\(2, 'b'\), \(3, 'c'\)\]"):
        in_levels(needs, lambda label: label == "a", refused)
    with pytest.raises(ValueError, match=r"\[\(1, 'a'\)\]"):
        in_levels({1: {"a": 1}}, lambda label: False, refused)
