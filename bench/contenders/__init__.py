"""The contenders by name; a module is imported only in its own process."""

from importlib import import_module

from bench.contenders.base import Contender

TITLES = {
    "raw": "raw sqlite3",
    "graven": "graven",
    "graven_async": "graven (async)",
    "sqlalchemy": "SQLAlchemy",
    "django": "Django",
    "peewee": "Peewee",
    "pony": "Pony",
    "tortoise": "Tortoise",
}
PACKAGES = {
    "graven": "graven",
    "sqlalchemy": "sqlalchemy",
    "django": "django",
    "peewee": "peewee",
    "pony": "pony",
    "tortoise": "tortoise-orm",
}


def load(name: str) -> type[Contender]:
    """The contender's class: `Entry` of the module of that name."""
    entry: type[Contender] = import_module(f"bench.contenders.{name}").Entry
    return entry
