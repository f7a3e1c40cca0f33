"""In which order things are written: what is referred to before what refers to it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping

from graven._hints import TypeVar

__all__ = ["in_levels", "in_order"]

N = TypeVar("N", bound=Hashable)
L = TypeVar("L", bound=Hashable)


def in_order(nodes: Iterable[N], needs: Mapping[N, Iterable[N]]) -> list[N]:
    """Return *nodes* so that each comes after those it needs; otherwise in the order given.

    Where needs run in a circle, one need of the circle is not met, and everything else is: the
    order is always whole, and the same for the same input. Needs outside *nodes*, and of a node
    for itself, do not count.

    >>> in_order(["book", "author", "tag"], {"book": ["author", "book"]})
    ['author', 'book', 'tag']
    >>> in_order("abc", {"a": "b", "b": "c", "c": "b"})
    ['c', 'b', 'a']
    """
    given = dict.fromkeys(nodes)
    entered: set[N] = set()
    ordered: list[N] = []
    for first in given:
        stack = [(first, iter(needs.get(first, ())))] if first not in entered else []
        entered.add(first)
        while stack:
            node, open_needs = stack[-1]
            need = next((one for one in open_needs if one in given and one not in entered), None)
            if need is None:
                ordered.append(node)
                stack.pop()
            else:
                entered.add(need)
                stack.append((need, iter(needs.get(need, ()))))
    return ordered


def in_levels(
    needs: Mapping[N, Mapping[L, N]],
    may_wait: Callable[[L], bool],
    refusal: Callable[[list[tuple[N, L]]], Exception],
) -> tuple[list[list[N]], dict[N, list[L]]]:
    """Put nodes on levels, each on a later one than those it needs; return what is postponed too.

    A need is ``{label: node}``, and every node has an entry. Where needs run in a circle, the first
    of them that *may_wait* is postponed, in all separate circles at once. Nodes of a level are in
    the order given.

    :raises Exception: what *refusal* makes of a circle in which nothing may wait, given as a list
        of nodes and labels.
    """
    place = {node: index for index, node in enumerate(needs)}
    left = {node: dict(labels) for node, labels in needs.items()}
    waiting: dict[N, list[tuple[N, L]]] = {}
    postponed: dict[N, list[L]] = {}

    def postpone(circle: list[tuple[N, L]]) -> None:
        weakest = next((link for link in circle if may_wait(link[1])), None)
        if weakest is None:
            raise refusal(circle)
        node, label = weakest
        postponed.setdefault(node, []).append(label)
        del left[node][label]

    for node, labels in needs.items():
        for label, needed in labels.items():
            if needed == node:
                postpone([(node, label)])
            else:
                waiting.setdefault(needed, []).append((node, label))
    levels: list[list[N]] = []
    ready = [node for node in left if not left[node]]
    while left:
        while not ready:
            for circle in list(_circles(left)):
                postpone(circle)
            ready = [node for node in left if not left[node]]
        levels.append(ready)
        ready = sorted(_release(left, ready, waiting), key=place.__getitem__)
    return levels, postponed


def _release(
    left: dict[N, dict[L, N]], done: Iterable[N], waiting: Mapping[N, Iterable[tuple[N, L]]]
) -> list[N]:
    """Take out what is done; return the nodes that need nothing more."""
    released: list[N] = []
    for one in done:
        del left[one]
        for node, label in waiting.get(one, ()):
            if label in left.get(node, ()):
                del left[node][label]
                if not left[node]:
                    released.append(node)
    return released


def _circles(left: Mapping[N, Mapping[L, N]]) -> Iterator[list[tuple[N, L]]]:
    """Yield circles that have no node in common, where every node needs another."""
    walks: dict[N, int] = {}
    for walk, start in enumerate(left):
        path: list[N] = []
        node = start
        while node not in walks:
            walks[node] = walk
            path.append(node)
            node = next(iter(left[node].values()))
        if walks[node] == walk:
            yield [(one, next(iter(left[one]))) for one in path[path.index(node) :]]
