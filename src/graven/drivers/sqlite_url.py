"""Addresses of SQLite databases.

======================================  ===================================================
``sqlite:///bank.db``                   a file, relative to the current folder
``sqlite:////var/lib/bank.db``          a file, absolute
``sqlite://``, ``sqlite:///:memory:``   a database in memory, one for each pool
======================================  ===================================================

``%3F`` and the like stand for characters that have a meaning in a URL. The one option is
``?synchronous=full`` (the default: what was acknowledged survives a power cut), ``normal`` (a power
cut may undo the last commits, never half of one) or ``off`` (a power cut may damage the file).
"""

from __future__ import annotations

import os

from graven.errors import UsageError
from graven.ops.value import Value

__all__ = ["SQLiteAddress", "parse_sqlite_url"]

SYNCHRONOUS = ("full", "normal", "off")


class SQLiteAddress(Value):
    """Where a database is; *path* is absolute, or ``None`` for one in memory."""

    path: str | None
    synchronous: str = "full"


def parse_sqlite_url(url: str) -> SQLiteAddress:
    """Return the address that *url* means; ``UsageError`` if it means none."""
    scheme, mark, rest = url.partition("://")
    if scheme != "sqlite" or not mark:
        raise UsageError(
            f"the URL {url!r} was to be opened with SQLite, but does not begin with sqlite://; "
            f"write sqlite:///relative.db, sqlite:////absolute/path.db or sqlite://"
        )
    place, _, query = rest.partition("?")
    return SQLiteAddress(_path(url, place), _synchronous(url, query))


def _path(url: str, place: str) -> str | None:
    if place in ("", "/:memory:"):
        return None
    path = _unquoted(place[1:])
    if place[0] != "/" or not path:
        raise UsageError(
            f"the URL {url!r} names {'a host' if path else 'no file'}, but SQLite opens files; "
            f"usually "
            f"slashes are missing; write sqlite:///relative.db or sqlite:////absolute/path.db"
        )
    if "\0" in path:
        raise UsageError(f"the URL {url!r} has a NUL in its path, which no file has; correct it")
    return os.path.abspath(path)  # noqa: PTH100 - pathlib takes longer to import than all of this


def _synchronous(url: str, query: str) -> str:
    options: dict[str, str] = {}
    for part in filter(None, query.split("&")):
        name, _, given = part.partition("=")
        options[name] = given
    value = options.pop("synchronous", "full").lower()
    if options:
        names = ", ".join(sorted(options))
        raise UsageError(
            f"the URL {url!r} has options that SQLite does not take: {names}; usually they belong "
            f"to "
            f"another store, or to Database(); the only one here is synchronous"
        )
    if value not in SYNCHRONOUS:
        raise UsageError(
            f"the URL {url!r} asks for synchronous={value}, which there is not; "
            f"write one of {', '.join(SYNCHRONOUS)}"
        )
    return value


def _unquoted(text: str) -> str:
    if "%" not in text:
        return text
    from urllib.parse import unquote

    return unquote(text)
