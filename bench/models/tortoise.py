"""The model in Tortoise ORM."""

import asyncio
from urllib.parse import parse_qs, urlsplit

from tortoise import Tortoise, connections, fields
from tortoise.models import Model


class Author(Model):
    id = fields.IntField(primary_key=True, generated=False)
    name = fields.TextField()
    email = fields.TextField()
    age = fields.IntField()
    score = fields.FloatField()
    joined = fields.DatetimeField()
    active = fields.BooleanField()

    class Meta:
        table = "author"


class Book(Model):
    id = fields.IntField(primary_key=True, generated=False)
    title = fields.TextField()
    pages = fields.IntField()
    author = fields.ForeignKeyField("models.Author")

    class Meta:
        table = "book"


def _connection(place: str) -> dict:
    if "://" in place:
        parts = urlsplit(place)
        host, name = parse_qs(parts.query)["host"][0], parts.path[1:]
        server = {"host": host, "port": 5432, "user": parts.username, "password": None}
        credentials = {**server, "database": name, "minsize": 1, "maxsize": 1}
        return {"engine": "tortoise.backends.asyncpg", "credentials": credentials}
    pragmas = {"journal_mode": "WAL", "synchronous": "NORMAL", "foreign_keys": "ON"}
    credentials = {"file_path": place, "journal_size_limit": -1, **pragmas}
    return {"engine": "tortoise.backends.sqlite", "credentials": credentials}


def _config(place: str) -> dict:
    return {
        "connections": {"default": _connection(place)},
        "apps": {"models": {"models": ["bench.models.tortoise"]}},
        "use_tz": False,
    }


async def open_database(place: str) -> None:
    """Open the store, a file with the pragmas that every contender has."""
    await Tortoise.init(config=_config(place), _enable_global_fallback=True)
    await Tortoise.get_connection("default").execute_query("select 1")


def connect(path: str) -> None:
    """Open the file and close it again (what W10 starts)."""

    async def once() -> None:
        await open_database(path)
        await connections.close_all()

    asyncio.run(once())
