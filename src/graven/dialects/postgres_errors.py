"""Errors of PostgreSQL as ours, recognised by SQLSTATE; its messages come in many languages.

The module does not import psycopg, for it is pure: an error says itself what it is, by its
``sqlstate``, and what it is about, by its ``diag``.
"""

from __future__ import annotations

import re

from graven._hints import Any
from graven.errors import (
    BusyRetry,
    CheckError,
    DataError,
    DeadlockError,
    ForeignKeyError,
    GravenError,
    IntegrityError,
    NotNullError,
    StoreError,
    TransactionInactiveError,
    UnavailableError,
    UniqueError,
)
from graven.ops.requests import SnapshotStale

__all__ = ["translate"]

STATEMENT_LENGTH_MAX = 200

Fault = tuple[type[GravenError], str, str, str]
"""The error, what was found, its usual cause, the remedy."""

_LOST = "usually the server was restarted, or the network failed"
_AGAIN = "nothing was committed; try again"

_FULL: Fault = (
    UnavailableError,
    "the server has no connection, or no memory, left",
    "usually more processes hold connections than the server allows (max_connections)",
    "try again, make pool_size smaller, or put a pooler in front of the server",
)
_STOPPING: Fault = (
    UnavailableError,
    "the server ended the connection",
    "usually it is shutting down, or an administrator, or a timeout of the server, ended it",
    _AGAIN,
)
_NOT_LET_IN: Fault = (
    StoreError,
    "the server does not let this user in",
    "usually the user name, the password or the server's pg_hba.conf is wrong",
    "correct the URL, or the server's configuration",
)
_NOT_CREATED: Fault = (
    StoreError,
    "a table or column is not there",
    "usually the model was not created on this database, or its schema is not in search_path",
    "call db.create() with the model",
)
_NO_DATABASE: Fault = (
    StoreError,
    "the database is not there",
    "usually its name is misspelt in the URL, or it was never made",
    "correct the URL, or make it (createdb)",
)

FAULTS: dict[str, Fault] = {
    "08": (UnavailableError, "there is no connection to the server", _LOST, _AGAIN),
    "08P01": (
        StoreError,
        "the server did not understand what it was sent",
        "usually something between here and the server, such as a pooler, changes what passes",
        "look at its log, and at its version",
    ),
    "0A": (
        StoreError,
        "PostgreSQL cannot do that",
        "usually the table was altered while the program ran, or the server is an old one",
        "try again on a new connection, or correct the statement",
    ),
    "22": (
        DataError,
        "a value does not fit",
        "usually it is too large for its column, or of another type",
        "correct the value, or the type of the column",
    ),
    "23": (
        IntegrityError,
        "a rule of the table was broken",
        "usually the data break a constraint that somebody else gave the table",
        "keep to the rule",
    ),
    "23502": (
        NotNullError,
        "a value is missing",
        "usually the column was made by somebody else, without a default",
        "give the field a value",
    ),
    "23503": (
        ForeignKeyError,
        "a reference would lead nowhere",
        "usually what is referred to was deleted, or was never stored",
        "keep the row that is referred to, or delete what refers to it as well",
    ),
    "23505": (
        UniqueError,
        "a value that must be unique is taken",
        "usually another row or session was first",
        "choose another value, or change that row",
    ),
    "23514": (
        CheckError,
        "a check of the table failed",
        "usually the value is none of those that the column was made for",
        "give a value that the check allows, or call db.create() if the model allows more now",
    ),
    "25006": (
        StoreError,
        "the server only reads",
        "usually it is a standby, or the transaction was made read-only",
        "connect to the primary: list all hosts in the URL, with target_session_attrs=read-write",
    ),
    "25P02": (
        TransactionInactiveError,
        "the transaction has failed already",
        "usually an earlier statement of it was refused, and its error was caught",
        "leave the block of the transaction, and begin again",
    ),
    "25P03": _STOPPING,
    "25P04": _STOPPING,
    "28": _NOT_LET_IN,
    "3D": _NO_DATABASE,
    "3F": (
        StoreError,
        "there is no schema for it",
        "usually search_path names only schemas that are not there",
        "make the schema, or correct search_path in the URL",
    ),
    "40001": (
        SnapshotStale,
        "somebody else has written what this transaction is about",
        "usually two sessions changed the same rows at the same time",
        "begin again, on fresh data",
    ),
    "40P01": (
        DeadlockError,
        "the server broke a deadlock by refusing this transaction",
        "usually two transactions locked the same rows in a different order",
        "try again",
    ),
    "40": (BusyRetry, "the transaction was rolled back by the server", _LOST, _AGAIN),
    "42": (
        StoreError,
        "the statement was not understood",
        "usually it is misspelt",
        "correct the statement",
    ),
    "42501": (
        StoreError,
        "this user may not do that",
        "usually the table belongs to another user",
        "let its owner grant the right",
    ),
    "42703": _NOT_CREATED,
    "42P01": _NOT_CREATED,
    "53": _FULL,
    "53100": (
        StoreError,
        "the server's disk is full",
        "usually the database, or its write-ahead log, has no room to grow",
        "make room; what was not committed was undone",
    ),
    "54": (
        DataError,
        "something is larger than PostgreSQL allows",
        "usually a text is too long for an index (2,700 bytes), or a condition has too many parts",
        "store less, index something shorter, or ask in several queries",
    ),
    "55P03": (
        BusyRetry,
        "a row or table stayed locked",
        "usually another transaction holds it for longer than busy_timeout_s, or nowait was said",
        "try again, keep transactions short, or raise that limit",
    ),
    "57014": (
        BusyRetry,
        "the statement was cancelled",
        "usually it took longer than statement_timeout, or the task that waited was cancelled",
        "nothing of it was written; try again, ask for less, or raise that limit",
    ),
    "57": _STOPPING,
    "58": (
        StoreError,
        "the server's system reported an error",
        "usually a failing disk",
        "look at the server's log; what was not committed was undone",
    ),
    "P0": (
        StoreError,
        "a function or trigger of the database refused",
        "usually it keeps a rule of its own",
        "keep to the rule",
    ),
}
"""By SQLSTATE, or, where not listed, by its class: the first two letters."""

_REFUSED: Fault = (
    StoreError,
    "the server reported an error",
    "usually the server's log says more",
    "look there",
)

# Where a connection was never made there is no SQLSTATE, only words.
_AT_THE_DOOR: tuple[tuple[str, Fault], ...] = (
    (r"too many (clients|connections)|connection slots", _FULL),
    (r"authentication failed|no password supplied|no pg_hba.conf entry", _NOT_LET_IN),
    (r'role ".*" (does not exist|is not permitted)', _NOT_LET_IN),
    (r'database ".*" does not exist', _NO_DATABASE),
)

_BY_KIND: dict[str, Fault] = {
    "OperationalError": FAULTS["08"],
    "InterfaceError": FAULTS["08"],
    "DataError": FAULTS["22"],
    "ProgrammingError": FAULTS["42"],
    "Error": _REFUSED,
}
"""By the class of an error of psycopg's own, which has no SQLSTATE."""


def translate(error: Exception, statement: str) -> GravenError | None:
    """Return our error for *error*, raised at *statement*; ``None`` if it is not the store's.

    The caller raises it ``from`` the original, so that nothing is hidden.
    """
    if isinstance(error, GravenError):
        return error
    state = getattr(error, "sqlstate", None)
    if state is not None:
        fault = FAULTS.get(state) or FAULTS.get(state[:2]) or _REFUSED
        return _made(fault, error, statement)
    if isinstance(error, OverflowError):
        return _bad_value(statement, "a number does not fit", None, "a number of 64 bits")
    if isinstance(error, UnicodeEncodeError):
        found = "a text has half of a surrogate pair, which is no character"
        return _bad_value(statement, found, error.object, "text")
    return _by_wording(error, statement)


def _by_wording(error: Exception, statement: str) -> GravenError | None:
    """Judge the errors that psycopg raises itself, and those of a connection that never was."""
    if not type(error).__module__.startswith("psycopg"):
        return None
    fault = next(_BY_KIND[one.__name__] for one in type(error).__mro__ if one.__name__ in _BY_KIND)
    if fault is FAULTS["08"]:
        message = str(error)
        fault = next((found for words, found in _AT_THE_DOOR if re.search(words, message)), fault)
    return _made(fault, error, statement)


def _attempt(statement: str) -> str:
    if len(statement) > STATEMENT_LENGTH_MAX:
        statement = f"{statement[:STATEMENT_LENGTH_MAX]}…"
    return f"PostgreSQL was asked to {statement}" if " " in statement else f"at {statement}"


def _bad_value(statement: str, found: str, value: object, expected: str) -> DataError:
    return DataError(
        f"{_attempt(statement)}: {found}; usually the field wants another type, or a text was cut "
        f"in the middle; correct the value, or keep it as bytes",
        statement=statement,
        value=value,
        expected=expected,
    )


def _made(fault: Fault, error: Exception, statement: str) -> GravenError:
    kind, found, cause, remedy = fault
    # A refused row is told only where it is a key: the whole of it may hold what is secret.
    said = _said(error, with_detail=kind not in (CheckError, NotNullError))
    text = f"{_attempt(statement)}: {found} ({said}); {cause}; {remedy}"
    if issubclass(kind, IntegrityError):
        return kind(text, statement=statement, **_blamed(kind, error))
    if issubclass(kind, StoreError):
        return kind(text, statement=statement)
    return kind(text)


def _said(error: Exception, with_detail: bool) -> str:
    """Return what the server said, on one line."""
    diag = getattr(error, "diag", None)
    primary = getattr(diag, "message_primary", None)
    if primary is None:
        return " ".join(str(error).split())
    detail = getattr(diag, "message_detail", None) if with_detail else None
    return " ".join(f"{primary}: {detail}".split()) if detail else str(primary)


def _blamed(kind: type[IntegrityError], error: Exception) -> dict[str, Any]:
    """Return table, columns and constraint, as far as the server says them.

    Of a reference ``table`` is not known, only ``referrer``, the table that refers.
    """
    diag = getattr(error, "diag", None)
    table = getattr(diag, "table_name", None)
    constraint = getattr(diag, "constraint_name", None)
    column = getattr(diag, "column_name", None)
    detail = getattr(diag, "message_detail", None) or ""
    columns = _columns_in_name(constraint, table)
    if column is not None:
        columns = (column,)
    elif kind is UniqueError:
        columns = _columns_in_detail(detail) or columns
    if kind is ForeignKeyError:
        return {"referrer": table, "columns": columns, "constraint": constraint}
    return {"table": table, "columns": columns, "constraint": constraint}


def _columns_in_detail(detail: str) -> tuple[str, ...] | None:
    """Return the columns out of ``Key (email, "Name")=(…) already exists.``, in any language."""
    found = re.search(r"\((.*?)\)=\(", detail)
    if found is None:
        return None
    names = re.findall(r'"((?:[^"]|"")*)"|([^,\s]+)', found[1])
    return tuple(quoted.replace('""', '"') or plain for quoted, plain in names)


def _columns_in_name(constraint: str | None, table: str | None) -> tuple[str, ...] | None:
    """Return the columns out of the name that graven gave a constraint or an index."""
    if constraint is None or table is None or not constraint.startswith(f"{table}."):
        return None
    names = constraint.removeprefix(f"{table}.").split(".")
    return tuple(names[:-1]) if names[-1] in ("unique", "choices", "reference") else None
