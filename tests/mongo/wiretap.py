"""A socket between graven and a MongoDB server: notes commands, and cuts the line at one."""

from __future__ import annotations

import socket
import struct
import threading
from urllib.parse import urlsplit

from bson.raw_bson import RawBSONDocument

ASIDE = {"hello", "ismaster", "isMaster", "ping", "endSessions", "killCursors", "buildInfo"}
OP_MSG = 2013


class Wiretap:
    """Listens on a port, and forwards all to the server at *target*.

    ``cut_at = ("server", 3)`` cuts the line instead of forwarding the answer to the fourth command
    from now; ``("client", 0)`` instead of forwarding the next command. ``None`` forwards
    everything. With *for_good* no line is put through any more after that, until the next
    :meth:`watch`.
    """

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._target = (parts.hostname, parts.port)
        self._cut_at: tuple[str, int] | None = None
        self._is_for_good = False
        self._is_dead = False
        self.commands: list[str] = []
        self._answers = 0
        self._numbers: dict[int, int] = {}
        self._lock = threading.Lock()
        self._lines: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, url: str) -> str:
        """Return *url*, which leads to the server, as one that leads through here."""
        ours = f"127.0.0.1:{self._listener.getsockname()[1]}"
        host, port = self._target
        return url.replace(f"{host}:{port}", ours) + "?directConnection=true"

    def watch(self, cut_at: tuple[str, int] | None = None, for_good: bool = False) -> None:
        """Count from zero, and cut where it is said."""
        with self._lock:
            self.commands, self._answers, self._numbers = [], 0, {}
            self._cut_at, self._is_for_good, self._is_dead = cut_at, for_good, False

    def close(self) -> None:
        """Cut everything."""
        self._listener.close()
        self._hang_up()

    def _hang_up(self) -> None:
        lines, self._lines = self._lines, []
        for line in lines:
            try:
                line.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._target)
            except OSError:
                client.close()
                continue
            if self._is_dead:
                client.close()
                server.close()
                continue
            self._lines += (client, server)
            for who, source, sink in (("client", client, server), ("server", server, client)):
                threading.Thread(
                    target=self._forward, args=(who, source, sink), daemon=True
                ).start()

    def _forward(self, who: str, source: socket.socket, sink: socket.socket) -> None:
        with source, sink, source.makefile("rb") as stream:
            while True:
                try:
                    head = stream.read(16)
                    if len(head) < 16:
                        break
                    size, request, answered, kind = struct.unpack("<iiii", head)
                    body = stream.read(size - 16)
                    if self._is_cut(who, request, answered, kind, body):
                        break
                    sink.sendall(head + body)
                except OSError:
                    break
            for end in (source, sink):
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        if self._is_dead:
            self._hang_up()

    def _is_cut(self, who: str, request: int, answered: int, kind: int, body: bytes) -> bool:
        with self._lock:
            if who == "client":
                name = next(iter(RawBSONDocument(_first_document(body)))) if kind == OP_MSG else ""
                if not name or name in ASIDE:
                    return False
                number = self._numbers[request] = len(self.commands)
                self.commands.append(name)
            elif answered in self._numbers:
                number = self._numbers[answered]
            else:
                return False
            is_cut = self._cut_at == (who, number)
            self._is_dead = self._is_dead or (is_cut and self._is_for_good)
            return is_cut


def _first_document(body: bytes) -> bytes:
    """Return the document of an OP_MSG: after the flags and the kind of the section."""
    (size,) = struct.unpack_from("<i", body, 5)
    return body[5 : 5 + size]
