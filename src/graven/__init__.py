"""Transactional objects: change ordinary objects, commit once, and every change is durable.

Or none is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from graven._sync.attempts import Attempt, Attempts
from graven._sync.database import Database
from graven._sync.query import Query
from graven._sync.scope import Scope
from graven._sync.session import Session
from graven._sync.transaction import Transaction
from graven.core.cache import RecordCache
from graven.core.retry import Backoff
from graven.errors import *  # noqa: F403
from graven.errors import __all__ as _errors
from graven.models.declarations import NaiveDatetime, field, key, many_to_many, owned
from graven.models.expressions import asc, desc, ilike, in_, like
from graven.models.model import Model

if TYPE_CHECKING:
    from graven._async.attempts import AsyncAttempt, AsyncAttempts
    from graven._async.database import AsyncDatabase
    from graven._async.query import AsyncQuery
    from graven._async.scope import AsyncScope
    from graven._async.session import AsyncSession
    from graven._async.transaction import AsyncTransaction

__all__ = [
    "AsyncAttempt",
    "AsyncAttempts",
    "AsyncDatabase",
    "AsyncQuery",
    "AsyncScope",
    "AsyncSession",
    "AsyncTransaction",
    "Attempt",
    "Attempts",
    "Backoff",
    "Database",
    "Model",
    "NaiveDatetime",
    "Query",
    "RecordCache",
    "Scope",
    "Session",
    "Transaction",
    "asc",
    "desc",
    "field",
    "ilike",
    "in_",
    "key",
    "like",
    "many_to_many",
    "owned",
]
__all__ += _errors

__version__ = "0.1.0"

_ASYNC = {
    "AsyncAttempt": "attempts",
    "AsyncAttempts": "attempts",
    "AsyncDatabase": "database",
    "AsyncQuery": "query",
    "AsyncScope": "scope",
    "AsyncSession": "session",
    "AsyncTransaction": "transaction",
}


def __getattr__(name: str) -> Any:
    """Load the async half at first use.

    Importing asyncio takes longer than importing all of graven.
    """
    if name in _ASYNC:
        from importlib import import_module

        return getattr(import_module(f"graven._async.{_ASYNC[name]}"), name)
    raise AttributeError(f"module 'graven' has no attribute {name!r}")
