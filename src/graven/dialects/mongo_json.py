"""Containers and embedded values as BSON: what the codec's JSON text tells, exactly.

A text becomes the documents, arrays and values that it tells, so that filters of one's own can ask
for what is inside. It is told back letter by letter. What BSON or MongoDB would change is marked:

* a key that begins with ``$``, or has ``.``, ``%`` or NUL in it, has these written ``%24``,
  ``%2E``, ``%25`` and ``%00``;
* a text that would not come back as it went is kept whole, as ``{"%text": "…"}``: the text
  ``null``, which is not the same as no value, integers beyond 64 bits, and spellings that the codec
  does not use, such as ``1e2`` or spaces.

More than a hundred levels are refused, for MongoDB would refuse them.
"""

from __future__ import annotations

import re

from msgspec import DecodeError
from msgspec.json import decode, encode

from graven._hints import Any
from graven.errors import DataError

__all__ = ["LEVELS_MAX", "from_text", "to_text"]

LEVELS_MAX = 100
"""How deep documents and arrays may be nested, the document with the field included."""

TEXT = "%text"
INT64 = range(-(2**63), 2**63)
_UNSURE = re.compile(r"[%.$\\]|\d{18}")
_SPECIAL = re.compile(r"^\$|[.%\0]")
_ESCAPED = re.compile(r"%(24|2E|25|00)")


def from_text(text: str) -> Any:
    """Return what BSON keeps of the *text* of a container.

    :raises DataError: if it is nested too deep.
    """
    try:
        value = decode(text)
        if encode(value).decode() != text or value is None:
            return {TEXT: text}
    except (DecodeError, RecursionError, TypeError, UnicodeEncodeError):
        if text.count("[") + text.count("{") >= LEVELS_MAX:
            _check_depth(text)
        return {TEXT: text}
    if text.count("[") + text.count("{") >= LEVELS_MAX:
        _check_depth(text)
    if _UNSURE.search(text) is None:
        return value
    try:
        return _escaped(value)
    except OverflowError:
        return {TEXT: text}


def to_text(value: Any) -> str:
    """Return the text that :func:`from_text` was given; of what others wrote, one that tells it.

    :raises TypeError: if there is something in *value* that no text tells.
    """
    if type(value) is dict and len(value) == 1 and type(text := value.get(TEXT)) is str:
        return text
    try:
        told = encode(value).decode()
    except TypeError:
        return encode(_plain(value)).decode()
    return encode(_plain(value)).decode() if "%" in told else told


def _check_depth(text: str) -> None:
    level = 1
    for mark in re.finditer(r'"(?:[^"\\]|\\.)*"|[][{}]', text):
        level += {"[": 1, "{": 1, "]": -1, "}": -1}.get(mark[0], 0)
        if level > LEVELS_MAX:
            raise DataError(
                "a container was to be stored that is nested too deep: MongoDB takes "
                f"{LEVELS_MAX} levels; usually it is a chain of embedded values; make them a list, "
                "or models that refer to one another",
                value=text[:100],
                expected=f"at most {LEVELS_MAX} levels",
            )


def _escaped(value: Any) -> Any:
    kind = type(value)
    if kind is dict:
        return {_SPECIAL.sub(_escape, key): _escaped(one) for key, one in value.items()}
    if kind is list:
        return [_escaped(one) for one in value]
    if kind is int and value not in INT64:
        raise OverflowError
    return value


def _escape(found: re.Match[str]) -> str:
    return f"%{ord(found[0]):02X}"


def _plain(value: Any) -> Any:
    """Return *value* as it was before, its integers of the plain type."""
    if isinstance(value, dict):
        return {_ESCAPED.sub(_unescape, key): _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return int(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _unescape(found: re.Match[str]) -> str:
    return chr(int(found[1], 16))
