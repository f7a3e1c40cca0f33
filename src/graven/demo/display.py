"""What the demo shows while it runs and at its end: live on a terminal, else as plain lines."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from time import perf_counter
from typing import TypeVar

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from graven.demo.interrupts import check
from graven.demo.outcome import SHOWN_MAX, Outcome

V = TypeVar("V")
LABEL_WIDTH = 36


class Task:
    """One task under way. Its progress is seen on a terminal, its last word everywhere."""

    def __init__(self, progress: Progress, label: str, total: float | None) -> None:
        """Show a task of *total* steps, or of an unknown number."""
        self._progress = progress
        self._bar = progress.add_task(label, total=total, word="")
        self.count = 0
        self.word = ""

    def reach(self, count: int) -> None:
        """Say that *count* steps are done."""
        check()
        self.count = count
        self._progress.update(self._bar, completed=count)

    def counted(self, value: V) -> V:
        """Return *value*, and count it as one step."""
        self.reach(self.count + 1)
        return value

    def say(self, word: str) -> None:
        """Say how the task stands; the last word stays when it is done."""
        check()
        self.word = word
        self._progress.update(self._bar, word=escape(word))


class Display:
    """The place where the demo shows itself."""

    def __init__(self, console: Console) -> None:
        """Show everything on *console*."""
        self.console = console

    def heading(self, text: str) -> None:
        """Begin a part."""
        check()
        self.console.print(f"\n[bold]{escape(text)}[/bold]", highlight=False)

    def line(self, text: str) -> None:
        """Show a line."""
        self.console.print(f"  {escape(text)}", highlight=False, soft_wrap=True)

    @contextmanager
    def task(self, label: str, total: float | None = None) -> Generator[Task]:
        """Show a task while the block runs, and a line of its own when it is done."""
        began = perf_counter()
        with self._progress() as progress:
            task = Task(progress, f"  {label:{LABEL_WIDTH}}", total)
            yield task
        word = task.word or (f"{task.count:,}" if task.count else "done")
        self.line(f"{label:{LABEL_WIDTH}} {word}, {perf_counter() - began:.1f} s")

    def closing_table(self, outcomes: Iterable[Outcome], seconds: float) -> None:
        """Show all figures in one table, and under it what differs, or that nothing does."""
        table = Table(title="graven demo, as measured", title_justify="left")
        for name in ("part", "figure", "measured"):
            table.add_column(name, justify="right" if name == "measured" else "left")
        found: list[str] = []
        for outcome in outcomes:
            for row, (name, value) in enumerate(outcome.figures.items()):
                shown = value if isinstance(value, str) else f"{value:,}"
                table.add_row("" if row else outcome.name, name, shown)
            table.add_row("", "differences", f"{len(outcome.differences):,}", end_section=True)
            found += [f"{outcome.name}: {one}" for one in outcome.differences]
        self.console.print()
        self.console.print(table)
        for one in found[:SHOWN_MAX]:
            self.console.print(f"[red]differs[/red] {escape(one)}", soft_wrap=True)
        if len(found) > SHOWN_MAX:
            self.console.print(f"[red]differs[/red] {len(found) - SHOWN_MAX:,} more")
        verdict = "[bold red]something differs" if found else "[bold green]nothing differs"
        self.console.print(f"{verdict}[/], {seconds:.1f} s in all", highlight=False)

    def _progress(self) -> Progress:
        return Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[word]}"),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
