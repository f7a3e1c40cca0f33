"""The model in MongoEngine."""

from typing import ClassVar

import mongoengine
from mongoengine import (
    BooleanField,
    DateTimeField,
    Document,
    FloatField,
    IntField,
    ReferenceField,
    StringField,
)


class Author(Document):
    meta: ClassVar = {"collection": "author", "auto_create_index": False}
    id = IntField(primary_key=True)
    name = StringField(required=True)
    email = StringField(required=True)
    age = IntField(required=True)
    score = FloatField(required=True)
    joined = DateTimeField(required=True)
    active = BooleanField(required=True)


class Book(Document):
    meta: ClassVar = {"collection": "book", "auto_create_index": False}
    id = IntField(primary_key=True)
    title = StringField(required=True)
    pages = IntField(required=True)
    author = ReferenceField(Author, required=True)


def connect(place: str) -> None:
    """Open the store."""
    mongoengine.connect(host=place, uuidRepresentation="standard")
