"""The texts of the dialect, executed with psycopg itself: what a driver does, and no more."""

from __future__ import annotations

import re
from typing import Any

import psycopg
from psycopg.types.numeric import Int8BinaryDumper
from psycopg.types.string import TextBinaryLoader, TextLoader

from graven.dialects.postgres import PostgresDialect
from graven.errors import GravenError
from graven.ops.requests import (
    Begin,
    Commit,
    Create,
    Delete,
    Execute,
    Fetch,
    FetchKeys,
    Insert,
    Inspect,
    Operation,
    Orphans,
    Rollback,
    Sweep,
    Update,
)

__all__ = ["Raw"]


class Raw:
    """One connection, and the requests performed on it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.dialect = PostgresDialect()
        self.connection = psycopg.connect(url, autocommit=True)
        self.connection.adapters.register_dumper(int, Int8BinaryDumper)
        self.connection.adapters.register_loader("json", TextLoader)
        self.connection.adapters.register_loader("json", TextBinaryLoader)
        self.connection.execute("set timezone to 'UTC'")
        ((self.schema,),) = self.execute("select current_schema")

    def close(self) -> None:
        self.connection.close()

    def execute(self, text: str, parameters: Any = ()) -> psycopg.Cursor[Any]:
        try:
            # Only in binary form does psycopg send an array of integers of any size.
            marked = re.sub(r"%s(?=::[a-z ]+\[])", "%b", text)
            return self.connection.execute(marked, parameters, binary=True)
        except Exception as error:
            raise self.dialect.translate(error, text) or error from error

    def copy(self, request: Insert) -> None:
        text, types = self.dialect.copy(request)
        try:
            with self.connection.cursor() as cursor, cursor.copy(text, ()) as copy:
                copy.set_types(types)
                for row in request.rows:
                    copy.write_row(row)
        except Exception as error:
            raise self.dialect.translate(error, text) or error from error

    def run(self, flow: Any) -> Any:
        """Drive a flow, and throw the errors of its requests into it."""
        step, given = flow.send, None
        while True:
            try:
                request = step(given)
            except StopIteration as end:
                return end.value
            try:
                step, given = flow.send, self.perform(request)
            except GravenError as error:
                step, given = flow.throw, error

    def perform(self, request: Operation[Any]) -> Any:
        dialect = self.dialect
        match request:
            case Begin() | Commit() | Rollback():
                self.execute(type(request).__name__)
                if isinstance(request, Begin) and request.tables:
                    self.execute(dialect.lock_tables)
            case Fetch(select):
                return self.execute(*dialect.fetch(select)).fetchall()
            case FetchKeys():
                statements = dialect.fetch_keys(request)
                return [row for one in statements for row in self.execute(*one).fetchall()]
            case Insert() | Update() | Delete() | Sweep():
                cursor = self.execute(*dialect.write(request))
                if isinstance(request, Insert):
                    return [row[0] for row in cursor] if cursor.description else []
                return cursor.rowcount
            case Execute(statement, parameters):
                cursor = self.execute(statement, dialect.parameters(parameters))
                return cursor.fetchall() if cursor.description else []
            case Inspect(name):
                texts = dialect.columns_text, dialect.indexes_text, dialect.choices_text
                return dialect.shape(*(self.execute(text, (name,)).fetchall() for text in texts))
            case Create():
                for text in dialect.create(request):
                    self.execute(text)
            case Orphans(tables, limit):
                return [
                    row
                    for table in tables
                    for reference in table.references
                    for row in self.execute(*dialect.orphans(table, reference, limit)).fetchall()
                ]
            case _:
                raise AssertionError(request)
        return None
