"""A process that has imported a function, and forks a child for each run of it.

``python -m graven.testing._nursery``: the first line of its input says what to import; each further
one is a job, answered by a line of output. It ends with its input, and thus with its parent. It has
one thread and no connection, so a fork of it is as good as a new process, and far quicker.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from pkgutil import walk_packages
from typing import Any, TextIO

from graven.testing._strikes import Strikes

PAUSE_S = 0.0005


def function_of(home: dict[str, str]) -> Callable[[Any], Any]:
    """Return the function of that name, out of its module or, failing that, of its file."""
    try:
        module = sys.modules.get(home["module"]) or import_module(home["module"])
    except ImportError:
        spec = spec_from_file_location(home["module"], home["file"])
        if spec is None or spec.loader is None:
            raise
        module = sys.modules[home["module"]] = module_from_spec(spec)
        spec.loader.exec_module(module)
    found: Any = module
    for name in home["name"].split("."):
        found = getattr(found, name)
    return found  # type: ignore[no-any-return]


def call(function: Callable[[Any], Any], url: str, options: dict[str, Any]) -> None:
    """Call *function* with a database of its colour."""
    from graven import AsyncDatabase, Database

    async def call_awaited() -> None:
        async with AsyncDatabase(url, **options) as db:
            await function(db)

    if inspect.iscoroutinefunction(function):
        asyncio.run(call_awaited())
    else:
        with Database(url, **options) as db:
            function(db)


def later(seconds: float) -> AbstractContextManager[object]:
    """Return a block that runs as if so many seconds had passed."""
    if not seconds:
        return nullcontext()
    from graven.testing.clock import VirtualClock

    clock = VirtualClock()
    clock.advance(seconds)
    return clock


def live(function: Callable[[Any], Any], job: dict[str, Any]) -> None:
    """Run one job, to its end or to the moment at which it is to die; leave a report behind."""
    error = None

    def tell() -> None:
        report = {
            "moments": strikes.moments,
            "sessions": sorted(strikes.sessions),
            "error": error,
        }
        Path(job["report"]).write_text(json.dumps(report), encoding="utf-8")

    strikes = Strikes(job["kill_at"], job["reads"], tell)
    strikes.install(job["url"].partition(":")[0])
    try:
        with later(job["later_s"]):
            call(function, job["url"], job["options"])
    except BaseException:  # noqa: BLE001 - it is told, in whatever words it has
        error = traceback.format_exc()
    tell()


def reaped(pid: int, timeout_s: float) -> int | None:
    """Return how the child ended; kill it, and return nothing, if it has not ended in time.

    Nor does it outlive the process that asked for it.
    """
    ends_at, asker = time.monotonic() + timeout_s, os.getppid()
    while time.monotonic() < ends_at and os.getppid() == asker:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(PAUSE_S)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def run(functions: dict[str, Callable[[Any], Any]], job: dict[str, Any]) -> int | None:
    """Run one job in a child; return how that ended."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            live(functions[job["function"]], job)
            status = 0
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    return reaped(pid, job["timeout_s"])


def import_all(url: str) -> None:
    """Import now what each child would import by itself otherwise: graven, and the driver."""
    import graven
    from graven._async import colour as awaited
    from graven._sync import colour as blocking
    from graven.drivers import pool_class_for

    for colour in (awaited, blocking):
        pool_class_for(url, colour.POOLS)
    for package in ("_async", "_common", "_sync", "core", "flows", "models"):
        path = [f"{graven.__path__[0]}/{package}"]
        for module in walk_packages(path, f"graven.{package}."):
            with suppress(ImportError):  # what belongs to an extra that is not installed
                import_module(module.name)
    import_module("graven.testing.clock")


def serve(jobs: TextIO, answers: TextIO) -> None:
    """Import what the first line names; then do a job a line."""
    start = json.loads(jobs.readline())
    sys.path[:] = start["path"]
    try:
        functions = {name: function_of(home) for name, home in start["functions"].items()}
        import_all(start["url"])
        answer: dict[str, Any] = {"error": None}
    except BaseException:  # noqa: BLE001 - it is told
        answer, functions = {"error": traceback.format_exc()}, {}
    write_line(answers, answer)
    for line in jobs:
        write_line(answers, {"status": run(functions, json.loads(line))})


def write_line(answers: TextIO, answer: dict[str, Any]) -> None:
    """Write one line of output."""
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


def main() -> None:
    """Keep the output for answers: what a function prints goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    serve(sys.stdin, answers)


if __name__ == "__main__":
    main()
