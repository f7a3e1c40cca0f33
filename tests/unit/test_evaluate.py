"""Conditions judged in memory."""

from __future__ import annotations

from graven.core.evaluate import judge_of
from graven.ops.conditions import In, Path


class Word:
    """A value that counts how often it is compared."""

    compared = 0

    def __init__(self, text: str) -> None:
        self.text = text

    def __eq__(self, other: object) -> bool:
        Word.compared += 1
        return isinstance(other, Word) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)


def test_one_of_many_values_is_found_without_comparing_them_all() -> None:
    words = tuple(Word(f"word {n}") for n in range(1000))
    judge = judge_of(In(Path((), "word", "str"), words), lambda one, path: one)
    Word.compared = 0
    assert [judge(Word(f"word {n}")) for n in range(0, 2000, 500)] == [True, True, False, False]
    assert Word.compared < 100


def test_null_may_be_one_of_the_values_and_what_has_no_hash_is_none_of_them() -> None:
    judge = judge_of(In(Path((), "word", "str"), ("a", None)), lambda one, path: one)
    assert [judge(one) for one in ("a", None, "b", ["a"])] == [True, True, False, False]
