r"""``like`` and ``ilike`` for MongoDB, judged exactly as :mod:`graven.ops.text` defines them.

A pattern becomes a regular expression, and what every match begins with a range, for which an index
serves. No pattern is slow: what stands between two ``%`` is looked for once and never again.

MongoDB's own way to ignore case knows nothing of letters that fold to several, as ``ß`` does to
``ss``. So a letter becomes the class of all that fold to it, and a text that has one of the hundred
such letters is first rewritten with what they fold to.
"""

from __future__ import annotations

from functools import cache

from graven._hints import Any
from graven.dialects.foldings import foldings
from graven.dialects.mongo_commands import Document
from graven.errors import QueryError
from graven.ops.text import after_prefix, like_prefix, like_tokens

__all__ = ["like_expression", "like_filter"]

LENGTH_MAX = 32_000
"""How long a regular expression may be, in bytes; MongoDB takes a little more."""

_SPECIAL = frozenset("\\.^$*+?()[]{}|/#-&~ \t\n\r\v\f")


def like_filter(field: str, pattern: str, ignore_case: bool) -> Document:
    """Return the filter for texts in *field* that match *pattern*."""
    if not ignore_case:
        return {field: {**_range(pattern), "$regex": _expression(pattern), "$options": "s"}}
    plain = {field: {"$regex": _folded(pattern, _plain_letter()), "$options": "s"}}
    return {"$or": [plain, {"$and": [_has_several(field), _rewritten(field, pattern)]}]}


def _range(pattern: str) -> Document:
    """Return the range in which every match is."""
    prefix = like_prefix(pattern)
    after = after_prefix(prefix) if prefix else ""
    return {**({"$gte": prefix} if prefix else {}), **({"$lt": after} if after else {})}


def like_expression(operand: Any, pattern: str, ignore_case: bool) -> Document:
    """Return the expression that says whether the text *operand* matches *pattern*."""
    if ignore_case:
        operand, regex = _unfolded(operand), _folded(pattern, ".")
    else:
        regex = _expression(pattern)
    return {"$regexMatch": {"input": operand, "regex": {"$literal": regex}, "options": "s"}}


def _expression(pattern: str) -> str:
    return _anchored(
        [None if wild and c == "%" else "." if wild else _quoted(c) for wild, c in _tokens(pattern)]
    )


def _tokens(pattern: str) -> list[tuple[bool, str]]:
    return list(like_tokens(pattern))


def _folded(pattern: str, any_letter: str) -> str:
    classes, _ = foldings()
    parts: list[str | None] = []
    for wild, character in _tokens(pattern.casefold()):
        if wild:
            parts.append(None if character == "%" else any_letter)
        elif character in classes:
            parts.append(f"[{classes[character]}]")
        else:
            parts.append(_quoted(character))
    return _anchored(parts)


def _anchored(parts: list[str | None]) -> str:
    """Return the expression for a whole text that has *parts*; ``None`` is any text."""
    segments = [""]
    for part in parts:
        if part is None:
            segments.append("")
        else:
            segments[-1] += part
    head, *others = segments
    expression = f"^{head}"
    if others:
        # The first place where a middle part fits is as good as any later one: never go back.
        expression += "".join(f"(?>.*?{segment})" for segment in others[:-1] if segment)
        expression += f".*{others[-1]}" if others[-1] else ""
    if not others or others[-1]:
        expression += "\\z"
    if len(expression.encode(errors="surrogatepass")) > LENGTH_MAX:
        raise QueryError(
            f"cannot ask MongoDB for a pattern of {len(parts)} characters: it takes regular "
            f"expressions of {LENGTH_MAX} bytes, and this one becomes longer. Compare with == "
            "where nothing in it is wild, or look for a shorter part of it."
        )
    return expression


def _quoted(character: str) -> str:
    if character == "\0":
        return "\\x00"
    return f"\\{character}" if character in _SPECIAL else character


@cache
def _several() -> str:
    """Return the class of the letters that fold to several."""
    return f"[{''.join(foldings()[1])}]"


@cache
def _plain_letter() -> str:
    return f"[^{_several()[1:]}"


def _has_several(field: str) -> Document:
    return {field: {"$regex": _several()}}


def _rewritten(field: str, pattern: str) -> Document:
    return {"$expr": like_expression({"$ifNull": [f"${field}", None]}, pattern, True)}


def _unfolded(operand: Any) -> Document:
    """Return the expression for a text in which each letter that folds to several has been."""
    pairs = [{"letter": letter, "folded": folded} for letter, folded in foldings()[1].items()]
    replaced = {
        "$replaceAll": {
            "input": "$$value",
            "find": "$$this.letter",
            "replacement": "$$this.folded",
        }
    }
    every = {"$reduce": {"input": {"$literal": pairs}, "initialValue": operand, "in": replaced}}
    needs = {"$regexMatch": {"input": operand, "regex": {"$literal": _several()}}}
    return {"$cond": [needs, every, operand]}
