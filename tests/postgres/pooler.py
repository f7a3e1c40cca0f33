"""A pooler in transaction mode: each transaction of a client goes to another connection."""

from __future__ import annotations

import socket
import struct
import threading
from pathlib import Path
from typing import Any

SERVERS = 2  # connections to the server for each client; every transaction takes the next one


def message(stream: Any, has_letter: bool = True) -> bytes:
    """Read one message; ``ConnectionError`` at the end."""
    head = stream.read(5 if has_letter else 4)
    if len(head) < (5 if has_letter else 4):
        raise ConnectionError
    size = struct.unpack("!i", head[-4:])[0] - 4
    return bytes(head + stream.read(size))


class Pooler:
    """Listens on a socket in *folder*, and shares out what comes over connections to *target*.

    ``transactions`` counts what went to each of a client's connections.
    """

    def __init__(self, folder: Path, target: Path) -> None:
        self.folder, self._target = folder, target
        self.transactions = [0] * SERVERS
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / ".s.PGSQL.5432"))
        self._listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more clients."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        servers = [socket.socket(socket.AF_UNIX) for _ in range(SERVERS)]
        try:
            with client:
                self._share(client, servers)
        except OSError:
            pass
        finally:
            for server in servers:
                server.close()

    def _share(self, client: socket.socket, servers: list[socket.socket]) -> None:
        asked = client.makefile("rb")
        hello = message(asked, has_letter=False)
        said = []
        for server in servers:
            server.connect(str(self._target / ".s.PGSQL.5432"))
            server.sendall(hello)
            said.append(server.makefile("rb"))
            self._answer(said[-1], client if len(said) == 1 else None)
        turn, status = 0, b"I"
        while True:
            request = message(asked)
            while request[-5:] != b"S\0\0\0\4" and not request.startswith((b"Q", b"X")):
                request += message(asked)
            if status == b"I":
                turn = (turn + 1) % SERVERS
                self.transactions[turn] += 1
            servers[turn].sendall(request)
            status = self._answer(said[turn], client)
            while status == b"G":  # rows are to be copied
                block = message(asked)
                servers[turn].sendall(block)
                if block[:1] in (b"c", b"f"):
                    status = self._answer(said[turn], client)

    def _answer(self, stream: Any, client: socket.socket | None) -> bytes:
        """Pass on what the server says until it is the client's turn; return the status."""
        while True:
            reply = message(stream)
            if client is not None:
                client.sendall(reply)
            if reply[:1] in (b"Z", b"G"):
                return reply[-1:] if reply[:1] == b"Z" else b"G"
