"""The server that tests are run on: nothing of it is left, however the tests end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

STARTS = """
import sys
from graven.testing.postgres import PostgresServer
server = PostgresServer()
server.start()
print(server.pid, server.folder, flush=True)
sys.stdin.read()
server.close()
"""


def started() -> tuple[subprocess.Popen[str], int, Path]:
    """Start a process with a server of its own."""
    process = subprocess.Popen(
        [sys.executable, "-c", STARTS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    pid, folder = process.stdout.readline().split()
    return process, int(pid), Path(folder)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


def wait_until_gone(pid: int, folder: Path) -> bool:
    deadline_s = time.monotonic() + 20
    while time.monotonic() < deadline_s:
        if not is_alive(pid) and not folder.exists():
            return True
        time.sleep(0.05)
    return False


def test_a_server_whose_process_is_killed_ends_and_leaves_no_folder() -> None:
    process, pid, folder = started()
    assert is_alive(pid)
    assert folder.exists()
    process.kill()
    process.communicate()
    assert wait_until_gone(pid, folder)


def test_a_server_that_is_closed_leaves_nothing_behind() -> None:
    process, pid, folder = started()
    process.communicate()
    assert process.returncode == 0
    assert wait_until_gone(pid, folder)
