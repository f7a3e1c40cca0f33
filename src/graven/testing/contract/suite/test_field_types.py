"""Types that a field cannot hold are refused before there is any value."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from graven import MappingError, Model


class Plain:
    """Says nothing of its attributes."""


@dataclass
class Leaf:
    name: str
    next: Leaf | None = None


@dataclass
class Branch:
    leaves: list[Leaf] = field(default_factory=list)
    odd: dict[str, Plain] = field(default_factory=dict)


UNFIT = [
    (Plain, "Plain"),
    (list[Plain], "Plain"),
    (dict[str, complex], "complex"),
    (Path, "Path"),
    (tuple[int, re.Pattern[str]], "Pattern"),
    (Branch | None, "Plain"),
    (OrderedDict[str, int], "OrderedDict"),
]


@pytest.mark.parametrize(("annotation", "name"), UNFIT)
def test_type_that_would_not_come_back_is_refused_by_create(
    open_db: Callable[..., Any], annotation: Any, name: str
) -> None:
    class Odd(Model):
        value: annotation

    db = open_db()
    with pytest.raises(MappingError, match=rf"cannot store Odd\.value.*a {name} would not"):
        db.create(Odd)
    with pytest.raises(MappingError, match=r"cannot store Odd\.value"):
        Odd(value=None)


def test_embedded_values_that_hold_each_other_are_kept(open_db: Callable[..., Any]) -> None:
    class Tree(Model):
        leaf: Leaf
        others: dict[str, list[Leaf]]
        anything: Any = None
        thing: object = None

    db = open_db(Tree)
    with db.session() as session:
        leaf = Leaf("a", Leaf("b"))
        session.add(Tree(leaf=leaf, others={"x": [leaf]}, anything=[1], thing={"a": 1}))
    with db.session() as session:
        tree = session.query(Tree).one()
        assert (tree.leaf, tree.others) == (leaf, {"x": [leaf]})
        assert (tree.anything, tree.thing) == ([1], {"a": 1})
