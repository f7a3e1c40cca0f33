"""MongoDB's ObjectId where a store has no type for it: 24 hexadecimal digits, which sort alike."""

from __future__ import annotations

from collections.abc import Callable

from graven._hints import TYPE_CHECKING

if TYPE_CHECKING:
    from bson import ObjectId

__all__ = ["decode_objectid"]

_made: list[Callable[[str], ObjectId]] = []


def decode_objectid(text: str) -> ObjectId:
    """Return the ObjectId of its digits; its module is imported when the first one comes back."""
    if not _made:
        from bson import ObjectId

        _made.append(ObjectId)
    return _made[0](text)
