"""Servers for the benchmarks, from wheels, with the settings that they come with."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import psycopg
from psycopg.sql import SQL, Identifier

from graven.testing.mongo import MongoServer
from graven.testing.postgres import PostgresServer


@contextmanager
def opened_mongodb(names: Sequence[str]) -> Iterator[Callable[[str], str]]:
    """Start a server; yield the URL of each name's own database; end it."""
    server = MongoServer()
    try:
        server.start()
        yield lambda name: f"{server.url}{name}"
    finally:
        server.close()


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
