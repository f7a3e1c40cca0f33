r"""``ilike`` for PostgreSQL, judged exactly as :mod:`graven.ops.text` defines it.

PostgreSQL's own ``ilike`` lowers letters as the locale has it; graven folds case, by Unicode's full
mapping, in which ``ß`` is ``ss``. So a pattern becomes a regular expression in which a letter is
the class of all letters that fold to it. What is left are the hundred letters that fold to several:
a text that has one of them is first rewritten, letter by letter, with what they fold to.
"""

from __future__ import annotations

from graven.dialects.foldings import foldings
from graven.ops.text import like_tokens

__all__ = ["folded_like"]

_SPECIAL = frozenset("\\.^$*+?()[]{}|")
_REWRITTEN = (
    "(select string_agg(coalesce(f.folded, c.letter), '' order by c.place)"
    " from unnest(string_to_array({column}, null)) with ordinality as c (letter, place)"
    " left join unnest(%s::text[], %s::text[]) as f (letter, folded) on f.letter = c.letter)"
)


def folded_like(column: str, pattern: str, parameters: list[object]) -> str:
    """Return a condition that *column* matches *pattern*, case ignored; append its parameters."""
    _, several = foldings()
    expression = _expression(pattern)
    parameters += [f"[{''.join(several)}]", [*several], [*several.values()], expression, expression]
    rewritten = _REWRITTEN.format(column=column)
    return f"case when {column} ~ %s then {rewritten} ~ %s else {column} ~ %s end"


def _expression(pattern: str) -> str:
    """Return the regular expression of a pattern."""
    classes, _ = foldings()
    parts: list[str] = []
    for is_wild, character in like_tokens(pattern.casefold()):
        if is_wild:
            parts.append(".*" if character == "%" else ".")
        elif character in classes:
            parts.append(f"[{classes[character]}]")
        else:
            parts.append(f"\\{character}" if character in _SPECIAL else character)
    return f"^{''.join(parts)}$"
