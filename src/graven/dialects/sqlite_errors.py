"""Errors of SQLite as ours, recognised by SQLite's own names wherever it gives one.

The module does not import :mod:`sqlite3`, for it is pure: an error of that module says itself what
it is.
"""

from __future__ import annotations

from graven.errors import (
    BusyRetry,
    CheckError,
    DataError,
    ForeignKeyError,
    GravenError,
    IntegrityError,
    NotNullError,
    StoreError,
    UnavailableError,
    UniqueError,
)
from graven.ops.requests import SnapshotStale

__all__ = ["translate"]

STATEMENT_LENGTH_MAX = 200

# by primary result code: what was found, its usual cause, the remedy
STORE_FAULTS: dict[str, tuple[str, str, str]] = {
    "READONLY": (
        "the database cannot be written",
        "usually the file, or its folder, belongs to another user or is on a read-only disk",
        "give this process the right to write to both",
    ),
    "FULL": (
        "the disk is full",
        "usually the database, or its write-ahead log, has no room to grow",
        "make room; what was not committed was undone",
    ),
    "CORRUPT": (
        "the database is damaged",
        "usually the file was cut short, copied while in use, or written by something else",
        "restore a backup, or try the command .recover of the sqlite3 program",
    ),
    "NOTADB": (
        "the file is not an SQLite database",
        "usually the path names another kind of file, or an encrypted database",
        "check the path in the URL",
    ),
    "CANTOPEN": (
        "the file cannot be opened",
        "usually its folder is missing, it is a folder itself, or the rights do not suffice",
        "make the folder, or correct the path in the URL",
    ),
    "IOERR": (
        "the disk reported an error",
        "usually a failing disk, a network drive, or a limit on the size of files",
        "look at the system's log; what was not committed was undone",
    ),
    "INTERRUPT": (
        "the statement was interrupted",
        "usually the task that waited for it was cancelled",
        "run it again if it is still wanted",
    ),
}

INTEGRITY: dict[str, tuple[type[IntegrityError], str, str]] = {
    "UNIQUE": (UniqueError, "a value that must be unique is taken", "choose another value"),
    "PRIMARYKEY": (UniqueError, "the key is taken", "choose another key, or change that row"),
    "ROWID": (UniqueError, "the key is taken", "choose another key, or change that row"),
    "NOTNULL": (NotNullError, "a value is missing", "give the field a value"),
    "CHECK": (CheckError, "a check of the table failed", "give a value that the check allows"),
    "FOREIGNKEY": (
        ForeignKeyError,
        "a reference would lead nowhere",
        "keep the row that is referred to, or delete what refers to it as well",
    ),
}


def translate(error: Exception, statement: str) -> GravenError | None:
    """Return our error for *error*, raised at *statement*; ``None`` if it is not the store's.

    The caller raises it ``from`` the original, so that nothing is hidden.
    """
    if isinstance(error, GravenError):
        return error
    name = getattr(error, "sqlite_errorname", None)
    if name is not None:
        return _by_code(str(name).removeprefix("SQLITE_"), str(error), statement)
    if isinstance(error, OverflowError):
        return DataError(
            f"{_attempt(statement)}: an integer does not fit into 64 bits; usually the field wants "
            f"another type; keep it as text or Decimal",
            statement=statement,
            expected="an integer of 64 bits",
        )
    if isinstance(error, UnicodeError):
        value = error.object if isinstance(error, UnicodeEncodeError) else None
        return DataError(
            f"{_attempt(statement)}: a text has half of a surrogate pair, which is no character; "
            f"usually "
            f"it was cut in the middle or decoded with surrogateescape; repair the text",
            statement=statement,
            value=value,
            expected="text",
        )
    return _by_wording(error, statement)


def _attempt(statement: str) -> str:
    if len(statement) > STATEMENT_LENGTH_MAX:
        statement = f"{statement[:STATEMENT_LENGTH_MAX]}…"
    return f"SQLite was asked to {statement}" if " " in statement else f"at {statement}"


def _by_code(code: str, message: str, statement: str) -> GravenError:
    primary, _, detail = code.partition("_")
    attempt = _attempt(statement)
    if code == "BUSY_SNAPSHOT":
        return SnapshotStale(
            f"{attempt}: somebody else has written since this transaction first read, so it "
            f"cannot write; "
            f"usually it began without the right to write; begin again, on fresh data"
        )
    if primary in ("BUSY", "LOCKED", "PROTOCOL"):
        return BusyRetry(
            f"{attempt}: the database stayed locked ({message}); usually another process or "
            f"session writes "
            f"for longer than busy_timeout_s; try again, keep transactions short, or raise that "
            f"limit"
        )
    if primary == "CONSTRAINT":
        return _constraint(detail, message, statement)
    if primary in ("TOOBIG", "MISMATCH", "RANGE"):
        return DataError(
            f"{attempt}: a value does not fit ({message}); usually it is larger than SQLite's "
            f"limit, or of "
            f"another type than its column; store less, or correct the type",
            statement=statement,
        )
    if primary in STORE_FAULTS:
        found, cause, remedy = STORE_FAULTS[primary]
        text = f"{attempt}: {found} ({message}); {cause}; {remedy}"
        return StoreError(text, statement=statement)
    return _refused(attempt, message, statement)


def _refused(attempt: str, message: str, statement: str) -> StoreError:
    if message.startswith("no such table") or "no such column" in message or "no column" in message:
        cause = "usually the model was not created on this database, or has changed since"
        text = f"{attempt}: {message}; {cause}; call db.create() with the model"
    elif message.startswith("too many SQL variables") or "too large" in message:
        text = (
            f"{attempt}: {message}; usually a condition has too many parts; ask in several queries"
        )
    else:
        text = f"{attempt}: {message}; usually the statement is misspelt; correct it"
    return StoreError(text, statement=statement)


def _constraint(detail: str, message: str, statement: str) -> IntegrityError:
    kind, found, remedy = INTEGRITY.get(
        detail, (IntegrityError, "a rule of the table was broken", "keep to the rule")
    )
    table, columns, constraint = _blamed(message.partition("failed: ")[2])
    return kind(
        f"{_attempt(statement)}: {found} ({message}); usually another row or session was first, "
        f"or the "
        f"data break a rule of the table; {remedy}",
        statement=statement,
        table=table,
        columns=columns,
        constraint=constraint,
    )


def _blamed(text: str) -> tuple[str | None, tuple[str, ...] | None, str | None]:
    """Return table, columns, constraint out of ``author.email, author.name``, ``index 'name'``."""
    parts = [part.partition(".") for part in text.split(", ")]
    tables = {table for table, _, _ in parts}
    if text and len(tables) == 1 and all(dot for _, dot, _ in parts):
        return tables.pop(), tuple(column for _, _, column in parts), None
    return None, None, text.removeprefix("index ").strip("'") or None


def _by_wording(error: Exception, statement: str) -> GravenError | None:
    """Judge the errors that :mod:`sqlite3` raises itself, which carry no code of SQLite's."""
    if type(error).__module__ != "sqlite3":
        return None
    message = str(error)
    attempt = _attempt(statement)
    if "closed" in message:
        return UnavailableError(
            f"{attempt}: {message}; usually the database was closed meanwhile; open it again"
        )
    if "binding parameter" in message or "probably unsupported type" in message:
        return DataError(
            f"{attempt}: {message}; usually a value has another type than its field; give a value "
            f"that "
            f"SQLite can hold",
            statement=statement,
        )
    return _refused(attempt, message, statement)
