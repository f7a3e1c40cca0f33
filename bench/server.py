"""A PostgreSQL server for the benchmarks, from the wheel, with the settings that it comes with."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import psycopg
from psycopg.sql import SQL, Identifier

from graven.testing.postgres import PostgresServer


@contextmanager
def opened(names: Sequence[str]) -> Iterator[Callable[[str], str]]:
    """Start a server that waits for the disk; yield the URL of each name's own database; end it."""
    server = PostgresServer(durable=True)
    try:
        server.start()
        with psycopg.connect(server.url, autocommit=True) as connection:
            for name in names:
                connection.execute(SQL("create database {}").format(Identifier(name)))
        yield lambda name: server.url.replace("/postgres?", f"/{name}?")
    finally:
        server.close()
