"""How containers are filled in, or built, of their states."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graven.models.documents.faults import malformed
from graven.models.documents.plans import MARKS

__all__ = ["KINDS", "fill_dict", "fill_list", "fill_opaque", "parts", "states_in"]

_SIMPLE = frozenset({str, int, float, bool, type(None)})


def fill_list(run: Any, target: list[Any], state: list[Any]) -> None:
    """Fill in a list."""
    simple, value = _SIMPLE, run.value
    target.extend([one if type(one) in simple else value(one) for one in state])


def fill_dict(run: Any, target: dict[str, Any], state: dict[str, Any]) -> None:
    """Fill in a dictionary of texts."""
    for name, one in state.items():
        if name != "__ordinal__":
            if type(name) is not str or name.startswith("__"):
                raise malformed(name, "a key that is no mark")
            target[name] = run.value(one)


def fill_opaque(run: Any, target: Any, state: dict[str, Any]) -> None:
    """Fill in what stands for an object of a type that is not known."""
    target.fields.update({name: run.value(one) for name, one in state.items() if name not in MARKS})


def _fill_marked_list(run: Any, target: list[Any], state: Any) -> None:
    fill_list(run, target, state["__list__"])


def _fill_pairs(run: Any, target: dict[Any, Any], state: Any) -> None:
    for name, one in state["__dict__"]:
        target[_hashed(run, name)] = run.value(one)


def _fill_set(run: Any, target: set[Any], state: Any) -> None:
    target.update([_hashed(run, one) for one in state["__set__"]])


def _build_frozenset(run: Any, _: None, state: Any) -> frozenset[Any]:
    return frozenset([_hashed(run, one) for one in state["__frozenset__"]])


def _build_tuple(run: Any, _: None, state: Any) -> tuple[Any, ...]:
    return tuple(map(run.value, state["__tuple__"]))


def _hashed(run: Any, state: Any) -> Any:
    """Return the value of a state that is put into a set, whole, since its hash is asked for."""
    if type(state) in _SIMPLE:
        return state
    run.complete(state)
    value = run.value(state)
    try:
        hash(value)
    except (TypeError, AttributeError) as error:
        raise malformed(value, f"a value that can be hashed ({error})") from error
    return value


def parts(mark: str, content: list[Any]) -> list[Any]:
    """Return the states inside a container; those of a dictionary stand in pairs.

    :raises DataError: if they do not.
    """
    if mark != "__dict__":
        return content
    for pair in content:
        if type(pair) is not list or len(pair) != 2:
            raise malformed(pair, "a pair of a key and a value")
    return [one for pair in content for one in pair]


KINDS: dict[str, tuple[Callable[[], Any] | None, Callable[[Any, Any, Any], Any]]] = {
    "__list__": (list, _fill_marked_list),
    "__dict__": (dict, _fill_pairs),
    "__set__": (set, _fill_set),
    "__tuple__": (None, _build_tuple),
    "__frozenset__": (None, _build_frozenset),
}
"""What makes the empty container behind a mark, if it can be empty, and what fills it in."""


def states_in(state: Any) -> Any:
    """Return the states inside one that has been looked at."""
    if type(state) is list:
        return state
    mark = next((one for one in state if one in KINDS), None)
    return state.values() if mark is None else parts(mark, state[mark])
