"""Addresses of PostgreSQL databases: what libpq takes, and one option of graven's own.

``postgresql://ada:secret@db.example.org:5432/bank?sslmode=verify-full&application_name=till``

A URL is read by libpq itself, so all that it knows may be in it: several hosts with
``target_session_attrs=read-write``, a socket as ``?host=/var/run/postgresql``, TLS, ``options``
with a ``search_path``, ``connect_timeout``; a password file counts, and so does ``PGHOST``.
``?pgbouncer=true`` says that a pooler in transaction mode is in between: then statements are not
prepared, and nothing is set for a connection that such a pooler does not know.
"""

from __future__ import annotations

from math import ceil
from urllib.parse import parse_qsl, urlencode

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from graven._hints import Any
from graven.drivers.urls import url_without_password
from graven.errors import UsageError
from graven.ops.value import Value

__all__ = ["PostgresAddress", "parse_postgres_url"]

SCHEMES = ("postgresql", "postgres")
CONNECT_TIMEOUT_MIN_S = 2


class PostgresAddress(Value):
    """Where a database is: *conninfo* for libpq, *place* for people, without a password.

    *prepares* says whether statements may be prepared, *setting* is sent in each transaction.
    """

    conninfo: str
    place: str
    prepares: bool = True
    setting: str | None = None


def parse_postgres_url(url: str, timeout_s: float, busy_timeout_s: float) -> PostgresAddress:
    """Return the address that *url* means; ``UsageError`` if it means none.

    Connecting takes *timeout_s* seconds at most, and a lock is waited for *busy_timeout_s* seconds,
    unless the URL says otherwise.
    """
    plain, has_pooler = _without_our_options(url)
    try:
        given: dict[str, Any] = {**conninfo_to_dict(plain)}
    except ProgrammingError as error:
        shown = url_without_password(url)
        said = " ".join(str(error).replace(plain, shown).split())
        raise UsageError(
            f"the URL {shown!r} was to be opened with PostgreSQL, but libpq does not understand "
            f"it ({said}); usually a character with a "
            f"meaning in URLs is not escaped, or an option is misspelt; write "
            f"postgresql://user:password@host:5432/database?option=value"
        ) from error
    given.setdefault("connect_timeout", max(CONNECT_TIMEOUT_MIN_S, ceil(timeout_s)))
    given.setdefault("fallback_application_name", "graven")
    given["client_encoding"] = "UTF8"
    patience_ms = round(busy_timeout_s * 1000)
    if not has_pooler:
        ours = f"-c timezone=UTC -c lock_timeout={patience_ms}"
        given["options"] = f"{ours} {given.get('options') or ''}".strip()
    host = given.get("host") or given.get("hostaddr") or "the default host"
    place = f"{given.get('dbname') or 'the default database'} at {host}"
    setting = f"set local lock_timeout = {patience_ms}" if has_pooler else None
    return PostgresAddress(make_conninfo(**given), place, not has_pooler, setting)


def _without_our_options(url: str) -> tuple[str, bool]:
    """Return *url* without the options that libpq does not know, and whether a pooler is there."""
    place, mark, query = url.partition("?")
    options = parse_qsl(query, keep_blank_values=True)
    said = [value.lower() for name, value in options if name == "pgbouncer"]
    if not said:
        return url, False
    if said[-1] not in ("true", "false"):
        raise UsageError(
            f"the URL {url_without_password(url)!r} says pgbouncer={said[-1]}, which means "
            f"nothing; write pgbouncer=true if a pooler in transaction mode is in between"
        )
    rest = urlencode([option for option in options if option[0] != "pgbouncer"])
    return place + (mark + rest if rest else ""), said[-1] == "true"
