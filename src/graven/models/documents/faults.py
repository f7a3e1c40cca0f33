"""What the codec says of a value that it cannot write, and of a document that it cannot read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from graven.errors import DataError, MappingError, NotFoundError
from graven.models.checks import shown

__all__ = ["ambiguous", "malformed", "misfit", "missing_object", "unknown_name", "unwritable"]


def malformed(found: object, expected: str, advice: str = "") -> DataError:
    """Make the error for a document that the codec did not write, or that was damaged since."""
    return DataError(
        f"cannot restore a document: found {shown(found)} ({type(found).__name__}), expected "
        f"{expected}. Usually the document was edited, or written by something other than graven. "
        f"{advice or 'Correct it.'} Nothing was restored.",
        value=found,
        expected=expected,
    )


def misfit(owner: str, field: str, value: object, expected: str, attempted: str) -> DataError:
    """Make the error for a value that does not fit the annotation of its field."""
    return DataError(
        f"cannot {attempted} {owner}.{field}: found {shown(value)} ({type(value).__name__}), "
        f"expected {expected}. Usually the value was set without being checked, or the annotation "
        "has changed since it was written. Correct the value, or annotate the field more widely.",
        model=owner,
        field=field,
        value=value,
        expected=expected,
    )


def unwritable(value: object, why: str) -> DataError:
    """Make the error for a value that no document can keep."""
    return DataError(
        f"cannot write {shown(value)} ({type(value).__qualname__}) into a document: {why} Nothing "
        "was written.",
        value=value,
        expected="a value that documents keep",
    )


def unknown_name(name: object, known: Iterable[str]) -> DataError:
    """Make the error for the name of a type that is not registered here."""
    names = sorted(known)
    listed = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
    return DataError(
        f"cannot restore a document: it holds an object of type {shown(name)}, and no type of that "
        f"name is registered here; known are {listed or 'none'}. Usually the class was renamed or "
        "its module is not imported. Import it, or give the class its former name with "
        "@document_type(aliases=...). Nothing was restored.",
        value=name,
        expected="the name of a registered type",
    )


def ambiguous(name: str, types: Iterable[type]) -> MappingError:
    """Make the error for a name that several types would have in documents."""
    places = " and ".join(f"{one.__module__}.{one.__qualname__}" for one in types)
    return MappingError(
        f"cannot use the name {name!r} in documents: {places} would both be called so, and a "
        "document tells the type by the name. Give one of them another name with "
        "@document_type(name=...).",
        model=name,
    )


def missing_object(model: Any, key: object, found_in: str, referrer: str = "it") -> NotFoundError:
    """Make the error for a reference to an object that is not there."""
    return NotFoundError(
        f"cannot restore a document: {referrer} refers to {model.__name__} {shown(key)}, which is "
        f"not in {found_in}. Usually somebody has deleted it, or the document was taken out of its "
        "graph. Give a scope that has the object, or take the reference out. Nothing was restored.",
        model=model.__name__,
        key=key,
    )
