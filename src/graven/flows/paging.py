"""Read an answer page by page."""

from __future__ import annotations

from collections.abc import Sequence

from graven.core.query import Load
from graven.flows.load import Loaded, include
from graven.ops.conditions import Select
from graven.ops.requests import Close, Flow, Open, Page

__all__ = ["close_pages", "next_page", "open_pages"]


def open_pages(select: Select) -> Flow[object]:
    """Begin to read; the handle belongs to the connection."""
    return (yield from Open(select))


def next_page(
    handle: object, size: int, loads: Sequence[Load] = ()
) -> Flow[tuple[list[tuple[object, ...]], list[Loaded]]]:
    """Read the next *size* rows, and those of their includes; none at the end."""
    rows = yield from Page(handle, size)
    return rows, (yield from include(rows, loads))


def close_pages(handle: object) -> Flow[None]:
    """Give up the handle."""
    yield from Close(handle)
