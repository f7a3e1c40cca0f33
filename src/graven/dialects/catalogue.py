"""What the readers of a store's catalogue share."""

from __future__ import annotations

from collections.abc import Sequence

from graven._hints import Any

__all__ = ["listed_indexes"]


def listed_indexes(
    rows: Sequence[tuple[Any, ...]],
) -> tuple[tuple[str, tuple[str, ...], bool], ...]:
    """Return ``(name, columns, unique)`` of each index, those on expressions left out.

    A row is the name of an index, whether it is unique, and one of its columns, in order; ``None``
    stands for an expression.
    """
    found: dict[tuple[str, bool], list[str | None]] = {}
    for name, unique, column in rows:
        found.setdefault((name, bool(unique)), []).append(column)
    return tuple(
        (name, tuple(column for column in columns if column is not None), unique)
        for (name, unique), columns in found.items()
        if None not in columns
    )
