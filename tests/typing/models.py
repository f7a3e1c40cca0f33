"""Models as type checkers see them; shared by the other files here."""

from __future__ import annotations

import enum
from datetime import datetime
from decimal import Decimal
from typing import Any, assert_type
from uuid import UUID

from graven import Model, NaiveDatetime, field, key, many_to_many, owned


class Kind(enum.Enum):
    PAPER = "paper"
    AUDIO = "audio"


class Author(Model):
    name: str
    born: NaiveDatetime | None = None
    books: list[Book] = owned("author")


class Book(Model):
    id: int = key()
    title: str
    author: Author
    pages: int = 0
    price: Decimal = Decimal(0)
    kind: Kind = Kind.PAPER
    seen: datetime | None = None
    words: list[str] = field(default_factory=list)
    tags: list[Tag] = many_to_many()


class Tag(Model):
    id: int = key(store_made=True)
    text: str = field(unique=True)


class Novel(Book):
    genre: str = "other"


class Part(Model):
    row: str = key()
    number: int = key()
    token: UUID | None = None


author = Author(name="Ada")
book = Book(id=1, title="Notes", author=author, words=["a"], kind=Kind.AUDIO)
novel = Novel(id=2, title="Plot", author=author, genre="crime")
tag = Tag(text="history")
part = Part(row="A", number=1)

assert_type(author, Author)
assert_type(author.name, str)
assert_type(author.born, datetime | None)
assert_type(author.books, list[Book])
assert_type(author.id, Any)
assert_type(book.id, int)
assert_type(book.author.name, str)
assert_type(book.price, Decimal)
assert_type(book.kind, Kind)
assert_type(book.words, list[str])
assert_type(book.tags, list[Tag])
assert_type(book.seen, datetime | None)
assert_type(tag.id, int)
assert_type(novel.genre, str)
assert_type(novel.title, str)
assert_type(part.token, UUID | None)
