"""The server that tests are run on: nothing of it is left, however the tests end."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from graven.testing.mongo import MongoBackend, MongoServer, MongoStandaloneBackend, database_at
from tests.postgres.test_server import is_alive, wait_until_gone

STARTS = """
import sys
from graven.testing.mongo import MongoServer
server = MongoServer()
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


def test_a_durable_server_keeps_what_it_has_acknowledged_when_it_is_killed(
    mortal: MongoServer,
) -> None:
    with closing(MongoClient[dict[str, Any]](mortal.url)) as client:
        client["x"]["y"].insert_one({"_id": 1})
    mortal.stop("immediate")
    mortal.start()
    with closing(MongoClient[dict[str, Any]](mortal.url)) as client:
        assert client["x"]["y"].find_one() == {"_id": 1}


def test_a_server_that_the_environment_names_is_used_and_left_clean(
    server: MongoServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAVEN_TEST_MONGODB", server.url)
    backend = MongoBackend()
    backend.start()
    with backend.fresh(tmp_path) as url, closing(MongoClient[dict[str, Any]](url)) as client:
        assert client.address == ("127.0.0.1", server.port)
        made = client.get_default_database()
        made["y"].insert_one({})
        backend.stop()
        assert made.name not in client.list_database_names()
        assert client.admin.command("hello")["setName"]


def test_a_stand_alone_server_says_that_it_is_one(tmp_path: Path) -> None:
    backend = MongoStandaloneBackend()
    backend.start()
    with backend.fresh(tmp_path) as url, closing(MongoClient[dict[str, Any]](url)) as client:
        assert "setName" not in client.admin.command("hello")
    backend.stop()


def test_each_database_has_a_name_of_its_own_and_keeps_where_users_are_known() -> None:
    plain, again = database_at("mongodb://h/"), database_at("mongodb://h/")
    assert plain != again
    assert plain.startswith("mongodb://h/graven_")
    assert database_at("mongodb://u:p@h/home?tls=true").endswith("?tls=true&authSource=home")
    assert database_at("mongodb://u:p@a,b").endswith("?authSource=admin")
    assert database_at("mongodb://u:p@h/?authSource=x").endswith("?authSource=x")
