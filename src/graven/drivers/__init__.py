"""The only I/O. Here is what every driver is chosen by: the scheme of a URL, and the isolation."""

from __future__ import annotations

from collections.abc import Mapping

from graven._hints import TYPE_CHECKING, Any
from graven.errors import UsageError

if TYPE_CHECKING:
    from typing import Final

__all__ = ["ISOLATIONS", "checked_isolation", "pool_class_for"]

ISOLATIONS: Final = ("optimistic", "snapshot", "serializable")  #: the levels of isolation


def checked_isolation(isolation: str) -> str:
    """Return *isolation* if there is such a level."""
    if isolation not in ISOLATIONS:
        raise UsageError(
            f"cannot isolate a session as {isolation!r}: there is no such level. Give one of "
            f"{', '.join(ISOLATIONS)}."
        )
    return isolation


def pool_class_for(url: Any, pools: Mapping[str, str]) -> Any:
    """Return the class of pools for *url*, out of *pools*: ``module:class`` for each scheme."""
    scheme = url.partition(":")[0] if isinstance(url, str) else ""
    if scheme not in pools:
        raise UsageError(
            f"cannot open {url!r}: there is no backend for {scheme or 'such a value'!r}. Give "
            "sqlite:///file.db or sqlite:////absolute/file.db for SQLite in a file, sqlite:// for "
            "SQLite in memory, postgresql://host/database for PostgreSQL, or memory: for a store "
            "in memory that is made for tests."
        )
    module, _, name = pools[scheme].partition(":")
    return getattr(__import__(module, fromlist=(name,)), name)
