"""What PyMongo's errors say of a transaction: whether it may be sent again, whether it is known.

Which error of ours one becomes is the dialect's to say; here is what the driver has to do about it.
"""

from __future__ import annotations

from bson.errors import BSONError
from pymongo.errors import (
    BulkWriteError,
    ClientBulkWriteException,
    ConnectionFailure,
    DuplicateKeyError,
    NotPrimaryError,
    PyMongoError,
    ServerSelectionTimeoutError,
    WaitQueueTimeoutError,
    WriteConcernError,
    WriteError,
)

from graven._hints import Any
from graven.errors import BusyRetry, CommitUnknownError
from graven.ops.requests import SnapshotStale

__all__ = [
    "DUPLICATE_KEY",
    "FAILURES",
    "busy",
    "cause_of",
    "has_label",
    "is_conflict",
    "is_out_of_time",
    "is_unknown",
    "raise_refusal",
    "stale",
    "unknown",
    "was_asked_again",
]

FAILURES = (PyMongoError, BSONError, OverflowError, ValueError)
"""What a statement can raise: PyMongo's errors, and those of values that BSON cannot hold."""

WRITE_CONFLICT, OUT_OF_TIME = 112, 50
DUPLICATE_KEY = 11000  #: the code of an error


def raise_refusal(reply: dict[str, Any]) -> None:
    """Raise what *reply*, to a command that writes, says of a write that was refused."""
    refused = reply.get("writeErrors")
    if refused:
        raise _write_error(refused[0])
    doubt = reply.get("writeConcernError")
    if doubt:
        raise WriteConcernError(doubt.get("errmsg", ""), doubt.get("code"), doubt)


def _write_error(said: Any) -> WriteError:
    kind = DuplicateKeyError if said.get("code") == DUPLICATE_KEY else WriteError
    return kind(said.get("errmsg", ""), said.get("code"), {**said})


def cause_of(error: Exception) -> Exception:
    """Return the error of the single write that stopped several, or *error* itself."""
    if isinstance(error, ClientBulkWriteException):
        if error.error is not None:
            return cause_of(error.error)
        if error.write_errors:
            return _write_error(error.write_errors[0])
        if error.write_concern_errors:
            return _doubtful(error.write_concern_errors[0])
    if isinstance(error, BulkWriteError):
        details = error.details or {}
        if details.get("writeErrors"):
            return _write_error(details["writeErrors"][0])
        if details.get("writeConcernErrors"):
            return _doubtful(details["writeConcernErrors"][0])
    return error


def _doubtful(said: Any) -> WriteConcernError:
    return WriteConcernError(said.get("errmsg", ""), said.get("code"), {**said})


def has_label(error: Exception, label: str) -> bool:
    """Say whether the server, or PyMongo, has put *label* on the error."""
    return isinstance(error, PyMongoError) and error.has_error_label(label)


def is_conflict(error: Exception) -> bool:
    """Say whether another transaction has written the same, so that this one was undone."""
    return getattr(cause_of(error), "code", None) == WRITE_CONFLICT


def is_out_of_time(error: Exception) -> bool:
    """Say whether a write was given up because it waited too long."""
    return getattr(error, "code", None) == OUT_OF_TIME and not isinstance(error, WriteConcernError)


def is_unknown(error: Exception) -> bool:
    """Say whether a write may have been done in spite of the error."""
    if isinstance(error, WriteConcernError):
        return True
    return isinstance(error, ConnectionFailure) and not isinstance(
        error, ServerSelectionTimeoutError | WaitQueueTimeoutError | NotPrimaryError
    )


def was_asked_again(session: Any) -> bool:
    """Say whether the commit of a session's transaction was sent more than once.

    PyMongo sends it again by itself when the line breaks, and tells nobody but its own bookkeeping.
    """
    return bool(session._transaction.attempt > 1)


def stale(text: str, why: str) -> SnapshotStale:
    """Return the error for a transaction that has to begin again."""
    return SnapshotStale(
        f"MongoDB was to {text:.200} in a transaction, but {why}; usually two work on the same "
        "documents at once; begin again, and look what has changed"
    )


def busy(text: str, waited_s: float) -> BusyRetry:
    """Return the error for who has waited in vain for somebody else's transaction."""
    return BusyRetry(
        f"MongoDB was to {text:.200}, and another transaction has been writing the same for longer "
        f"than {waited_s} s; usually a transaction, or a session that was flushed, is left open; "
        "try again, keep transactions short, or raise busy_timeout_s",
        waited_s=waited_s,
    )


def unknown(text: str, error: Exception) -> CommitUnknownError:
    """Return the error for a commit whose answer was lost."""
    return CommitUnknownError(
        f"MongoDB was asked to {text:.200}, which commits, and no answer came that says what "
        f"became of it ({' '.join(str(error).split()):.300}): it may be durable or not; usually "
        "the primary stepped down, or the network failed; look whether it is there before you do "
        "it again"
    )
