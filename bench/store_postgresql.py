"""The other side of every contender on PostgreSQL: fills, empties and inspects its database."""

from collections.abc import Callable

import psycopg
from psycopg import sql

from bench.store import TABLES, Store

AUTHOR_SUMS = """
select count(*), sum(id), sum(age), sum(score), sum(active::int),
    count(distinct name), count(distinct email), count(distinct joined)
from author
"""


class PostgresqlStore(Store):
    """The database of one contender, through a connection of its own."""

    author_sums = AUTHOR_SUMS
    small_transactions = 300

    def __init__(self, url: str) -> None:
        self.connection = psycopg.connect(url, autocommit=True)
        self.connection.execute("create schema seed")
        self.labels: set[str] = set()

    def clear(self) -> None:
        self.connection.execute("truncate author, book")

    def fill(self, label: str, insert: Callable[[], None]) -> None:
        """Put the rows in that `insert` makes; then let the server know what there is."""
        self.clear()
        if label not in self.labels:
            insert()
            for table in TABLES:
                self._copy("create table {seed} as table {table}", label, table)
            self.labels.add(label)
        else:
            for table in TABLES:
                self._copy("insert into {table} table {seed}", label, table)
        self.connection.execute("vacuum analyze author, book")

    def close(self) -> None:
        self.connection.close()

    def _row(self, text: str) -> object:
        return self.connection.execute(text).fetchone()  # type: ignore[arg-type]

    def _copy(self, text: str, label: str, table: str) -> None:
        seed = sql.Identifier("seed", f"{table}.{label}")
        query = sql.SQL(text).format(seed=seed, table=sql.Identifier(table))  # type: ignore[arg-type]
        self.connection.execute(query)
