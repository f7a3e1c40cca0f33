"""Read an answer page by page."""

from __future__ import annotations

from graven.ops.conditions import Select
from graven.ops.requests import Close, Flow, Open, Page

__all__ = ["close_pages", "next_page", "open_pages"]


def open_pages(select: Select) -> Flow[object]:
    """Begin to read; the handle belongs to the connection."""
    return (yield from Open(select))


def next_page(handle: object, size: int) -> Flow[list[tuple[object, ...]]]:
    """Read the next *size* rows; none at the end."""
    return (yield from Page(handle, size))


def close_pages(handle: object) -> Flow[None]:
    """Give up the handle."""
    yield from Close(handle)
