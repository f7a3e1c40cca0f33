"""The model in Pony. A reference needs its reverse side there."""

from datetime import datetime

from pony.orm import Database, PrimaryKey, Required, Set, sql_debug

db = Database()


class Author(db.Entity):
    _table_ = "author"
    id = PrimaryKey(int)
    name = Required(str)
    email = Required(str)
    age = Required(int)
    score = Required(float)
    joined = Required(datetime)
    active = Required(bool)
    books = Set("Book")


class Book(db.Entity):
    _table_ = "book"
    id = PrimaryKey(int)
    title = Required(str)
    pages = Required(int)
    author = Required(Author, column="author_id")


@db.on_connect(provider="sqlite")
def _pragmas(_db, connection):
    connection.execute("pragma journal_mode = wal")
    connection.execute("pragma synchronous = normal")


def connect(path: str, create: bool = False) -> Database:
    """Open the file; foreign keys are Pony's default."""
    sql_debug(False)
    db.bind(provider="sqlite", filename=path, create_db=create)
    db.generate_mapping(create_tables=create)
    return db
