"""What drivers do with URLs before they are opened."""

from __future__ import annotations

__all__ = ["url_without_password"]


def url_without_password(url: str) -> str:
    """Return *url* as it may be shown.

    >>> url_without_password("mongodb://ada:secret@localhost/bank")
    'mongodb://ada:***@localhost/bank'
    """
    head, at, tail = url.rpartition("@")
    scheme, mark, user = head.partition("://")
    name, colon, _ = user.partition(":")
    return f"{scheme}{mark}{name}{':***' if colon else ''}{at}{tail}" if at else url
