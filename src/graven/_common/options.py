"""What the options of a database and a session may be."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final

from graven.errors import UsageError

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
            f"cannot open {url!r}: there is no backend for {scheme or 'such a value'!r}. This "
            "version of graven has SQLite: give "
            "sqlite:///file.db, sqlite:////absolute/file.db or sqlite:// for a database in memory."
        )
    module, _, name = pools[scheme].partition(":")
    return getattr(import_module(module), name)
