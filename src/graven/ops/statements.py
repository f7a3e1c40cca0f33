"""What can be told of a statement in the store's own language by how it begins."""

from __future__ import annotations

import re

__all__ = ["only_reads", "steers_transaction"]

_START = r"(?:[\s;(]|--[^\n]*|/\*.*?(?:\*/|$))*"
_READS = re.compile(_START + r"(?:select|values|explain)\b", re.IGNORECASE | re.DOTALL)
_WITH = re.compile(_START + r"with\b", re.IGNORECASE | re.DOTALL)
_WRITES = re.compile(r"\b(?:insert|update|delete|replace)\b", re.IGNORECASE)
_STEERS = re.compile(
    _START + r"(?:begin|commit|end|rollback(?!(?:\s+transaction)?\s+to\b))\b",
    re.IGNORECASE | re.DOTALL,
)


def only_reads(statement: str) -> bool:
    """Say whether a statement surely changes nothing.

    >>> only_reads("select 1"), only_reads("with old as (select 1) delete from account")
    (True, False)
    """
    if _READS.match(statement):
        return True
    return bool(_WITH.match(statement)) and not _WRITES.search(statement)


def steers_transaction(statement: str) -> bool:
    """Say whether a statement begins or ends a transaction as a whole.

    >>> steers_transaction("COMMIT"), steers_transaction("rollback to here")
    (True, False)
    """
    return bool(_STEERS.match(statement))
