"""psycopg 3 by hand, in pipeline mode: what needs no answer waits for none."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg

from bench.contenders import psycopg as plain


class Entry(plain.Entry):
    skips = frozenset({"W2", "W3", "W5l"})

    @contextmanager
    def _transaction(self) -> Iterator[psycopg.Cursor[Any]]:
        cursor = self.connection.cursor()
        with self.connection.pipeline():
            cursor.execute("begin")
            yield cursor
            self.connection.execute("commit")

    def small_each(self, keys: Sequence[int]) -> None:
        execute = self.connection.execute
        for key in keys:
            with self.connection.pipeline():
                execute("begin")
                row: Any = execute(plain.SELECT_ONE, (key,)).fetchone()
                execute(plain.UPDATE, (row[3] + 1, key))
                execute("commit")
