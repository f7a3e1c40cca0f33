"""The other side of every contender on MongoDB: fills, empties and inspects its database."""

from collections.abc import Callable, Sequence
from typing import Any

from bson.dbref import DBRef
from pymongo import MongoClient

from bench.data import AuthorRow, BookRow
from bench.store import TABLES, Store, expect


class MongodbStore(Store):
    """The database of one contender, through a client of its own."""

    small_transactions = 200

    def __init__(self, url: str) -> None:
        self.client: MongoClient[dict[str, Any]] = MongoClient(url)
        self.database = self.client.get_default_database()
        self.seeds: dict[str, dict[str, list[dict[str, Any]]]] = {}

    def clear(self) -> None:
        for table in TABLES:
            self.database[table].delete_many({})

    def fill(self, label: str, insert: Callable[[], None]) -> None:
        self.clear()
        if label not in self.seeds:
            insert()
            self.seeds[label] = {table: list(self.database[table].find()) for table in TABLES}
        else:
            for table, documents in self.seeds[label].items():
                if documents:
                    self.database[table].insert_many(documents)

    def close(self) -> None:
        self.client.close()

    def expect_authors(self, rows: Sequence[AuthorRow], age_sum: int | None = None) -> None:
        found = list(self.database["author"].find())
        expect("ids of stored authors", {one["_id"] for one in found}, {row[0] for row in rows})
        expected = sum(row[3] for row in rows) if age_sum is None else age_sum
        expect("ages of stored authors", sum(one["age"] for one in found), expected)
        if age_sum is None:
            names = "name", "email", "score", "active"
            stored = sorted((one["_id"], *(one[name] for name in names)) for one in found)
            expect("stored authors", stored, sorted((*row[:3], row[4], row[6]) for row in rows))

    def expect_books(self, rows: Sequence[tuple[int, BookRow]]) -> None:
        found = list(self.database["book"].find())
        stored = {(one["_id"], one["title"], one["pages"], author_of(one)) for one in found}
        expect("stored books", stored, {(*book, author) for author, book in rows})

    def expect_empty(self) -> None:
        expect("authors left", self.database["author"].count_documents({}), 0)

    def _row(self, text: str) -> object:
        raise NotImplementedError


def author_of(book: dict[str, Any]) -> Any:
    """The key of a book's author, as one or another library keeps it."""
    found = book["author_id"] if "author_id" in book else book["author"]
    return found.id if isinstance(found, DBRef) else found
