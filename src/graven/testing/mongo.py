"""A MongoDB server for tests: made in a temporary folder, ended by its process id.

The server comes from the wheel ``secantusdb``, which keeps its data in WiredTiger and speaks
MongoDB's protocol, transactions included. ``GRAVEN_TEST_MONGODB`` may name a replica set that is
there already by its URL, ``GRAVEN_TEST_MONGODB_STANDALONE`` a stand-alone server; then none is
started.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from graven.testing.contract.backends import BULK, EXCHANGES, SURVIVES, TRANSACTIONS, WAITS, Backend

__all__ = ["MongoBackend", "MongoServer", "MongoStandaloneBackend", "database_at"]

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0
STARTS_MAX = 5  #: somebody else may take the port between its choice and its use
_serial = count(1)
_WATCH = """
read ended
kill -KILL "$2" 2>/dev/null
while kill -0 "$2" 2>/dev/null; do sleep 0.05; done
rm -rf "$1"
"""  # reading ends when the process dies that has the other end of the pipe, however that dies


class MongoServer:
    """One server on a free port of this machine, with its data in a folder of its own.

    It says of itself that it is a replica set of one, which has transactions; a *standalone* one
    says that it has none. A *durable* one waits for the disk at each commit; any other is quicker,
    and loses what it has acknowledged last, should it be killed. *options* are further ones of its
    command line, ``--enable-test-commands`` for example.

    Where there is a shell, one watches the process that started the server: should that be killed,
    the server ends and its folder goes too.
    """

    def __init__(
        self, standalone: bool = False, durable: bool = False, options: tuple[str, ...] = ()
    ) -> None:
        """Make the folder; :meth:`start` comes next."""
        self.folder = Path(tempfile.mkdtemp(prefix="graven-mongo-"))
        self.port = 0
        self._options = [*options]
        self._options += ["--standalone"] if standalone else []
        self._options += ["--sync-on-commit"] if durable else []
        self._process: subprocess.Popen[bytes] | None = None
        self._watch: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL of the server; :func:`database_at` names a database of it."""
        return f"mongodb://127.0.0.1:{self.port}/"

    @property
    def pid(self) -> int:
        """The id of the server's process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start the server, and wait until it answers; after a stop it has the same port again."""
        for _ in range(STARTS_MAX):
            port = self.port or _free_port()
            if self._starts_at(port):
                self.port = port
                return
        raise RuntimeError(self._log())

    def stop(self, mode: str = "fast") -> None:
        """End the server: ``fast`` lets it close its files, ``immediate`` crashes it."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGTERM if mode == "fast" else signal.SIGKILL)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(START_TIMEOUT_S)
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.kill()
            watch.communicate()

    def close(self) -> None:
        """Crash the server if it runs, and remove its folder."""
        self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _starts_at(self, port: int) -> bool:
        place = ("--host", "127.0.0.1", "--port", str(port))
        command = [sys.executable, "-m", "secantus", *place, "--log-level", "ERROR"]
        command += ["--storage-path", str(self.folder / "data"), *self._options]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self.folder, stdout=log, stderr=log, start_new_session=True
            )
        self._watch = _watching(self.folder, self.pid) if os.name == "posix" else None
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline_s and self._process.poll() is None:
            if _answers(port):
                return True
            time.sleep(0.02)
        self.stop("immediate")
        return False

    def _log(self) -> str:
        return (
            "a MongoDB server was to be started, but does not answer; usually the extra `test` is "
            "not installed; install secantusdb, or name a server in GRAVEN_TEST_MONGODB. It says:"
            f"\n{(self.folder / 'log').read_text()[-2000:]}"
        )


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _answers(port: int) -> bool:
    """Say whether the server at *port* takes requests; it listens only when it is ready."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
    except OSError:
        return False
    return True


def _watching(folder: Path, pid: int) -> subprocess.Popen[bytes]:
    """Start what ends the server *pid* of *folder* as soon as this process has ended."""
    return subprocess.Popen(
        ["/bin/sh", "-c", _WATCH, "graven-watch", str(folder), str(pid)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def database_at(url: str) -> str:
    """Return the URL of a database that nobody else uses, on the server at *url*.

    It is made when something is first written, and not dropped: ``secantusdb`` 0.7 hangs when a
    database is dropped while a transaction is open in it.
    """
    parts = urlsplit(url)
    query = parts.query
    if "@" in parts.netloc and "authSource=" not in query:
        source = f"authSource={parts.path.strip('/') or 'admin'}"
        query = f"{query}&{source}" if query else source
    name = f"graven_{os.getpid()}_{time.time_ns() // 1000:x}_{next(_serial)}"
    return urlunsplit((parts.scheme, parts.netloc, f"/{name}", query, ""))


def _drop(server: str, urls: list[str]) -> None:
    """Drop the databases at *urls* on a server of somebody's own."""
    from pymongo import MongoClient

    client: MongoClient[dict[str, object]]
    with MongoClient(server) as client:
        for url in urls:
            client.drop_database(urlsplit(url).path.strip("/"))


class MongoBackend(Backend):
    """MongoDB as a replica set: one server, each store a database of its own."""

    name = "mongodb"
    capabilities = frozenset({BULK, EXCHANGES, SURVIVES, TRANSACTIONS, WAITS})
    variable = "GRAVEN_TEST_MONGODB"
    standalone = False

    def __init__(self) -> None:
        """Start nothing yet."""
        self._server: MongoServer | None = None
        self._url = os.environ.get(self.variable, "")
        self._left: list[str] = []

    def start(self) -> None:
        """Start the server, unless the environment names one."""
        if not self._url:
            self._server = MongoServer(self.standalone)
            self._server.start()
            self._url = self._server.url

    def stop(self) -> None:
        """End the server, if it was started here; otherwise drop what the tests left on it."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
            self._url = ""
        left, self._left = self._left, []
        if left:
            _drop(self._url, left)

    @contextmanager
    def fresh(self, folder: Path) -> Iterator[str]:
        """Yield the URL of a database that is there for the test alone."""
        url = database_at(self._url)
        if self._server is None:
            self._left.append(url)
        yield url


class MongoStandaloneBackend(MongoBackend):
    """MongoDB as a stand-alone server, which has no transactions."""

    name = "mongodb-standalone"
    capabilities = frozenset({SURVIVES, WAITS})
    variable = "GRAVEN_TEST_MONGODB_STANDALONE"
    standalone = True
