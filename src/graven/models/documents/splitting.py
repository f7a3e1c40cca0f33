"""Take the references out of a document.

The place of each is told by a JSON pointer (RFC 6901) without its leading slash: ``0`` is the first
argument, ``1/accounts/0`` is inside the second.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["split"]


def split(document: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the references inside *document* by their places, and the rest.

    In the rest a reference inside something else is ``None``; one that is an entry of the document
    itself is left out.
    """
    references: dict[str, Any] = {}
    rest = {
        name: _without(value, _escaped(name), references)
        for name, value in document.items()
        if not _is_reference(value)
    }
    outer = {_escaped(name): one for name, one in document.items() if _is_reference(one)}
    return {**outer, **references}, rest


def _is_reference(value: Any) -> bool:
    return type(value) is dict and "__key__" in value


def _without(value: Any, place: str, references: dict[str, Any]) -> Any:
    if _is_reference(value):
        references[place] = value
        return None
    if type(value) is list:
        return [_without(one, f"{place}/{at}", references) for at, one in enumerate(value)]
    if type(value) is dict:
        return {
            name: _without(one, f"{place}/{_escaped(name)}", references)
            for name, one in value.items()
        }
    return value


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
