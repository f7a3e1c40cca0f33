"""A socket between graven and a PostgreSQL server: counts messages, and cuts the line at one."""

from __future__ import annotations

import socket
import struct
import threading
from collections import deque
from pathlib import Path
from urllib.parse import quote

READY = b"Z"


class Wiretap:
    """Listens on a socket in *folder*, forwards all to the server whose socket is in *target*.

    ``cut_at = ("server", 3)`` cuts the line instead of forwarding the fourth message from now that
    the server sends; ``("client", 0)`` the next one of the client. ``None`` forwards everything.
    """

    def __init__(self, folder: Path, target: Path) -> None:
        self.folder, self._target = folder, target
        self.cut_at: tuple[str, int] | None = None
        self.seen: dict[str, deque[bytes]] = {"client": deque(), "server": deque()}
        self._lock = threading.Lock()
        self._lines: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / ".s.PGSQL.5432"))
        self._listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, url: str) -> str:
        """Return *url*, which leads to the server, as one that leads through here."""
        return url.replace(quote(str(self._target), safe=""), quote(str(self.folder), safe=""))

    def watch(self, cut_at: tuple[str, int] | None = None) -> None:
        """Count from zero, and cut where it is said."""
        with self._lock:
            for seen in self.seen.values():
                seen.clear()
            self.cut_at = cut_at

    @property
    def round_trips(self) -> int:
        """How many times the server has been waited for since :meth:`watch`."""
        return self.seen["server"].count(READY)

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
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(str(self._target / ".s.PGSQL.5432"))
            except OSError:
                client.close()
                continue
            self._lines += (client, server)
            for who, source, sink in (("client", client, server), ("server", server, client)):
                threading.Thread(
                    target=self._forward, args=(who, source, sink), daemon=True
                ).start()

    def _forward(self, who: str, source: socket.socket, sink: socket.socket) -> None:
        begins = who == "client"  # the first message of a client has no letter
        with source, sink, source.makefile("rb") as stream:
            while True:
                try:
                    letter = b"" if begins else stream.read(1)
                    size = stream.read(4)
                    if len(size) < 4:
                        break
                    message = letter + size + stream.read(struct.unpack("!i", size)[0] - 4)
                    begins = False
                    if self._is_cut(who, letter):
                        break
                    sink.sendall(message)
                except OSError:
                    break
            for end in (source, sink):
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def _is_cut(self, who: str, letter: bytes) -> bool:
        with self._lock:
            is_cut = self.cut_at == (who, len(self.seen[who]))
            self.seen[who].append(letter)
            return is_cut
