"""``graven recover`` and ``graven worker``."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.live import Live

from graven import AsyncDatabase, Database, RecoveryReport
from graven._common.atomic import names_of
from graven._common.signals import Stopping
from graven.cli._common import AsJSON, Modules, Url, imported, opened, print_json
from graven.cli._status import DIFFERS

__all__ = ["add_commands"]

FIGURES = ("finished", "failed", "retried", "quarantined", "parked", "lost")


def add_commands(application: typer.Typer) -> None:
    """Add the commands to the application."""
    application.command("recover")(_recover)
    application.command("worker")(_worker)


def _recover(modules: Modules, db: Url, json: AsJSON = False) -> None:
    """Finish interrupted operations; exit with 1 if some are left to a person, or unknown here."""
    imported(modules)
    with opened(db) as blocking, _spinning("recovering"):
        reports = [blocking.recover()]
        if names_of(is_async=True):
            reports.append(asyncio.run(_recover_async(db)))
    _end(reports, json)


async def _recover_async(url: str) -> RecoveryReport:
    async with AsyncDatabase(url) as db:
        return await db.recover()


def _worker(
    modules: Modules,
    db: Url,
    queue: Annotated[list[str] | None, typer.Option(help="A queue; repeat it for more.")] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="How many to run at a time.")] = 4,
    poll_s: Annotated[float, typer.Option(min=0.01, help="How often to look, in seconds.")] = 0.5,
    grace_s: Annotated[float, typer.Option(min=0, help="How long to wait at the end.")] = 10.0,
    until_idle: Annotated[bool, typer.Option(help="End when nothing is due any more.")] = False,
    json: AsJSON = False,
) -> None:
    """Run deferred operations until Ctrl-C or SIGTERM; what runs then is brought to its end."""
    imported(modules)
    options = {"concurrency": concurrency, "poll_s": poll_s, "grace_s": grace_s}
    with opened(db) as blocking:
        crew = _Crew(blocking, db, queue or ["default"], options)
        with Stopping(crew.stop), _live(crew):
            crew.run(until_idle)
    _end(crew.reports, json, is_worker=True)


class _Crew:
    """A worker for the operations of each colour that there are."""

    def __init__(
        self, blocking: Database, url: str, queues: list[str], options: dict[str, Any]
    ) -> None:
        self._url, self._queues, self._options = url, queues, options
        self._has_async, self._has_blocking = names_of(is_async=True), names_of(is_async=False)
        self._blocking = blocking.worker(queues, **options)
        self._awaited: Any = None
        self._is_stopped = False
        self.reports: list[RecoveryReport] = []

    def run(self, until_idle: bool) -> None:
        """Run the blocking one here, or, if there is an async one, beside that."""
        if not self._has_async:
            self.reports.append(self._blocking.run(until_idle=until_idle))
            return
        thread = Thread(target=self._run_blocking, args=(until_idle,))
        if self._has_blocking:
            thread.start()
        try:
            asyncio.run(self._run_async(until_idle))
        finally:
            if self._has_blocking:
                thread.join()

    def stop(self) -> None:
        """Let both come to their ends."""
        self._is_stopped = True
        self._blocking.stop()
        if self._awaited is not None:
            self._awaited.stop()

    def __str__(self) -> str:
        done = sum((one.progress for one in self._workers), start=0)
        return f"working on {', '.join(self._queues)}: {done} operations so far"

    @property
    def _workers(self) -> list[Any]:
        return [one for one in (self._blocking, self._awaited) if one is not None]

    def _run_blocking(self, until_idle: bool) -> None:
        self.reports.append(self._blocking.run(until_idle=until_idle))

    async def _run_async(self, until_idle: bool) -> None:
        async with AsyncDatabase(self._url) as db:
            self._awaited = db.worker(self._queues, **self._options)
            if not self._is_stopped:
                self.reports.append(await self._awaited.run(until_idle=until_idle))


@contextmanager
def _spinning(what: str) -> Iterator[None]:
    console = Console(stderr=True)
    if console.is_terminal:
        with console.status(what):
            yield
    else:
        yield


@contextmanager
def _live(crew: _Crew) -> Iterator[None]:
    """Show how much was done, where somebody looks; otherwise say that it begins."""
    console = Console(stderr=True, soft_wrap=True)
    if console.is_terminal:
        with Live(get_renderable=lambda: str(crew), console=console, transient=True):
            yield
    else:
        console.print(str(crew), highlight=False)
        yield


def _end(reports: list[RecoveryReport], as_json: bool, *, is_worker: bool = False) -> None:
    """Tell what was done, and exit."""
    sums = {name: sum(getattr(one, name) for one in reports) for name in FIGURES}
    total = RecoveryReport(**sums, seconds=max((one.seconds for one in reports), default=0.0))
    if as_json:
        print_json({**sums, "seconds": round(total.seconds, 3)})
    else:
        print(str(total).replace("recovered", "ran") if is_worker else total)
    needs_somebody = not is_worker and (total.quarantined or total.parked)
    raise typer.Exit(DIFFERS if needs_somebody else 0)
