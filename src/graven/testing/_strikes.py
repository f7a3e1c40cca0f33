"""Death at a given write: every driver's statements, counted before and after, in one process.

Only a process that was made to be killed imports this. It puts itself around what the drivers call
to reach their stores (``sqlite3``, graven's wire to PostgreSQL, the commands of PyMongo), so the
drivers know nothing of it, and no process pays for it but this one.
"""

from __future__ import annotations

import os
import re
import signal
import sqlite3
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any

__all__ = ["SCHEMES", "Moment", "Strikes"]

Moment = tuple[str, str]
"""``"before"`` or ``"after"``, and the statement: before the store has it, or after it was done."""

TEXT_MAX = 500
_READS = re.compile(
    r"\s*(?:select|pragma|explain|show|set|values|table|begin|start|rollback|savepoint|release)\b",
    re.IGNORECASE,
)
_READING_COMMANDS = re.compile(
    "abort|aggregate|buildInfo|count|dbStats|distinct|end|explain|find$|getMore|hello|isMaster|kill|"
    "list|ping|sasl"
)


class Strikes:
    """Counts moments, over all connections and threads; at the one that is asked for, it kills.

    A moment is there before and after each statement, or message of several, that writes; with
    *reads*, of those that only read too.
    """

    def __init__(self, kill_at: int | None, reads: bool, tell: Callable[[], object]) -> None:
        """Kill at moment *kill_at*, counted from 0, after calling *tell*; never if it is none."""
        self.moments: list[Moment] = []
        self.sessions: set[str] = set()
        """The ids of sessions of MongoDB, which the server keeps when their process dies."""
        self._kill_at, self._reads, self._tell = kill_at, reads, tell
        self._lock = Lock()

    def install(self, scheme: str) -> None:
        """Put this around the driver for URLs of that *scheme*."""
        _INSTALLERS[scheme](self)

    def around(self, when: str, *texts: str) -> None:
        """Live through a moment, or not."""
        if self._reads or not all(map(_READS.match, texts)):
            self.reach(when, "; ".join(texts))

    def around_command(self, when: str, name: str, text: str) -> None:
        """Live through a moment of a command of that *name*, which *text* tells more of."""
        if self._reads or not _READING_COMMANDS.match(name):
            self.reach(when, text)

    def reach(self, when: str, text: str) -> None:
        """Count a moment; end the process, without any goodbye, if it is the one."""
        with self._lock:
            number = len(self.moments)
            self.moments.append((when, text[:TEXT_MAX]))
            if number == self._kill_at:
                self._tell()
                os.kill(os.getpid(), signal.SIGKILL)


def _install_sqlite(strikes: Strikes) -> None:
    class Struck(sqlite3.Connection):
        def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
            strikes.around("before", sql)
            cursor = super().execute(sql, parameters)
            strikes.around("after", sql)
            return cursor

        def executemany(self, sql: str, parameters: Any, /) -> sqlite3.Cursor:
            strikes.around("before", sql)
            cursor = super().executemany(sql, parameters)
            strikes.around("after", sql)
            return cursor

    connect = sqlite3.connect

    def connect_struck(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        raw: sqlite3.Connection = connect(*args, **{"factory": Struck, **kwargs})
        return raw

    sqlite3.connect = connect_struck  # type: ignore[assignment]


def _install_postgresql(strikes: Strikes) -> None:
    from graven.drivers.postgres_texts import Call
    from graven.drivers.postgres_wire import PostgresWire

    exchange, copy = PostgresWire.exchange, PostgresWire.copy

    def exchange_struck(self: PostgresWire, calls: Sequence[Call]) -> Any:
        texts = [call.text for call in calls]
        strikes.around("before", *texts)
        answers = yield from exchange(self, calls)
        strikes.around("after", *texts)
        return answers

    def copy_struck(self: PostgresWire, text: str, types: Any, rows: Any) -> Any:
        strikes.around("before", text)
        count = yield from copy(self, text, types, rows)
        strikes.around("after", text)
        return count

    PostgresWire.exchange = exchange_struck  # type: ignore[method-assign]
    PostgresWire.copy = copy_struck  # type: ignore[method-assign]


def _install_mongodb(strikes: Strikes) -> None:
    from pymongo import monitoring

    texts: dict[int, str] = {}

    class Struck(monitoring.CommandListener):
        def started(self, event: Any) -> None:
            if (session := event.command.get("lsid")) is not None:
                strikes.sessions.add(session["id"].hex())
            text = texts[event.request_id] = _told(event.command_name, event.command)
            strikes.around_command("before", event.command_name, text)

        def succeeded(self, event: Any) -> None:
            strikes.around_command("after", event.command_name, texts.pop(event.request_id))

        def failed(self, event: Any) -> None:
            strikes.around_command("after", event.command_name, texts.pop(event.request_id))

    monitoring.register(Struck())


def _told(name: str, command: Any) -> str:
    """Return a command in words: its name, and the collections it is for."""
    spaces = [space["ns"].partition(".")[2] for space in command.get("nsInfo", ())]
    return " ".join([name, *([command[name]] if isinstance(command[name], str) else spaces)])


_INSTALLERS: dict[str, Callable[[Strikes], None]] = {
    "sqlite": _install_sqlite,
    "postgresql": _install_postgresql,
    "postgres": _install_postgresql,
    "mongodb": _install_mongodb,
    "mongodb+srv": _install_mongodb,
}

SCHEMES = tuple(_INSTALLERS)
"""Of what URLs the drivers are known."""
