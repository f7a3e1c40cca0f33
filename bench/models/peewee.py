"""The model in Peewee."""

from peewee import (
    BooleanField,
    DatabaseProxy,
    DateTimeField,
    DoubleField,
    ForeignKeyField,
    IntegerField,
    Model,
    PostgresqlDatabase,
    SqliteDatabase,
    TextField,
)

database = DatabaseProxy()


class Author(Model):
    id = IntegerField(primary_key=True)
    name = TextField()
    email = TextField()
    age = IntegerField()
    score = DoubleField()
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


def connect(place: str) -> DatabaseProxy:
    """Open the store, a file with the pragmas that every contender has."""
    if "://" in place:
        database.initialize(PostgresqlDatabase(place, prefer_psycopg3=True))
    else:
        pragmas = {"journal_mode": "wal", "synchronous": "normal", "foreign_keys": 1}
        database.initialize(SqliteDatabase(place, pragmas=pragmas))
    database.connect()
    return database
