"""The model in Piccolo. It reads its configuration from a module, or is told the engine."""

from piccolo.columns import (
    BigInt,
    Boolean,
    DoublePrecision,
    ForeignKey,
    Text,
    Timestamptz,
)
from piccolo.engine.postgres import PostgresEngine
from piccolo.table import Table, create_db_tables


class Author(Table, tablename="author"):
    id = BigInt(primary_key=True)
    name = Text()
    email = Text()
    age = BigInt()
    score = DoublePrecision()
    joined = Timestamptz()
    active = Boolean()


class Book(Table, tablename="book"):
    id = BigInt(primary_key=True)
    title = Text()
    pages = BigInt()
    author = ForeignKey(Author, null=False, db_column_name="author_id")


async def open_database(place: str) -> PostgresEngine:
    """Make the tables and a pool of connections."""
    engine = PostgresEngine(config={"dsn": place}, log_queries=False)
    for table in (Author, Book):
        table._meta._db = engine
    await engine.start_connection_pool(min_size=1, max_size=1)
    await create_db_tables(Author, Book)
    return engine
