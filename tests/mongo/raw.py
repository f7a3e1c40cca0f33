"""The documents of the dialect, sent with PyMongo itself: what a driver does, and no more."""

from __future__ import annotations

from typing import Any

from pymongo import DeleteMany, DeleteOne, MongoClient, ReturnDocument, UpdateOne
from pymongo.errors import OperationFailure

from graven.dialects.mongo import MongoDialect
from graven.dialects.mongo_commands import Aggregate, Command, Deletes, Find, Inserts, Updates
from graven.drivers.mongo_errors import cause_of, raise_refusal
from graven.errors import GravenError
from graven.ops.requests import (
    Begin,
    Commit,
    Create,
    Delete,
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
from graven.ops.schema import Table

__all__ = ["Raw"]


class Raw:
    """One client, and the requests performed with it, each by itself."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.dialect = MongoDialect()
        self.client: MongoClient[dict[str, Any]] = MongoClient(url)
        found = self.client.get_default_database()
        self.db = found.with_options(codec_options=self.dialect.options)

    def close(self) -> None:
        self.client.close()

    def send(self, asked: Find | Aggregate | Inserts | Updates | Deletes | Command) -> Any:
        try:
            return self._send(asked)
        except Exception as error:
            raise self.dialect.translate(cause_of(error), "send this") or error from error

    def _send(self, asked: Any) -> Any:
        match asked:
            case Find(name, wanted, shown, sort, skip, limit):
                found = self.db[name].find(wanted, shown, skip, limit)
                return list(found.sort(sort) if sort else found)
            case Aggregate(name, pipeline):
                return list(self.db[name].aggregate(pipeline))
            case Inserts(name, documents):
                self.db[name].insert_many(documents)
                return []
            case Updates(name, updates):
                return self.db[name].bulk_write([UpdateOne(*one) for one in updates]).matched_count
            case Deletes(name, filters, many):
                kind = DeleteMany if many else DeleteOne
                return self.db[name].bulk_write([kind(one) for one in filters]).deleted_count
            case Command(body, ignored, instead):
                try:
                    raise_refusal(self.db.command(body))
                except OperationFailure as error:
                    if error.code not in ignored:
                        raise
                    if instead is not None:
                        self._send(instead)
            case _:
                raise AssertionError(asked)

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
                return None
            case Fetch(select):
                return dialect.rows(select, self.send(dialect.fetch(select)))
            case FetchKeys():
                finds = dialect.fetch_keys(request)
                return dialect.key_rows(request, [one for f in finds for one in self.send(f)])
            case Insert(table, columns, rows):
                made = table.store_made and table.key[0] not in columns
                keys = self._next_keys(table, len(rows)) if made else []
                self.send(dialect.insert(request, keys))
                return keys
            case Update():
                return self.send(dialect.update(request))
            case Delete():
                return self.send(dialect.delete(request))
            case Sweep():
                return self.send(dialect.sweep(request))
            case Inspect(name):
                return self._shape(name)
            case Create():
                for command in dialect.create(request):
                    self.send(command)
                return None
            case Orphans(tables, limit):
                return [
                    dialect.orphan(table, reference, found)
                    for table in tables
                    for reference in table.references
                    for found in self.send(dialect.orphans(table, reference, limit))
                ]
            case _:
                raise AssertionError(request)

    def _shape(self, name: str) -> Any:
        found = next(iter(self.db.list_collections(filter={"name": name})), None)
        is_there = found is not None and found["type"] == "collection"
        return self.dialect.shape(found, self.db[name].list_indexes() if is_there else [])

    def _next_keys(self, table: Table, count: int) -> list[int]:
        name, wanted, update = self.dialect.next_keys(table, count)
        after = ReturnDocument.AFTER
        found = self.db[name].find_one_and_update(
            wanted, update, upsert=True, return_document=after
        )
        return list(range(found["last"] - count + 1, found["last"] + 1))
