"""How letters fold, as tables for stores that fold none, or fold otherwise, themselves."""

from __future__ import annotations

from functools import cache

__all__ = ["CASED_MAX", "foldings"]

CASED_MAX = 0x20000  #: from here on no letter has case, says the test that looks at all of them


@cache
def foldings() -> tuple[dict[str, str], dict[str, str]]:
    """Return the letters that fold to each one, itself included, and the foldings of several."""
    classes: dict[str, str] = {}
    several: dict[str, str] = {}
    for letter in map(chr, range(CASED_MAX)):
        folded = letter.casefold()
        if len(folded) > 1:
            several[letter] = folded
        elif folded != letter:
            classes[folded] = classes.get(folded, folded) + letter
    return classes, several
