"""Tables and the connection of the raw driver: what everything else is compared with."""

import datetime  # noqa: F401  (a program with this model needs it; W10 counts it)
import sqlite3

SCHEMA = """
create table author (
    id integer primary key, name text not null, email text not null, age integer not null,
    score real not null, joined text not null, active integer not null
);
create table book (
    id integer primary key, title text not null, pages integer not null,
    author_id integer not null references author (id)
);
create table log (
    id text primary key, method text not null, arguments text not null, state text not null
);
"""


def connect(path: str) -> sqlite3.Connection:
    """Open the file with the pragmas that every contender has."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("pragma journal_mode = wal")
    connection.execute("pragma synchronous = normal")
    connection.execute("pragma foreign_keys = on")
    return connection
