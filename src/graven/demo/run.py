"""The whole demo: four parts in a temporary folder that is removed afterwards."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from graven import GravenError
from graven.demo import bank, edit, operations, stdlib
from graven.demo.display import Display
from graven.demo.interrupts import interruptible
from graven.demo.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much the demo does; *modules* is the number of modules to store, ``None`` for all."""

    modules: int | None = None
    workers: int = 4
    kills: int = 16
    accounts: int = 12


def run(display: Display, sizes: Sizes, seed: int) -> list[Outcome]:
    """Run all parts; return what they measured and what differs.

    A part that fails with an error of graven's or the store's is a difference; the others still
    run.
    """
    with TemporaryDirectory(prefix="graven-demo-") as name, interruptible():
        folder = Path(name)
        return [
            _part(
                "standard library",
                "1. The standard library, committed at once, reopened in a fresh process",
                display,
                lambda: stdlib.show(folder, display, sizes.modules),
            ),
            _part(
                "bank",
                "2. A bank whose workers are killed while they move money",
                display,
                lambda: bank.show(
                    folder,
                    display,
                    seed,
                    workers=sizes.workers,
                    kills=sizes.kills,
                    accounts=sizes.accounts,
                ),
            ),
            _part(
                "operations",
                "3. Durable operations, killed in the middle and finished exactly once",
                display,
                lambda: operations.show(
                    folder,
                    display,
                    seed,
                    workers=sizes.workers,
                    kills=-(-sizes.kills // 2),
                    accounts=sizes.accounts,
                ),
            ),
            _part(
                "edit and cancel",
                "4. An edit, what it would write, and its cancel",
                display,
                lambda: edit.show(folder / stdlib.FILE, display),
            ),
        ]


def _part(name: str, title: str, display: Display, show: Callable[[], Outcome]) -> Outcome:
    display.heading(title)
    try:
        return show()
    except (GravenError, sqlite3.Error) as error:
        return Outcome(name, differences=[f"{type(error).__name__}: {error}"])
