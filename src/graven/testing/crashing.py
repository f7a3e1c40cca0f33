"""Crash points: a function of the user's is killed at each of its writes, in a process of its own.

A real process, the real store, SIGKILL. After each death what is left is recovered, and has to be
what the user says it must be.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any

from graven.errors import UsageError
from graven.testing._strikes import SCHEMES, Moment
from graven.testing.clock import VirtualClock

__all__ = ["CrashReport", "CrashpointFailure", "crashpoints"]

LATER_S = 3600.0  # recovery comes an hour later, when every lease has run out


class CrashpointFailure(AssertionError):
    """After a death at some moment the store was not as it must be.

    ``number`` is the moment, counted from 0, of the ``total`` that there are; ``when`` is
    ``before`` or ``after``, and ``statement`` the one there. The error that said so is the cause.
    """

    def __init__(
        self,
        message: str,
        number: int | None = None,
        total: int = 0,
        when: str | None = None,
        statement: str | None = None,
    ) -> None:
        """Keep where it was."""
        super().__init__(message, number, total, when, statement)
        self.number, self.total, self.when, self.statement = number, total, when, statement

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass(frozen=True)
class CrashReport:
    """What was tried: moments at which the function could die, and those at which it did."""

    moments: Sequence[Moment]
    tried: Sequence[int]
    """The numbers of the moments that were tried, in order."""
    deaths: int
    """Deaths in all, those of recoveries included."""
    seed: int
    """Of the sample."""

    def __str__(self) -> str:
        return (
            f"killed at {len(self.tried)} of {len(self.moments)} moments, {self.deaths} deaths in "
            f"all (seed {self.seed}): the invariant held after each"
        )


def crashpoints(
    url: str,
    function: Callable[[Any], Any],
    invariant: Callable[[Any], Any],
    *,
    prepare: Callable[[Any], Any] | None = None,
    recover: Callable[[Any], Any] | None = None,
    kill_recovery: bool = False,
    sample: int | None = None,
    only: Iterable[int] | None = None,
    seed: int = 1,
    reads: bool = False,
    timeout_s: float = 60.0,
    **options: Any,
) -> CrashReport:
    """Kill *function* before and after each of its writes, and check *invariant* each time.

    Everything is called with a database at *url*, opened with *options*; coroutine functions with
    an ``AsyncDatabase``. For each moment: *prepare* brings the store into the state to start from,
    again and again; *function* runs in a process of its own, which SIGKILL ends at that moment;
    *recover* finishes what is left, an hour later by graven's clock, so that leases have run out;
    *invariant* then raises, or returns ``False``, if the store is not as it must be. A run that
    nobody kills comes first: it finds out how many moments there are, and has to satisfy
    *invariant* too.

    :param recover: what a restart of the program would do; by default ``db.recover()``.
    :param kill_recovery: kill the recovery as well, at each of its writes, and then recover from
        that; *recover* has to be a function of a module then, as *function* has.
    :param sample: try so many moments, chosen by *seed*, and not all of them.
    :param only: try these moments alone, to repeat a failure.
    :param reads: kill before and after statements that only read, too.
    :param timeout_s: a process that lives longer hangs, which is a failure.
    :raises CrashpointFailure: an ``AssertionError``, at the first moment after which something was
        wrong. It names moment and statement.
    :raises UsageError: for a store that dies with its process, and a function that another process
        cannot find: it must stand at the top of a module, and not be a lambda or a method.
    """
    _check_url(url)
    if recover is None:
        recover = recovered_async if inspect.iscoroutinefunction(function) else recovered
    homes = {"function": home_of(function)}
    if kill_recovery:
        homes["recover"] = home_of(recover)
    job = {"url": url, "options": options, "reads": reads, "timeout_s": timeout_s}
    with _Nursery(homes, job) as nursery:
        trial = _Trial(nursery, invariant, prepare, recover)
        moments = trial.run_alone()
        numbers = _chosen(len(moments), sample, only, Random(seed))
        deaths = 0
        for number in numbers:
            trial.die_at(number)
            trial.judge(_Place(number, moments[number]))
            deaths += 1
            if kill_recovery:
                dice = None if sample is None else Random(f"{seed} {number}")
                deaths += trial.die_in_recovery(_Place(number, moments[number]), dice)
    return CrashReport(moments, numbers, deaths, seed)


def recovered(db: Any) -> None:
    """Recover as a restarted program does, in blocking code."""
    if hasattr(db, "recover"):
        db.recover()


async def recovered_async(db: Any) -> None:
    """Recover as a restarted program does, in async code."""
    if hasattr(db, "recover"):
        await db.recover()


@dataclass(frozen=True)
class _Place:
    """Where a process died: a moment and its number."""

    number: int
    moment: Moment

    def __str__(self) -> str:
        when, text = self.moment
        return f"moment {self.number}, right {when}\n    {text}"


class _Nursery:
    """The process that imports the functions and forks a child for each run; use it as a block."""

    def __init__(self, homes: dict[str, dict[str, str]], job: dict[str, Any]) -> None:
        """Prepare to import functions from *homes*; *job* is what all runs have in common."""
        self.url, self.options = job["url"], job["options"]
        self._homes, self._job = homes, job
        self._folder = TemporaryDirectory(prefix="graven-crashpoints-")

    def __enter__(self) -> _Nursery:
        """Start the process.

        :raises UsageError: if it cannot import the functions.
        """
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "graven.testing._nursery"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )
        error = self._ask({"path": sys.path, "url": self.url, "functions": self._homes})["error"]
        if error:
            self.__exit__(None, None, None)
            raise UsageError(
                "another process cannot import the function that is to be killed; usually its "
                "module does something at import that works only once; move that into `prepare`:\n"
                f"{error}"
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the process."""
        self._process.communicate()
        self._folder.cleanup()

    def live(self, name: str, kill_at: int | None = None, later_s: float = 0.0) -> list[Moment]:
        """Run a function in a child, to its end or its death; return the moments that it lived.

        :raises CrashpointFailure: if it hangs, or fails by itself.
        """
        path = Path(self._folder.name, "report.json")
        path.unlink(missing_ok=True)
        job = {"function": name, "kill_at": kill_at, "later_s": later_s, "report": str(path)}
        status = self._ask(self._job | job)["status"]
        if status is None:
            raise CrashpointFailure(
                f"the {name} had not ended after {self._job['timeout_s']} s, and was to be killed "
                f"at {'no moment' if kill_at is None else f'moment {kill_at}'}; usually it waits "
                "for a lock that something else holds"
            )
        report: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
        if report.get("error") or not report:
            told = report.get("error", "it told nothing")
            raise CrashpointFailure(f"the {name} failed by itself (status {status}):\n{told}")
        if report["sessions"]:
            _end_sessions(self.url, report["sessions"])
        return [(when, text) for when, text in report["moments"]]

    def _ask(self, job: dict[str, Any]) -> dict[str, Any]:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps(job) + "\n")
        stdin.flush()
        answer: dict[str, Any] | None = json.loads(stdout.readline() or "null")
        return answer or {"error": "the process has died", "status": -1}


class _Trial:
    """One function on trial: the steps between two deaths, and the verdict after each."""

    def __init__(
        self,
        nursery: _Nursery,
        invariant: Callable[[Any], Any],
        prepare: Callable[[Any], Any] | None,
        recover: Callable[[Any], Any],
    ) -> None:
        self._nursery = nursery
        self._invariant, self._prepare, self._recover = invariant, prepare, recover
        self._total = 0

    def run_alone(self) -> list[Moment]:
        """Run the function without killing it; return its moments.

        :raises UsageError: if there are none.
        """
        self._call(self._prepare)
        moments = self._nursery.live("function")
        if not moments:
            raise UsageError(
                "the function wrote nothing, so there is nothing to kill it at; usually it does "
                "not use the database that it is given, or its session is never committed."
            )
        self._total = len(moments)
        self.judge()
        return moments

    def die_at(self, number: int) -> None:
        """Bring the store into its first state, and let the function die there."""
        self._call(self._prepare)
        self._nursery.live("function", number)

    def die_in_recovery(self, first: _Place, dice: Random | None) -> int:
        """Kill the recovery from that death too, at each of its moments, or one; count them."""
        self.die_at(first.number)
        moments = self._nursery.live("recover", later_s=LATER_S)
        numbers = (
            range(len(moments)) if dice is None or not moments else [dice.randrange(len(moments))]
        )
        for number in numbers:
            self.die_at(first.number)
            self._nursery.live("recover", number, LATER_S)
            self.judge(first, _Place(number, moments[number]), later_s=2 * LATER_S)
        return len(numbers)

    def judge(
        self, first: _Place | None = None, second: _Place | None = None, later_s: float = LATER_S
    ) -> None:
        """Recover, and check the invariant; say where it was that it broke."""
        what = "the recovery failed"
        try:
            with VirtualClock() as clock:
                clock.advance(later_s)
                self._call(self._recover)
                what = "the invariant broke"
                if self._call(self._invariant) is False:
                    raise AssertionError("it returned False")
        except Exception as error:
            raise self._failure(what, error, first, second) from error

    def _failure(
        self, what: str, error: Exception, first: _Place | None, second: _Place | None
    ) -> CrashpointFailure:
        where = "though nobody killed it"
        if first is not None:
            where = f"after a death at one of {self._total} moments: {first}"
        if second is not None:
            where += f"\nand of the recovery at {second}"
        told = f"{what} {where}\n{type(error).__name__}: {error}"
        if first is None:
            return CrashpointFailure(told, None, self._total)
        told += f"\nto try this moment alone: only=[{first.number}]"
        return CrashpointFailure(told, first.number, self._total, *first.moment)

    def _call(self, function: Callable[[Any], Any] | None) -> Any:
        """Call a function of the user's in this process, with a database of its colour."""
        from graven import AsyncDatabase, Database

        url, options = self._nursery.url, self._nursery.options
        if function is None:
            return None
        if not inspect.iscoroutinefunction(function):
            with Database(url, **options) as db:
                return function(db)

        async def call() -> Any:
            async with AsyncDatabase(url, **options) as db:
                return await function(db)

        return asyncio.run(call())


def _end_sessions(url: str, sessions: Sequence[str]) -> None:
    """Let a server of MongoDB do now what it does by itself a minute after a process has died."""
    from bson.binary import UUID_SUBTYPE, Binary
    from pymongo import MongoClient

    ids = [{"id": Binary(bytes.fromhex(one), UUID_SUBTYPE)} for one in sessions]
    with MongoClient[dict[str, Any]](url) as client:
        client.admin.command({"killSessions": ids})


def _chosen(
    total: int, sample: int | None, only: Iterable[int] | None, dice: Random
) -> Sequence[int]:
    if only is not None:
        numbers = sorted(only)
        if wrong := [number for number in numbers if not 0 <= number < total]:
            raise UsageError(
                f"cannot kill at {wrong}: there are {total} moments, counted from 0; usually the "
                "function has changed since; leave `only` out to find the moment again."
            )
        return numbers
    if sample is None or sample >= total:
        return range(total)
    return sorted(dice.sample(range(total), sample))


def _check_url(url: str) -> None:
    from graven.drivers.sqlite_url import parse_sqlite_url

    scheme = url.partition(":")[0]
    if scheme not in {"memory", *SCHEMES}:
        raise UsageError(
            f"cannot kill a process that works on {url}: its driver is not known here, so it "
            f"cannot be said when it writes; known are URLs that begin with {', '.join(SCHEMES)}."
        )
    if scheme == "memory" or (scheme == "sqlite" and parse_sqlite_url(url).path is None):
        raise UsageError(
            f"cannot kill a process that works on {url}: a store in memory dies with its process, "
            "so nothing is left to recover; use a file, as in "
            "crashpoints(f'sqlite:///{tmp_path}/test.db', …), or a server."
        )
    if not hasattr(os, "fork"):
        raise UsageError(
            f"cannot kill processes on {sys.platform}: it has no fork(); run these tests on "
            "another system, or use graven.testing.SimulatedSQLite."
        )


def home_of(function: Callable[[Any], Any]) -> dict[str, str]:
    """Return where another process finds *function*: module, file and name.

    :raises UsageError: if it cannot.
    """
    module = sys.modules.get(getattr(function, "__module__", ""))
    name = getattr(function, "__qualname__", "<no name>")
    file = getattr(module, "__file__", None)
    if module is None or file is None or "<" in name:
        raise UsageError(
            f"another process cannot find the function {name}: usually it is a lambda, stands "
            "inside another function, or was typed in at a prompt; write it as `def` at the top of "
            "a module, for instance that of the test."
        )
    return {"module": module.__name__, "file": file, "name": name}
