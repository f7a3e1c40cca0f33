"""PyMongo by hand: documents, `insert_many` and `bulk_write`; transactions where it says so."""

from collections.abc import Sequence
from typing import Any

from pymongo import MongoClient, UpdateOne

from bench.contenders.base import Contender
from bench.data import AuthorRow, Shelf

FIELDS = "_id", "name", "email", "age", "score", "joined", "active"
BOOK_FIELDS = "_id", "title", "pages", "author_id"


class Entry(Contender):
    def create(self) -> None:
        self.client: MongoClient[dict[str, Any]] = MongoClient(self.path)
        database = self.client.get_default_database()
        self.authors, self.books = database["author"], database["book"]

    def close(self) -> None:
        self.client.close()

    def insert(self, rows: Sequence[AuthorRow]) -> None:
        self.authors.insert_many(author_documents(rows))

    def load(self) -> Sequence[Any]:
        return list(self.authors.find())

    def get_each(self, keys: Sequence[int]) -> Sequence[Any]:
        find = self.authors.find_one
        return [find({"_id": key}) for key in keys]

    def tracked(self) -> Any:
        raise NotImplementedError

    def update_all(self) -> None:
        self.authors.bulk_write(birthdays(self.authors.find()))

    def insert_books(self, shelves: Sequence[Shelf]) -> None:
        self.authors.insert_many(author_documents([row for row, _ in shelves]))
        self.books.insert_many(book_documents(shelves))

    def load_books(self) -> Sequence[Any]:
        return joined(list(self.books.find()), self.authors.find())

    def delete_all(self) -> None:
        keys = [one["_id"] for one in self.authors.find()]
        self.authors.delete_many({"_id": {"$in": keys}})

    def small_each(self, keys: Sequence[int]) -> None:
        authors = self.authors
        with self.client.start_session() as session:
            for key in keys:
                with session.start_transaction():
                    author: Any = authors.find_one({"_id": key}, session=session)
                    change = {"$set": {"age": author["age"] + 1}}
                    authors.update_one({"_id": key}, change, session=session)

    def values(self, author: Any) -> AuthorRow:
        row: AuthorRow = tuple(author[name] for name in FIELDS)
        return row

    def book_values(self, book: Any) -> tuple[int, str, int, int, str]:
        author = book["author"]
        return book["_id"], book["title"], book["pages"], author["_id"], author["name"]


def author_documents(rows: Sequence[AuthorRow]) -> list[dict[str, Any]]:
    return [dict(zip(FIELDS, row, strict=True)) for row in rows]


def book_documents(shelves: Sequence[Shelf]) -> list[dict[str, Any]]:
    return [
        dict(zip(BOOK_FIELDS, (*book, author[0]), strict=True))
        for author, books in shelves
        for book in books
    ]


def birthdays(authors: Any) -> list[UpdateOne]:
    return [UpdateOne({"_id": one["_id"]}, {"$set": {"age": one["age"] + 1}}) for one in authors]


def joined(books: list[dict[str, Any]], authors: Any) -> list[dict[str, Any]]:
    """Books with their authors, whose names are touched."""
    by_key = {one["_id"]: one for one in authors}
    for book in books:
        book["author"] = by_key[book["author_id"]]
        book["author"]["name"]
    return books
