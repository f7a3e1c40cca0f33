"""In which order tables are written: what is referred to before what refers to it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import TypeVar

__all__ = ["in_order"]

N = TypeVar("N", bound=Hashable)


def in_order(nodes: Iterable[N], needs: Mapping[N, Iterable[N]]) -> list[N]:
    """Return *nodes* so that each comes after those it needs; otherwise in the order given.

    Where needs run in a circle, the first node of those that are left goes first: the order is
    always whole, and the same for the same input. Needs outside *nodes*, and of a node for itself,
    do not count.

    >>> in_order(["book", "author", "tag"], {"book": ["author", "book"]})
    ['author', 'book', 'tag']
    >>> in_order("ab", {"a": "b", "b": "a"})
    ['a', 'b']
    """
    left = dict.fromkeys(nodes)
    open_needs = {
        node: {need for need in needs.get(node, ()) if need in left and need != node}
        for node in left
    }
    ordered: list[N] = []
    while left:
        ready = [node for node in left if not open_needs[node]] or [next(iter(left))]
        for node in ready:
            del left[node]
        ordered += ready
        done = set(ready)
        for node in left:
            open_needs[node] -= done
    return ordered
