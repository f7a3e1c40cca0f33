"""The model in Peewee."""

from peewee import (
    BooleanField,
    DateTimeField,
    FloatField,
    ForeignKeyField,
    IntegerField,
    Model,
    SqliteDatabase,
    TextField,
)

database = SqliteDatabase(None)


class Author(Model):
    id = IntegerField(primary_key=True)
    name = TextField()
    email = TextField()
    age = IntegerField()
    score = FloatField()
    joined = DateTimeField()
    active = BooleanField()

    class Meta:
        database = database
        table_name = "author"


class Book(Model):
    id = IntegerField(primary_key=True)
    title = TextField()
    pages = IntegerField()
    author = ForeignKeyField(Author, index=False)

    class Meta:
        database = database
        table_name = "book"


def connect(path: str) -> SqliteDatabase:
    """Open the file with the pragmas that every contender has."""
    pragmas = {"journal_mode": "wal", "synchronous": "normal", "foreign_keys": 1}
    database.init(path, pragmas=pragmas)
    database.connect()
    return database
