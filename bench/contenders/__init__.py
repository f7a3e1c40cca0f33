"""The contenders by module; one is imported only in its own process."""

from importlib import import_module

from bench.contenders.base import Contender

PACKAGES = {
    "graven": "graven",
    "sqlalchemy": "sqlalchemy",
    "django": "django",
    "peewee": "peewee",
    "pony": "pony",
    "tortoise": "tortoise-orm",
    "psycopg": "psycopg",
    "asyncpg": "asyncpg",
    "piccolo": "piccolo",
    "zodb": "ZODB",
    "dbos": "dbos",
    "pymongo": "pymongo",
    "mongoengine": "mongoengine",
    "beanie": "beanie",
    "odmantic": "odmantic",
}


def load(name: str) -> type[Contender]:
    """The contender's class: `Entry` of the module of that name."""
    entry: type[Contender] = import_module(f"bench.contenders.{name}").Entry
    return entry
