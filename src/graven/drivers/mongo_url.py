"""Addresses of MongoDB databases: what PyMongo takes, with the name of a database in the path.

``mongodb://ada:secret@one.example.org,two.example.org/bank?replicaSet=main&authSource=admin``

All that PyMongo knows may be in a URL. What graven's promises rest on is not up to it: what is
acknowledged is held by a majority, so is what is read, and it is read from the primary.
"""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from pymongo.errors import PyMongoError
from pymongo.uri_parser import parse_uri

from graven._hints import Any
from graven.drivers.urls import url_without_password
from graven.errors import UsageError
from graven.ops.value import Value

__all__ = ["MongoAddress", "parse_mongo_url"]


class MongoAddress(Value):
    """Where a database is: the *url* for PyMongo, its *options*, the name of the *database*.

    *place* is for people, without a password.
    """

    url: str
    options: dict[str, Any]
    database: str
    place: str


def parse_mongo_url(url: str, timeout_s: float) -> MongoAddress:
    """Return the address that *url* means; ``UsageError`` if it means none.

    A server is looked for up to *timeout_s* seconds, unless the URL says otherwise. Names that DNS
    has to resolve, those of ``mongodb+srv``, are resolved when the store is first asked.
    """
    shown = url_without_password(url)
    said = _fault(url)
    try:
        database = unquote(urlsplit(url).path.strip("/"))
    except ValueError as error:
        database, said = "", said or str(error)
    if said or not database or "." in database:
        raise UsageError(
            f"the URL {shown!r} was to be opened with MongoDB, but "
            f"{said or 'it does not name a database'}; usually the name of the database is "
            "missing, a character with a meaning in URLs is not escaped, or an option is misspelt; "
            "write mongodb://user:password@host:27017/database?option=value"
        )
    given = urlsplit(url).query.lower()
    options: dict[str, Any] = {"uuidRepresentation": "standard", "tz_aware": False}
    if "appname=" not in given:
        options["appname"] = "graven"
    if "serverselectiontimeoutms=" not in given:
        options["serverSelectionTimeoutMS"] = round(timeout_s * 1000)
    hosts = urlsplit(url).netloc.rpartition("@")[2]
    return MongoAddress(url, options, database, f"{database} at {hosts}")


def _fault(url: str) -> str | None:
    """Return what PyMongo has against *url*, as far as it can tell without asking DNS."""
    if url.startswith("mongodb+srv:"):
        return None
    try:
        parse_uri(url)
    except (PyMongoError, ValueError) as error:
        return f"PyMongo does not understand it ({' '.join(str(error).split())})"
    return None
