"""DBOS: its own tables in a database next to the data, launched as a program does."""

from typing import Any

from dbos import DBOS, DBOSConfig
from sqlalchemy import Engine, event


def _pragmas(connection: Any, _record: Any) -> None:
    connection.execute("pragma journal_mode = wal")
    connection.execute("pragma synchronous = normal")


def launch(place: str) -> None:
    """Launch it; on SQLite with the pragmas that every contender has."""
    url = place
    if "://" not in place:
        url = f"sqlite:///{place}.dbos"
        event.listen(Engine, "connect", _pragmas)
    config: DBOSConfig = {
        "name": "bench",
        "system_database_url": url,
        "run_admin_server": False,
        "log_level": "ERROR",
    }
    DBOS(config=config)
    DBOS.launch()


def connect(place: str) -> None:
    """Launch it and end it again (what W10 starts)."""
    launch(place)
    DBOS.destroy()
