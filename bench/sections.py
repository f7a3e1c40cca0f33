"""The sections that compare contenders on one backend: who takes part, on what, how well."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import server
from bench.targets import MONGODB_ROWS, POSTGRESQL_ROWS, SQLITE_ROWS, Row

Place = Callable[[str], str]
"""Where a contender's data are: the path of a file, or the URL of a database."""


@dataclass(frozen=True)
class Section:
    """One backend: contenders with their titles, and the modules of those that are called else."""

    name: str
    rows: Sequence[Row]
    titles: Mapping[str, str]
    modules: Mapping[str, str]
    parentheses: frozenset[tuple[str, str]]
    """Contender and workload that are not quite the same work."""
    opened: Callable[[Sequence[str]], AbstractContextManager[Place]]
    """Makes the places of these contenders, and removes them in the end."""
    rows_max: int = 10_000_000
    """More rows are not asked of it."""

    def module(self, contender: str) -> str:
        return self.modules.get(contender, contender)


@contextmanager
def _files(_: Sequence[str]) -> Iterator[Place]:
    with TemporaryDirectory(prefix="graven-bench-") as directory:
        yield lambda name: str(Path(directory, f"{name}.db"))


SQLITE = Section(
    name="sqlite",
    rows=SQLITE_ROWS,
    titles={
        "raw": "raw sqlite3",
        "graven": "graven",
        "graven_async": "graven (async)",
        "sqlalchemy": "SQLAlchemy",
        "django": "Django",
        "peewee": "Peewee",
        "pony": "Pony",
        "tortoise": "Tortoise",
        "dbos": "DBOS",
    },
    modules={},
    parentheses=frozenset(
        {
            *((name, "W6") for name in ("django", "peewee", "tortoise")),
            *(("django", workload) for workload in ("W7w", "W7f")),
        }
    ),
    opened=_files,
)
POSTGRESQL = Section(
    name="postgresql",
    rows=POSTGRESQL_ROWS,
    titles={
        "raw": "raw psycopg 3",
        "raw_async": "raw, async",
        "raw_pipelined": "raw, pipelined",
        "by_hand": "by hand (COPY, arrays)",
        "asyncpg": "asyncpg",
        "graven": "graven",
        "graven_async": "graven (async)",
        "sqlalchemy": "SQLAlchemy",
        "django": "Django",
        "peewee": "Peewee",
        "tortoise": "Tortoise",
        "piccolo": "Piccolo",
        "dbos": "DBOS",
    },
    modules={
        "raw": "psycopg",
        "raw_async": "psycopg_async",
        "raw_pipelined": "psycopg_pipelined",
        "by_hand": "psycopg_by_hand",
        "dbos": "dbos_postgresql",
    },
    parentheses=frozenset((name, "W6") for name in ("django", "peewee", "tortoise", "piccolo")),
    opened=server.opened,
)
MONGODB = Section(
    name="mongodb",
    rows=MONGODB_ROWS,
    titles={
        "raw": "raw PyMongo",
        "raw_async": "raw, async",
        "graven": "graven",
        "graven_async": "graven (async)",
        "mongoengine": "MongoEngine",
        "beanie": "Beanie",
        "odmantic": "ODMantic",
    },
    modules={"raw": "pymongo", "raw_async": "pymongo_async"},
    parentheses=frozenset(),
    opened=server.opened_mongodb,
    rows_max=1_000,
)
SECTIONS = {section.name: section for section in (SQLITE, POSTGRESQL, MONGODB)}
