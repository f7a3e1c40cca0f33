"""Errors of MongoDB as ours, recognised by code and label; its messages are for people.

The module does not import PyMongo, for it is pure: an error says itself what it is, by its
``code`` and ``details``, its error labels, or the name of its class.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from graven._hints import Any
from graven.errors import (
    BusyRetry,
    CheckError,
    CommitUnknownError,
    DataError,
    GravenError,
    IntegrityError,
    MappingError,
    NotNullError,
    StoreError,
    UnavailableError,
    UniqueError,
)
from graven.ops.requests import SnapshotStale

__all__ = ["translate"]

STATEMENT_LENGTH_MAX = 200
SAID_LENGTH_MAX = 500

Fault = tuple[type[GravenError], str, str, str]
"""The error, what was found, its usual cause, the remedy."""

_LOST: Fault = (
    UnavailableError,
    "there is no connection to a server that may write",
    "usually the server was restarted, another one became primary, or the network failed",
    "try again: what was not acknowledged may be asked for",
)
_STALE: Fault = (
    SnapshotStale,
    "somebody else has written since this transaction began",
    "usually two sessions write the same document at the same time",
    "begin again, on fresh data",
)
_WAITED: Fault = (
    BusyRetry,
    "it took longer than it may",
    "usually others hold what it needs, or no index serves the query",
    "try again, keep transactions short, or declare an index",
)
_TOO_LARGE: Fault = (
    DataError,
    "a document is larger than the 16 MB that MongoDB takes",
    "usually a list, or bytes, that grows is kept in one field",
    "keep the parts as objects of their own, or the bytes as a file",
)
_TAKEN: Fault = (
    UniqueError,
    "a value that must be unique is taken",
    "usually another document or session was first",
    "choose another value, or change that document",
)
_RULE: Fault = (
    CheckError,
    "the rule of the collection does not allow the document",
    "usually the value is none of those that the field was made for",
    "give a value that the rule allows, or call db.create() if the model allows more now",
)
_NOT_LET_IN: Fault = (
    StoreError,
    "the server does not let this user do that",
    "usually the user name, the password or authSource in the URL is wrong, or a role is missing",
    "correct the URL, or grant the role readWrite on the database",
)
_INDEX: Fault = (
    MappingError,
    "an index of that kind is there already, under another name or with other options",
    "usually it was made by hand, or by another program",
    "drop it (dropIndexes), then call db.create() again",
)
_NOT_HERE: Fault = (
    StoreError,
    "this server cannot do that",
    "usually it is a stand-alone server, which has no transactions, or an older version",
    "start it as a replica set (one member is enough), or use a newer version",
)
_UNSURE: Fault = (
    CommitUnknownError,
    "the answer to the write was lost, or not all servers that should have confirmed it",
    "usually the network failed, or a server of the replica set is down",
    "look whether it is there before doing it again",
)
_FIELD_NAME: Fault = (
    DataError,
    "a field has a name that MongoDB does not take",
    "usually it begins with $, or has a dot or NUL in it",
    "give it another name",
)
_REFUSED: Fault = (
    StoreError,
    "the server refused it",
    "usually a filter, pipeline or command of one's own is misspelt",
    "correct it",
)

FAULTS: dict[int, Fault] = {
    **dict.fromkeys((11000, 11001, 12582), _TAKEN),
    **dict.fromkeys((112, 225, 239, 244, 246, 251), _STALE),
    **dict.fromkeys((24, 46, 50, 262, 290), _WAITED),
    **dict.fromkeys((6, 7, 89, 91, 133, 134, 189, 9001, 10058), _LOST),
    **dict.fromkeys((10107, 11600, 11602, 13435, 13436), _LOST),
    **dict.fromkeys((10334, 17280, 17419, 17420), _TOO_LARGE),
    **dict.fromkeys((13, 18, 8000), _NOT_LET_IN),
    **dict.fromkeys((85, 86), _INDEX),
    **dict.fromkeys((20, 59, 115, 263), _NOT_HERE),
    **dict.fromkeys((64, 75, 79), _UNSURE),
    **dict.fromkeys((52, 55, 56, 57), _FIELD_NAME),
    121: _RULE,
    15: (
        DataError,
        "documents are nested too deep",
        "usually it is a chain of embedded values",
        "make them a list, or models that refer to one another",
    ),
    43: (
        StoreError,
        "the server has forgotten the cursor",
        "usually more than ten minutes went by between two pages of a stream, or it restarted",
        "read the stream again, and do what takes long after it",
    ),
    66: (
        StoreError,
        "the key of a document cannot be changed",
        "usually a filter or update of one's own sets _id",
        "insert a document with the new key and delete the old one",
    ),
    14031: (
        StoreError,
        "the disk of the server is full",
        "usually the data have grown",
        "make room; what was not committed was undone",
    ),
}
"""By code; see https://www.mongodb.com/docs/manual/reference/error-codes/."""

_BY_KIND: dict[str, Fault] = {
    "DuplicateKeyError": _TAKEN,
    "DocumentTooLarge": _TOO_LARGE,
    "InvalidName": _FIELD_NAME,
    "WaitQueueTimeoutError": _WAITED,
    "ExecutionTimeout": _WAITED,
    "WTimeoutError": _UNSURE,
    "WriteConcernError": _UNSURE,
    "ConnectionFailure": _LOST,
    "ConfigurationError": (
        StoreError,
        "the URL, or an option in it, does not fit the server",
        "usually an option is misspelt, or the server is too old for this PyMongo",
        "correct the URL, or use a newer server",
    ),
    "InvalidOperation": (
        UnavailableError,
        "the client cannot be used",
        "usually the database was closed meanwhile",
        "open it again",
    ),
    "InvalidDocument": (
        DataError,
        "a value is none that BSON can hold",
        "usually it has another type than its field",
        "give a value of that type",
    ),
    "InvalidBSON": (
        DataError,
        "a document holds what Python cannot",
        "usually another program has written it, as a date beyond the year 9999",
        "correct the document",
    ),
    "PyMongoError": _REFUSED,
    "BSONError": (
        DataError,
        "a value cannot be told in BSON, or told by it",
        "usually it has another type than its field",
        "give a value of that type",
    ),
}
"""By the class of an error of PyMongo's or bson's own, the first in its order of resolution."""


def translate(
    error: Exception, statement: str, keys: Mapping[str, tuple[str, ...]] | None = None
) -> GravenError | None:
    """Return our error for *error*, raised at *statement*; ``None`` if it is not the store's.

    Of a bulk of writes *error* is that of the single one that was refused. *keys* has the key
    columns of tables by name, to say which ones ``_id`` is. The caller raises what it gets ``from``
    the original, so that nothing is hidden.
    """
    if isinstance(error, GravenError):
        return error
    if isinstance(error, OverflowError):
        found = "a number does not fit into 64 bits"
        return _bad_value(statement, found, None, "a number of 64 bits")
    if isinstance(error, UnicodeEncodeError):
        found = "a text has half of a surrogate pair, which is no character"
        return _bad_value(statement, found, error.object, "text")
    if not type(error).__module__.startswith(("pymongo", "bson", "gridfs")):
        return None
    told = getattr(error, "details", None)
    details: dict[str, Any] = told if isinstance(told, dict) else {}
    return _made(_fault(error, details), str(error), details, statement, keys or {})


def _fault(error: Exception, details: dict[str, Any]) -> Fault:
    labels = {*(getattr(error, "_error_labels", None) or ()), *details.get("errorLabels", ())}
    if "UnknownTransactionCommitResult" in labels:
        return _UNSURE
    code = details.get("code", getattr(error, "code", None))
    known = FAULTS.get(code) if isinstance(code, int) else None
    if known is None:
        names = (one.__name__ for one in type(error).__mro__)
        known = next(_BY_KIND[name] for name in names if name in _BY_KIND)
    if known is _REFUSED and "TransientTransactionError" in labels:
        return _STALE
    return known


def _attempt(statement: str) -> str:
    if len(statement) > STATEMENT_LENGTH_MAX:
        statement = f"{statement[:STATEMENT_LENGTH_MAX]}…"
    return f"MongoDB was asked to {statement}" if " " in statement else f"at {statement}"


def _bad_value(statement: str, found: str, value: object, expected: str) -> DataError:
    return DataError(
        f"{_attempt(statement)}: {found}; usually the field wants another type, or a text was cut "
        "in the middle; correct the value, or keep it as bytes",
        statement=statement,
        value=value,
        expected=expected,
    )


def _made(
    fault: Fault,
    message: str,
    details: dict[str, Any],
    statement: str,
    keys: Mapping[str, tuple[str, ...]],
) -> GravenError:
    kind, found, cause, remedy = fault
    blamed: dict[str, Any] = {}
    if fault is _TAKEN:
        blamed = _index(details, message, keys)
    elif fault is _RULE:
        kind, found, blamed = _rule(details)
    said = " ".join(str(details.get("errmsg") or message).split())[:SAID_LENGTH_MAX]
    text = f"{_attempt(statement)}: {found} ({said}); {cause}; {remedy}"
    if issubclass(kind, StoreError):
        blamed = {name: one for name, one in blamed.items() if name in kind._fields}
        return kind(text, statement=statement, **blamed)
    return kind(text)


_DUPLICATE = re.compile(r"collection: [^.\s]+\.(?P<table>.+?) index: (?P<index>\S+)(?: dup key|$)")


def _index(
    details: dict[str, Any], message: str, keys: Mapping[str, tuple[str, ...]]
) -> dict[str, Any]:
    """Return table, columns and index of a value that is taken, and the value if it is a key."""
    said = _DUPLICATE.search(str(details.get("errmsg") or message))
    table = said["table"] if said else None
    fields = [*details.get("keyPattern", ())]
    names = [name.removeprefix("_id.") for name in fields]
    columns = tuple(names) or None
    blamed: dict[str, Any] = {"table": table, "constraint": said["index"] if said else None}
    if fields == ["_id"] or blamed["constraint"] == "_id_":
        columns = keys.get(table or "", ("_id",))
        key = details.get("keyValue", {}).get("_id")
        blamed["key"] = tuple(key.values()) if isinstance(key, dict) else key
    return {**blamed, "columns": columns}


def _rule(details: dict[str, Any]) -> tuple[type[IntegrityError], str, dict[str, Any]]:
    """Return the error, what was found, and the fields, of a document that breaks the rule."""
    refused = details.get("errInfo", {}).get("details", {}).get("schemaRulesNotSatisfied", ())
    missing = [name for one in refused for name in one.get("missingProperties", ())]
    wrong = [one for group in refused for one in group.get("propertiesNotSatisfied", ())]
    names = [*missing, *(one.get("propertyName") for one in wrong)]
    blamed = {"columns": tuple(map(str, names)) or None}
    if missing or any(_is_null(one) for one in wrong):
        return NotNullError, f"a value is missing in {', '.join(map(str, names))}", blamed
    found = f"the rule of the collection does not allow {', '.join(map(str, names)) or 'it'}"
    return CheckError, found, blamed


def _is_null(refused: dict[str, Any]) -> bool:
    return any(
        one.get("consideredType") == "null" or one.get("operatorName") == "not"
        for one in refused.get("details", ())
    )
